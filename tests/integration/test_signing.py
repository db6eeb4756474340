"""A campaign's certificate signed and checked, by the harness and by openssl alone; forgeries are told from it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli.entry import cli
from harness.errors import UsageError
from harness.system.forking import ForkServer
from tests.integration.test_kill import Lab
from tests.pages import pdf_text
from tests.trusts import SCRIPT, shell, trust_file, trust_in

NOTHING_EMULATED = """\
issuer: center
name: {zh: 示例适配中心, en: Example Center}
applicant: {zh: "—", en: "—"}
number: "XC-{year}-{campaign}"
report_number: "XR-{year}-{campaign}"
adaptation: [physical]
pre_adaptation: false
accreditation: null
signed: false
validity: {zh: 仅对所列版本有效, en: bound to the listed versions}
"""
WORDS = "only for these tests"
KEYS = ("ed25519", "ecdsa-p256", "sm2")


def invoke(*words: str | Path) -> Result:
    return CliRunner(env={"HARNESS_PASSPHRASE": WORDS}).invoke(cli, [str(word) for word in words])


@dataclass(frozen=True)
class Signed:
    """A workspace whose campaign is signed, and the folder of the keys."""

    workspace: Path
    keys: Path

    @property
    def folder(self) -> Path:
        (found,) = (self.workspace / "campaigns").iterdir()
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    place = tmp_path_factory.mktemp("signing")
    forks = ForkServer(["tests.scripted"])
    lab = Lab(forks, place / "lab")
    assert lab("run") == 0
    forks.close()
    for name in KEYS:
        assert invoke("keys", "new", name, "--algorithm", name, "--keys", place / "keys").exit_code == 0
    assert invoke("keys", "new", "other", "--keys", place / "others").exit_code == 0
    signed = Signed(lab.workspace, place / "keys")
    done = invoke(
        "certify", "--workspace", lab.workspace, "--keys", place / "keys", *(w for k in KEYS for w in ("--key", k))
    )
    assert done.exit_code == 0, done.output
    return signed


@pytest.fixture
def signed(made: Signed, tmp_path: Path) -> Signed:
    return Signed(Path(shutil.copytree(made.workspace, tmp_path / "ws")), made.keys)


def verified(signed: Signed, *names: str) -> tuple[str, list[dict[str, str]]]:
    """What ``harness verify`` says to who trusts the keys of these names; all where none is given."""
    trust = trust_file(signed.workspace.parent / "trust", trust_in(signed.keys, names=names))
    done = invoke("verify", signed.folder, "--trust", trust, "--format", "json")
    value = json.loads(done.stdout)
    assert done.exit_code == {"valid": 0, "invalid": 1, "could-not-check": 3}[value["status"]]
    return value["status"], value["steps"]


def by_openssl(signed: Signed, *names: str) -> int:
    trust = trust_file(signed.workspace.parent / "trust", trust_in(signed.keys, names=names))
    return shell(signed.folder, trust).returncode


def test_the_genuine_one(signed: Signed) -> None:
    status, steps = verified(signed)
    assert status == "valid", steps
    assert {step["name"] for step in steps} >= {"certificate.pdf", "report.html", "campaign.json", "statements"}
    for key in KEYS:
        assert verified(signed, key)[0] == "valid"
        assert by_openssl(signed, key) == 0, key
    text = pdf_text(signed.folder / "certificate.pdf")
    assert "签名见随附文件" in text
    assert "未签名" not in text
    listed = json.loads(invoke("keys", "list", "--keys", signed.keys, "--format", "json").stdout)["keys"]
    assert all(key["keyid"] in text for key in listed)
    assert hashlib.sha256(SCRIPT.read_bytes()).hexdigest() in text, "by which script it is checked"
    assert not (signed.folder / "verify.sh").exists(), "a script beside what it checks is the publisher's"
    assert invoke("verify", "--workspace", signed.workspace).exit_code == 0


def test_what_is_said_is_what_was_recorded(signed: Signed) -> None:
    record = json.loads((signed.folder / "campaign.json").read_text())
    said = {name: payload(signed.folder / f"{name}.dsse.json") for name in ("adaptation", "test-result")}
    assert said["adaptation"]["predicate"]["coverage"] == record["coverage"]
    platforms = said["adaptation"]["predicate"]["platforms"]
    assert [one["cell"] for one in platforms] == [cell["id"] for cell in record["cells"]]
    assert [one["fidelity"] for one in platforms] == [cell["fidelity"] for cell in record["cells"]]
    passed = [
        f"{cell['id']}/{case['suite']}/{case['id']}"
        for cell in record["cells"]
        for case in cell["cases"]
        if case["result"] == "pass"
    ]
    assert said["test-result"]["predicate"]["passedTests"] == passed
    assert said["test-result"]["predicate"]["result"] == "PASSED"


def payload(path: Path) -> Any:
    return json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))


def repack(path: Path, change: Callable[[Any], None]) -> None:
    """The payload changed, the signatures left."""
    value = json.loads(path.read_text())
    said = payload(path)
    change(said)
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    path.write_text(path.read_text().replace(value["payload"], base64.b64encode(text).decode()))


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def another_key(folder: Path, signed: Signed, *, claim: bool) -> None:
    """All of it signed by another issuer; with ``claim`` under the first one's id."""
    others = signed.keys.parent / "others"
    assert invoke("certify", "--workspace", signed.workspace, "--keys", others, "--key", "other").exit_code == 0
    if claim:
        ids = {
            name: json.loads(invoke("keys", "list", "--keys", place, "--format", "json").stdout)["keys"]
            for name, place in (("own", signed.keys), ("other", others))
        }
        mine = next(key["keyid"] for key in ids["own"] if key["name"] == "ed25519")
        for file in folder.glob("*.dsse.json"):
            edit(file, ids["other"][0]["keyid"].encode(), mine.encode())


FORGERIES: dict[str, tuple[Callable[[Path, Signed], None], str]] = {
    "a verdict changed in the record": (
        lambda f, _: edit(f / "campaign.json", b'"verdict": "conformant"', b'"verdict": "conditional"'),
        "invalid",
    ),
    "a verdict changed in the statement": (
        lambda f, _: repack(f / "adaptation.dsse.json", lambda v: v["predicate"].update(verdict="x")),
        "invalid",
    ),
    "another product's certificate": (lambda f, _: (f / "certificate.pdf").write_bytes(b"%PDF-1.7 another"), "invalid"),
    "a report changed": (lambda f, _: edit(f / "report.html", b"</html>", b" </html>"), "invalid"),
    "a cell removed": (
        lambda f, _: repack(f / "adaptation.dsse.json", lambda v: v["predicate"]["platforms"].pop()),
        "invalid",
    ),
    "a platform swapped": (
        lambda f, _: repack(
            f / "adaptation.dsse.json", lambda v: v["predicate"]["platforms"][0]["axes"].update(cpu="kunpeng-920")
        ),
        "invalid",
    ),
    "a fidelity improved": (
        lambda f, _: repack(
            f / "adaptation.dsse.json", lambda v: v["predicate"]["platforms"][0].update(fidelity="physical")
        ),
        "invalid",
    ),
    "a subject removed": (lambda f, _: repack(f / "test-result.dsse.json", lambda v: v["subject"].pop(0)), "invalid"),
    "another type": (
        lambda f, _: edit(f / "adaptation.dsse.json", b"vnd.in-toto+json", b"vnd.in-toto+jsom"),
        "invalid",
    ),
    "one statement in the place of the other": (
        lambda f, _: shutil.copy(f / "test-result.dsse.json", f / "adaptation.dsse.json") and None,
        "invalid",
    ),
    "another issuer": (lambda f, s: another_key(f, s, claim=False), "could-not-check"),
    "another issuer under this one's id": (lambda f, s: another_key(f, s, claim=True), "invalid"),
    "a statement missing": (lambda f, _: (f / "test-result.dsse.json").unlink(), "could-not-check"),
    "a file missing": (lambda f, _: (f / "report.html").unlink(), "could-not-check"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries(signed: Signed, name: str) -> None:
    forge, told = FORGERIES[name]
    forge(signed.folder, signed)
    assert verified(signed)[0] == told
    assert by_openssl(signed) == {"invalid": 1, "could-not-check": 3}[told]


def test_nothing_is_signed_that_does_not_verify(signed: Signed) -> None:
    edit(signed.folder / "campaign.json", b'"verdict": "conformant"', b'"verdict": "conditional"')
    done = invoke("certify", "--workspace", signed.workspace, "--keys", signed.keys, "--key", "ed25519")
    assert isinstance(done.exception, UsageError)
    assert "the workspace is not what was recorded, and nothing of it is signed" in done.exception.message


def test_a_wrong_passphrase_changes_nothing(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in signed.folder.iterdir() if path.is_file()}
    done = CliRunner(env={"HARNESS_PASSPHRASE": "wrong words"}).invoke(
        cli, ["certify", "--workspace", str(signed.workspace), "--keys", str(signed.keys), "--key", "ed25519"]
    )
    assert isinstance(done.exception, UsageError)
    assert "wrong passphrase" in done.exception.message
    assert {path.name: path.read_bytes() for path in signed.folder.iterdir() if path.is_file()} == before
    words = invoke(
        "certify", "--workspace", signed.workspace, "--key", "ed25519", "--passphrase", "the words themselves"
    )
    assert isinstance(words.exception, UsageError)


@pytest.mark.parametrize("issuer", ["self-test", "center"])
def test_rendered_again_the_signed_files_stay(signed: Signed, issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by an issuer under whose policy there is no certificate at all."""
    profile = signed.workspace.parent / "reports" / "issuers" / "center.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text(NOTHING_EMULATED, encoding="utf-8")
    monkeypatch.chdir(signed.workspace.parent)
    before = {path.name: path.read_bytes() for path in signed.folder.iterdir() if path.is_file()}
    assert {"certificate.pdf", "adaptation.dsse.json"} <= before.keys()
    done = invoke("report", "--workspace", signed.workspace, "--issuer", issuer)
    assert done.exit_code == 0, done.output
    assert "its signed files stay as they are" in done.stderr
    assert {path.name: path.read_bytes() for path in signed.folder.iterdir() if path.is_file()} == before
    assert verified(signed)[0] == "valid"
    assert invoke("verify", "--workspace", signed.workspace).exit_code == 0
    draft = signed.workspace / "drafts" / signed.folder.name
    assert (draft / "certificate.pdf").exists() == (issuer == "self-test")
    assert (draft / "report.pdf").exists()
    assert not list(draft.glob("*.dsse.json"))


def test_signed_again_the_former_certificate_is_kept_whole(signed: Signed) -> None:
    before = {path.name: path.read_bytes() for path in signed.folder.iterdir() if path.is_file() and path.suffix}
    for number in ("1", "2"):
        done = invoke("certify", "--workspace", signed.workspace, "--keys", signed.keys, "--key", "ed25519")
        assert done.exit_code == 0, done.output
        assert (signed.folder / "former" / number / "certificate.pdf").exists()
    former = signed.folder / "former" / "1"
    assert {path.name: path.read_bytes() for path in former.iterdir()} == before
    trust = trust_file(signed.workspace.parent / "trust", trust_in(signed.keys))
    assert invoke("verify", former, "--trust", trust).exit_code == 0
    assert verified(signed)[0] == "valid"
