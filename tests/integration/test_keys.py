"""Keys of an issuer: on tokens, certified by authorities, followed by others; and the time that is stamped."""

from __future__ import annotations

import asyncio
import datetime
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from pyhanko.sign import timestamps

from harness.certify.envelopes import STAMP
from harness.certify.pades import FIELD, check_pdf
from harness.signing.keys import KeyStore, trusted
from harness.signing.trust import Trust, read_trust
from harness.verification.checking import check, status_of
from tests.integration.test_issuing import CENTER, ISSUER, certify, good, good_or_not, steps, told
from tests.integration.test_issuing import desk as desk  # fixtures
from tests.integration.test_issuing import keys as keys
from tests.integration.test_signing import WORDS, Signed, edit
from tests.integration.test_signing import made as made  # a fixture
from tests.trusts import shell, trust_file, trust_in

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


@pytest.fixture(scope="module")
def stamper(tmp_path_factory: pytest.TempPathFactory, authority: str) -> Path:
    """The public key of the authority."""
    (crt,) = tmp_path_factory.getbasetemp().glob("tsa0/crt.pem")
    key = subprocess.run(["openssl", "x509", "-in", crt, "-pubkey", "-noout"], capture_output=True, check=True).stdout
    path = tmp_path_factory.mktemp("stamper") / "tsa.pub.pem"
    path.write_bytes(key)
    return path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A time-stamping authority: OpenSSL's, behind a small server on 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tsa")
    (folder / "tsa.cnf").write_text(f"""\
[ tsa ]
default_tsa = one
[ one ]
dir = {folder}
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha384, sha512
accuracy = secs:1
[ usage ]
extendedKeyUsage = critical,timeStamping
""")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            folder / "key.pem",
            "-out",
            folder / "crt.pem",
            "-subj",
            "/CN=Test TSA",
            "-days",
            "30",
            "-addext",
            "extendedKeyUsage=critical,timeStamping",
        ],
        check=True,
        capture_output=True,
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            subprocess.run(
                [
                    "openssl",
                    "ts",
                    "-reply",
                    "-config",
                    folder / "tsa.cnf",
                    "-queryfile",
                    folder / "query",
                    "-inkey",
                    folder / "key.pem",
                    "-signer",
                    folder / "crt.pem",
                    "-out",
                    folder / "reply",
                ],
                check=True,
                capture_output=True,
            )
            data = (folder / "reply").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def both(desk: Signed, trust: Path) -> tuple[str, int]:
    """What both verifiers say."""
    return status_of(check(desk.folder, read_trust(trust))).value, shell(desk.folder, trust).returncode


def test_an_authority_stamps_the_time(desk: Signed, authority: str, stamper: Path, tmp_path: Path) -> None:
    profile = Path("reports/issuers/center.yaml")
    profile.write_text(ISSUER + f"timestamp: {authority}/\n")
    certify(desk)
    status, found = steps(desk)
    assert status == "valid", found
    today = datetime.datetime.now(datetime.UTC).date()
    assert f"time stamp of {today}" in found["signature in certificate.pdf"]
    assert found["time stamp (adaptation.tst)"].startswith(f"{today}T")
    assert "by Test TSA, not bound with --role time and not counted" in found["time stamp (adaptation.tst)"]
    trust = tmp_path / "trust"
    good("trust", "add", CENTER, desk.keys / "log.pub.pem", desk.keys / "seal.pub.pem", "--trust", trust)
    good("trust", "add", "Test TSA", stamper, "--role", "time", "--trust", trust)
    assert both(desk, trust) == ("valid", 0)
    hour = datetime.timedelta(hours=1)
    now = datetime.datetime.now(datetime.UTC)
    for until, expected in ((now + hour, ("valid", 0)), (now - hour, ("invalid", 1))):
        ended = read_trust(trust)
        for binding in ended.of("sign"):
            ended = ended.ended(binding.key.keyid, until)
        assert both(desk, trust_file(tmp_path / "ended", ended)) == expected, "the stamp shows when it was there"
        unstamped = Trust(tuple(ended.of("sign")))
        answer = "could-not-check" if until > now else "invalid"
        assert both(desk, trust_file(tmp_path / "ended", unstamped))[0] == answer
    other = hashlib.sha256(b"another").digest()
    client = timestamps.HTTPTimeStamper(f"{authority}/")
    token = asyncio.run(client.async_timestamp(other, "sha256")).dump()
    genuine = (desk.folder / STAMP).read_bytes()
    for forged in (token, genuine[:-1], genuine[:-1] + bytes([genuine[-1] ^ 1]), b"", b"x"):
        (desk.folder / STAMP).write_bytes(forged)
        assert both(desk, trust) == ("invalid", 1)


def test_an_authority_that_is_away_changes_nothing(desk: Signed) -> None:
    before = {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()}
    profile = Path("reports/issuers/center.yaml")
    profile.write_text(ISSUER + "timestamp: http://127.0.0.1:9/\n")
    assert "time-stamping authority http://127.0.0.1:9/ does not answer" in told(
        "certify",
        "--workspace",
        desk.workspace,
        "--keys",
        desk.keys,
        "--issuer",
        "center",
        "--commission",
        "commission.yaml",
        "--key",
        "seal",
        "--key",
        "log",
    )
    assert {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()} == before


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """A key on a SoftHSM token, made by OpenSC's own tool: words of ``keys token``."""
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    tool = ["pkcs11-tool", "--module", str(SOFTHSM), "--token-label", "lab", "--login", "--pin", WORDS]
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "lab", "--so-pin", "security officer", "--pin", WORDS],
        check=True,
        capture_output=True,
    )
    for label, kind in (("seal", "EC:prime256v1"), ("other", "rsa:2048")):
        subprocess.run(
            [*tool, "--keypairgen", "--key-type", kind, "--label", label, "--id", "01" if label == "seal" else "02"],
            check=True,
            capture_output=True,
        )
    yield str(SOFTHSM), "lab", "seal"
    if before is None:
        del os.environ["SOFTHSM2_CONF"]


def test_a_key_on_a_token_signs_and_never_leaves_it(desk: Signed, token: tuple[str, str, str], tmp_path: Path) -> None:
    keys = Path(shutil.copytree(desk.keys, tmp_path / "own-keys"))
    module, name, label = token
    good("keys", "token", "hsm", "--module", module, "--token", name, "--label", label, "--keys", keys)
    good("keys", "issue", "hsm", "--authority", "test-ca", "--keys", keys)
    assert not (keys / "hsm.pem").exists()
    shown = json.loads(good("keys", "show", "hsm", "--keys", keys, "--format", "json").stdout)
    assert (shown["private"], shown["algorithm"], len(shown["certificates"])) == ("token", "ecdsa-p256", 2)
    mine = Signed(desk.workspace, keys)
    certify(mine, keys=("hsm",))
    status, found = steps(mine)
    assert status == "valid", found
    assert "PAdES by Example Center" in found["signature in certificate.pdf"]
    done = shell(mine.folder, trust_file(tmp_path / "trust", trust_in(keys, CENTER, ("hsm",))))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"token": "nothing"}, "token 'nothing' is not there"),
        ({"label": "nothing"}, "has no key labelled 'nothing'"),
        ({"label": "other"}, "is no P-256 key"),
        ({"module": "/none.so"}, "/none.so is not there"),
        ({"module": "none.so"}, "no such place of a key"),
    ],
)
def test_what_is_wrong_with_a_token_is_told(
    token: tuple[str, str, str], tmp_path: Path, change: dict[str, str], expected: str
) -> None:
    words = {"module": token[0], "token": token[1], "label": token[2], **change}
    assert expected in told(
        "keys", "token", "x", *(w for k, v in words.items() for w in (f"--{k}", v)), "--keys", tmp_path
    )
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_pin_is_told(token: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRONG", "another pin")
    assert "refuses the PIN" in told(
        "keys",
        "token",
        "x",
        "--module",
        token[0],
        "--token",
        token[1],
        "--label",
        token[2],
        "--keys",
        tmp_path,
        "--passphrase",
        "env:WRONG",
    )


def test_a_key_is_followed_by_another(desk: Signed, tmp_path: Path) -> None:
    keys = Path(shutil.copytree(desk.keys, tmp_path / "own-keys"))
    before = Path(shutil.copytree(desk.folder, "before"))
    certify(Signed(desk.workspace, keys), keys=("log",))
    shutil.copytree(desk.folder, before, dirs_exist_ok=True)
    good("keys", "rotate", "log", "--to", "log-2027", "--keys", keys)
    assert "the key log is retired" in told(
        "certify",
        "--workspace",
        desk.workspace,
        "--keys",
        keys,
        "--key",
        "log",
        "--issuer",
        "center",
        "--commission",
        "commission.yaml",
    )
    certify(Signed(desk.workspace, keys), keys=("log-2027",))
    trust = tmp_path / "trust"
    good("trust", "add", CENTER, keys / "log.pub.pem", "--trust", trust)
    assert good_or_not("verify", before, "--trust", trust)[0] == "valid"
    assert good_or_not("verify", desk.folder, "--trust", trust)[0] == "could-not-check"
    good("trust", "add", CENTER, keys / "log-2027.succession.dsse.json", "--trust", trust)
    assert good_or_not("verify", desk.folder, "--trust", trust)[0] == "valid"
    status, answers = good_or_not("verify", before, "--trust", trust)
    assert (status, answers["keys"]) == ("could-not-check", "could-not-check"), "only the log knows when it signed"
    good("keys", "rotate", "log-2027", "--to", "log-2028", "--keys", keys)
    good("trust", "add", CENTER, keys / "log-2028.succession.dsse.json", "--trust", trust)
    assert [binding.until is None for binding in read_trust(trust).bindings] == [False, False, True]
    (keys / "log.retired.pem").rename(keys / "log.pem")
    good("keys", "rotate", "log", "--to", "thief", "--keys", keys)
    assert "nothing follows it any more" in told(
        "trust", "add", CENTER, keys / "thief.succession.dsse.json", "--trust", trust
    )
    edit(keys / "log-2027.succession.dsse.json", b'"sig": "', b'"sig": "AAAA')
    damaged = told("trust", "add", CENTER, keys / "log-2027.succession.dsse.json", "--trust", trust)
    assert "signature of the old key does not hold" in damaged


def test_a_certificate_from_an_authority_is_installed(tmp_path: Path) -> None:
    """As a real one does it: a request goes out, a chain comes back."""
    good("keys", "new", "own", "--algorithm", "ecdsa-p256", "--keys", tmp_path)
    good("keys", "new", "other", "--algorithm", "ecdsa-p256", "--keys", tmp_path)
    asked = good("keys", "request", "own", "--common-name", "示例中心", "--organisation", "Example", "--keys", tmp_path)
    (tmp_path / "own.csr").write_text(asked.stdout)
    run = functools.partial(subprocess.run, check=True, capture_output=True, cwd=tmp_path)
    run(["openssl", "req", "-in", "own.csr", "-verify", "-noout"])
    run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
            "-subj",
            "/CN=CA",
            "-days",
            "30",
        ]
    )
    run(
        [
            "openssl",
            "x509",
            "-req",
            "-in",
            "own.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "30",
            "-out",
            "own.crt",
        ]
    )
    chain = (tmp_path / "own.crt").read_text() + (tmp_path / "ca.crt").read_text()
    (tmp_path / "chain.pem").write_text(chain)
    good("keys", "install", "own", tmp_path / "chain.pem", "--keys", tmp_path)
    shown = json.loads(good("keys", "show", "own", "--keys", tmp_path, "--format", "json").stdout)
    assert "示例中心" in shown["certificates"][0]["subject"]
    assert "belongs to another key than other" in told(
        "keys", "install", "other", tmp_path / "chain.pem", "--keys", tmp_path
    )
    (tmp_path / "broken.pem").write_text((tmp_path / "own.crt").read_text() * 2)
    assert "the chain is broken" in told("keys", "install", "own", tmp_path / "broken.pem", "--keys", tmp_path)
    good("keys", "new", "ed", "--keys", tmp_path)
    assert "ed is no P-256 key" in told("keys", "install", "ed", tmp_path / "chain.pem", "--keys", tmp_path)
    (tmp_path / "nothing.pem").write_text("words")
    assert "no certificate" in told("keys", "install", "own", tmp_path / "nothing.pem", "--keys", tmp_path)


def dated(keys: Path, first: int, last: int) -> None:
    """Give the key ``seal`` a chain of its own that holds from and until so many days from now."""
    own = KeyStore(keys).private("seal", WORDS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example Center")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(own.public_key())
    builder = builder.serial_number(7).not_valid_before(now + datetime.timedelta(days=first))
    builder = builder.not_valid_after(now + datetime.timedelta(days=last))
    KeyStore(keys).keep_chain("seal", builder.sign(own, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@pytest.mark.parametrize(("first", "last", "said"), [(-60, -30, "was over on"), (1, 30, "is not valid before")])
def test_nothing_is_signed_by_a_certificate_that_does_not_hold_today(
    desk: Signed, tmp_path: Path, first: int, last: int, said: str
) -> None:
    keys = Path(shutil.copytree(desk.keys, tmp_path / "own-keys"))
    dated(keys, first, last)
    before = {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()}
    words = ("--workspace", desk.workspace, "--keys", keys, "--issuer", "center", "--commission", "commission.yaml")
    assert said in told("certify", *words, "--key", "seal", "--key", "log")
    assert {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()} == before


def test_a_chain_that_was_over_when_it_signed_does_not_verify(
    desk: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certify(desk)
    data = (desk.folder / "certificate.pdf").read_bytes()
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=4000)
    signature, chain = check_pdf("x", data, trusted([desk.keys]), later)
    assert (signature.status.value, chain.status.value) == ("valid", "could-not-check")
    assert "no time stamp shows that it was signed before" in chain.detail
    keys = Path(shutil.copytree(desk.keys, tmp_path / "own-keys"))
    dated(keys, -60, -30)
    monkeypatch.setattr("harness.certify.pades.demand_current", lambda *_: None)  # a signer of another make
    certify(Signed(desk.workspace, keys))
    _, chain = check_pdf("x", (desk.folder / "certificate.pdf").read_bytes(), trusted([keys]))
    assert (chain.status.value, ", and signed on " in chain.detail) == ("invalid", True)


def test_only_p256_keys_are_certified(tmp_path: Path) -> None:
    good("keys", "authority", "ca", "--keys", tmp_path)
    good("keys", "new", "ed", "--keys", tmp_path)
    assert "is no P-256 key" in told("keys", "issue", "ed", "--authority", "ca", "--keys", tmp_path)
    assert "nobody is no authority" in told("keys", "issue", "ed", "--authority", "nobody", "--keys", tmp_path)
    assert KeyStore(tmp_path).chain("ed") == b""
    assert FIELD == "Issuer"


def test_a_key_is_rotated_and_its_end_is_in_the_register(desk: Signed, tmp_path: Path) -> None:
    """What it signed before holds, by the log; what it signs afterwards, by a thief's hand, does not."""
    keys = Path(shutil.copytree(desk.keys, tmp_path / "own-keys"))
    own = Signed(desk.workspace, keys)
    certify(own, "--register", "register", keys=("log",))
    trust = tmp_path / "trust"
    good("trust", "add", CENTER, keys / "log.pub.pem", "--trust", trust)
    time.sleep(1.1)  # times of entries are in seconds, and a key that ends in the second of an entry ended before it
    good("keys", "rotate", "log", "--to", "log-2", "--keys", keys)
    words = ("--register", "register", "--keys", keys)
    itself = told("keys", "end", "log-2", "--state", "retired", "--key", "log-2", *words)
    assert "would be signed by it" in itself
    good("keys", "end", "log", "--state", "retired", "--key", "log-2", *words)
    register = ("--register", "register")
    assert good_or_not("verify", desk.folder, "--trust", trust, *register)[0] == "could-not-check", "log-2 is unknown"
    good("trust", "add", CENTER, keys / "log-2.succession.dsse.json", "--trust", trust)
    status, answers = good_or_not("verify", desk.folder, "--trust", trust, *register)
    assert (status, answers["keys"], answers["log"]) == ("valid", "valid", "valid"), "the log keeps its name"
    assert shell(desk.folder, trust, Path("register")).returncode == 0
    (keys / "log.retired.pem").rename(keys / "log.pem")
    certify(own, keys=("log",))
    status, answers = good_or_not("verify", desk.folder, "--trust", trust, *register)
    assert (status, answers["keys"]) == ("invalid", "invalid")
    assert shell(desk.folder, trust, Path("register")).returncode == 1
    good("trust", "add", CENTER, keys / "seal.pub.pem", "--trust", trust)
    elsewhere = told(
        "certify",
        "--workspace",
        desk.workspace,
        "--keys",
        keys_of_another(tmp_path),
        "--key",
        "x",
        "--issuer",
        "center",
        "--commission",
        "commission.yaml",
        *register,
    )
    assert "is the register of another issuer" in elsewhere


def keys_of_another(tmp_path: Path) -> Path:
    good("keys", "new", "x", "--keys", tmp_path / "another")
    return tmp_path / "another"
