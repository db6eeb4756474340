"""Restarts of machines with a kernel of their own that no suite of their cell asked for."""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.machine import Machine
from harness.model.verbs import restart_was_asked

#: Linux draws it anew at each start (random(4)); a machine that is restored from a snapshot keeps it.
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class BootWatch:
    """Compares the boots of a cell's machines with those at its beginning. ``machines``: by role."""

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._machines = {machine.name: (role, machine) for role, machine in machines.items()}
        self._before = {name: _boot_of(machine) for name, (_, machine) in self._machines.items()}

    def restarts(self) -> list[str]:
        """Machines that were restarted, in words; empty for none, and for restarts by a suite's ``reboot``.

        Raises:
            InfrastructureError: a machine does not answer.
        """
        words = []
        for name, (role, machine) in self._machines.items():
            before, now = self._before[name], _boot_of(machine)
            if not before or not now or now == before or restart_was_asked(machine.reference.deeds, name, now):
                continue
            words.append(
                f"the machine of {role} ({name}) was restarted: it runs boot {now[:8]}, and began with {before[:8]}"
            )
        return words

    def disturbances(self, since: float) -> list[str]:
        """As ``Machines.disturbances``: a restart tells no moment, so those since the beginning are named."""
        return self.restarts()


def _boot_of(machine: Machine) -> str:
    """The id of a machine's boot; empty where it has none."""
    return machine.run(f"cat {BOOT_ID} 2>/dev/null || true", timeout=60).out.strip()
