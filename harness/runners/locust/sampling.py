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
    #: Seconds, MiB/s to and from disks, MiB/s over networks; None where that cannot be seen.
    transfers: list[tuple[float, float | None, float | None]] = field(default_factory=list)
    interval: float = INTERVAL  #: seconds between two looks

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
        while not self._stop.wait(self.interval):
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
                moment, seconds = round(now - began, 2), now - before[0]
                self.samples.append((moment, round(cpu, 1), round(used.memory, 2)))
                disk, network = (
                    None if new is None or old is None else round(max(new - old, 0.0) / seconds, 4)
                    for new, old in ((used.disk, before[1].disk), (used.network, before[1].network))
                )
                self.transfers.append((moment, disk, network))
            before = (now, used)
