"""Limits of customers in the queue of a real PostgreSQL server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.campaigns.options import RunOptions
from harness.center.limiting import full, limit, limits
from harness.center.queueing import Center
from harness.center.submitting import submit
from harness.evidence import Workspace, broken_at
from harness.reading.catalogue import Catalogue
from tests.databases import Cluster
from tests.products import WEB, product


@pytest.fixture
def center(server: Cluster, tmp_path: Path) -> Iterator[Center]:
    place = Workspace(tmp_path / "ws", server.database())
    yield Center(place)
    place.journal.close()


def put(center: Center, root: Path, name: str, customer: str) -> str:
    databases = ["sqlite", "none", "postgresql", "mariadb"]
    folder = product(root / name, {**WEB, "application": name}, database=databases)
    return submit(folder, center, RunOptions(), Catalogue.standard(), customer=customer)


def taken(center: Center, workers: int, *, apart: bool = True) -> list[tuple[str, int, int]]:
    """Campaign, job and worker of what so many workers take at the same moment, each on a connection of its own."""

    async def one() -> tuple[str, int, int] | None:
        app = center.app()
        async with app.open_async():
            worker = await app.job_manager.register_worker()
            skipped = full(center) if apart else frozenset()
            with center.journal.reading() as connection:
                rows = connection.exec_driver_sql("SELECT queue FROM queues").all()
            queues = [queue for (queue,) in rows if queue not in skipped]
            job = await app.job_manager.fetch_job(queues=queues, worker_id=worker)
            return None if job is None or job.id is None else (str(job.task_kwargs["campaign"]), job.id, worker)

    async def all_of_them() -> list[tuple[str, int, int]]:
        given = await asyncio.gather(*(one() for _ in range(workers)))
        return [each for each in given if each is not None]

    return asyncio.run(all_of_them())


def test_a_customer_runs_as_many_cells_as_it_may_and_the_other_goes_on(center: Center, tmp_path: Path) -> None:
    """Customer 甲 has two campaigns of four cells, and a limit of three; b has none."""
    campaigns = {
        put(center, tmp_path, name, customer): customer for name, customer in (("a1", "甲"), ("a2", "甲"), ("b", "b"))
    }
    limit(center, "甲", 3)
    assert limits(center) == {"甲": 3}
    jobs = [each for _ in range(4) for each in taken(center, 4)]
    assert Counter(campaigns[campaign] for campaign, _, _ in jobs) == {"甲": 3, "b": 4}
    assert {queue.partition("/")[0] for queue in full(center)} == {
        c for c, customer in campaigns.items() if customer == "甲"
    }
    _, job, worker = next(each for each in jobs if campaigns[each[0]] == "甲")
    assert center.end(job, worker)
    assert [campaigns[campaign] for campaign, _, _ in taken(center, 4)] == ["甲"]
    limit(center, "甲", 0)
    assert taken(center, 3) == []
    limit(center, "甲", None)
    assert limits(center) == {}
    assert len([each for _ in range(3) for each in taken(center, 2)]) == 4, "of eight, four were taken before"
    assert broken_at(center.journal) is None


def test_workers_that_take_at_the_same_moment_are_never_more_than_the_limit(center: Center, tmp_path: Path) -> None:
    campaigns = {put(center, tmp_path, name, name): name for name in ("a", "b")}
    limit(center, "a", 1)
    limit(center, "b", 2)
    for _ in range(3):
        taken(center, 6, apart=False)
        with center.journal.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT args ->> 'campaign' FROM procrastinate_jobs WHERE status = 'doing'"
            ).all()
        running = Counter(campaigns[campaign] for (campaign,) in rows)
        assert running["a"] <= 1
        assert running["b"] <= 2
    assert running["a"] == 1
