"""Puts a host back after the cell that worked there, by whichever controller, and takes the mark off it."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass

from harness.hosts.inventory import Inventory
from harness.hosts.leases import Lease, mark_dirty, reason_of, unmark
from harness.hosts.reaching import machine_of
from harness.hosts.undoing import forget, recall, restore


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """``reason``: why the host was marked, empty where it was not. ``differences``: what could not be undone."""

    reason: str
    differences: tuple[str, ...] = ()
    restored: bool = False  #: by what the host itself knew of its state before


def clean(inventory: Inventory, name: str, *, accept: bool = False) -> Cleaned:
    """Undo what the last cell did on host ``name``; with ``accept`` take the host as it is.

    A host of which nothing is known any more is taken as it is, too.

    Raises:
        HostBusy: a cell has it, or the lease of a controller that was killed is not over yet.
        InfrastructureError: it does not answer.
        UsageError: there is no such host.
    """
    host = inventory.host(name)
    machine = machine_of(inventory, host)
    lease = Lease(machine_of(inventory, host), f"clean/{_user()}@{socket.gethostname()}/{os.getpid()}", dirty_too=True)
    try:
        lease.take()
        try:
            reason = reason_of(machine)
            memory = None if accept else recall(machine)
            differences = restore(machine, host, memory) if memory is not None else []
            if differences:
                mark_dirty(machine, "\n".join(differences[:200]))
            else:
                unmark(machine)
                forget(machine)
        finally:
            lease.release()
    finally:
        lease.machine.close()
        machine.close()
    return Cleaned(reason=reason, differences=tuple(differences), restored=memory is not None)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account that has no name
        return str(os.getuid())
