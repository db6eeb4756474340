"""One table of forgeries, and each is told by both verifiers: by ``harness verify`` and by ``verify.sh``.

The papers are made once: one campaign, certified by a center. A forgery changes a copy of them, as somebody may who
publishes it, who holds keys of another center, or who stole a key. No forgery is valid, and the two verifiers never
differ except that one of them could not check.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.certify.envelopes import ENVELOPES, Signing
from harness.certify.lines import LINES_TYPE, lines_of
from harness.errors import UsageError
from harness.register.register import PROOF, REGISTER_FILES, Register
from harness.register.status import STATUS_TYPE
from harness.signing.dsse import PAYLOAD_TYPE, Envelope, Signature
from harness.signing.keys import KeyStore
from harness.signing.tree import InclusionProof, read_note
from harness.signing.trust import Trust, read_trust, write_trust
from harness.system.canonical import canonical
from harness.verification.checking import check, status_of
from tests.integration.test_issuing import CENTER, COMMISSION, ISSUER, certify, good
from tests.integration.test_issuing import keys as keys  # fixtures
from tests.integration.test_signing import WORDS, Signed
from tests.integration.test_signing import made as made
from tests.trusts import binding, shell, trust_in

OTHER = "Another Center"
ALL = ("seal", "log", "lab-sm2")
VALID, INVALID, UNKNOWN = 0, 1, 3
Predicate = dict[str, Any]


@dataclass
class Papers:
    """A copy of the center's papers that is to be forged, and what its reader brings."""

    place: Path
    keys: Path
    others: Path
    number: str = ""
    seen: dict[str, Path] = field(default_factory=dict)
    days: float = 0.0
    trust: Trust = field(default_factory=Trust)

    @property
    def folder(self) -> Path:
        return self.place / "certificate"

    @property
    def register(self) -> Path:
        return self.place / "register"

    def center(self, *names: str) -> Signing:
        return Signing(store=KeyStore(self.keys), names=names or ALL, passphrase=WORDS)

    def other(self) -> Signing:
        return Signing(store=KeyStore(self.others), names=("log",), passphrase=WORDS)

    def keyid(self, name: str) -> str:
        return KeyStore(self.keys).public_key(name).keyid

    def edit(self, name: str, old: bytes, new: bytes) -> None:
        path = self.place / name
        data = path.read_bytes()
        assert old in data, name
        path.write_bytes(data.replace(old, new))

    def add(self, name: str, data: bytes) -> None:
        with (self.place / name).open("ab") as file:
            file.write(data)

    def payload(self, kind: str) -> Any:
        return json.loads(Envelope.read((self.folder / ENVELOPES[kind]).read_text()).payload)

    def repack(self, kind: str, change: Callable[[Any], None]) -> None:
        """The payload changed, the signatures left."""
        path = self.folder / ENVELOPES[kind]
        envelope = Envelope.read(path.read_text())
        value = json.loads(envelope.payload)
        change(value)
        path.write_text(replace(envelope, payload=canonical(value)).text())

    def signatures(self, change: Callable[[list[Signature]], list[Signature]], *kinds: str) -> None:
        for kind in kinds or ENVELOPES:
            path = self.folder / ENVELOPES[kind]
            envelope = Envelope.read(path.read_text())
            path.write_text(replace(envelope, signatures=tuple(change(list(envelope.signatures)))).text())

    def sign(self, signing: Signing, change: Callable[[Predicate], None] = lambda _: None) -> None:
        """All of it signed anew, as the holder of these keys can; nothing else is changed."""
        said = {kind: self.payload(kind) for kind in ("adaptation", "test_result")}
        predicate = said["adaptation"]["predicate"]
        predicate["signers"] = [key.keyid for key in signing.keys]
        change(predicate)
        payloads = {kind: canonical(value) for kind, value in said.items()}
        for kind, payload in payloads.items():
            (self.folder / ENVELOPES[kind]).write_text(signing.sign(payload).text())
        lines = lines_of(payloads["adaptation"], payloads["test_result"])
        (self.folder / ENVELOPES["lines"]).write_text(signing.sign(lines, LINES_TYPE).text())
        (self.folder / PROOF).unlink(missing_ok=True)

    def enter(self, signing: Signing, register: Path | None = None) -> None:
        number = self.payload("adaptation")["predicate"]["number"]
        envelope = (self.folder / ENVELOPES["adaptation"]).read_bytes()
        (self.folder / PROOF).write_text(Register(register or self.register).enter(number, envelope, signing).text())

    def proof(self, **changes: Any) -> None:
        path = self.folder / PROOF
        path.write_text(replace(InclusionProof.read(path.read_text()), **changes).text())

    def kept(self, name: str) -> Path:
        return Path(shutil.copytree(self.register, self.place / name))

    def verdicts(self, tmp_path: Path) -> tuple[int, int, str]:
        """Exit codes of both verifiers, and what the shell said."""
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=self.days)
        (tmp_path / "bin").mkdir(exist_ok=True)
        clock = tmp_path / "bin" / "date"
        clock.write_text(f"#!/bin/sh\nexec /bin/date -d '{now:%Y-%m-%d %H:%M:%S} UTC' \"$@\"\n")
        clock.chmod(0o755)
        register = self.register if self.register.exists() else None
        memory = tmp_path / "seen.json"
        write_trust(tmp_path / "trust", self.trust)
        environment = {"HARNESS_SEEN": str(tmp_path / "seen.txt")}
        if self.days:
            environment["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        for earlier in self.seen.values():  # what both looked at before
            check(self.folder, self.trust, register=earlier, memory=memory, now=now)
            shell(self.folder, tmp_path / "trust", earlier, **environment)
        steps = check(self.folder, self.trust, register=register, memory=memory, now=now)
        answer = shell(self.folder, tmp_path / "trust", *([register] if register else []), **environment)
        codes = {"valid": VALID, "invalid": INVALID, "could-not-check": UNKNOWN}
        wrong = [f"{step.name}: {step.detail}" for step in steps if step.status.value != "valid"]
        return codes[status_of(steps).value], answer.returncode, f"{wrong}\n{answer.stdout}{answer.stderr}"


@pytest.fixture(scope="module")
def issued(made: Signed, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """The center's papers, in its register; and the keys of another center."""
    place = tmp_path_factory.mktemp("forgeries")
    (place / "reports" / "issuers").mkdir(parents=True)
    (place / "reports" / "issuers" / "center.yaml").write_text(ISSUER)
    (place / "commission.yaml").write_text(COMMISSION)
    own = Path(shutil.copytree(keys, place / "keys"))
    good("keys", "new", "lab-sm2", "--algorithm", "sm2", "--keys", own)
    good("keys", "new", "log", "--keys", place / "others")
    desk = Signed(Path(shutil.copytree(made.workspace, place / "ws")), own)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        certify(desk, "--register", place / "papers" / "register", keys=ALL)
    shutil.copytree(desk.folder, place / "papers" / "certificate", ignore=shutil.ignore_patterns("former", "lock"))
    papers = Papers(place / "papers", own, place / "others")
    papers.number = papers.payload("adaptation")["predicate"]["number"]
    others = replace(trust_in(papers.others, OTHER).bindings[0], issuer=OTHER)
    papers.trust = Trust((*trust_in(own, CENTER, ALL).bindings, others))
    return papers


@pytest.fixture
def papers(issued: Papers, tmp_path: Path) -> Papers:
    return replace(issued, place=Path(shutil.copytree(issued.place, tmp_path / "papers")), seen={})


# --- the forgeries ---


def stolen(p: Papers, *, days: float = 0.0, change: Callable[[Predicate], None] = lambda _: None) -> None:
    """The key of the log was stolen, its end published by another; then a thief signs with it."""
    good("keys", "new", "log-2", "--keys", p.place / "keys")
    p.keys = p.place / "keys"
    second = replace(binding(KeyStore(p.keys).public_key("log-2"), CENTER))
    p.trust = p.trust.add(second)
    since = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    signing = p.center("seal", "log-2")
    Register(p.register).set_key(p.keyid("log"), "compromised", since, "stolen", signing)
    p.sign(p.center("log"), change)
    Register(p.register).enter(p.number, (p.folder / ENVELOPES["adaptation"]).read_bytes(), signing)


def with_keys(change: Callable[[Papers], None]) -> Callable[[Papers], None]:
    """A forgery that writes into the folder of the center's keys: into a copy."""

    def forge(p: Papers) -> None:
        shutil.copytree(p.keys, p.place / "keys")
        p.keys = p.place / "keys"
        change(p)

    return forge


def thief_says_earlier(p: Papers) -> None:
    stolen(p, change=lambda predicate: predicate.update(issued="2026-01-01T00:00:00+00:00"))


def thief_with_a_log(p: Papers) -> None:
    """The thief goes on with the log that the stolen key signs."""
    before = p.kept("before")
    stolen(p)
    shutil.rmtree(p.register)
    before.rename(p.register)
    p.enter(p.center("log"))
    log = p.trust.bound(p.keyid("log"))
    assert log is not None
    p.trust = p.trust.ended(log.key.keyid, datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1))


def retired_in_trust(p: Papers) -> None:
    p.sign(p.center("log"), lambda predicate: predicate.update(issued="2026-01-01T00:00:00+00:00"))
    shutil.rmtree(p.register)
    p.trust = p.trust.ended(p.keyid("log"), datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC))


def others_under_own_ids(p: Papers) -> None:
    p.sign(p.other())
    mine, theirs = p.keyid("log"), p.other().keys[0].keyid
    p.signatures(lambda every: [replace(each, keyid=mine) for each in every if each.keyid == theirs])


def another_type(p: Papers) -> None:
    """Signed for another type of payload, which is written over afterwards."""
    path = p.folder / ENVELOPES["adaptation"]
    payload = Envelope.read(path.read_text()).payload
    path.write_text(replace(p.center().sign(payload, "application/other"), payload_type=PAYLOAD_TYPE).text())


def older_status_list(p: Papers) -> None:
    names = ("status.dsse.json", "status-lines.dsse.json")
    before = {name: (p.register / name).read_bytes() for name in names}
    revoke(p)
    for name, data in before.items():
        (p.register / name).write_bytes(data)


def revoke(p: Papers, number: str = "") -> None:
    Register(p.register).set_state(number or p.number, "revoked", "withdrawn", "", p.center("log"))


def older_register(p: Papers) -> None:
    before = p.kept("before")
    revoke(p)
    p.seen["newer"] = p.register.rename(p.place / "newer")
    before.rename(p.register)


def fork(p: Papers) -> None:
    shutil.rmtree(p.register)
    Register(p.register).folder.mkdir()
    for number in ("XC-x", "XC-y", "XC-z"):
        Register(p.register).enter(number, number.encode(), p.center("log"))


def checkpoint_by_another(p: Papers, *, origin: bool) -> None:
    """``origin``: under the name of the center's log."""
    path = p.register / "checkpoint"
    checkpoint, _ = read_note(path.read_text())
    name = checkpoint.origin if origin else f"xinchuang-harness/{p.other().keys[0].keyid[:16]}"
    path.write_text(p.other().note(replace(checkpoint, origin=name)))


def status_by_another(p: Papers) -> None:
    path = p.register / "status.dsse.json"
    path.write_text(p.other().sign(Envelope.read(path.read_text()).payload, STATUS_TYPE).text())


def status_as_adaptation(p: Papers) -> None:
    shutil.copy(p.register / "status.dsse.json", p.folder / ENVELOPES["adaptation"])


def swapped(p: Papers) -> None:
    first, second = (p.folder / ENVELOPES[kind] for kind in ("adaptation", "test_result"))
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def without_sm2(every: list[Signature]) -> list[Signature]:
    return every[:-1]


def one_broken(every: list[Signature]) -> list[Signature]:
    return [*every[:-1], replace(every[-1], signature=every[-1].signature[:-1] + b"\0")]


def unknown_added(p: Papers) -> None:
    path = p.folder / ENVELOPES["adaptation"]
    more = p.other().sign(Envelope.read(path.read_text()).payload).signatures
    p.signatures(lambda every: [*every, *(replace(each, keyid="0" * 64) for each in more)], "adaptation")


def link(p: Papers) -> None:
    (p.place / "another.pdf").write_bytes(b"%PDF-1.7 another")
    (p.folder / "certificate.pdf").unlink()
    (p.folder / "certificate.pdf").symlink_to(p.place / "another.pdf")


def stripped(p: Papers) -> None:
    path = p.folder / "certificate.pdf"
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"%%EOF") + 6])


def amendment(p: Papers) -> None:
    """The center's amendment in the place of the certificate; its register has the original as superseded."""
    amends = {"number": p.number, "because": {"zh": "有误", "en": "wrong"}}

    def change(predicate: Predicate) -> None:
        predicate["number"] = f"{p.number}-A1"
        predicate["commission"]["amends"] = amends

    p.sign(p.center(), change)
    p.enter(p.center())
    Register(p.register).set_state(p.number, "superseded", "wrong", f"{p.number}-A1", p.center("log"))


def amendment_revoked(p: Papers) -> None:
    amendment(p)
    revoke(p, f"{p.number}-A1")
    Register(p.register).set_state(p.number, "active", "again", "", p.center("log"))


def twice(p: Papers) -> None:
    """Certified again under the same number; the earlier papers are shown."""
    kept = Path(shutil.copytree(p.folder, p.place / "kept"))
    p.sign(p.center())
    p.enter(p.center())
    shutil.rmtree(p.folder)
    kept.rename(p.folder)


def axis(p: Papers, name: str, value: str) -> None:
    p.sign(p.center(), lambda predicate: predicate["platforms"][0]["axes"].update({name: value}))
    p.enter(p.center())


def expired_axis(p: Papers) -> None:
    axis(p, "valid_until", "2999-12-31")
    p.days = 400


def other_register(p: Papers) -> None:
    """Revoked; shown with the register of another center, which entered it."""
    revoke(p)
    shutil.rmtree(p.register)
    p.register.mkdir()
    p.enter(p.other())


def lines_of_another(p: Papers) -> None:
    """The lines of the genuine certificate beside statements that the same keys signed of another."""
    lines = (p.folder / ENVELOPES["lines"]).read_bytes()
    p.sign(p.center(), lambda predicate: predicate.update(verdict="conformant", number=p.number + "-B"))
    p.enter(p.center())
    (p.folder / ENVELOPES["lines"]).write_bytes(lines)


def alone(p: Papers, *names: str) -> None:
    for path in p.folder.iterdir():
        if path.name not in names:
            path.unlink()


def not_yet(p: Papers) -> None:
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    p.trust = Trust(tuple(replace(each, since=tomorrow) for each in p.trust.bindings))


def not_entered(p: Papers) -> None:
    p.sign(p.center())


FORGERIES: dict[str, tuple[Callable[[Papers], object], int]] = {
    # what is published is changed
    "a verdict in the record": (lambda p: p.edit("certificate/campaign.json", b"conformant", b"conditional"), INVALID),
    "a byte in the certificate": (lambda p: p.edit("certificate/certificate.pdf", b"%PDF-1.7", b"%PDF-1.6"), INVALID),
    "a fidelity in the statement": (
        lambda p: p.repack("adaptation", lambda v: v["predicate"]["platforms"][0].update(fidelity="physical")),
        INVALID,
    ),
    "a cell removed": (lambda p: p.repack("adaptation", lambda v: v["predicate"]["platforms"].pop()), INVALID),
    "a test removed": (lambda p: p.repack("test_result", lambda v: v["predicate"]["passedTests"].pop()), INVALID),
    "the type of the payload": (
        lambda p: p.edit(f"certificate/{ENVELOPES['adaptation']}", b"in-toto+json", b"in-toto+jsom"),
        INVALID,
    ),
    "signed for another type": (another_type, INVALID),
    "a status list as statement": (status_as_adaptation, INVALID),
    "the envelopes swapped": (swapped, INVALID),
    "the lines of another certificate": (lines_of_another, INVALID),
    "a second payload": (
        lambda p: p.edit(
            f"certificate/{ENVELOPES['adaptation']}", b' "signatures": [', b' "payload": "e30=",\n "signatures": ['
        ),
        INVALID,
    ),
    "line ends of another system": (
        lambda p: p.edit(f"certificate/{ENVELOPES['lines']}", b"\n", b"\r\n"),
        INVALID,
    ),
    "bytes after an envelope": (lambda p: p.add(f"certificate/{ENVELOPES['lines']}", b"\n"), INVALID),
    "the certificate missing": (lambda p: (p.folder / "certificate.pdf").unlink(), UNKNOWN),
    "the report missing": (lambda p: (p.folder / "report.pdf").unlink(), UNKNOWN),
    "the record missing": (lambda p: (p.folder / "campaign.json").unlink(), UNKNOWN),
    "an envelope missing": (lambda p: (p.folder / ENVELOPES["test_result"]).unlink(), UNKNOWN),
    "the lines missing": (lambda p: (p.folder / ENVELOPES["lines"]).unlink(), UNKNOWN),
    "one more certificate": (
        lambda p: shutil.copy(p.folder / "report.pdf", p.folder / "certificate-final.pdf"),
        UNKNOWN,
    ),
    "another summary": (lambda p: p.add("certificate/summary.md", b"conformant"), INVALID),
    "another JUnit report": (lambda p: p.edit("certificate/junit.xml", b"<testsuite", b"<testsuite  "), INVALID),
    "a script that says valid": (lambda p: (p.folder / "verify.sh").write_text("echo valid\n"), UNKNOWN),
    "the certificate a link": (link, INVALID),
    "the PDF without its signature": (stripped, INVALID),
    "an update of the PDF": (
        lambda p: p.add("certificate/certificate.pdf", b"\n1 0 obj\n<<>>\nendobj\n%%EOF\n"),
        INVALID,
    ),
    "bytes after the PDF": (lambda p: p.add("certificate/certificate.pdf", b"x"), INVALID),
    "the certificate alone": (lambda p: alone(p, "certificate.pdf"), UNKNOWN),
    "the test result alone, revoked": (lambda p: (revoke(p), alone(p, ENVELOPES["test_result"])), UNKNOWN),
    # signatures
    "all of it by other keys": (lambda p: (p.sign(p.other()), replace_trust(p, CENTER)), UNKNOWN),
    "other keys under these ids": (others_under_own_ids, INVALID),
    "a signature taken off": (lambda p: p.signatures(without_sm2), INVALID),
    "a signature taken off, without proof": (
        lambda p: (p.signatures(without_sm2), (p.folder / PROOF).unlink()),
        INVALID,
    ),
    "a signature taken off, without register": (
        lambda p: (p.signatures(without_sm2), (p.folder / PROOF).unlink(), shutil.rmtree(p.register)),
        INVALID,
    ),
    "one signature broken": (lambda p: p.signatures(one_broken, "test_result"), INVALID),
    "an unknown signature more": (unknown_added, INVALID),
    "a signature twice": (lambda p: p.signatures(lambda every: [*every, every[0]], "lines"), INVALID),
    "no signature": (lambda p: p.signatures(lambda _: [], "lines"), INVALID),
    "another center in its name": (lambda p: (p.sign(p.other()), p.enter(p.center("log"))), INVALID),
    "another center in its name, in its own register": (
        lambda p: (p.sign(p.other()), shutil.rmtree(p.register), p.register.mkdir(), p.enter(p.other())),
        INVALID,
    ),
    "signed in the name of another center": (
        lambda p: (p.sign(p.center(), lambda predicate: predicate.update(issuer=OTHER)), p.enter(p.center())),
        INVALID,
    ),
    # keys and their time
    "a stolen key": (with_keys(stolen), INVALID),
    "a stolen key that says an earlier time": (with_keys(thief_says_earlier), INVALID),
    "a stolen key with a log of its own": (with_keys(thief_with_a_log), INVALID),
    "a retired key, without register": (retired_in_trust, UNKNOWN),
    "keys that speak from tomorrow on": (not_yet, INVALID),
    # the register
    "never entered": (not_entered, INVALID),
    "revoked": (revoke, INVALID),
    "an older status list": (older_status_list, INVALID),
    "an older register, seen before": (older_register, INVALID),
    "a fork": (fork, INVALID),
    "an entry changed": (lambda p: p.edit("register/entries.jsonl", p.number.encode(), b"XC-other"), INVALID),
    "an entry removed": (
        lambda p: (p.register / "entries.jsonl").write_bytes(
            (p.register / "entries.jsonl").read_bytes().partition(b"\n")[2]
        ),
        INVALID,
    ),
    "a checkpoint by another center": (lambda p: checkpoint_by_another(p, origin=False), UNKNOWN),
    "a checkpoint by another center in its name": (lambda p: checkpoint_by_another(p, origin=True), UNKNOWN),
    "no checkpoint": (lambda p: (p.register / "checkpoint").unlink(), UNKNOWN),
    "no status list": (lambda p: (p.register / "status.dsse.json").unlink(), UNKNOWN),
    "no lines of the status list": (lambda p: (p.register / "status-lines.dsse.json").unlink(), UNKNOWN),
    "a status list by another center": (status_by_another, INVALID),
    "an empty register": (lambda p: (shutil.rmtree(p.register), p.register.mkdir()), UNKNOWN),
    "revoked, another center's register": (other_register, UNKNOWN),
    "a proof with another index": (lambda p: p.proof(index=1), INVALID),
    "a proof with another entry": (lambda p: p.proof(entry=b'{"kind":"certificate"}'), INVALID),
    "a proof with another path": (lambda p: p.proof(path=(bytes(32),)), INVALID),
    "a proof without a path, without register": (lambda p: (p.proof(path=()), shutil.rmtree(p.register)), INVALID),
    "a proof with another size": (
        lambda p: p.proof(note=InclusionProof.read((p.folder / PROOF).read_text()).note.replace("\n2\n", "\n3\n")),
        INVALID,
    ),
    "a proof that is none": (lambda p: (p.folder / PROOF).write_text("{}"), INVALID),
    "the same number twice": (twice, INVALID),
    "an amendment that was revoked": (amendment_revoked, INVALID),
    # time
    "expired": (lambda p: setattr(p, "days", 400), INVALID),
    "expired, with an axis valid_until": (expired_axis, INVALID),
    "a stale list": (lambda p: setattr(p, "days", 40), UNKNOWN),
    "a clock before the issue": (lambda p: setattr(p, "days", -40), UNKNOWN),
    # trust
    "no trust": (lambda p: setattr(p, "trust", Trust()), UNKNOWN),
    "trust in keys of the log alone": (
        lambda p: setattr(p, "trust", Trust(tuple(replace(b, roles=("log",)) for b in p.trust.bindings))),
        UNKNOWN,
    ),
}


def replace_trust(p: Papers, issuer: str) -> None:
    """The reader knows the keys of this issuer alone."""
    p.trust = Trust(tuple(p.trust.of("sign", issuer)))


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forgery_is_valid_by_either_verifier(papers: Papers, tmp_path: Path, name: str) -> None:
    forge, expected = FORGERIES[name]
    forge(papers)
    harness, script, said = papers.verdicts(tmp_path)
    assert VALID not in (harness, script), said
    assert harness == script or UNKNOWN in (harness, script), said
    assert harness == expected, said
    assert script == expected, said


FILES = [
    *(f"certificate/{name}" for name in (*ENVELOPES.values(), PROOF, "campaign.json", "report.html", "report.pdf")),
    *(f"register/{name}" for name in REGISTER_FILES),
]


@pytest.mark.parametrize("name", FILES)
def test_one_byte_of_any_file_counts_for_both(papers: Papers, tmp_path: Path, name: str) -> None:
    path = papers.place / name
    data = bytearray(path.read_bytes())
    for place in (len(data) // 3, len(data) - 1):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        harness, script, said = papers.verdicts(tmp_path)
        assert VALID not in (harness, script), (place, said)
        assert harness == script or UNKNOWN in (harness, script), (place, said)


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_an_end_is_not_waited_for(papers: Papers, name: str) -> None:
    path = papers.place / name
    for kind in ("pipe", "40 GiB"):
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.touch()
            os.truncate(path, 40 * 2**30)
        steps = check(papers.folder, papers.trust, register=papers.register)
        assert status_of(steps).value != "valid", kind


def hostile_names(p: Papers) -> None:
    """What a vendor may choose: names that read like lines, and axes that read like keys of the certificate."""
    lie = "\nnumber XC-LIE\nissuer Another Center\nuntil 2999-12-31\nend\n"

    def change(predicate: Predicate) -> None:
        predicate["product"]["name"] = {"zh": lie, "en": 'x","number":"XC-LIE","valid_until":"2999-12-31'}
        predicate["platforms"][0]["axes"].update(number="XC-LIE", valid_until="2000-01-01", issuer=OTHER, x=lie)

    p.sign(p.center(), change)
    p.enter(p.center())


def ended_later(p: Papers) -> None:
    """A key that was stolen after it had signed, and after the log had entered that."""
    good("keys", "new", "log-2", "--keys", p.keys)
    p.trust = p.trust.add(binding(KeyStore(p.keys).public_key("log-2"), CENTER))
    p.sign(p.center("log"))
    p.enter(p.center("log"))
    since = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
    Register(p.register).set_key(p.keyid("log"), "compromised", since, "stolen", p.center("seal", "log-2"))


GENUINE: dict[str, Callable[[Papers], object]] = {
    "as it was issued": lambda _: None,
    "without its proof": lambda p: (p.folder / PROOF).unlink(),
    "without a register": lambda p: shutil.rmtree(p.register),
    "lines that no checkpoint covers yet": lambda p: p.add("register/entries.jsonl", b'{"kind":"status"}\n'),
    "an amendment": amendment,
    "names that lie": hostile_names,
    "a key that was stolen later": with_keys(ended_later),
    "one trusted key of three": lambda p: setattr(p, "trust", trust_in(p.keys, CENTER, ("log",))),
}


@pytest.mark.parametrize("name", GENUINE)
def test_what_is_genuine_is_valid_by_both_verifiers(papers: Papers, tmp_path: Path, name: str) -> None:
    GENUINE[name](papers)
    harness, script, said = papers.verdicts(tmp_path)
    assert (harness, script) == (VALID, VALID), said
    number = papers.payload("adaptation")["predicate"]["number"]
    assert f"\ncertificate: {number}: " in said, "both say of what"
    assert f"\nissuer: {CENTER}, issued " in said


BROKEN = {
    "missing": None,
    "empty": b"",
    "of another form": b"keys\n",
    "cut off": b"xinchuang-trust 1",
    "damaged base64": b"xinchuang-trust 1\nkey sign - - A Example Center\n",
    "a role that is none": b"xinchuang-trust 1\nkey all - - %s Example Center\n",
    "a time that is none": b"xinchuang-trust 1\nkey sign yesterday - %s Example Center\n",
    "two blanks": b"xinchuang-trust 1\nkey sign  - - %s Example Center\n",
    "the same key twice": b"xinchuang-trust 1\nkey sign - - %s A\nkey sign - - %s B\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_of_trust_trusts_nobody(papers: Papers, tmp_path: Path, name: str) -> None:
    text = BROKEN[name]
    path = tmp_path / "trust"
    if text is not None:
        key = base64.b64encode(KeyStore(papers.keys).public_key("log").spki)
        path.write_bytes(text.replace(b"%s", key))
    with pytest.raises(UsageError):
        read_trust(path)
    assert shell(papers.folder, path, papers.register).returncode == UNKNOWN


def test_a_folder_of_keys_is_no_trust(papers: Papers) -> None:
    with pytest.raises(UsageError, match="does not say for which issuer"):
        read_trust(papers.keys)
    assert shell(papers.folder, papers.keys).returncode == UNKNOWN
