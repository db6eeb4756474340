"""Lab hosts, and this machine itself: leased, looked at, installed on, and put back as they were."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.attest.architecture import Emulator
from harness.attest.attestation import attest
from harness.attest.idle import DEMANDED, idle_facts
from harness.errors import HarnessError, InfrastructureError
from harness.hosts.inventory import Inventory
from harness.hosts.leases import HostBusy, HostDirty, Lease, mark_dirty, unmark
from harness.hosts.local import LocalMachine
from harness.hosts.ssh import SshMachine
from harness.hosts.state import HostState, keep_etc, look, restore
from harness.model.attestation import Attestation, Fact
from harness.model.definitions import Cpu, Host, Os
from harness.model.ledger import Ledger
from harness.model.machine import Machine
from harness.model.recipe import Environment, Recipe
from harness.model.results import Fidelity
from harness.provision.installing import Installer, manager_of
from harness.provision.provisioner import APPLICATION, Kind, Machines, Names, Role, demand, weakest

#: How long a cell waits for a host that others have, as long as one of them may become free.
PATIENCE_SECONDS = 3600.0
ASK_SECONDS = 2.0
#: A host that is busy may have only just begun to rest.
IDLE_SECONDS = 10.0


def fitting(inventory: Inventory | None, os: Os, cpu: Cpu) -> list[Host]:
    """Hosts whose labels name that system and CPU class."""
    hosts = inventory.hosts.hosts if inventory is not None else ()
    return [one for one in hosts if one.labels.get("os") == os.os and one.labels.get("cpu") == cpu.cpu]


@dataclass(frozen=True)
class _Held:
    """A host that a cell has for itself."""

    host: Host
    machine: SshMachine | LocalMachine
    lease: Lease
    before: HostState


@dataclass
class LabHosts:
    """Implements ``Provisioner`` over an inventory."""

    inventory: Inventory
    cancel: threading.Event = field(default_factory=threading.Event)
    patience: float = PATIENCE_SECONDS
    keep: tuple[Path, ...] = ()  #: the harness's own folders: a host may be the machine that it runs on

    @property
    def kind(self) -> Kind:
        return "host"

    def emulator(self, cpu: Cpu) -> Emulator | None:
        return None

    def environment(self, role: Role, ledger: Ledger) -> Environment | None:
        return None

    def attest(self, machine: Machine, role: Role) -> Attestation:
        fidelity = Fidelity(self.inventory.host(machine.reference.name).fidelity)
        found = attest(machine, role.cpu, role.os, None, fidelity=fidelity, as_seen=True)
        if found.mismatches:  # it is another host than was declared: whether that is idle is of no interest
            return found
        return dataclasses.replace(found, facts=(*found.facts, *self._idle(machine, fidelity)))

    def _idle(self, machine: Machine, fidelity: Fidelity) -> list[Fact]:
        """Use of the host before anything is tested on it.

        Raises:
            InfrastructureError: it is busy, and stays so.
        """
        for wait in (IDLE_SECONDS, IDLE_SECONDS, None):
            facts = idle_facts(machine, fidelity)
            if fidelity not in DEMANDED:
                return [dataclasses.replace(fact, declared="", holds=True) for fact in facts]
            busy = [f"{fact.name}: {fact.observed}, {fact.declared} is demanded" for fact in facts if not fact.holds]
            if not busy:
                return facts
            if wait is not None:
                self.cancel.wait(wait)
        raise InfrastructureError(
            f"{machine.name} is not idle: {'; '.join(busy)}",
            advice="see what runs there; harness hosts check shows the figures",
        )

    def install(self, machine: Machine, role: Role, ledger: Ledger) -> Environment:
        started = time.monotonic()
        installer = Installer(machine, role.recipe, manager_of(role.os), keep=True, cancel=self.cancel)
        try:
            facts = installer.install()
        finally:
            log = "\n".join(installer.log).encode()
            ledger.keep(f"install-{role.recipe.name}-{role.recipe.architecture}.log", log)
        ledger.event("environment", name=role.recipe.name, host=machine.name, packages=[vars(fact) for fact in facts])
        return Environment(
            image="",
            key=role.recipe.key("host"),
            cached=False,
            seconds=time.monotonic() - started,
            packages=tuple(facts),
            notes=(f"installed on {machine.name}",),
        )

    def known_good(self, os: Os, cpu: Cpu, campaign: str, ledger: Ledger) -> None:
        role = Role(
            name=APPLICATION, os=os, cpu=cpu, recipe=Recipe(name="none", os=os.os, architecture=cpu.architecture)
        )
        names = Names(campaign=campaign, cell="probe", attempt=secrets.token_hex(4))
        try:
            with self._held(role, names, ledger, set(), patience=0) as held:
                demand(self.attest(held.machine, role))
        except HostBusy:  # it serves somebody, so there is nothing to say against it
            ledger.event("known-good-probe-left-out", os=os.os, cpu=cpu.cpu, reason="the hosts are in use")

    @contextlib.contextmanager
    def machines(
        self, roles: tuple[Role, ...], environments: Mapping[str, Environment | None], names: Names, ledger: Ledger
    ) -> Iterator[Machines]:
        """A server gets a host of its own where another that fits is free, else it shares the product's.

        Hosts of different kinds are taken in one order by every cell, and nobody waits for a second one of a kind: so
        no two cells wait for each other.
        """
        with contextlib.ExitStack() as stack:
            taken: set[str] = set()
            held: dict[str, _Held] = {}
            for role in sorted(roles, key=lambda one: (one.os.os, one.cpu.cpu, one.name != APPLICATION)):
                fit = fitting(self.inventory, role.os, role.cpu)
                shares = APPLICATION in held and held[APPLICATION].host in fit
                try:
                    found = stack.enter_context(self._held(role, names, ledger, taken, patience=0 if shares else None))
                except InfrastructureError:
                    if not shares:
                        raise
                    continue
                held[role.name] = found
                taken.add(found.host.host)

            def check() -> None:
                for one in held.values():
                    one.lease.check()

            yield Machines(
                of={name: one.machine for name, one in held.items()},
                check=check,
                addresses={
                    one.name: held[one.name].host.address if one.name in held else "127.0.0.1"
                    for one in roles
                    if one.name != APPLICATION
                },
                fidelity=weakest([Fidelity(one.host.fidelity) for one in held.values()]),
            )

    @contextlib.contextmanager
    def _held(
        self, role: Role, names: Names, ledger: Ledger, taken: set[str], *, patience: float | None = None
    ) -> Iterator[_Held]:
        """A fitting host that is free, leased, its state noted; put back and released at the end."""
        mark = secrets.token_hex(8)
        host, machine, lease = self._free(role, names, taken, mark, self.patience if patience is None else patience)
        try:
            ledger.event("lease", host=host.host, owner=lease.owner, token=lease.token)
            before = look(machine, host, self.keep)
            keep_etc(machine)
            ledger.intent("host", host.host)
            # Whatever ends this run: a host that was not put back must not pass for clean.
            mark_dirty(machine, f"{lease.owner} worked here, and did not end in order")
            ledger.created("host", host.host, mark)
            try:
                yield _Held(host, machine, lease, before)
            finally:
                self._put_back(host, machine, lease, before, mark, ledger)
        finally:
            lease.release()
            lease.machine.close()
            machine.close()

    def _put_back(
        self, host: Host, machine: SshMachine | LocalMachine, lease: Lease, before: HostState, mark: str, ledger: Ledger
    ) -> None:
        """Undo what was done, or mark the host; a host that is another's now is left alone."""
        try:
            lease.check()
            left = restore(machine, host, before, mark, machine.written, self.keep)
            if left:
                ledger.keep(f"host-{host.host}-dirty.txt", "\n".join(left).encode())
                mark_dirty(machine, "\n".join(left[:200]))
                ledger.event("host-dirty", host=host.host, differences=len(left), first=left[:5])
            else:
                unmark(machine)
            ledger.removed("host", host.host)
        except HarnessError as error:  # the mark stays: nobody knows what is on it
            ledger.event("host-not-restored", host=host.host, message=error.message)

    def _free(
        self, role: Role, names: Names, taken: set[str], mark: str, patience: float
    ) -> tuple[Host, SshMachine | LocalMachine, Lease]:
        """Wait for a host that fits.

        Raises:
            InfrastructureError: every one is unreachable or dirty, or stayed in use too long.
        """
        owner = f"{names.campaign}/{names.cell}/{names.attempt}"
        end = time.monotonic() + patience
        while True:
            candidates = [one for one in fitting(self.inventory, role.os, role.cpu) if one.host not in taken]
            if not candidates:
                raise InfrastructureError(
                    f"no host is labelled cpu: {role.cpu.cpu}, os: {role.os.os}", advice="see: harness hosts list"
                )
            trouble: list[InfrastructureError] = []
            for host in candidates:
                machine = machine_of(self.inventory, host, mark)
                lease = Lease(machine_of(self.inventory, host), owner)
                try:
                    lease.take()
                except InfrastructureError as error:
                    trouble.append(error)
                    machine.close()
                    lease.machine.close()
                else:
                    return host, machine, lease
            busy = [one for one in trouble if isinstance(one, HostBusy)]
            if not busy or time.monotonic() > end:
                worst = next((one for one in trouble if isinstance(one, HostDirty)), trouble[0])
                raise worst
            if self.cancel.wait(ASK_SECONDS):
                raise InfrastructureError("canceled while waiting for a host")


def machine_of(inventory: Inventory, host: Host, mark: str = "") -> SshMachine | LocalMachine:
    """A way to a host of the inventory; nothing is connected to yet."""
    if host.connection == "local":
        return LocalMachine(host.host, mark)
    return SshMachine(inventory, host.host, mark)
