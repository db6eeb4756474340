"""Resource use of the product's machine, sampled beside a load."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from harness.errors import HarnessError
from harness.model.machine import Machine, Resources

INTERVAL = 0.5


@dataclass
class Sampler:
    """Samples CPU (percent of one core) and memory (MiB) of a machine's programs.

    Where the machine cannot tell (an engine elsewhere), nothing is sampled and ``samples`` stays empty.
    """

    machine: Machine
    samples: list[tuple[float, float, float]] = field(default_factory=list)  #: seconds, CPU %, MiB

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _loop(self) -> None:
        before: tuple[float, Resources] | None = None
        began = time.monotonic()
        while not self._stop.wait(INTERVAL):
            try:
                used = self.machine.resources()
            except HarnessError:
                continue
            now = time.monotonic()
            if used is None:
                before = None
                continue
            if before is not None:
                cpu = 100 * max(used.cpu - before[1].cpu, 0.0) / (now - before[0])
                self.samples.append((round(now - began, 2), round(cpu, 1), round(used.memory, 1)))
            before = (now, used)
