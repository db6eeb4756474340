"""Resource use of the product's processes, sampled on this machine beside a load."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import psutil

from harness.errors import HarnessError
from harness.machines import ContainerMachine

INTERVAL = 0.5
REFRESH = 2.0


@dataclass
class Sampler:
    """Samples CPU (percent of one core) and resident memory (MiB) of all processes of a container.

    On emulated targets these are the emulator's processes. Where the engine runs on another machine its process
    ids mean nothing here: then nothing is sampled, and ``samples`` stays empty.
    """

    machine: ContainerMachine
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
        known: dict[int, psutil.Process] = {}
        refreshed = 0.0
        began = time.monotonic()
        while not self._stop.wait(INTERVAL):
            now = time.monotonic()
            if now - refreshed > REFRESH:
                try:
                    pids = {pid for pid, _ in self.machine.host_processes()}
                except HarnessError:
                    continue
                refreshed = now
                for pid in pids - known.keys():
                    try:
                        known[pid] = psutil.Process(pid)
                        known[pid].cpu_percent()  # the first call only sets the mark
                    except psutil.Error:
                        known.pop(pid, None)
                for pid in known.keys() - pids:
                    del known[pid]
            cpu = memory = 0.0
            alive = 0
            for process in list(known.values()):
                try:
                    cpu += process.cpu_percent()
                    memory += process.memory_info().rss / 2**20
                    alive += 1
                except psutil.Error:
                    continue
            if alive:
                self.samples.append((round(now - began, 2), round(cpu, 1), round(memory, 1)))
