"""An issuer's register: revoked, suspended, superseded, expired; a list put back, a log that forgets or forks."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.register.register import PROOF, REGISTER_FILES, Register
from harness.signing.tree import InclusionProof
from harness.verification.checking import check, status_of
from harness.verification.logs import check_log
from harness.verification.opening import open_certificate
from tests.integration.test_signing import Signed, invoke, made
from tests.trusts import shell, trust_file, trust_in

__all__ = ["made"]  # a fixture
KEYS = ("--key", "ed25519", "--key", "sm2")


@dataclass(frozen=True)
class Issued:
    """A certificate in a register."""

    signed: Signed
    register: Path
    memory: Path

    @property
    def number(self) -> str:
        return str(json.loads(Register(self.register).lines()[0])["number"])

    def steps(self, *, days: int = 0, register: Path | None = None) -> tuple[str, dict[str, str]]:
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        steps = check(
            self.signed.folder,
            trust_in(self.signed.keys),
            register=register or self.register,
            memory=self.memory,
            now=now,
        )
        return status_of(steps).value, {step.name: step.detail for step in steps}

    def revoke(self, *words: str) -> Any:
        return invoke("revoke", self.number, "--register", self.register, "--keys", self.signed.keys, *KEYS, *words)

    def by_openssl(self, *names: str, register: Path | None = None) -> int:
        """Exit code of ``verify.sh``, which remembers what it saw as ``harness verify`` does."""
        self.memory.parent.mkdir(exist_ok=True)
        trust = trust_file(self.memory.with_name("trust"), trust_in(self.signed.keys, names=names))
        seen = str(self.memory.with_name("seen.txt"))
        return shell(self.signed.folder, trust, register or self.register, HARNESS_SEEN=seen).returncode


@pytest.fixture
def issued(made: Signed, tmp_path: Path) -> Issued:
    signed = Signed(Path(shutil.copytree(made.workspace, tmp_path / "ws")), made.keys)
    enter(signed, tmp_path / "register")
    return Issued(signed, tmp_path / "register", tmp_path / "memory" / "seen.json")


def enter(signed: Signed, register: Path) -> None:
    done = invoke("certify", "--workspace", signed.workspace, "--keys", signed.keys, *KEYS, "--register", register)
    assert done.exit_code == 0, done.output


def test_a_certificate_that_stands(issued: Issued) -> None:
    status, steps = issued.steps()
    assert status == "valid", steps
    assert steps["inclusion (adaptation.tlog-proof)"].startswith("entry 1 of 2; --register tells")
    assert steps["log"].startswith("2 entries, signed by Self-test (not confirmed")
    assert steps["status"].startswith("active by list 1 of ")
    assert issued.by_openssl() == issued.by_openssl("ed25519") == issued.by_openssl() == 0
    assert issued.by_openssl("sm2") == 3, "the log's key is an Ed25519 one"
    assert issued.steps(days=31)[0] == "could-not-check", "nobody may rely on a list that is stale"
    trust = trust_file(issued.memory.with_name("trust"), trust_in(issued.signed.keys))
    done = invoke("verify", issued.signed.folder, "--trust", trust, "--register", issued.register)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--reason", "the product was withdrawn"], "revoked on "),
        (["--reason", "under review", "--status", "suspended"], "suspended on "),
        (["--reason", "amended", "--status", "superseded", "--by", "XC-2"], ", by XC-2: amended"),
    ],
)
def test_one_that_no_longer_holds(issued: Issued, words: list[str], told: str) -> None:
    assert issued.revoke(*words).exit_code == 0
    status, steps = issued.steps()
    assert status == "invalid"
    assert told in steps["status"]
    assert issued.by_openssl() == 1


def test_a_suspension_is_taken_back(issued: Issued) -> None:
    issued.revoke("--reason", "under review", "--status", "suspended")
    assert issued.steps()[0] == "invalid"
    assert issued.revoke("--reason", "review ended", "--status", "active").exit_code == 0
    status, steps = issued.steps()
    assert (status, steps["status"][:17]) == ("valid", "active by list 3 ")


def test_a_list_is_published_again_before_it_is_stale(issued: Issued, tmp_path: Path) -> None:
    issued.revoke("--reason", "under review", "--status", "suspended")
    words = ("--keys", issued.signed.keys, *KEYS)
    assert invoke("renew", "--register", issued.register, *words).exit_code == 0
    status, steps = issued.steps()
    assert (status, "suspended on" in steps["status"]) == ("invalid", True), "what it says stays"
    assert json.loads(Register(issued.register).lines()[-1])["sequence"] == 3
    assert isinstance(invoke("renew", "--register", tmp_path / "nothing", *words).exception, UsageError)


def test_an_older_status_list_put_back_is_found(issued: Issued) -> None:
    older = Register(issued.register).status_path.read_bytes()
    issued.revoke("--reason", "withdrawn")
    Register(issued.register).status_path.write_bytes(older)
    assert issued.by_openssl() == 1
    status, steps = issued.steps()
    assert (status, steps["status"]) == ("invalid", "an older status list was put in the place of the newest")


def test_an_older_register_put_back_is_found_by_who_looked_before(issued: Issued, tmp_path: Path) -> None:
    older = shutil.copytree(issued.register, tmp_path / "older")
    issued.revoke("--reason", "withdrawn")
    assert issued.steps()[0] == "invalid"
    assert issued.by_openssl(register=older) == 0, "who never looked before cannot know"
    assert issued.by_openssl() == 1
    assert issued.by_openssl(register=older) == 1
    status, steps = issued.steps(register=older)
    assert status == "invalid"
    assert "it is shorter than by what was seen of it before" in steps["log"]


def test_a_fork_is_found_by_the_proof_and_by_memory(issued: Issued, tmp_path: Path) -> None:
    assert issued.steps()[0] == "valid"
    assert issued.by_openssl() == 0
    other = Signed(Path(shutil.copytree(issued.signed.workspace, tmp_path / "other")), issued.signed.keys)
    enter(other, tmp_path / "forked")  # the same keys sign another past
    enter(other, tmp_path / "forked")
    status, steps = issued.steps(register=tmp_path / "forked")
    assert (status, steps["log"]) == ("invalid", "it shows another past than the proof beside the certificate: a fork")
    assert issued.by_openssl(register=tmp_path / "forked") == 1
    (issued.signed.folder / PROOF).unlink()
    status, steps = issued.steps(register=tmp_path / "forked")
    assert (status, steps["log"]) == ("invalid", "it shows another past than what was seen of it before: a fork")
    assert issued.by_openssl(register=tmp_path / "forked") == 1


@pytest.mark.parametrize("change", ["entry changed", "entry removed", "checkpoint changed", "status changed"])
def test_a_register_that_was_changed(issued: Issued, change: str) -> None:
    register, number = Register(issued.register), issued.number
    data = register.entries_path.read_bytes()
    if change == "entry changed":
        register.entries_path.write_bytes(data.replace(number.encode(), b"XC-other", 1))
    elif change == "entry removed":
        register.entries_path.write_bytes(data.partition(b"\n")[2])
    elif change == "checkpoint changed":
        text = register.checkpoint_path.read_text()
        register.checkpoint_path.write_text(text.replace("\n2\n", "\n1\n", 1))
    else:
        text = register.status_path.read_text()
        register.status_path.write_text(text.replace('"payload": "e', '"payload": "f'))
    assert issued.by_openssl() == 1
    assert issued.steps()[0] == "invalid"


def test_a_shell_finds_the_same_root_in_a_log_of_any_length(issued: Issued) -> None:
    """Lists are published again and again: the tree takes every shape."""
    for _ in range(11):
        words = ("--keys", issued.signed.keys, *KEYS)
        assert invoke("renew", "--register", issued.register, *words).exit_code == 0
        assert (issued.by_openssl(), issued.steps()[0]) == (0, "valid")


@pytest.mark.parametrize("name", [PROOF, *REGISTER_FILES])
def test_every_byte_of_what_is_signed_counts(issued: Issued, name: str) -> None:
    """Each flipped in turn: never valid."""
    assert issued.steps()[0] == "valid"
    register = Register(issued.register)
    path = (issued.signed.folder if name == PROOF else register.folder) / name
    good, trust = path.read_bytes(), trust_in(issued.signed.keys)
    _, papers, lines = open_certificate(issued.signed.folder, trust)
    assert lines is not None
    now = datetime.datetime.now(datetime.UTC)
    for place in range(len(good)):
        other = bytearray(good)
        other[place] ^= 1
        path.write_bytes(bytes(other))
        history = check_log(
            issued.signed.folder, issued.register, lines, papers["adaptation"].sha256, trust, memory=None, now=now
        )
        assert status_of(history.steps).value != "valid", (place, chr(good[place]))


@pytest.mark.parametrize("fetched", range(1, len(REGISTER_FILES)))
def test_a_register_that_is_written_while_it_is_fetched_is_not_called_false(
    issued: Issued, tmp_path: Path, fetched: int
) -> None:
    """So many files are the old ones, the rest is new."""
    mixed = Path(shutil.copytree(issued.register, tmp_path / "mixed"))
    assert invoke("renew", "--register", issued.register, "--keys", issued.signed.keys, *KEYS).exit_code == 0
    for name in REGISTER_FILES[fetched:]:
        shutil.copy(issued.register / name, mixed / name)
    assert issued.steps(register=mixed)[0] != "invalid"
    assert issued.by_openssl(register=mixed) != 1


@pytest.mark.parametrize("number", ["XC-other", "XC-removed"])
def test_nothing_is_signed_over_a_register_that_was_changed(issued: Issued, number: str) -> None:
    register = Register(issued.register)
    data = register.entries_path.read_bytes()
    gone = data.partition(b"\n")[2] if number == "XC-removed" else data.replace(issued.number.encode(), b"XC-other", 1)
    register.entries_path.write_bytes(gone)
    before = {path.name: path.read_bytes() for path in issued.register.iterdir()}
    done = invoke("revoke", number, "--register", issued.register, "--keys", issued.signed.keys, *KEYS, "--reason", "x")
    assert isinstance(done.exception, UsageError)
    assert "are not those of its checkpoint: nothing is signed over them" in done.exception.message
    assert {path.name: path.read_bytes() for path in issued.register.iterdir()} == before


def test_a_proof_of_another_certificate(issued: Issued) -> None:
    path = issued.signed.folder / PROOF
    proof = InclusionProof.read(path.read_text())
    path.write_text(replace(proof, entry=proof.entry.replace(issued.number.encode(), b"XC-other")).text())
    assert issued.steps()[1]["inclusion (adaptation.tlog-proof)"] == "the proof is of another statement"
    path.write_text(replace(proof, path=proof.path[:-1]).text())
    said = issued.steps()[1]["inclusion (adaptation.tlog-proof)"]
    assert said == "the proof does not lead to the root of its checkpoint"
    assert issued.by_openssl() == 1
    path.write_text("{}")
    assert issued.steps()[0] == "invalid"


def test_a_register_of_somebody_else(issued: Issued, tmp_path: Path) -> None:
    others = trust_in(issued.signed.keys.parent / "others")
    assert status_of(check(issued.signed.folder, others, register=issued.register)).value == "could-not-check"
    assert issued.steps(register=tmp_path / "nothing")[0] == "could-not-check"


def test_one_that_expired(made: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A center's own profile, laid over the shipped one, says for how long."""
    signed = Signed(Path(shutil.copytree(made.workspace, tmp_path / "ws")), made.keys)
    shipped = Path(__file__).parents[2] / "reports" / "issuers" / "self-test.yaml"
    own = tmp_path / "reports" / "issuers" / "self-test.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(shipped.read_text() + "valid_days: 10\n")
    monkeypatch.chdir(tmp_path)
    enter(signed, tmp_path / "register")
    issued = Issued(signed, tmp_path / "register", tmp_path / "seen.json")
    # Ten days from the day at the issuer, where the next day begins before it does in UTC.
    at_issuer = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=8))).date()
    ahead = (at_issuer - datetime.datetime.now(datetime.UTC).date()).days
    status, steps = issued.steps(days=10 + ahead)
    assert (status, steps["validity"]) == ("valid", f"until {at_issuer + datetime.timedelta(days=10)}")
    status, steps = issued.steps(days=11 + ahead)
    assert status == "invalid"
    assert steps["validity"].startswith("expired on ")
    assert issued.by_openssl() == 0
    (tmp_path / "bin").mkdir()
    for days, code in ((10 + ahead, 0), (11 + ahead, 1)):
        later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        (tmp_path / "bin" / "date").write_text(f"#!/bin/sh\nexec /bin/date -d '{later:%Y-%m-%d %H:%M} UTC' \"$@\"\n")
        (tmp_path / "bin" / "date").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        assert issued.by_openssl() == code, days


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--reason", 'say "x"'], "without quotation marks"),
        (["--reason", " "], "a reason is one line"),
        (["--reason", "x", "--status", "superseded"], "belong together"),
        (["--reason", "x", "--by", "XC-2"], "belong together"),
    ],
)
def test_words_that_do_not_fit(issued: Issued, words: list[str], told: str) -> None:
    done = issued.revoke(*words)
    assert isinstance(done.exception, UsageError)
    assert told in done.exception.message


def test_a_certificate_does_not_supersede_itself(issued: Issued) -> None:
    done = issued.revoke("--reason", "x", "--status", "superseded", "--by", issued.number)
    assert isinstance(done.exception, UsageError)
    assert "another certificate" in done.exception.message


def test_who_may_not_sign_the_log_leaves_the_list_as_it_was(issued: Issued) -> None:
    """Before, the list was replaced, and then the log, which has to know it, could not be signed."""
    before = Register(issued.register).status_path.read_bytes()
    words = ("--register", issued.register, "--keys", issued.signed.keys, "--key", "sm2", "--reason", "x")
    done = invoke("revoke", issued.number, *words)
    assert isinstance(done.exception, UsageError)
    assert "Ed25519" in done.exception.message
    assert Register(issued.register).status_path.read_bytes() == before
    assert issued.steps()[0] == "valid"


def test_certificates_that_the_register_does_not_know(issued: Issued) -> None:
    words = ("--register", issued.register, "--keys", issued.signed.keys)
    done = invoke("revoke", "XC-unknown", *words, *KEYS, "--reason", "x")
    assert isinstance(done.exception, UsageError)
    assert "the register knows no certificate XC-unknown" in done.exception.message
    without = invoke("certify", "--workspace", issued.signed.workspace, *words, "--key", "sm2")
    assert isinstance(without.exception, UsageError)
    assert "signed with Ed25519, and no such key is named" in without.exception.message
