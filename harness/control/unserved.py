"""A product that nothing starts: its tasks run and end, and nothing of it stays."""

from __future__ import annotations

from dataclasses import dataclass

from harness.control.ends import End
from harness.control.supervised import BEGAN, RUN
from harness.errors import InfrastructureError
from harness.model.context import CellContext
from harness.model.machine import Machine


@dataclass
class Unserved:
    """Implements ``Control`` for it: there is no process that could end, be ended, or say anything."""

    context: CellContext
    machine: Machine

    def install(self) -> None:
        answer = self.machine.run(f"mkdir -p {RUN} && {{ [ -e {BEGAN} ] || : >{BEGAN}; }}", timeout=60)
        if not answer.ok:
            raise InfrastructureError(
                f"{self.machine.name}: {RUN} cannot be written: {answer.text[-300:]}", advice="check the machine's disk"
            )

    def start(self) -> bool:
        return True

    def exit_code(self) -> int | None:
        return None

    def pid(self) -> int:
        return 0

    def running(self) -> bool:
        return False

    def log(self, lines: int) -> str:  # nothing of it prints
        return ""

    def stop(self, seconds: float) -> tuple[float, int | None]:  # nothing of it runs
        return 0.0, 0

    def kill(self) -> bool:
        return True

    def asked(self) -> None:
        pass

    def ends(self) -> list[End]:
        return []

    def said(self, start: str, lines: int) -> str:  # there is no start
        return ""

    def left(self) -> list[str]:
        return []

    def listening(self) -> str:
        return ""

    def group(self) -> str:
        return ""

    def remove(self) -> None:
        """What it wrote lies in the harness's own folder, which goes with the cell."""
