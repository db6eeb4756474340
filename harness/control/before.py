"""What ran on a machine before the product came, and is none of the product's: known again after a restart too."""

from __future__ import annotations

import hashlib

from harness.model.context import RanBefore
from harness.model.machine import Machine
from harness.provision.boots import BOOT_ID


def ran_before(machine: Machine) -> RanBefore:
    """What runs there now. Raises InfrastructureError where the machine does not say."""
    return RanBefore(boot=_boot_of(machine), lines={pid: _digest(args) for pid, args in machine.processes().items()})


def older(before: RanBefore, machine: Machine, processes: dict[int, str]) -> set[int]:
    """Those of ``processes``, as they are now, that ran before the product came. After a restart of the machine they
    have other ids, and are known by their command lines.

    Raises:
        InfrastructureError: the machine does not answer.
    """
    if not before.lines:
        return set()
    boot = _boot_of(machine)
    if not boot or not before.boot or boot == before.boot:
        return processes.keys() & before.lines.keys()
    lines = set(before.lines.values())
    return {pid for pid, args in processes.items() if _digest(args) in lines}


def _boot_of(machine: Machine) -> str:
    """The id of the machine's boot; empty where it has none."""
    return machine.run(f"cat {BOOT_ID} 2>/dev/null || true", timeout=60).out.strip()


def _digest(args: str) -> str:
    """A command line may hold a secret of the host, and what suites know of a cell must not."""
    return hashlib.sha256(args.encode(errors="surrogateescape")).hexdigest()[:16]
