"""What is concluded from a probe's answer, where a real target cannot be made to give it."""

from __future__ import annotations

import time

import pytest

from harness.attest.attestation import BY_INVENTORY, attest, attest_database, demand
from harness.errors import AttestationMismatch, InfrastructureError
from harness.model.attestation import Attestation, Fact
from harness.model.definitions import Cpu, Database, Os
from harness.reading.entries import entry
from harness.system.process import Completed


class Machine:
    name = "machine"

    def __init__(self, **answer: str) -> None:
        self.answer = {
            "clock": str(int(time.time())),
            "arch": "x86_64",
            "loader": "/lib64/ld-linux-x86-64.so.2",
            "cpu.flags": "sse2",
            "os.ID": "debian",
            "os.VERSION_ID": "12",
            "glibc": "2.36",
            "file./etc/debian_version": "12.5",
            **answer,
        }

    def run(self, command: str, **_: object) -> Completed:
        return Completed(rc=0, out="".join(f"{key}={value}\n" for key, value in self.answer.items()))


def mismatches(**answer: str) -> dict[str, str]:
    cpu, system = entry("cpu/x86-64")[2], entry("os/debian-12")[2]
    assert isinstance(cpu, Cpu)
    assert isinstance(system, Os)
    found = attest(Machine(**answer), cpu, system, None)  # type: ignore[arg-type]
    return {fact.name: fact.observed for fact in found.mismatches}


def test_what_is_declared_holds() -> None:
    assert mismatches() == {}


@pytest.mark.parametrize(("off", "told"), [(-3600, "3599 s behind"), (-20, "19 s behind"), (90, "ahead")])
def test_a_clock_that_is_wrong(off: int, told: str) -> None:
    found = mismatches(clock=str(int(time.time()) + off))
    assert found.keys() == {"clock"}
    assert told.split()[-1] in found["clock"]
    assert abs(int(found["clock"].split()[0]) - abs(off)) <= 2


@pytest.mark.parametrize(
    ("wrong", "config"),
    [({"clock"}, False), ({"clock", "glibc"}, True), ({"glibc"}, True)],
)
def test_a_clock_is_the_laboratorys_and_anything_else_the_definitions(wrong: set[str], config: bool) -> None:
    facts = tuple(Fact(name=name, declared="a", observed="b", holds=name not in wrong) for name in ("clock", "glibc"))
    with pytest.raises(InfrastructureError, match=r"the bare target .*: declared a, observed b") as error:
        demand("the bare target", Attestation(facts=facts))
    assert (error.value.cause == "config") is config
    demand("the bare target", Attestation(facts=(Fact(name="clock", declared="a", observed="a"),)))


@pytest.mark.parametrize("text", ["", "soon"])
def test_no_clock_at_all(text: str) -> None:
    assert mismatches(clock=text) == {"clock": text or "nothing"}


@pytest.mark.parametrize(
    ("version", "holds"), [("PostgreSQL 15.6 (Debian)", True), ("PostgreSQL 13.1", False), ("", False)]
)
def test_a_database_of_another_version(version: str, holds: bool) -> None:
    value = entry("database/postgresql")[2]
    assert isinstance(value, Database)
    found = attest_database(
        value.model_copy(update={"declared": "PostgreSQL 15."}), version, {"server_encoding": "utf8"}
    )
    assert (found.mismatches == ()) is holds


def test_a_database_that_was_initialised_otherwise() -> None:
    value = entry("database/postgresql")[2]
    assert isinstance(value, Database)
    found = attest_database(value, "PostgreSQL 15.6", {"server_encoding": "SQL_ASCII"})
    assert [(fact.name, fact.observed) for fact in found.mismatches] == [("database server_encoding", "SQL_ASCII")]


def test_a_machine_that_says_nothing_is_no_other_machine() -> None:
    """Seen with an engine that lost what a command printed: nothing is known then, so it is the lab's trouble."""
    with pytest.raises(InfrastructureError, match=r"machine: it does not say what it is \(status 0\): "):
        mismatches(arch="")


@pytest.mark.parametrize(("managers", "mismatch"), [("apt-get", {}), ("", {}), ("dnf yum", {"package family": "rpm"})])
def test_a_system_of_the_other_family_is_not_the_declared_one(managers: str, mismatch: dict[str, str]) -> None:
    assert mismatches(manager=managers) == mismatch


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["database version"], "correct the definition in targets/, or the machine"),
        ([f"database version{BY_INVENTORY}"], "correct the definition in databases.yaml, or the machine"),
        (
            [f"database encoding{BY_INVENTORY}", "database version"],
            "correct the definition in targets/ and databases.yaml, or the machine",
        ),
    ],
)
def test_what_is_to_be_corrected_is_where_it_was_declared(names: list[str], words: str) -> None:
    facts = tuple(Fact(name=name, declared="16", observed="15", holds=False) for name in names)
    with pytest.raises(AttestationMismatch) as mismatch:
        demand("the database", Attestation(facts=facts))
    assert mismatch.value.advice == words
