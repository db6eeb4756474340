"""A center: 200 workers take 20,000 trivial cells of two campaigns from one queue; submitting and closing 10,000 cells;
the journal on PostgreSQL beside a raw insert loop; what an idle worker costs.

The workers are the real ones (``center.worker``), many in a process. Machines are scripted: a cell is claimed,
recorded with a result, and ended, in a thread of its worker's process. What a process for each cell takes is measured
beside it.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import psutil
import psycopg

from harness.campaigns.options import RunOptions
from harness.campaigns.running import close_campaign
from harness.center import process
from harness.center.queueing import Center
from harness.center.submitting import submit
from harness.center.worker import Worker, WorkerOptions
from harness.evidence import Workspace, tables
from harness.evidence.database import DatabaseJournal
from harness.evidence.reading import observation_row
from harness.issuing.outcome import Progress
from harness.model.records import AttemptFacts
from harness.model.results import Observation, Result, State, Verdict
from harness.reading.catalogue import Catalogue
from tests.databases import Cluster, cluster
from tests.products import WEB, product

WORKERS, PROCESSES, CELLS, CAMPAIGNS = 20, 2, 1_000, 2
#: Units that are written in turn by the journal and by a raw loop, and results of each.
UNITS, ROUNDS = 200, 5
IDLE_SECONDS = 60.0


def main() -> None:
    """Print figures, goals beside them."""
    with cluster(max_connections=1000) as server, tempfile.TemporaryDirectory() as scratch:
        url, root = server.database(), Path(scratch)
        os.environ["HARNESS_EVIDENCE"] = str(root / "evidence")
        center = Center(Workspace(root / "desk", url))
        _journal(center)
        _idle(url, root)
        submitted = [_submit(center, root, number) for number in range(CAMPAIGNS)]
        seconds = statistics.median(took for _, took in submitted)
        print(f"submitting {CELLS} cells: {seconds:.2f} s (goal 5)", flush=True)
        _throughput(server, url, root)
        began = time.perf_counter()
        finished = close_campaign(submitted[0][0], center.workspace, Progress())
        words = f"{time.perf_counter() - began:.2f} s, {finished.view.verdict.value}" if finished else "closed already"
        print(f"verifying, rendering and closing {CELLS} cells: {words} (goal 10)", flush=True)
        _processes(center, root)


def _submit(center: Center, scratch: Path, number: int) -> tuple[str, float]:
    axes = {"a": [f"a{n}" for n in range(100)], "b": [f"b{n}" for n in range(CELLS // 100)]}
    folder = product(scratch / f"p{number}", {**WEB, "application": f"p{number}"}, database=["none"], axes=axes)
    began = time.perf_counter()
    identity = submit(folder, center, RunOptions(), Catalogue.standard(), customer=f"customer {number}")
    return identity, time.perf_counter() - began


# --- 200 workers ---


def _throughput(server: Cluster, url: str, scratch: Path) -> None:
    words = (sys.executable, "-m", "tests.benchmarks.center", url, str(scratch))
    began = time.perf_counter()
    children = [
        subprocess.Popen([*words, str(number)], stdout=subprocess.PIPE, text=True) for number in range(PROCESSES)
    ]
    seen: list[tuple[float, int, float, float]] = []
    with psycopg.connect(url, autocommit=True) as connection:
        while any(child.poll() is None for child in children):
            time.sleep(2)
            row = connection.execute("SELECT count(*) FROM attempts WHERE state = 'done'").fetchone()
            done = int(row[0]) if row else 0
            used = sum(_memory(child.pid) for child in children if child.poll() is None)
            assert server.process is not None
            seen.append((time.perf_counter() - began, done, used, _memory(server.process.pid)))
    claims = sorted(second for child in children for second in json.loads(child.communicate()[0]))
    busy = [each for each in seen if 0 < each[1] < CELLS * CAMPAIGNS]
    quarter = max(1, len(busy) // 4)
    first, last = busy[quarter], busy[-1]
    rate = (last[1] - first[1]) / (last[0] - first[0])
    print(
        f"{WORKERS} workers, {CELLS * CAMPAIGNS} cells: {rate:.0f} cells/s (goal 100), after {busy[0][0]:.0f} s in "
        f"which they began; to take a cell: {1000 * claims[int(len(claims) * 0.99)]:.0f} ms (p99; goal 100), "
        f"{1000 * statistics.median(claims):.0f} ms (median); memory of workers {first[2]:.0f} to {last[2]:.0f} MiB, "
        f"of the database {first[3]:.0f} to {last[3]:.0f} MiB; {len(claims)} jobs, {seen[-1][1]} cells ended",
        flush=True,
    )


def _memory(root: int) -> float:
    """MiB that a process and those below it have for themselves."""
    with contextlib.suppress(psutil.Error):
        family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
        return float(sum(each.memory_full_info().uss for each in family)) / 2**20
    return 0.0


class Scripted(Worker):
    """Runs the cell in a thread."""

    times: ClassVar[list[float]] = []
    pool = ThreadPoolExecutor(WORKERS)

    async def _take(self, manager: Any) -> Any:
        began = time.perf_counter()
        job = await super()._take(manager)
        if job is not None:
            self.times.append(time.perf_counter() - began)
        return job

    async def _in_process(self, number: int, job: int, task: str, campaign: str, cell: str) -> tuple[int, str]:
        if not cell:  # the main process closes the campaigns, and says how long that takes
            return process.FAILED, "left open"
        await asyncio.get_running_loop().run_in_executor(self.pool, self._trivial, campaign, cell)
        return process.ENDED, ""

    def _trivial(self, campaign: str, cell: str) -> None:
        place = self.center.workspace
        with place.hold(campaign, cell) as held:
            number = place.journal.begin(campaign, cell, token=held.token)
            place.journal.state(campaign, cell, number, State.RUNNING, token=held.token)
            place.journal.observe(campaign, cell, number, _results(1), token=held.token)
            place.journal.finish(
                campaign,
                cell,
                number,
                verdict=Verdict.CONFORMANT,
                cause=None,
                message="",
                facts=AttemptFacts(),
                token=held.token,
            )


async def _workers(url: str, scratch: Path, process_number: int) -> None:
    made = []
    for number in range(WORKERS // PROCESSES):
        place = Workspace(scratch / f"ws-{process_number}-{number}", url)
        wanted = WorkerOptions(name=f"w-{process_number}-{number}", slots=1, options=RunOptions(), until_empty=True)
        made.append(Scripted(Center(place), wanted))
    await asyncio.gather(*(worker.run() for worker in made))
    print(json.dumps(Scripted.times))


def _processes(center: Center, root: Path) -> None:
    """Seconds of CPU that the process of a cell takes before it does anything: Python, imports, the plan."""
    before = os.times()
    words = ("cell", "20200101-000000", "none#00000000", str(root / "slot"), "w", "{}", str(os.getpid()))
    environment = os.environ | {"HARNESS_DATABASE_URL": center.url}
    for _ in range(ROUNDS):
        subprocess.run([sys.executable, *process.PROGRAM, *words], env=environment, capture_output=True, check=False)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"a process for each cell takes {used / ROUNDS:.2f} s of CPU beside that", flush=True)


# --- the journal, an idle worker ---


def _results(count: int, start: int = 0) -> list[Observation]:
    return [
        Observation(case=f"C-{start + n}", suite="checks", result=Result.PASS, detail="as it should be")
        for n in range(count)
    ]


def _journal(center: Center) -> None:
    """Units of results per second, by turns with a loop that inserts the same rows and commits."""
    journal = center.workspace.journal
    assert isinstance(journal, DatabaseJournal)
    for size in (1, 20):
        ours, raw = [], []
        for turn in range(ROUNDS):
            number = journal.begin(f"bench {size}", f"cell {turn}")
            began = time.perf_counter()
            for unit in range(UNITS):
                journal.observe(f"bench {size}", f"cell {turn}", number, _results(size, unit * size))
            ours.append(UNITS / (time.perf_counter() - began))
            raw.append(_raw(center.url, f"raw {size} {turn}", size))
        own, plain = statistics.median(ours), statistics.median(raw)
        print(
            f"units of {size} results: {own:.0f}/s by the journal, {plain:.0f}/s by a raw loop of the same rows with a "
            f"commit each; ratio {own / plain:.2f} (goal 0.7)",
            flush=True,
        )


def _raw(url: str, name: str, size: int) -> float:
    results, events = tables.observations, tables.events
    with psycopg.connect(url) as connection:
        began = time.perf_counter()
        for unit in range(UNITS):
            rows, notes = [], []
            for n, observation in enumerate(_results(size, unit * size)):
                plain = observation_row(observation)
                text = json.dumps(plain, sort_keys=True)
                place = {"campaign": name, "cell": "c", "number": 1, "seq": unit * size + n + 1}
                texts = {key: json.dumps(plain[key]) for key in ("measurements", "evidence")}
                rows.append({**place, **plain, **texts})
                notes.append(
                    {**place, "time": "2026", "kind": "observation", "data": text, "previous": "", "digest": ""}
                )
            with connection.cursor() as cursor:
                cursor.executemany(_insert(results.name, rows[0]), rows)
                cursor.executemany(_insert(events.name, notes[0]), notes)
            connection.commit()
        return UNITS / (time.perf_counter() - began)


def _insert(table: str, row: dict[str, Any]) -> bytes:
    names = ", ".join(f'"{name}"' for name in row)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join(f'%({name})s' for name in row)})".encode()


def _idle(url: str, scratch: Path) -> None:
    """Share of a core that a worker takes while the queue is empty."""
    words = (sys.executable, "-m", "harness", "worker", "--workspace", str(scratch / "idle"), "--name", "idle")
    child = subprocess.Popen(words, env=os.environ | {"HARNESS_DATABASE_URL": url}, stderr=subprocess.DEVNULL)
    try:
        time.sleep(10)  # it has begun
        before, began = psutil.Process(child.pid).cpu_times(), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        after = psutil.Process(child.pid).cpu_times()
        used = after.user + after.system - before.user - before.system
        share = 100 * used / (time.perf_counter() - began)
        print(f"an idle worker: {share:.2f} % of a core (goal 0.5)", flush=True)
    finally:
        child.terminate()
        child.wait(60)


if __name__ == "__main__":
    asyncio.run(_workers(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
