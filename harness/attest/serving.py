"""How this machine can serve a CPU class, or why it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.attest.architecture import host_architecture
from harness.model.definitions import Cpu
from harness.model.results import Fidelity

CPUINFO = Path("/proc/cpuinfo")
#: The lines of /proc/cpuinfo that are read: the first processor, and on some architectures a block before it.
LINES = 60


@dataclass(frozen=True, kw_only=True)
class Service:
    """The way to serve a target. ``fidelity`` is None where there is none; ``by`` names the way, or says why not."""

    fidelity: Fidelity | None
    by: str


def serving(cpu: Cpu, architecture: str | None = None, ids: Mapping[str, str] | None = None) -> Service:
    """What serves ``cpu`` on a machine (this one where none is described) with that architecture and those ids.

    A native container shows programs the CPU of its host and no other, so a class with ids is served only by a host
    that shows them.
    """
    if cpu.obstacle:
        return Service(fidelity=None, by=cpu.obstacle)
    if cpu.architecture != (architecture or host_architecture()):
        if cpu.ids and cpu.emulation.user is None:
            return Service(fidelity=None, by="QEMU has no model of it: it needs a host of that kind")
        return Service(fidelity=Fidelity.USER_EMULATED, by=f"qemu-user {cpu.emulation.user or 'default model'}")
    for key, declared, shown in differing_ids(cpu, host_ids() if ids is None else ids):
        return Service(
            fidelity=None,
            by=f"this machine's CPU shows {key} {shown or 'nothing'}, not {declared}: "
            "a container would show that CPU; it needs a host of that kind",
        )
    return Service(fidelity=Fidelity.CONTAINER, by="this machine")


def host_ids() -> dict[str, str]:
    """Lines of this machine's /proc/cpuinfo."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    ids: dict[str, str] = {}
    for line in text.splitlines()[:LINES]:
        key, colon, value = line.partition(":")
        if colon:
            ids.setdefault(key.strip(), value.strip())
    return ids


def differing_ids(cpu: Cpu, host_values: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """``(key, declared, shown)`` of each id that differs. A declared id is a prefix of the shown one: the rest of a
    model's name differs between parts of one class."""
    return [
        (key, declared, host_values.get(key, ""))
        for key, declared in cpu.ids.items()
        if not host_values.get(key, "").startswith(declared)
    ]
