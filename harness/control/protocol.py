"""Ways to start, watch and end a product: under our own supervision, alone or as several services, by systemd, by
compose."""

from __future__ import annotations

from typing import Protocol

from harness.control.compose import Compose
from harness.control.ends import End
from harness.control.several import Several
from harness.control.supervised import LOG, RUN, Process, Supervised
from harness.control.systemd import Systemd
from harness.control.unserved import Unserved
from harness.errors import AttestationMismatch
from harness.model.context import CellContext
from harness.model.machine import Machine

__all__ = ["LOG", "RUN", "Control", "control_of"]


class Control(Protocol):
    """One start follows another; what is asked concerns the present one. All raise InfrastructureError where the
    machine does not answer, and the first two ProductFault where the product cannot even be started."""

    def install(self) -> None:
        """Write what starts and watches the product.

        Raises:
            ProductFault: the installed product lacks what it is started by.
            InfrastructureError: the machine does not answer.
        """
        ...

    def start(self) -> bool:
        """Start it; whether its process is there within the first second."""
        ...

    def exit_code(self) -> int | None:
        """How it ended (128 + signal for one that was killed); None while it runs or was never started."""
        ...

    def pid(self) -> int:
        """Its process id inside the machine; 0 where there is none."""
        ...

    def running(self) -> bool:
        """Whether its first process runs."""
        ...

    def log(self, lines: int) -> str:
        """Tail of its output."""
        ...

    def stop(self, seconds: float) -> tuple[float, int | None]:
        """End it in order; gives the seconds that took and its status, None where it did not end within ``seconds``."""
        ...

    def kill(self) -> bool:
        """SIGKILL; whether it is gone."""
        ...

    def asked(self) -> None:
        """Note that the end which follows is asked for: the caller is about to end the product by other means."""
        ...

    def ends(self) -> list[End]:
        """Every end of this attempt that nobody asked for, those before which the product was started again too; by
        time."""
        ...

    def said(self, start: str, lines: int) -> str:
        """The last lines that the product printed in one of its starts (``End.start``)."""
        ...

    def left(self) -> list[str]:
        """Command lines of what the product started and still runs, whether or not its first process does."""
        ...

    def listening(self) -> str:
        """The kernel's tables of TCP sockets, with a line ``socket INODE`` for each of the product's own where they are
        known, ``member PID`` for each process that was asked for them, ``hidden PID`` for each that may not be looked
        into, and ``has-ipv6`` where the machine has IPv6."""
        ...

    def group(self) -> str:
        """What no process of the product leaves by itself: its cgroup, or in words what sees to that; empty where it
        has none of its own."""
        ...

    def remove(self) -> None:
        """Take away what ``install`` and ``start`` put on the machine beside the product."""
        ...


def control_of(context: CellContext, machine: Machine) -> Control:
    """The way that the application asks for, of those that the machine offers.

    Raises:
        AttestationMismatch: it offers none.
        InfrastructureError: it does not answer.
    """
    application = context.application
    if not application.serves:
        return Unserved(context, machine)
    if application.compose is not None:
        return Compose(context, machine, application.compose)
    if application.services:
        return Several(context, machine)
    if application.service is None:
        return Supervised(context, machine, Process.of(application))
    if machine.run("test -d /run/systemd/system", timeout=30).ok:
        return Systemd(context, machine, application.service)
    if application.start is None:
        raise AttestationMismatch(
            f"{machine.name} runs no systemd, which starts the product's service {application.service}",
            advice="take a machine with systemd (prefer: [vm], or such a host), or give `start` as well",
        )
    return Supervised(context, machine, Process.of(application))
