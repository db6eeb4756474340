"""An issuer's whole way: keys with certificates, on tokens; sealed PDF files, codes, amendments, publication."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import json
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
import pypdfium2
import pytest
import zxingcpp
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from harness.certify.code import read_proof
from harness.certify.envelopes import ENVELOPES
from harness.certify.pades import check_pdf, signer_of
from harness.errors import DefinitionError, HarnessError
from harness.signing.keys import trusted
from harness.verification.checking import check, check_files, status_of
from harness.verification.opening import TYPES, open_envelope
from tests.integration.test_signing import Signed, edit, invoke
from tests.integration.test_signing import made as made  # a fixture
from tests.trusts import shell, trust_file, trust_in

E = TypeVar("E", bound=Exception)
ISSUER = """\
issuer: center
name: {zh: 示例适配中心, en: Example Center}
address: {zh: 示例路 1 号, en: 1 Example Road}
applicant: {zh: "—", en: "—"}
number: "XC-{year}-{campaign}"
report_number: "XR-{year}-{campaign}"
adaptation: [physical, kvm]
inheritance: true
validity: {zh: 仅对所列版本有效, en: bound to the listed versions}
valid_days: 365
signed: true
accreditation: null
verification: "http://127.0.0.1:9/c/{number}"
"""
CENTER = "Example Center"
COMMISSION = """\
applicant: {zh: 示例公司, en: Example Ltd}
received: 2026-01-02
tester: Zhang
reviewer: Li
approver: Wang
"""


def told(*words: str | Path) -> str:
    """Message of the error that a command ends with."""
    done = invoke(*words)
    assert isinstance(done.exception, HarnessError), done.output
    return done.exception.message


def good(*words: str | Path) -> Any:
    done = invoke(*words)
    assert done.exit_code == 0, (done.output, done.exception)
    return done


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("center") / "keys"
    good("keys", "authority", "test-ca", "--keys", folder)
    good("keys", "new", "seal", "--algorithm", "ecdsa-p256", "--keys", folder)
    good("keys", "issue", "seal", "--authority", "test-ca", "--common-name", "Example Center", "--keys", folder)
    good("keys", "new", "log", "--keys", folder)
    return folder


@pytest.fixture
def desk(made: Signed, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Signed:
    """A workspace to be certified, in a folder with the center's own profile."""
    (tmp_path / "reports" / "issuers").mkdir(parents=True)
    (tmp_path / "reports" / "issuers" / "center.yaml").write_text(ISSUER)
    (tmp_path / "commission.yaml").write_text(COMMISSION)
    monkeypatch.chdir(tmp_path)
    return Signed(Path(shutil.copytree(made.workspace, tmp_path / "ws")), keys)


def certify(desk: Signed, *words: str | Path, keys: tuple[str, ...] = ("seal", "log")) -> Any:
    return good(
        "certify",
        "--workspace",
        desk.workspace,
        "--keys",
        desk.keys,
        "--issuer",
        "center",
        "--commission",
        "commission.yaml",
        *(w for k in keys for w in ("--key", k)),
        *words,
    )


def steps(desk: Signed, **more: Any) -> tuple[str, dict[str, str]]:
    found = check(desk.folder, trust_in(desk.keys, CENTER), **more)
    return status_of(found).value, {step.name: step.detail for step in found}


def predicate(desk: Signed) -> Any:
    text = json.loads((desk.folder / "adaptation.dsse.json").read_text())["payload"]
    return json.loads(base64.b64decode(text))["predicate"]


def test_both_documents_are_sealed_and_say_who_by(desk: Signed) -> None:
    certify(desk)
    status, found = steps(desk)
    assert status == "valid", found
    for name in ("certificate.pdf", "report.pdf"):
        assert "PAdES by Example Center (Example Center TEST 仅供测试)" in found[f"signature in {name}"]
        assert "Example Center TEST 仅供测试 ← test-ca TEST 仅供测试" in found[f"chain in {name}"]
        text = "".join(page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(desk.folder / name))
        assert "草稿" not in text
        assert "UNSIGNED" not in text
    said = predicate(desk)
    assert said["commission"]["approver"] == "Wang"
    assert said["number"].startswith("XC-20")
    assert said["report_number"].startswith("XR-20")


def test_plan_and_evidence_are_looked_at_where_they_are(desk: Signed, tmp_path: Path) -> None:
    certify(desk)
    record = json.loads((desk.folder / "campaign.json").read_text())
    files = {file["sha256"] for cell in record["cells"] for file in cell["files"]}
    found = steps(desk)[1]
    assert found["evidence"] == f"{len(files)} files"
    assert found["plan"].startswith(f"SHA-256 {record['plan_digest'][:16]}")
    elsewhere = Signed(tmp_path, desk.keys)
    shutil.copytree(desk.folder, tmp_path / "campaigns" / "x")
    status, found = steps(elsewhere)
    assert (status, found["evidence"]) == (
        "valid",
        f"{len(files)} digests stand in the record; the files are with the issuer",
    )
    digest = next(iter(files))
    path = desk.workspace / "evidence" / "sha256" / digest[:2] / digest
    path.chmod(0o644)
    path.write_bytes(b"another")
    status, found = steps(desk)
    assert status == "invalid"
    assert found["evidence"].startswith("missing or changed: ")


def test_no_certificate_of_evidence_that_was_changed(desk: Signed) -> None:
    """Not even an unsigned one."""
    assert (desk.folder / "certificate.pdf").exists()
    digest = json.loads((desk.folder / "campaign.json").read_text())["cells"][0]["files"][0]["sha256"]
    path = desk.workspace / "evidence" / "sha256" / digest[:2] / digest
    path.chmod(0o644)
    kept = path.read_bytes()
    path.write_bytes(b"another")
    assert told("report", "--workspace", desk.workspace).endswith(f"evidence {digest} was changed")
    path.write_bytes(kept)
    good("report", "--workspace", desk.workspace)
    with contextlib.closing(sqlite3.connect(desk.workspace / "journal.sqlite")) as journal, journal:
        journal.execute("UPDATE attempts SET verdict = 'conditional'")
    draft = desk.workspace / "drafts" / desk.folder.name
    before = {path.name: path.read_bytes() for path in (*desk.folder.iterdir(), *draft.iterdir()) if path.is_file()}
    assert "is not what was recorded, and nothing is made of it" in told("report", "--workspace", desk.workspace)
    assert before == {p.name: p.read_bytes() for p in (*desk.folder.iterdir(), *draft.iterdir()) if p.is_file()}


def test_a_center_lays_its_own_files_over_the_shipped_ones(desk: Signed) -> None:
    """Logo, seal, wording, a template of its own: without code."""
    own = Path("reports")
    ink = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10" width="10mm" height="10mm"><rect width="10" '
    (own / "logo.svg").write_text(f'{ink}height="10" fill="#00f"/></svg>')
    (own / "stamp.svg").write_text(f'{ink}height="10" fill="#0f0"/></svg>')
    (own / "wording.yaml").write_text("conclusion: {lead: {zh: 兹证明, en: Hereby}}\n")
    profile = own / "issuers" / "center.yaml"
    profile.write_text(
        ISSUER + "logo: logo.svg\nseal: stamp.svg\ntitles: {pre_adaptation: {zh: 互认证书, en: Mutual}}\n"
    )
    certify(desk)
    document = pypdfium2.PdfDocument(desk.folder / "certificate.pdf")
    document.init_forms()
    text = document[0].get_textpage().get_text_bounded()
    assert "兹证明 · Hereby" in text
    assert "互认证书" in text
    colours = {colour for _, colour in document[0].render(scale=1).to_pil().convert("RGB").getcolors(1 << 20) or ()}
    assert (0, 0, 255) in colours, "the logo"
    assert (0, 255, 0) in colours, "the seal"
    (own / "certificate.typ").write_text('#set page(width: 100mm, height: 210mm)\nOwn #json("data.json").number\n')
    assert "the template names no place for the seal" in " ".join(
        fault.message for fault in failing(desk, DefinitionError).faults
    )
    (own / "certificate.typ").write_text("#nothing")
    assert "unknown variable: nothing" in failing(desk, DefinitionError).faults[0].message
    profile.write_text(ISSUER + "logo: absent.svg\n")
    assert "no such file" in failing(desk, DefinitionError).faults[0].message


def failing(desk: Signed, kind: type[E]) -> E:
    done = invoke(
        "certify",
        "--workspace",
        desk.workspace,
        "--keys",
        desk.keys,
        "--key",
        "seal",
        "--key",
        "log",
        "--issuer",
        "center",
        "--commission",
        "commission.yaml",
    )
    assert isinstance(done.exception, kind), done.output
    return done.exception


def test_what_is_given_out_agrees_with_the_published_schemas(desk: Signed) -> None:
    certify(desk, "--register", "register")
    number = predicate(desk)["number"]
    words = ("--register", "register", "--keys", desk.keys, "--key", "log")
    good("revoke", number, "--reason", "withdrawn", *words)
    folder = Path(__file__).parents[2] / "schemas" / "outputs"
    status = json.loads(base64.b64decode(json.loads(Path("register/status.dsse.json").read_text())["payload"]))
    for name, value in (
        ("adaptation", predicate(desk)),
        ("status", status),
        ("campaign", json.loads((desk.folder / "campaign.json").read_text())),
    ):
        jsonschema.validate(value, json.loads((folder / f"{name}.schema.json").read_text(encoding="utf-8")))


def test_poppler_and_openssl_agree_that_the_pdf_is_signed(desk: Signed, keys: Path) -> None:
    """Readers of others: ``pdfsig`` checks the signature, ``openssl`` the chain."""
    certify(desk)
    seen = subprocess.run(
        ["pdfsig", "-nocert", desk.folder / "certificate.pdf"], capture_output=True, text=True, check=True
    ).stdout
    assert "Signature is Valid" in seen
    assert "Total document signed" in seen
    assert "ETSI.CAdES.detached" in seen
    chain = x509.load_pem_x509_certificates((keys / "seal.crt.pem").read_bytes())
    for name, one in zip(("own.pem", "ca.pem"), chain, strict=True):
        Path(name).write_bytes(one.public_bytes(serialization.Encoding.PEM))
    subprocess.run(["openssl", "verify", "-CAfile", "ca.pem", "own.pem"], check=True, capture_output=True)


def test_every_kind_of_change_to_a_sealed_file_is_found(desk: Signed) -> None:
    certify(desk)
    data = (desk.folder / "certificate.pdf").read_bytes()
    known = trusted([desk.keys])
    assert [step.status.value for step in check_pdf("x", data, known)] == ["valid", "valid"]
    found = signer_of(data)
    assert found is not None
    # Bytes of the signature's own hole are hexadecimal padding; every other byte is under it.
    first, length, second, rest = found[0].byte_range
    assert (first, second + rest) == (0, len(data))
    places = [*range(0, length, 997), *range(second, len(data), 211), length - 1, second, len(data) - 1]
    for place in places:
        other = bytearray(data)
        other[place] ^= 1
        assert status_of(check_pdf("x", bytes(other), known)).value != "valid", place
    assert [step.status.value for step in check_pdf("x", data + b"\n%added", known)] == ["invalid"]
    assert [step.status.value for step in check_pdf("x", data, [])] == ["could-not-check"]


TINY = """\
#let d = json("data.json")
#set page(width: 60mm, height: 210mm)
#d.number
#context [#metadata((name: "seal", page: 1, x: 10, y: 20, width: 36, height: 36)) <place>]
"""


def test_every_byte_of_what_is_signed_counts(desk: Signed) -> None:
    """Each byte of a small certificate flipped in turn is found by the statement, and by the signature inside it; each
    byte of both statements by their signatures."""
    Path("reports/certificate.typ").write_text(TINY)
    Path("reports/seal.typ").write_text("#set page(width: 36mm, height: 36mm)\n#circle(radius: 10mm)\n")
    certify(desk, keys=("seal",))
    known = trusted([desk.keys])
    path = desk.folder / "certificate.pdf"
    data = path.read_bytes()
    named = [(path.name, hashlib.sha256(data).hexdigest())]
    assert status_of(check_files(named, desk.folder)).value == "valid"
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert status_of(check_files(named, desk.folder)).value == "invalid", place
    found = signer_of(data)
    assert found is not None
    _, length, second, _ = found[0].byte_range
    for place in (*range(0, length, 53), *range(second, len(data), 53)):
        other = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert status_of(check_pdf("x", other, known)).value != "valid", place
    path.write_bytes(data)
    trust = trust_in(desk.keys, CENTER)
    for name, payload_type in zip(ENVELOPES.values(), TYPES.values(), strict=True):
        text = (desk.folder / name).read_bytes()
        for place in range(0, len(text), max(1, len(text) // 1500)):
            (desk.folder / name).write_bytes(text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :])
            assert open_envelope(desk.folder / name, payload_type, trust)[1] is None, (name, place)
        (desk.folder / name).write_bytes(text)


def test_the_code_is_read_from_the_page_and_proves_what_it_stands_on(desk: Signed) -> None:
    certify(desk)
    page = pypdfium2.PdfDocument(desk.folder / "certificate.pdf")[0]
    (code,) = zxingcpp.read_barcodes(page.render(scale=110 / 72).to_pil())  # as a cheap scanner sees it
    proof = read_proof(code.text)
    said = predicate(desk)
    assert proof.number == said["number"]
    assert str(proof.until) == said["valid_until"]
    assert code.text.startswith(f"http://127.0.0.1:9/c/{proof.number}#1.")
    alone = good_or_not("verify", "xc:" + code.text[code.text.index("#") :], "--trust", trusting(desk))
    assert alone == ("could-not-check", {"code": "valid", "statement": "could-not-check"})


def trusting(desk: Signed) -> Path:
    return trust_file(desk.workspace.parent / "trust", trust_in(desk.keys, CENTER))


def good_or_not(*words: str | Path) -> tuple[str, dict[str, str]]:
    value = json.loads(invoke(*words, "--format", "json").stdout)
    return value["status"], {one["name"]: one["status"] for one in value["steps"]}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served on 127.0.0.1, and its address."""
    root = tmp_path / "published"
    root.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(root))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield root, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_number_in_chinese(desk: Signed) -> None:
    profile = Path("reports/issuers/center.yaml")
    profile.write_text(
        profile.read_text().replace('number: "XC-{year}-{campaign}"', 'number: "信创〔{year}〕{campaign}号"')
    )
    certify(desk, "--register", "register")
    page = pypdfium2.PdfDocument(desk.folder / "certificate.pdf")[0]
    (code,) = zxingcpp.read_barcodes(page.render(scale=150 / 72).to_pil())
    number = predicate(desk)["number"]
    assert read_proof(code.text).number == number
    assert number.startswith("信创〔20")
    assert shell(desk.folder, trusting(desk), Path("register")).returncode == 0
    good("revoke", number, "--reason", "withdrawn", "--register", "register", "--keys", desk.keys, "--key", "log")
    assert shell(desk.folder, trusting(desk), Path("register")).returncode == 1


def test_what_is_published_is_checked_at_its_address(desk: Signed, web: tuple[Path, str]) -> None:
    root, address = web
    profile = Path("reports/issuers/center.yaml")
    profile.write_text(profile.read_text().replace("http://127.0.0.1:9", address))
    certify(desk, "--register", root / "register")
    number = predicate(desk)["number"]
    shutil.copytree(desk.folder, root / "c" / number)
    page = pypdfium2.PdfDocument(desk.folder / "certificate.pdf")[0]
    (code,) = zxingcpp.read_barcodes(page.render(scale=110 / 72).to_pil())
    words = ("--trust", trusting(desk), "--register", f"{address}/register")
    status, found = good_or_not("verify", code.text, *words)
    assert status == "valid", found
    assert found["code and statement"] == found["status"] == found["certificate.pdf"] == "valid"
    assert good_or_not("verify", f"{address}/c/{number}", *words)[0] == "valid"
    shutil.copytree(desk.folder, root / "c" / "XC-2026-OTHER")
    status, answers = good_or_not("verify", f"{address}/c/XC-2026-OTHER", *words)
    assert (status, answers["address"]) == ("could-not-check", "could-not-check"), "its address lends it another number"
    edit(root / "c" / number / "report.html", b"</html>", b" </html>")
    assert good_or_not("verify", code.text, *words)[0] == "invalid"
    (root / "c" / number / "report.html").unlink()
    assert good_or_not("verify", code.text, *words)[0] == "could-not-check"
    assert good_or_not("verify", f"{address}/c/nothing", *words)[0] == "could-not-check"
    assert "cannot be fetched" in told("verify", "http://127.0.0.1:9/c/x", *words)


def test_what_is_unsigned_is_a_draft(desk: Signed) -> None:
    good("report", "--workspace", desk.workspace, "--issuer", "center", "--commission", "commission.yaml")
    for name in ("certificate.pdf", "report.pdf"):
        pages = pypdfium2.PdfDocument(desk.workspace / "drafts" / desk.folder.name / name)
        assert all("草稿 DRAFT" in page.get_textpage().get_text_bounded().replace("\r\n", " ") for page in pages), name
    assert "names no tester, reviewer and approver" in told(
        "certify", "--workspace", desk.workspace, "--keys", desk.keys, "--key", "log", "--issuer", "center"
    )


def test_what_is_signed_and_registered_stays_whatever_is_rendered_later(desk: Signed) -> None:
    """Rendered again by the same issuer and by another: certificate, envelopes and register are the same."""
    certify(desk, "--register", "register")
    signed = {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()}
    entries = Path("register/status.dsse.json").read_bytes()
    assert {"certificate.pdf", "adaptation.dsse.json", "test-result.dsse.json"} <= signed.keys()
    for words in (("center", "--commission", "commission.yaml"), ("self-test",)):
        good("report", "--workspace", desk.workspace, "--issuer", *words)
        assert {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()} == signed
    assert Path("register/status.dsse.json").read_bytes() == entries
    assert steps(desk, register=Path("register"))[0] == "valid"


def test_an_amendment_replaces_what_it_amends(desk: Signed) -> None:
    certify(desk, "--register", "register")
    first = predicate(desk)["number"]
    kept = Path(shutil.copytree(desk.folder, "first"))
    text = f"amends: {{number: {first}, because: {{zh: 名称有误, en: the name was wrong}}}}\n"
    Path("commission.yaml").write_text(COMMISSION + text)
    certify(desk, "--register", "register")
    again = predicate(desk)
    assert again["number"] == f"{first}-A1"
    assert again["commission"]["amends"]["number"] == first
    page = pypdfium2.PdfDocument(desk.folder / "certificate.pdf")[0].get_textpage().get_text_bounded()
    page = "".join(page.split()).replace("\ufffe", "-")  # a hyphen at the end of a line
    assert f"替代{first}：名称有误" in page
    assert steps(desk, register=Path("register"))[0] == "valid"
    found = check(kept, trust_in(desk.keys, CENTER), register=Path("register"))
    assert next(s.detail for s in found if s.name == "status").startswith("superseded on ")
    Path("commission.yaml").write_text(COMMISSION + text.replace(first, "XC-unknown"))
    assert "knows no certificate XC-unknown" in told(
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
        "log",
        "--register",
        "register",
    )


def test_inherited_results_are_named_as_such(desk: Signed) -> None:
    Path("commission.yaml").write_text(
        COMMISSION
        + f"""\
inherits:
- {{platform: {{zh: 平台甲, en: Platform A}}, certificate: XC-0, report: XR-0, report_sha256: {"a" * 64},
   because: {{zh: 同源, en: same build}}, reviewed_by: Li}}
"""
    )
    certify(desk)
    for name in ("certificate.pdf", "report.pdf"):
        text = "".join(page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(desk.folder / name))
        assert "平台甲" in text, name
        assert "未在此测试" in text, name
    assert predicate(desk)["commission"]["inherits"][0]["certificate"] == "XC-0"
