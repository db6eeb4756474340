"""Looks at a target before anything is tested on it: declared against observed."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from harness.attest import facts
from harness.attest.architecture import Emulator
from harness.attest.probing import probe
from harness.attest.versions import states
from harness.errors import AttestationMismatch, InfrastructureError
from harness.model.attestation import Attestation, Fact
from harness.model.definitions import Cpu, Database, Os
from harness.model.machine import Machine
from harness.model.results import Fidelity
from harness.system.process import run

#: The same work on this machine, to compare with; microseconds go to the output.
REFERENCE = "t=$(date +%s%N); i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo $((($(date +%s%N) - t) / 1000))"

#: Ends the name of a fact that the inventory of databases declares, and not the catalogue.
BY_INVENTORY = " by inventory"

#: A system of which nobody declares anything.
UNDECLARED = {
    "os": "in-the-image",
    "name": "what is in the image",
    "vendor": "whoever made the image",
    "family": "rpm",
    "certainty": "general",
    "source": "nobody declares it",
}


def attest(
    machine: Machine,
    cpu: Cpu,
    system: Os,
    emulated_by: Emulator | None,
    *,
    fidelity: Fidelity | None = None,
    as_seen: bool = False,
) -> Attestation:
    """Compare one machine with its definitions; the caller decides what follows from a mismatch.

    ``fidelity``: the declared kind of the machine; by default a container, whose kernel and page size are its host's.
    ``as_seen``: compare the declared kind with the signs that the machine shows of it.

    Raises:
        InfrastructureError: the machine cannot be asked.
    """
    if fidelity is None:
        fidelity = Fidelity.CONTAINER if emulated_by is None else Fidelity.USER_EMULATED
    answers = probe(machine, system, with_packages=as_seen)
    return Attestation(
        facts=(
            *facts.identity(system, cpu, answers),
            facts.family(system, answers, demanded=as_seen),
            *facts.kernel(system, cpu, fidelity, answers),
            facts.clock(answers),
            facts.glibc(system, answers),
            facts.virtualization(answers, cpu.architecture, fidelity, demanded=as_seen),
            *facts.processor(cpu, fidelity, answers),
            *facts.recorded(cpu, fidelity, emulated_by, answers),
            *facts.measured(answers),
        ),
        loop_seconds=facts.loop_seconds(answers),
    )


def attest_image(machine: Machine, cpu: Cpu, emulated_by: Emulator | None, fidelity: Fidelity) -> Attestation:
    """Compare a machine that is made of a vendor's image with the CPU that is declared; what system is in it nobody
    declares, and it is recorded.

    Raises:
        InfrastructureError: the machine cannot be asked.
    """
    nothing = Os.model_validate(UNDECLARED)
    answers = probe(machine, nothing, with_packages=False)
    system = " ".join(filter(None, (answers.get("os.PRETTY_NAME") or answers.get("os.ID"), answers.get("os.VERSION"))))
    return Attestation(
        facts=(
            *facts.identity(nothing, cpu, answers),
            Fact(name="system in the image", declared="", observed=system or "not said"),
            facts.clock(answers),
            facts.glibc(nothing, answers),
            *facts.processor(cpu, fidelity, answers),
            *facts.recorded(cpu, fidelity, emulated_by, answers),
            *facts.measured(answers),
        ),
        loop_seconds=facts.loop_seconds(answers),
    )


@functools.cache
def reference_seconds() -> float | None:
    """The time of the probe's loop on this machine itself, the best of three; None where it cannot be run."""
    taken = []
    for _ in range(3):
        answer = run(["sh", "-c", REFERENCE], timeout=60)
        if not answer.out.strip().isdigit():
            return None
        taken.append(int(answer.out) / 1e6)
    return max(min(taken), 1e-4)


def attest_database(database: Database, version: str, settings: Mapping[str, str]) -> Attestation:
    """The database's version and settings against what its definition declares."""
    return Attestation(facts=tuple(database_facts(version, settings, database.declared, database.settings)))


def database_facts(
    version: str, settings: Mapping[str, str], declared: str, wanted: Mapping[str, str], whose: str = ""
) -> list[Fact]:
    """What a database says of itself, against the version that is ``declared`` and the settings that are ``wanted``.

    ``whose`` ends the names of facts that another than the catalogue declares (``BY_INVENTORY``), of which none is
    recorded where it declares nothing.
    """
    rows = [
        Fact(
            name=f"database version{whose}",
            declared=declared,
            observed=_first(version),
            holds=states(version, declared),
        )
    ]
    if whose and not declared:
        rows.clear()
    for name, value in wanted.items():
        observation = settings.get(name, "")
        rows.append(
            Fact(
                name=f"database {name}{whose}",
                declared=value,
                observed=observation,
                holds=observation.lower() == value.lower(),
            )
        )
    return rows


def attest_version(what: str, printed: str, declared: str) -> Attestation:
    """A runtime or middleware: it must print a version, with the words that its definition declares."""
    first_line = _first(printed)
    return Attestation(
        facts=(Fact(name=f"{what} version", declared=declared, observed=first_line, holds=states(printed, declared)),)
    )


def _first(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip().splitlines()[0]) if text.strip() else ""


def demand(who: str, attestation: Attestation) -> None:
    """``who`` names the machine in the message.

    Raises:
        AttestationMismatch: it is not what was declared.
        InfrastructureError: it is, but its clock is not this machine's, or this machine's is wrong: the laboratory
            sets clocks, no definition does.
    """
    if not attestation.mismatches:
        return
    words = "; ".join(
        f"{fact.name}: declared {fact.declared or 'any'}, observed {fact.observed or 'nothing'}"
        for fact in attestation.mismatches
    )
    if {fact.name for fact in attestation.mismatches} == {facts.CLOCK}:
        raise InfrastructureError(
            f"{who} has another time than this machine: {words}", advice="set both clocks (NTP), then: harness resume"
        )
    places = ["targets/" for fact in attestation.mismatches if not fact.name.endswith(BY_INVENTORY)]
    places += ["databases.yaml" for fact in attestation.mismatches if fact.name.endswith(BY_INVENTORY)]
    raise AttestationMismatch(
        f"{who} is not what was declared: {words}",
        advice=f"correct the definition in {' and '.join(dict.fromkeys(places))}, or the machine",
    )
