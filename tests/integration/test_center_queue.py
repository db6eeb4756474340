"""The queue of a center in a real PostgreSQL server: order, ownership, and ends; no cell is run."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from procrastinate.jobs import Job

from harness import __version__
from harness.campaigns.choosing import plan_of
from harness.campaigns.options import RunOptions
from harness.center import adopting, process, serving, submitting, watching
from harness.center.queueing import CANCELLED, CLOSED, PAUSED, QUEUED, Center, closing
from harness.center.serving import Serving
from harness.center.submitting import submit
from harness.center.sweeping import sweep_once
from harness.center.watching import queue_of
from harness.center.worker import TRIES, Worker, WorkerOptions
from harness.errors import DefinitionError, UsageError
from harness.evidence import Workspace, broken_at
from harness.reading.catalogue import Catalogue
from tests.databases import Cluster
from tests.products import WEB, product

CATALOGUE = Catalogue.standard()


@pytest.fixture
def center(server: Cluster, tmp_path: Path) -> Iterator[Center]:
    place = Workspace(tmp_path / "ws", server.database())
    yield Center(place)
    place.journal.close()


def put(center: Center, root: Path, name: str, *, priority: int = 0, cells: int = 3) -> str:
    """Queue a campaign of so many cells; gives its id."""
    databases = ["sqlite", "none", "postgresql", "mariadb"][:cells]
    folder = product(root / name, {**WEB, "application": name}, database=databases)
    return submit(folder, center, RunOptions(), CATALOGUE, customer=name, priority=priority)


def taken(center: Center, count: int) -> list[tuple[str, int, int]]:
    """Campaign, job and worker of the next jobs, as one worker that serves everything takes them."""

    async def take() -> list[tuple[str, int, int]]:
        app = center.app()
        async with app.open_async():
            worker = await app.job_manager.register_worker()
            jobs = [await app.job_manager.fetch_job(queues=None, worker_id=worker) for _ in range(count)]
            return [(str(job.task_kwargs["campaign"]), job.id or 0, worker) for job in jobs if job is not None]

    return asyncio.run(take())


def test_campaigns_of_a_priority_share_the_workers_and_a_higher_one_comes_first(center: Center, tmp_path: Path) -> None:
    large, small = put(center, tmp_path, "large", cells=4), put(center, tmp_path, "small", cells=2)
    urgent = put(center, tmp_path, "urgent", priority=5, cells=2)
    order = [campaign for campaign, _, _ in taken(center, 9)]
    assert order == [urgent, urgent, large, small, large, small, large, large]


def test_a_job_is_ended_and_given_back_by_its_own_worker_alone(center: Center, tmp_path: Path) -> None:
    campaign = put(center, tmp_path, "p", cells=1)
    ((_, job, worker),) = taken(center, 1)
    assert not center.end(job, worker + 1)
    assert not center.give_back(job, worker + 1)
    assert center.give_back(job, worker)
    assert not center.end(job, worker), "it is in the queue again, and nobody's"
    ((_, again, other),) = taken(center, 1)
    assert again == job
    assert not center.end(job, worker), "the worker that was thought dead ends nothing of the other's"
    assert center.end(job, other)
    assert not center.end(job, other)
    assert center.state(campaign) == QUEUED


def test_a_campaign_is_closed_once_whoever_asks(center: Center, tmp_path: Path) -> None:
    campaign = put(center, tmp_path, "p", cells=2)
    jobs = taken(center, 2)
    center.advance(campaign)
    assert closing(__version__) not in center.counts(), "two cells run"
    for _, job, worker in jobs:
        center.end(job, worker)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: center.advance(campaign), range(8)))
    assert center.counts()[closing(__version__)] == {"todo": 1}
    ((_, job, worker),) = taken(center, 1)
    sweep_once(center)
    assert center.counts()[closing(__version__)] == {"doing": 1}, "the job that runs is the only one"
    center.end(job, worker, failed=True)
    sweep_once(center)
    assert center.counts()[closing(__version__)] == {"todo": 1}, "a campaign that was not closed is tried again"


@pytest.fixture
def former(monkeypatch: pytest.MonkeyPatch) -> str:
    """A version that submits; this one is another."""
    monkeypatch.setattr(submitting, "__version__", "0.0.9")
    return "0.0.9"


def test_campaigns_of_another_version_are_run_when_they_are_adopted(
    center: Center, tmp_path: Path, former: str
) -> None:
    """One at a time, in each state; the jobs that close them go with them."""
    first, second, over = (put(center, tmp_path, name, cells=1) for name in ("a", "b", "c"))
    center.set_state(over, CLOSED, among=(QUEUED,))
    looks = Serving(center, RunOptions())
    assert looks.look() == []
    assert {queue.split("/")[0] for queue in looks.refused} == {first, second}
    assert {why.split(";")[0] for why in looks.refused.values()} == {
        f"it is for harness {former}, and this is {__version__}"
    }
    assert adopting.adopt(center, first) == former
    assert adopting.adopt(center, first) == __version__, "twice is once"
    assert [queue.split("/")[0] for queue in looks.look()] == [first]
    adopted = [json.loads(event.data) for event in center.journal.events(first) if event.kind == "adopted"]
    assert adopted == [{"former": former, "harness": __version__}]
    watching.cancel(center, second, now=False)
    assert center.counts()[closing(former)] == {"todo": 1}
    assert adopting.adoptable(center) == [second]
    assert adopting.adopt(center, second) == former
    assert closing(former) not in center.counts()
    assert center.counts()[closing(__version__)] == {"todo": 1}
    for campaign, why in ((over, "it is closed"), ("20200101-abcdef", "it was not submitted")):
        with pytest.raises(UsageError, match=why):
            adopting.adopt(center, campaign)
    assert broken_at(center.journal) is None


def test_a_campaign_that_this_version_reads_otherwise_is_not_adopted(
    center: Center, tmp_path: Path, former: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, other = put(center, tmp_path, "a", cells=1), put(center, tmp_path, "b", cells=1)
    plan = plan_of(tmp_path / "b")
    monkeypatch.setattr(adopting, "plan_of", lambda *_, **__: plan)
    with pytest.raises(UsageError, match=r"reads its definitions as another plan \([0-9a-f]{12}, not [0-9a-f]{12}\)"):
        adopting.adopt(center, campaign)
    assert adopting.adoptable(center) == sorted([campaign, other])
    assert {row["harness"] for row in center.submissions()} == {former}


def test_states_of_a_submission(center: Center, tmp_path: Path) -> None:
    first, second = put(center, tmp_path, "a"), put(center, tmp_path, "b")
    watching.pause(center, first)
    assert {queue.campaign for queue in center.queues()} == {second}
    assert center.state(first) == PAUSED
    with pytest.raises(UsageError, match="cannot be paused: it is paused"):
        watching.pause(center, first)
    watching.go_on(center, first)
    with pytest.raises(UsageError, match="cannot go on: it is queued"):
        watching.go_on(center, first)
    assert watching.cancel(center, first, now=False) == 0
    assert center.state(first) == CANCELLED
    assert {queue.split("/")[0] for queue in center.counts()} == {"close", second}
    with pytest.raises(UsageError, match="was not submitted"):
        watching.cancel(center, "20200101-abcdef", now=True)
    assert [row["campaign"] for row in queue_of(center)] == sorted([first, second])
    center.set_state(first, CLOSED, among=(CANCELLED,))
    assert [row["campaign"] for row in queue_of(center)] == [second]
    assert broken_at(center.journal) is None


def test_submitting_is_whole_or_nothing(center: Center, tmp_path: Path) -> None:
    folder = product(tmp_path / "p", {**WEB, "memory": "128m"})
    with pytest.raises(DefinitionError):
        submit(folder, center, RunOptions(), CATALOGUE)
    good = product(tmp_path / "q", WEB)
    failing: Any = center
    failing.cell_jobs = lambda *_: [object()]  # the queue refuses after the campaign was written
    with pytest.raises(AttributeError):
        submit(good, failing, RunOptions(), CATALOGUE)
    assert center.journal.campaigns() == []
    assert center.submissions() == []
    assert center.counts() == {}


def test_many_submit_at_once(center: Center, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        campaigns = list(pool.map(lambda n: put(center, tmp_path, f"p{n}", cells=2), range(12)))
    assert len(set(campaigns)) == 12
    assert sum(counts["todo"] for counts in center.counts().values()) == 24
    assert broken_at(center.journal) is None


def test_jobs_of_a_worker_that_is_silent_go_back(center: Center, tmp_path: Path) -> None:
    put(center, tmp_path, "p", cells=2)
    taken(center, 2)
    assert sweep_once(center, 3600) == []
    assert len(sweep_once(center, 0)) == 2
    assert sum(counts["todo"] for counts in center.counts().values()) == 2
    assert sweep_once(center, 0) == []


def test_a_cell_that_was_taken_before_a_cancel_and_claimed_after_it_is_asked_to_stop(
    center: Center, tmp_path: Path
) -> None:
    first, second = put(center, tmp_path, "a", cells=1), put(center, tmp_path, "b", cells=1)
    taken(center, 2)
    watching.cancel(center, first, now=False)
    claims = center.workspace.claims
    late, beside = claims.claim(first, "cell#00000001"), claims.claim(second, "cell#00000001")
    assert claims.cancelled(late) is None, "nobody was there to be asked"
    assert any(first in words for words in sweep_once(center, 3600))
    assert claims.cancelled(late) == "drain"
    assert claims.cancelled(beside) is None
    assert sweep_once(center, 3600) == []
    claims.release(late)
    claims.release(beside)


def test_a_queue_that_was_refused_is_looked_at_again(
    center: Center, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the engine of a worker is started after the worker."""
    campaign = put(center, tmp_path, "p", cells=1)
    looks = Serving(center, RunOptions())
    monkeypatch.setattr(looks, "_obstacle", lambda *_: "no engine")
    assert looks.look() == []
    monkeypatch.setattr(looks, "_obstacle", lambda *_: "")
    assert looks.look() == [], "not each time"
    monkeypatch.setattr(serving, "AGAIN_SECONDS", 0.0)
    assert [queue.split("/")[0] for queue in looks.look()] == [campaign]


def test_a_cell_is_given_up_for_failures_alone_and_not_for_waits(center: Center, tmp_path: Path) -> None:
    """A store that is away sends a cell back into the queue, as often as it takes; two cells, each for itself."""
    campaign = put(center, tmp_path, "p", cells=2)
    worker = Worker(center, WorkerOptions(name="w", slots=1, options=RunOptions()))

    async def take() -> Job:
        async with center.app().open_async() as app:
            worker.identity = await app.job_manager.register_worker()
            job = await app.job_manager.fetch_job(queues=None, worker_id=worker.identity)
        assert job is not None
        return job

    def account(code: int) -> None:
        due = "UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'"
        center.journal.transact("making jobs due", lambda unit: unit.connection.exec_driver_sql(due))
        job = asyncio.run(take())
        worker._account(job, campaign, str(job.task_kwargs["cell"]), code, "it printed this")

    for _ in range(2 * TRIES):
        account(process.LATER)
    assert sum(counts.get("todo", 0) for counts in center.counts().values()) == 2
    for number in range(2 * TRIES):
        assert sum(counts.get("todo", 0) for counts in center.counts().values()) > 0, number
        account(process.FAILED)
    assert [queue for queue in center.counts() if not queue.startswith("close")] == []
    kinds = Counter((event.kind, event.cell) for event in center.journal.events(campaign) if event.cell)
    assert sorted(kinds.values()) == [1, 1, TRIES, TRIES]
