"""Lab hosts, and this machine itself: leased, looked at, installed on, and put back as they were."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from harness.attest.architecture import Emulator
from harness.attest.attestation import attest, demand
from harness.attest.idle import DEMANDED, idle_facts
from harness.errors import Canceled, HarnessError, InfrastructureError
from harness.hosts.holding import Ending, Leased, Wish, fitting, lease_one, leased_for, let_go
from harness.hosts.inventory import Inventory
from harness.hosts.keeping import note_folder, put_back
from harness.hosts.leases import HostBusy, mark_dirty, unmark
from harness.hosts.undoing import Memory, remember, restore
from harness.model.attestation import Attestation, Fact
from harness.model.definitions import Cpu, Os
from harness.model.ledger import Ledger
from harness.model.machine import Machine
from harness.model.recipe import Environment, Recipe
from harness.model.results import Fidelity
from harness.model.verbs import journal_deeds
from harness.provision.boots import BootWatch
from harness.provision.installing import POLICY, Installer, manager_of
from harness.provision.provisioner import APPLICATION, Held, Kind, Machines, Owner, Role, weakest
from harness.system.abandoning import begin
from harness.system.scratch import temporary_folder
from harness.system.waiting import QUIET, Waiting

#: How long a cell waits for a host that others have, as long as one of them may become free.
PATIENCE_SECONDS = 3600.0
#: A host that is busy may have only just begun to rest.
IDLE_SECONDS = 10.0


@dataclass
class LabHosts:
    """Implements ``Provisioner`` over an inventory."""

    inventory: Inventory
    cancel: threading.Event = field(default_factory=threading.Event)
    patience: float = PATIENCE_SECONDS
    keep: tuple[Path, ...] = ()  #: the harness's own folders: a host may be the machine that it runs on

    def __post_init__(self) -> None:
        self._ending = Ending(self.cancel)

    @property
    def kind(self) -> Kind:
        return "host"

    def emulator(self, cpu: Cpu) -> Emulator | None:
        return None

    def environment(self, role: Role, ledger: Ledger) -> Environment | None:
        return None

    def attest(self, machine: Machine, role: Role) -> Attestation:
        fidelity = Fidelity(self.inventory.host(machine.reference.name).fidelity)
        attestation = attest(machine, role.cpu, role.os, None, fidelity=fidelity, as_seen=True)
        if attestation.mismatches:  # another host than was declared: its load does not matter
            return attestation
        return dataclasses.replace(attestation, facts=(*attestation.facts, *self._idle(machine, fidelity)))

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
        # Product and server may share a host: what the server adds to it is not the product's.
        listed = role.name == APPLICATION
        installer = Installer(machine, role.recipe, manager_of(role.os), keep=True, listed=listed, cancel=self.cancel)
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
            notes=(f"installed on {machine.name}", *self._way(machine.reference.name)),
        )

    def _way(self, name: str) -> tuple[str, ...]:
        """A limit of what is measured on a host that is not reached directly."""
        host = self.inventory.host(name)
        way = f"host {host.jump}" if host.jump is not None else "a proxy" if host.proxy_command else ""
        limit = f"{name} is reached through {way}: times and rates of loads contain that of the SSH connection"
        return (limit,) if way else ()

    def _note_archives(self, machine: Machine, role: Role) -> None:
        """Note on the host the folders that archives are unpacked into, which no ``put`` sees."""
        watch = self.inventory.host(machine.reference.name).watch
        for file in role.recipe.archives:
            compared = any(PurePosixPath(file.path).is_relative_to(root) for root in watch)
            answer = machine.run(note_folder(file.path, compared=compared), timeout=120)
            if not answer.ok:
                raise InfrastructureError(
                    f"{machine.name}: {file.path} cannot be noted: {answer.text.strip()[-300:]}",
                    advice="check the host's disk",
                )

    def known_good(self, os: Os, cpu: Cpu, campaign: str, ledger: Ledger) -> None:
        role = Role(
            name=APPLICATION, os=os, cpu=cpu, recipe=Recipe(name="none", os=os.os, architecture=cpu.architecture)
        )
        names = Owner(campaign=campaign, cell="probe", attempt=secrets.token_hex(4))
        try:
            hosts = fitting(self.inventory, os, cpu)
            with (
                lease_one(role, hosts, self._wish(names, QUIET), ledger, patience=0.0) as leased,
                self._watched((leased,), ledger),
            ):
                demand("the bare target", self.attest(leased.machine, role))
        except HostBusy:  # it serves somebody, so there is nothing to say against it
            ledger.event("known-good-probe-left-out", os=os.os, cpu=cpu.cpu, reason="the hosts are in use")

    @contextlib.contextmanager
    def hold(self, roles: tuple[Role, ...], names: Owner, ledger: Ledger, waiting: Waiting) -> Iterator[Held]:
        """Leases only; see ``leased_for``."""
        with leased_for(roles, self._wish(names, waiting), ledger) as held:
            yield Held(machines=lambda _: self._machines(held, roles, ledger))

    def _wish(self, names: Owner, waiting: Waiting) -> Wish:
        return Wish(
            inventory=self.inventory,
            names=names,
            waiting=waiting,
            cancel=self.cancel,
            patience=self.patience,
            ending=self._ending,
        )

    @contextlib.contextmanager
    def _machines(self, held: Mapping[str, Leased], roles: tuple[Role, ...], ledger: Ledger) -> Iterator[Machines]:
        """The leased hosts as machines: looked at before, put back afterwards."""

        def check() -> None:
            for leased in held.values():
                leased.lease.check()

        with contextlib.ExitStack() as stack:
            notes = Path(stack.enter_context(temporary_folder("deeds"))) / "deeds"
            stack.callback(_journal, notes, ledger)
            for name, leased in held.items():
                leased.machine.peers.update(_peers(name, leased, held))
                leased.machine.deeds = notes
            hosts = {leased.host.host: leased for leased in held.values()}
            stack.enter_context(self._watched(tuple(hosts.values()), ledger))
            machines = {name: leased.machine for name, leased in held.items()}
            boots = BootWatch(machines)
            yield Machines(
                of=machines,
                check=check,
                disturbances=boots.disturbances,
                restarts=boots.restarts,
                addresses={
                    role.name: self._address(held.get(role.name), held.get(APPLICATION))
                    for role in roles
                    if role.name != APPLICATION
                },
                fidelity=weakest([Fidelity(leased.host.fidelity) for leased in held.values()]),
            )

    @staticmethod
    def _address(server: Leased | None, product: Leased | None) -> str:
        """By what the product reaches a server: on its own host it is 127.0.0.1."""
        shared = server is None or (product is not None and server.host.host == product.host.host)
        return "127.0.0.1" if shared or server is None else server.host.address

    @contextlib.contextmanager
    def _watched(self, hosts: Sequence[Leased], ledger: Ledger) -> Iterator[None]:
        """Note the state of leased hosts, and put them back at the end, side by side."""
        memories: list[tuple[Leased, Memory]] = []
        try:
            for leased in hosts:
                name, machine = leased.host.host, leased.machine
                memory = remember(machine, leased.host, leased.mark, self.keep)
                ledger.intent("host", name)
                # Whatever ends this run: a host that was not put back must not pass for clean.
                mark_dirty(machine, f"{leased.lease.owner} worked here, and did not end in order")
                ledger.created("host", name, leased.mark)
                memories.append((leased, memory))
            yield
        finally:
            undone = [(leased, begin(partial(_undo, leased, memory))) for leased, memory in memories]
            for leased, answer in undone:
                self._record_end(leased, answer, ledger)

    def _record_end(self, leased: Leased, undone: Future[list[str]], ledger: Ledger) -> None:
        """Wait until a host was put back, and record what became of it; not for long after a stop."""
        name = leased.host.host
        try:
            left = self._ending.finish(undone, f"host {name} to be put back")
        except HarnessError as error:  # the mark stays: the state of the host is unknown
            if isinstance(error, Canceled):
                leased.left_behind.set()
                undone.add_done_callback(lambda _: let_go(leased))
            ledger.event("host-not-restored", host=name, message=error.message)
            return
        if left:
            ledger.keep(f"host-{name}-dirty.txt", "\n".join(left).encode())
            ledger.event("host-dirty", host=name, differences=len(left), first=left[:5])
        ledger.removed("host", name)


def _undo(leased: Leased, memory: Memory) -> list[str]:
    """Undo what was done on a host, or mark it; a host that is another's now is left alone. Gives what is left.

    It goes by the machine of the lease: the cell's own ends with a stop, and its commands bear the mark of the cell.

    Raises:
        InfrastructureError: the host does not answer, or is another's.
    """
    machine = leased.lease.machine
    leased.lease.check()
    left = restore(machine, leased.host, memory)
    if left:
        mark_dirty(machine, "\n".join(left[:200]))
    else:
        unmark(machine)
    return left


def _journal(notes: Path, ledger: Ledger) -> None:
    with contextlib.suppress(HarnessError):
        journal_deeds(notes, ledger)


def _peers(role: str, leased: Leased, held: Mapping[str, Leased]) -> dict[str, str]:
    """Addresses of the hosts of other roles, where those are other hosts."""
    return {
        name: other.host.address
        for name, other in held.items()
        if name != role and other.host.address not in ("", leased.host.address)
    }
