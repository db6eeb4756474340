"""Campaigns of one workspace at the same time, and campaigns whose record is in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from harness.campaigns.watching import status_of
from harness.evidence import Workspace
from harness.evidence.claims import EXPIRES_SECONDS
from harness.evidence.database import DatabaseJournal
from harness.evidence.lookup import latest
from harness.issuing.certifying import verify
from harness.system.forking import ForkServer
from tests.databases import Cluster
from tests.integration.test_kill import CELLS, Lab


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    server = ForkServer(["tests.scripted"])
    yield server
    server.close()


def act(lab: Lab, url: str, verb: str, kill: int = 0, log: str = "log") -> int:
    done = lab.forks.run(
        "tests.scripted:campaign",
        [verb, str(lab.folder), str(lab.workspace), kill, "after", 1],
        log=lab.place / log,
        timeout=120,
        cwd=Path.cwd(),
        env={"SCRIPTED": str(lab.place / "engine"), "HARNESS_DATABASE_URL": url},
    )
    return done.rc


def test_a_campaign_that_was_killed_is_taken_over_and_comes_to_its_end(
    forks: ForkServer, server: Cluster, tmp_path: Path
) -> None:
    lab, url = Lab(forks, tmp_path / "lab"), server.database()
    assert act(lab, url, "run", kill=30) == 137
    workspace = Workspace(lab.workspace, url)
    identity = latest(workspace)
    assert isinstance(workspace.journal, DatabaseJournal)
    assert status_of(identity, workspace)["state"] == "running", "a silent worker counts as alive for a while"
    assert act(lab, url, "resume") == 1, "it cannot be taken over yet"
    with workspace.journal.engine.writing() as connection:  # some minutes later
        connection.execute(sa.text(f"UPDATE claims SET heartbeat = heartbeat - {EXPIRES_SECONDS + 1}"))
    assert status_of(identity, workspace)["state"] == "cut off"
    assert act(lab, url, "resume") == 0
    assert [step for step in verify(workspace) if not step.ok] == []
    attempts = workspace.journal.attempts(identity)
    assert sum(attempt.verdict is not None and attempt.verdict.value == "conformant" for attempt in attempts) == CELLS
    assert not list(lab.workspace.glob("*.sqlite*"))
    workspace.journal.close()


@pytest.mark.parametrize("database", ["file", "postgresql"])
def test_campaigns_at_the_same_time_all_verify_and_get_their_certificates(
    forks: ForkServer, server: Cluster, tmp_path: Path, database: str
) -> None:
    lab = Lab(forks, tmp_path / "lab")
    url = server.database() if database == "postgresql" else ""
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda number: act(lab, url, "run", log=f"log-{number}"), range(3))) == [0, 0, 0]
    workspace = Workspace(lab.workspace, url)
    assert [step for step in verify(workspace) if not step.ok] == []
    rows = workspace.journal.campaigns()
    assert [row.verdict for row in rows] == ["conformant"] * 3
    for row in rows:
        assert (workspace.folder(row.id) / "certificate.pdf").is_file()
        assert len({event.campaign for event in workspace.journal.events(row.id)}) == 1
        assert len(workspace.journal.attempts(row.id)) == CELLS
    assert list((lab.place / "engine").iterdir()) == []
    workspace.journal.close()
