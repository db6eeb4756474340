"""What turns cost cells that have no load: 16 stub cells on 4 threads, with turns and without."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.system.turns import Turns
from harness.system.waiting import QUIET, Waiting

CELLS, THREADS = 16, 4
#: Stages of a cell without a load, as ``run_cell`` takes turns for them: scan, work, end and collect, teardown.
STAGE_SECONDS = (0.01, 0.06, 0.02, 0.01)
ROUNDS = 9
BAR = 1.05


class NoTurns(Turns):
    """Everybody goes on at once."""

    @contextlib.contextmanager
    def shared(self, waiting: Waiting = QUIET) -> Iterator[None]:
        yield


def main() -> None:
    """Print seconds of both, interleaved, and their ratio; bar: at most 1.05."""
    with tempfile.TemporaryDirectory() as place:
        kinds = {"without turns": NoTurns(), "with turns": Turns(Path(place) / "machine")}
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):
            for name, turns in kinds.items():
                seconds[name].append(_cells(turns))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:14} {median:6.3f} s for {CELLS} cells on {THREADS} threads")
    ratio = medians["with turns"] / medians["without turns"]
    print(f"ratio {ratio:.3f}, bar {BAR}: {'met' if ratio <= BAR else 'NOT met'}")


def _cells(turns: Turns) -> float:
    def cell(number: int) -> None:
        for stage in STAGE_SECONDS:
            with turns.shared(Waiting(who=f"cell {number}")):
                time.sleep(stage)

    started = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(cell, range(CELLS)))
    return time.monotonic() - started
