"""Keys, envelopes, SM2: standard vectors, OpenSSL as the other side, every byte that is changed."""

from __future__ import annotations

import base64
import datetime
import hashlib
import subprocess
from pathlib import Path

import pytest

from harness.certify.envelopes import ENVELOPES, Signing
from harness.certify.lines import LINES_TYPE, lines_of
from harness.certify.statement import ADAPTATION, STATEMENT, TEST_RESULT
from harness.errors import UsageError
from harness.signing import sm2
from harness.signing.dsse import Envelope, NoEnvelope
from harness.signing.keys import ALGORITHMS, Algorithm, KeyStore, PublicKey, read_public, trusted
from harness.signing.trust import Trust
from harness.system.canonical import canonical
from harness.verification.checking import Status, check, status_of
from harness.verification.opening import open_envelope
from tests.trusts import SELF_TEST, binding

WORDS = "correct horse battery"
NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
# GB/T 32918.5-2017, A.2: key, message "message digest" and signature on the recommended curve.
X = 0x09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020
Y = 0xCCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13
R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> KeyStore:
    made = KeyStore(tmp_path_factory.mktemp("keys") / "keys")
    for algorithm in ALGORITHMS:
        made.make(algorithm, algorithm, WORDS)
    return made


def test_sm3_of_the_standard() -> None:
    """GB/T 32905-2016, A.1."""
    assert sm2.sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


def test_the_signature_of_the_standard() -> None:
    assert sm2.holds((X, Y), b"message digest", R, S)
    assert not sm2.holds((X, Y), b"message digest.", R, S)
    assert not sm2.holds((X, Y), b"message digest", R, S, b"1234567812345679")
    assert not sm2.holds((X, Y), b"message digest", R, S + 1)
    for r, s in ((0, S), (R, 0), (sm2.N, S), (R, sm2.N - R)):
        assert not sm2.holds((X, Y), b"message digest", r, s)
    assert not sm2.holds((X, Y + 1), b"message digest", R, S), "a point that is not on the curve"


def integer(number: int) -> bytes:
    data = number.to_bytes(32, "big").lstrip(b"\0")
    data = b"\0" + data if data[0] >= 0x80 else data
    return bytes([2, len(data)]) + data


def test_openssl_agrees_on_the_signature_of_the_standard(tmp_path: Path) -> None:
    spki = sm2.PREFIX + b"\x04" + X.to_bytes(32, "big") + Y.to_bytes(32, "big")
    body = integer(R) + integer(S)
    signature = bytes([0x30, len(body)]) + body
    assert sm2.verify(spki, b"message digest", signature)
    pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(spki) + b"-----END PUBLIC KEY-----\n"
    for name, data in (("key", pem), ("sig", signature), ("message", b"message digest")):
        (tmp_path / name).write_bytes(data)
    words = "openssl dgst -sm3 -verify key -sigopt distid:1234567812345678 -signature sig message".split()
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Verified OK", done.stderr


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_a_key_signs_holds_and_nothing_else(store: KeyStore, algorithm: Algorithm) -> None:
    for message in (b"", b"message", bytes(100_000)):
        public, signature = store.sign(algorithm, WORDS, message)
        assert public.algorithm == algorithm
        assert public.holds(message, signature)
        assert not public.holds(message + b"\0", signature)
        assert not public.holds(message, b"")
        assert not public.holds(message, signature + b"\0")
    others = [one for one in store.public() if one.algorithm != algorithm]
    assert not any(one.holds(message, signature) for one in others)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_byte_of_a_signature_counts(store: KeyStore, algorithm: Algorithm) -> None:
    public, signature = store.sign(algorithm, WORDS, b"message")
    for at in range(len(signature)):
        changed = bytearray(signature)
        changed[at] ^= 1
        assert not public.holds(b"message", bytes(changed)), at


def test_private_halves_are_encrypted_and_for_their_owner(store: KeyStore) -> None:
    assert store.folder.stat().st_mode & 0o777 == 0o700
    for algorithm in ALGORITHMS:
        path = store.folder / f"{algorithm}.pem"
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        refused = subprocess.run(
            ["openssl", "pkey", "-in", str(path), "-passin", "pass:wrong words", "-noout"],
            capture_output=True,
            check=False,
        )
        assert refused.returncode != 0


def test_a_stolen_file_of_a_key_is_slow_to_guess(store: KeyStore) -> None:
    """OpenSSL's own look at the files: PBKDF2 by HMAC-SHA-256, with 600,000 rounds."""
    for algorithm in ALGORITHMS:
        words = ["openssl", "asn1parse", "-in", str(store.folder / f"{algorithm}.pem")]
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        rounds = [int(line.rpartition(":")[2], 16) for line in shown.splitlines() if "INTEGER" in line]
        assert max(rounds) >= 600_000, shown
        assert "hmacWithSHA256" in shown


def test_the_id_of_a_key_is_what_openssl_gives(store: KeyStore) -> None:
    for key in store.public():
        path = store.folder / f"{key.name}.pub.pem"
        words = ["openssl", "pkey", "-pubin", "-in", str(path), "-outform", "DER"]
        der = subprocess.run(words, capture_output=True, check=True).stdout
        assert key.keyid == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("Upper", WORDS, "is no name for a key"),
        ("../x", WORDS, "is no name for a key"),
        ("ok", "short", "fewer than 8"),
        ("ed25519", WORDS, "there is a key ed25519 already"),
    ],
)
def test_keys_that_are_not_made(store: KeyStore, name: str, words: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        store.make(name, "ed25519", words)


def test_keys_that_cannot_sign(store: KeyStore) -> None:
    with pytest.raises(UsageError, match=r"no key nobody in .*; there is: ecdsa-p256, ed25519, sm2"):
        store.sign("nobody", WORDS, b"")
    with pytest.raises(UsageError, match="wrong passphrase"):
        store.sign("ed25519", "other words", b"")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "words",
        *(f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n" for body in ("AAAA", "A", "A=A")),
    ],
)
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(UsageError, match="is no public key"):
        read_public("x", text.encode())
    with pytest.raises(UsageError, match="cannot be read"):
        trusted([Path("/no/such")])


def test_the_encoding_of_the_standard() -> None:
    """The example of DSSE's protocol."""
    one = Envelope(payload=b"hello world", payload_type="http://example.com/HelloWorld")
    assert one.signed_bytes == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def certificate(folder: Path, store: KeyStore, names: tuple[str, ...] = ALGORITHMS, **more: object) -> Path:
    """A folder with the smallest certificate that is one, signed by these keys."""
    (folder / "report.html").write_bytes(b"certificate")
    predicate = {
        "number": "XC-1",
        "report_number": "XR-1",
        "type": "Certificate",
        "issuer": SELF_TEST,
        "product": {"name": {"zh": "x", "en": "x"}, "vendor": {"zh": "y", "en": "y"}, "version": "1"},
        "issued": "2026-01-01T00:00:00+00:00",
        "valid_until": None,
        "commission": {"amends": None},
        "platforms": [{"axes": {"cpu": "x86-64"}, "verdict": "conformant", "fidelity": "container"}],
        "signers": [store.public_key(name).keyid for name in names],
        "verifier": "0" * 64,
        **more,
    }
    subject = [{"name": "report.html", "digest": {"sha256": hashlib.sha256(b"certificate").hexdigest()}}]
    adaptation, result = (
        canonical({"_type": STATEMENT, "predicateType": kind, "predicate": predicate, "subject": subject})
        for kind in (ADAPTATION, TEST_RESULT)
    )
    signing = Signing(store=store, names=names, passphrase=WORDS)
    for kind, payload in (("adaptation", adaptation), ("test_result", result)):
        (folder / ENVELOPES[kind]).write_text(signing.sign(payload).text())
    (folder / ENVELOPES["lines"]).write_text(signing.sign(lines_of(adaptation, result), LINES_TYPE).text())
    return folder


def status(folder: Path, keys: list[PublicKey]) -> Status:
    return status_of(check(folder, Trust(tuple(binding(key) for key in keys)), now=NOW))


def test_any_key_that_is_trusted_is_enough(store: KeyStore, tmp_path: Path) -> None:
    folder = certificate(tmp_path, store)
    for key in store.public():
        assert status(folder, [key]) is Status.VALID
    assert status(folder, store.public()) is Status.VALID
    assert status(folder, []) is Status.COULD_NOT_CHECK
    (tmp_path / "report.html").unlink()
    assert status(folder, store.public()) is Status.COULD_NOT_CHECK


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"valid_until": "2026-01-02"}, "expired on 2026-01-02"),
        ({"valid_until": "soon"}, "no certificate in lines"),
        ({"valid_until": 7}, "no certificate in lines"),
        ({"issuer": "Another center"}, "does not speak for it"),
        ({"signers": ["0" * 64]}, "is not signed by 0000000000000000"),
        ({"platforms": []}, "are not those that it has"),
    ],
)
def test_what_is_signed_may_still_not_hold(store: KeyStore, tmp_path: Path, more: dict[str, object], told: str) -> None:
    trust = Trust(tuple(binding(key) for key in store.public()))
    steps = check(certificate(tmp_path, store, **more), trust, now=NOW)
    assert status_of(steps) is Status.INVALID
    assert any(told in step.detail for step in steps), steps


def test_every_byte_of_an_envelope_counts(store: KeyStore, tmp_path: Path) -> None:
    """Whatever byte is changed, added or taken away: it is never valid."""
    path = certificate(tmp_path, store, ("ed25519",)) / ENVELOPES["lines"]
    trust = Trust((binding(store.public_key("ed25519")),))
    good = path.read_bytes()
    assert open_envelope(path, LINES_TYPE, trust)[1] is not None
    for at in range(len(good)):
        for changed in (
            good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :],
            good[:at] + good[at + 1 :],
            good[:at] + b" " + good[at:],
        ):
            path.write_bytes(changed)
            assert open_envelope(path, LINES_TYPE, trust)[1] is None, (at, changed[at - 20 : at + 20])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"payload": 1}',
        "[" * 100_000,
        '{"payloadType": "x", "payload": "%%", "signatures": []}',
    ],
)
def test_what_is_no_envelope(text: str, tmp_path: Path) -> None:
    with pytest.raises(NoEnvelope):
        Envelope.read(text)
    path = tmp_path / "adaptation.dsse.json"
    path.write_text(text)
    assert status(tmp_path, []) is Status.INVALID


def test_a_status_is_no_truth_value() -> None:
    with pytest.raises(TypeError):
        bool(Status.VALID)
    assert status_of([]) is Status.COULD_NOT_CHECK
