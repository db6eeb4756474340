"""A center: 200 workers take 20,000 trivial cells of two campaigns from one queue; submitting and rendering 10,000 cells;
the journal on PostgreSQL beside a raw insert loop; what an idle worker costs.

The workers are the real ones (``center.worker``), many in a process. Machines are scripted: a cell is claimed, recorded
with a result, and closed, in a thread of its worker's process. What a process for each cell costs is measured beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg

from harness.campaigns import RunOptions
from harness.center import Center, Worker, WorkerOptions, process, submit
from harness.evidence import Workspace
from harness.model.records import AttemptFacts
from harness.model.results import Observation, Result, State, Verdict
from harness.reading.catalogue import Catalogue
from tests.databases import Cluster, cluster
from tests.products import WEB, product

WORKERS, PROCESSES, CELLS, CAMPAIGNS = 20, 2, 1_000, 2


def main() -> None:
    """Print figures, goals beside them."""
    with cluster(max_connections=1000) as server, tempfile.TemporaryDirectory() as scratch:
        url = server.database()
        os.environ["HARNESS_EVIDENCE"] = str(Path(scratch) / "evidence")
        center = Center(Workspace(Path(scratch) / "desk", url))
        seconds = [_submit(center, Path(scratch), number) for number in range(CAMPAIGNS)]
        print(f"submitting {CELLS} cells: {statistics.median(seconds):.2f} s (goal 5)", flush=True)
        _throughput(server, url, Path(scratch))


def _submit(center: Center, scratch: Path, number: int) -> float:
    axes = {"a": [f"a{n}" for n in range(100)], "b": [f"b{n}" for n in range(CELLS // 100)]}
    folder = product(scratch / f"p{number}", {**WEB, "application": f"p{number}"}, database=["none"], axes=axes)
    began = time.perf_counter()
    submit(folder, center, RunOptions(), Catalogue.standard(), customer=f"customer {number}")
    return time.perf_counter() - began


def _throughput(server: Cluster, url: str, scratch: Path) -> None:
    words = (sys.executable, "-m", "tests.benchmarks.center", url, str(scratch))
    children = [
        subprocess.Popen([*words, str(number)], stdout=subprocess.PIPE, text=True) for number in range(PROCESSES)
    ]
    began = time.perf_counter()
    memory = []
    while any(child.poll() is None for child in children):
        time.sleep(5)
        with psycopg.connect(url, autocommit=True) as connection:
            done = connection.execute("SELECT count(*) FROM attempts WHERE state = 'done'").fetchone()
        used = sum(_memory(child.pid) for child in children if child.poll() is None), _memory(server.process.pid)
        memory.append(used)
        print(f"{time.perf_counter() - began:.0f} s: {done[0]} cells; {used[0]:.0f} + {used[1]:.0f} MiB", flush=True)
    for child in children:
        print(child.stdout.read())


def _memory(root: int) -> float:
    """MiB that a process and those below it have for themselves."""
    with contextlib.suppress(psutil.Error):
        family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
        return sum(each.memory_full_info().uss for each in family) / 2**20
    return 0.0


class Scripted(Worker):
    """Runs the cell in a thread."""

    times: list[float] = []
    pool = ThreadPoolExecutor(WORKERS)

    async def _take(self, manager: Any) -> Any:
        began = time.perf_counter()
        job = await super()._take(manager)
        if job is not None:
            self.times.append(time.perf_counter() - began)
        return job

    async def _in_process(self, number: int, job: int, task: str, campaign: str, cell: str) -> tuple[int, str]:
        await asyncio.get_running_loop().run_in_executor(self.pool, self._trivial, campaign, cell)
        return process.ENDED, ""

    def _trivial(self, campaign: str, cell: str) -> None:
        if not cell:
            return
        place = self.center.workspace
        with place.hold(campaign, cell) as held:
            number = place.journal.begin(campaign, cell, token=held.token)
            place.journal.state(campaign, cell, number, State.RUNNING, token=held.token)
            seen = [Observation(case="C-1", suite="checks", result=Result.PASS)]
            place.journal.observe(campaign, cell, number, seen, token=held.token)
            end = {"verdict": Verdict.CONFORMANT, "cause": None, "message": "", "facts": AttemptFacts()}
            place.journal.finish(campaign, cell, number, **end, token=held.token)


async def _workers(url: str, scratch: Path, process_number: int) -> None:
    made = []
    for number in range(WORKERS // PROCESSES):
        place = Workspace(scratch / f"ws-{process_number}-{number}", url)
        wanted = WorkerOptions(name=f"w-{process_number}-{number}", slots=1, options=RunOptions(), until_empty=True)
        made.append(Scripted(Center(place), wanted))
    await asyncio.gather(*(worker.run() for worker in made))
    print(made[0].serving.answers)
    times = sorted(Scripted.times) or [0]
    print(json.dumps({"claims": len(times), "p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)]}))


if __name__ == "__main__":
    asyncio.run(_workers(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
