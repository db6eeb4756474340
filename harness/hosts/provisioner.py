"""Lab hosts, and this machine itself: leased, looked at, installed on, and put back as they were."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from harness.attest.architecture import Emulator
from harness.attest.attestation import attest
from harness.attest.idle import DEMANDED, idle_facts
from harness.errors import Canceled, HarnessError, InfrastructureError
from harness.hosts.inventory import Inventory
from harness.hosts.keeping import note_folder, put_back
from harness.hosts.leases import HostBusy, HostDirty, Lease, mark_dirty, unmark
from harness.hosts.local import LocalMachine
from harness.hosts.reaching import machine_of
from harness.hosts.ssh import SshMachine
from harness.hosts.undoing import Memory, remember, restore
from harness.model.attestation import Attestation, Fact
from harness.model.definitions import Cpu, Host, Os
from harness.model.ledger import Ledger
from harness.model.machine import Machine
from harness.model.recipe import Environment, Recipe
from harness.model.results import Fidelity
from harness.provision.installing import POLICY, Installer, manager_of
from harness.provision.provisioner import APPLICATION, Held, Kind, Machines, Names, Role, demand, weakest
from harness.system.waiting import QUIET, Notice, Waiting

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
class _Leased:
    """A host that a cell has for itself; ``mark`` is in the environment of every command of the cell there."""

    host: Host
    machine: SshMachine | LocalMachine
    lease: Lease
    mark: str


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
        self._note_archives(machine, role)
        try:
            facts = installer.install()
        finally:
            put_back(machine, POLICY)  # the host's own, or none
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

    def _note_archives(self, machine: Machine, role: Role) -> None:
        """Note on the host the folders that archives are unpacked into, which no ``put`` sees."""
        watch = self.inventory.host(machine.reference.name).watch
        for file in role.recipe.archives:
            compared = any(PurePosixPath(file.path).is_relative_to(root) for root in watch)
            done = machine.run(note_folder(file.path, compared=compared), timeout=120)
            if not done.ok:
                raise InfrastructureError(
                    f"{machine.name}: {file.path} cannot be noted: {done.text.strip()[-300:]}",
                    advice="check the host's disk",
                )

    def known_good(self, os: Os, cpu: Cpu, campaign: str, ledger: Ledger) -> None:
        role = Role(
            name=APPLICATION, os=os, cpu=cpu, recipe=Recipe(name="none", os=os.os, architecture=cpu.architecture)
        )
        names = Names(campaign=campaign, cell="probe", attempt=secrets.token_hex(4))
        try:
            with (
                self._leased(role, names, ledger, set(), QUIET, patience=0) as leased,
                self._watched(leased, ledger),
            ):
                demand(self.attest(leased.machine, role))
        except HostBusy:  # it serves somebody, so there is nothing to say against it
            ledger.event("known-good-probe-left-out", os=os.os, cpu=cpu.cpu, reason="the hosts are in use")

    @contextlib.contextmanager
    def hold(self, roles: tuple[Role, ...], names: Names, ledger: Ledger, waiting: Waiting) -> Iterator[Held]:
        """A server gets a host of its own where another that fits is free, else it shares the product's.

        Hosts of different kinds are taken in one order by every cell, and nobody waits for a second one of a kind: so
        no two cells wait for each other.
        """
        with contextlib.ExitStack() as stack:
            taken: set[str] = set()
            held: dict[str, _Leased] = {}
            for role in sorted(roles, key=lambda one: (one.os.os, one.cpu.cpu, one.name != APPLICATION)):
                fit = fitting(self.inventory, role.os, role.cpu)
                shares = APPLICATION in held and held[APPLICATION].host in fit
                try:
                    leased = stack.enter_context(
                        self._leased(role, names, ledger, taken, waiting, patience=0 if shares else self.patience)
                    )
                except InfrastructureError:
                    if not shares:
                        raise
                    continue
                held[role.name] = leased
                taken.add(leased.host.host)
            yield Held(machines=lambda _: self._machines(held, roles, ledger))

    @contextlib.contextmanager
    def _machines(self, held: Mapping[str, _Leased], roles: tuple[Role, ...], ledger: Ledger) -> Iterator[Machines]:
        """The leased hosts as machines: looked at before, put back afterwards."""

        def check() -> None:
            for leased in held.values():
                leased.lease.check()

        with contextlib.ExitStack() as stack:
            for leased in held.values():
                stack.enter_context(self._watched(leased, ledger))
            yield Machines(
                of={name: leased.machine for name, leased in held.items()},
                check=check,
                addresses={
                    role.name: held[role.name].host.address if role.name in held else "127.0.0.1"
                    for role in roles
                    if role.name != APPLICATION
                },
                fidelity=weakest([Fidelity(leased.host.fidelity) for leased in held.values()]),
            )

    @contextlib.contextmanager
    def _leased(
        self, role: Role, names: Names, ledger: Ledger, taken: set[str], waiting: Waiting, *, patience: float
    ) -> Iterator[_Leased]:
        """A fitting host that is free, leased; released at the end."""
        mark = secrets.token_hex(8)
        host, machine, lease = self._free(role, names, taken, mark, waiting, patience)
        try:
            ledger.event("lease", host=host.host, owner=lease.owner, token=lease.token)
            yield _Leased(host, machine, lease, mark)
        finally:
            lease.release()
            lease.machine.close()
            machine.close()

    @contextlib.contextmanager
    def _watched(self, leased: _Leased, ledger: Ledger) -> Iterator[None]:
        """Note the state of a leased host, and put it back at the end."""
        host, machine = leased.host, leased.machine
        memory = remember(machine, host, leased.mark, self.keep)
        ledger.intent("host", host.host)
        # Whatever ends this run: a host that was not put back must not pass for clean.
        mark_dirty(machine, f"{leased.lease.owner} worked here, and did not end in order")
        ledger.created("host", host.host, leased.mark)
        try:
            yield
        finally:
            self._put_back(leased, memory, ledger)

    def _put_back(self, leased: _Leased, memory: Memory, ledger: Ledger) -> None:
        """Undo what was done, or mark the host; a host that is another's now is left alone."""
        host, machine = leased.host, leased.machine
        try:
            leased.lease.check()
            left = restore(machine, host, memory)
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
        self, role: Role, names: Names, taken: set[str], mark: str, waiting: Waiting, patience: float
    ) -> tuple[Host, SshMachine | LocalMachine, Lease]:
        """Wait for a host that fits.

        Raises:
            InfrastructureError: every one is unreachable or dirty, or stayed in use too long.
            Canceled: the wait was stopped.
        """
        owner = f"{names.campaign}/{names.cell}/{names.attempt}"
        end = time.monotonic() + patience
        notice = Notice(waiting)
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
            notice.look(functools.partial(_busy_words, busy))
            if self.cancel.wait(ASK_SECONDS) or waiting.stopped():
                raise Canceled("stopped while waiting for a lab host")


def _busy_words(busy: Sequence[InfrastructureError]) -> str:
    return f"a lab host: {'; '.join(error.message for error in busy)}"
