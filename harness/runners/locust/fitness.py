"""What a load's machine did beside it: pressure, run queue, dropped frames. Recorded with every load, and quoted where
a load says nothing of the product.

Pressure alone excuses nothing: a product that is busy presses as hard as foreign work does (Linux, Documentation/
accounting/psi.rst). What tells them apart is in ``figures.saturated``.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

PRESSURE, QUEUE = Path("/proc/pressure"), Path("/proc/loadavg")
#: Seconds between two looks at the run queue.
INTERVAL = 0.5


class Watch:
    """Looks at this machine while a load runs: ``with Watch() as watch: …``, then ``watch.facts``.

    ``facts``: percent of the time in which some task waited for ``cpu``, ``memory`` or ``io`` (absent where the kernel
    keeps no pressure), the mean and the largest ``run queue`` in tasks beside the look itself, ``cpus``, and network
    frames that were ``dropped``.
    """

    def __init__(self) -> None:
        self.facts: dict[str, float] = {}
        self._queue: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="fitness", daemon=True)

    def __enter__(self) -> Watch:
        self._began, self._stalled, self._dropped = time.monotonic(), _stalled(), _dropped()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        seconds = max(time.monotonic() - self._began, 0.001)
        after = _stalled()
        self.facts = {
            f"{name} pressure": round(100 * (after[name] - before) / 1e6 / seconds, 1)
            for name, before in self._stalled.items()
            if name in after
        }
        if self._queue:
            self.facts |= {
                "run queue": round(statistics.fmean(self._queue), 1),
                "largest run queue": max(self._queue),
            }
        self.facts |= {"cpus": psutil.cpu_count() or 1, "dropped": _dropped() - self._dropped}

    def _loop(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                running = QUEUE.read_text().split()[3].partition("/")[0]
                self._queue.append(max(0, int(running) - 1))
            except (OSError, ValueError, IndexError):
                return


def words(facts: Mapping[str, Any]) -> str:
    """The facts of a ``Watch`` for a sentence: ``CPU pressure 81 %, 5.2 tasks for 2 CPUs``; empty without any."""
    parts = []
    if "cpu pressure" in facts:
        parts.append(f"CPU pressure {facts['cpu pressure']:.0f} %")
    if "run queue" in facts:
        parts.append(f"{facts['run queue']:g} tasks for {facts['cpus']} CPUs")
    parts += [
        f"{name} pressure {facts[f'{name} pressure']:.0f} %"
        for name in ("memory", "io")
        if facts.get(f"{name} pressure", 0) >= 10
    ]
    if facts.get("dropped"):
        parts.append(f"{facts['dropped']} network frames dropped")
    return ", ".join(parts)


def _stalled() -> dict[str, float]:
    """Microseconds since the machine was started in which some task waited, by resource."""
    totals = {}
    for name in ("cpu", "memory", "io"):
        try:
            some = (PRESSURE / name).read_text().splitlines()[0]
            totals[name] = float(some.rpartition("total=")[2])
        except (OSError, ValueError, IndexError):
            continue
    return totals


def _dropped() -> int:
    counters = psutil.net_io_counters()
    return int(counters.dropin + counters.dropout) if counters is not None else 0
