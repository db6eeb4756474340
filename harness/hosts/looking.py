"""Checks whether a lab host is up and idle, and whether its labels are right."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from harness.attest.attestation import attest
from harness.attest.idle import idle_facts
from harness.errors import HarnessError
from harness.hosts.inventory import Inventory
from harness.hosts.local import LocalMachine
from harness.hosts.reaching import machine_of
from harness.hosts.ssh import SshMachine
from harness.model.attestation import Fact
from harness.model.definitions import Accelerator, Cpu, Entry, Host, Os
from harness.model.results import Fidelity
from harness.reading.catalogue import Catalogue
from harness.reading.entries import entries

#: Labels whose values name entries of the catalogue.
KINDS = ("cpu", "os", "accelerator")


@dataclass(frozen=True, kw_only=True)
class HostReport:
    """Facts about a host. ``trouble`` says why the check could not be completed; empty where it was."""

    host: str
    facts: tuple[Fact, ...] = ()
    round_trip_ms: float | None = None
    trouble: str = ""
    advice: str = ""

    @property
    def good(self) -> bool:
        """Whether the host could be looked at and is what its labels say."""
        return not self.trouble and all(fact.holds for fact in self.facts)


def look_at(inventory: Inventory, name: str, catalogue: Catalogue | None = None) -> HostReport:
    """Log in, and compare the host with its labels. What goes wrong stands in the report, and is never raised.

    Raises:
        UsageError: there is no such host.
    """
    host = inventory.host(name)
    machine = machine_of(inventory, host)
    facts: list[Fact] = []
    trip: float | None = None
    try:
        machine.run("true", timeout=20)
        trip = statistics.median(_timed(machine) for _ in range(3))
        facts += idle_facts(machine, Fidelity(host.fidelity))
        facts += _labels(machine, host, catalogue)
    except HarnessError as error:
        return HostReport(host=name, facts=tuple(facts), round_trip_ms=trip, trouble=error.message, advice=error.advice)
    finally:
        machine.close()
    return HostReport(host=name, facts=tuple(facts), round_trip_ms=trip)


def _timed(machine: SshMachine | LocalMachine) -> float:
    started = time.monotonic()
    machine.run("true", timeout=20)
    return (time.monotonic() - started) * 1000


def _labels(machine: SshMachine | LocalMachine, host: Host, catalogue: Catalogue | None) -> list[Fact]:
    labels: dict[str, Entry] = {}
    facts: list[Fact] = []
    for kind in KINDS:
        name = host.labels.get(kind)
        known = entries(kind, catalogue)
        if name in known:
            labels[kind] = known[name][1]
        elif name is not None or kind != "accelerator":
            facts.append(
                Fact(name=f"label {kind}", declared=f"a {kind} of the catalogue", observed=name or "none", holds=False)
            )
    cpu, system, card = labels.get("cpu"), labels.get("os"), labels.get("accelerator")
    if isinstance(cpu, Cpu) and isinstance(system, Os):
        facts += attest(machine, cpu, system, None, fidelity=Fidelity(host.fidelity), as_seen=True).facts
    if isinstance(card, Accelerator):
        answer = machine.run(card.device, timeout=60)
        line = next((line.strip() for line in answer.text.splitlines() if line.strip()), "nothing")
        facts.append(
            Fact(name=f"accelerator ({card.device})", declared=card.accelerator, observed=line[:120], holds=answer.ok)
        )
    return facts
