"""Leases lab hosts for the roles of a cell, without two cells ever waiting for each other."""

from __future__ import annotations

import contextlib
import functools
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from harness.errors import Canceled, InfrastructureError, StepTimeout
from harness.hosts.inventory import Inventory
from harness.hosts.leases import HostBusy, HostDirty, Lease
from harness.hosts.local import LocalMachine
from harness.hosts.reaching import machine_of
from harness.hosts.ssh import SshMachine
from harness.model.definitions import Cpu, Host, Os
from harness.model.ledger import Ledger
from harness.provision.provisioner import APPLICATION, Owner, Role
from harness.system.abandoning import begin, settled
from harness.system.wait import wait_until
from harness.system.waiting import Notice, Waiting

T = TypeVar("T")

#: How often a host that others have is asked for, and a wait looks whether it was stopped.
ASK_SECONDS, LOOK_SECONDS = 2.0, 0.2


def fitting(inventory: Inventory | None, os: Os, cpu: Cpu) -> list[Host]:
    """Hosts whose labels name that system and CPU class."""
    hosts = inventory.hosts.hosts if inventory is not None else ()
    return [host for host in hosts if host.labels.get("os") == os.os and host.labels.get("cpu") == cpu.cpu]


@dataclass(frozen=True)
class Leased:
    """A host that a cell has for itself; ``mark`` is in the environment of every command of the cell there.

    A stop ends what waits for an answer to ``machine`` at once; the machine of ``lease`` works on until it is closed.
    """

    host: Host
    machine: SshMachine | LocalMachine
    lease: Lease
    mark: str
    #: Set where the host is still being put back when the campaign ends: then the lease is left to end by itself.
    left_behind: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Ending:
    """How long hosts that do not come to an end are waited for after a stop: ``seconds`` from the stop on, for all
    hosts of a campaign together. What is not over then goes on there, and the mark of a host that was not put back
    stays on it."""

    cancel: threading.Event
    seconds: float = 6.0
    _seen: list[float] = field(default_factory=list)  #: when the stop was seen first, on the monotonic clock

    def finish(self, work: Future[T], what: str) -> T:
        """Wait for work that was begun.

        Raises:
            Canceled: it was not over in time.
            Exception: what the work raises.
        """
        return settled(work, what=what, stopped=self._over)

    def _over(self) -> bool:
        if not self.cancel.is_set():
            return False
        if not self._seen:
            self._seen.append(time.monotonic())
        return time.monotonic() - self._seen[0] > self.seconds


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked of the hosts: for whom, how long others are waited for (seconds), and what ends the wait."""

    inventory: Inventory
    names: Owner
    waiting: Waiting
    cancel: threading.Event
    patience: float
    ending: Ending

    @property
    def owner(self) -> str:
        """Campaign, cell and attempt, as a lease names them."""
        return f"{self.names.campaign}/{self.names.cell}/{self.names.attempt}"

    def stopped(self) -> bool:
        """Whether nothing more is to be waited for."""
        return self.cancel.is_set() or self.waiting.stopped()


@contextlib.contextmanager
def leased_for(roles: Sequence[Role], wish: Wish, ledger: Ledger) -> Iterator[dict[str, Leased]]:
    """A host for each role, by the role's name; a role that shares the product's host is left out.

    A server gets a host of its own where another that fits is free, else it shares one that the cell has. Hosts of
    different kinds are taken in one order by every cell, and nobody waits for a second one of a kind: so no two cells
    wait for each other.

    Raises:
        InfrastructureError: every fitting host is unreachable or dirty, or stayed in use too long.
        Canceled: the wait was stopped.
    """
    with contextlib.ExitStack() as stack:
        held: dict[str, Leased] = {}
        for role in sorted(roles, key=lambda role: (role.os.os, role.cpu.cpu, role.name != APPLICATION, role.name)):
            fit = fitting(wish.inventory, role.os, role.cpu)
            taken = {leased.host.host for leased in held.values()}
            shares = next((name for name, leased in held.items() if leased.host in fit), None)
            candidates = [host for host in fit if host.host not in taken]
            try:
                held[role.name] = stack.enter_context(
                    lease_one(role, candidates, wish, ledger, patience=0.0 if shares else wish.patience)
                )
            except InfrastructureError as error:
                if shares is None:
                    raise
                host = held[shares].host.host
                ledger.event("host-shared", role=role.name, host=host, reason=error.message)
                if candidates:
                    wish.waiting.notify(f"the {role.name} shares host {host}: {error.message}")
                if shares != APPLICATION:
                    held[role.name] = held[shares]
        yield held


@contextlib.contextmanager
def lease_one(
    role: Role, candidates: Sequence[Host], wish: Wish, ledger: Ledger, *, patience: float
) -> Iterator[Leased]:
    """One of the candidates, leased; released at the end. Raises as ``leased_for``."""
    leased = _wait_for(role, candidates, wish, patience)
    try:
        ledger.event("lease", host=leased.host.host, owner=leased.lease.owner, token=leased.lease.token)
        yield leased
    finally:
        if not leased.left_behind.is_set():
            with contextlib.suppress(Canceled):  # the lease is over by itself then
                wish.ending.finish(
                    begin(functools.partial(let_go, leased)), f"host {leased.host.host} to be given back"
                )


def _wait_for(role: Role, candidates: Sequence[Host], wish: Wish, patience: float) -> Leased:
    if not candidates:
        labels = f"cpu: {role.cpu.cpu}, os: {role.os.os}"
        raise InfrastructureError(f"no further host is labelled {labels}", advice="see: harness hosts list")
    end = time.monotonic() + patience
    notice = Notice(wish.waiting)
    while True:
        trouble: list[InfrastructureError] = []
        for host in candidates:
            if wish.stopped():
                raise Canceled("stopped while waiting for a lab host")
            try:
                return _take(host, wish)
            except InfrastructureError as error:
                trouble.append(error)
        busy = [error for error in trouble if isinstance(error, HostBusy)]
        if not busy or time.monotonic() >= end:
            raise next((error for error in trouble if isinstance(error, HostDirty)), trouble[0])
        notice.look(functools.partial(_words, busy))
        with contextlib.suppress(StepTimeout):
            wait_until(
                wish.stopped,
                seconds=min(ASK_SECONDS, max(end - time.monotonic(), 0.01)),
                what="a lab host",
                longest=LOOK_SECONDS,
            )


def _take(host: Host, wish: Wish) -> Leased:
    """Lease a host; a stop does not wait for one that does not answer.

    Raises:
        InfrastructureError: as ``Lease.take``.
        Canceled: the wait was stopped. A lease that comes later is given back.
    """
    mark = secrets.token_hex(8)
    lease = Lease(machine_of(wish.inventory, host), wish.owner)
    answer = begin(lease.take)
    try:
        settled(answer, what=f"a lease of host {host.host}", stopped=wish.stopped)
    except Canceled:
        answer.add_done_callback(lambda late: _give_back(late, lease))
        raise
    except InfrastructureError:
        lease.machine.close()
        raise
    return Leased(host, machine_of(wish.inventory, host, mark, cancel=wish.cancel), lease, mark)


def _give_back(answer: Future[None], lease: Lease) -> None:
    if answer.exception() is None:
        lease.release()
    lease.machine.close()


def let_go(leased: Leased) -> None:
    """Give a leased host back. Nothing is raised: a lease that nobody renews is over by itself."""
    leased.lease.release()
    leased.lease.machine.close()
    leased.machine.close()


def _words(busy: Sequence[InfrastructureError]) -> str:
    return f"a lab host: {'; '.join(error.message for error in busy)}"
