"""A center is brought to another version of the harness while campaigns run: real PostgreSQL, real workers, scripted
machines."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from harness import __version__
from harness.center import adopting, submitting, watching
from harness.system.wait import wait_until
from tests.center_faults import FaultLab

FORMER = "0.0.9"


def ended(worker: psutil.Popen) -> bool:
    return worker.poll() is not None


def test_campaigns_outlive_an_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two campaigns: workers of the former version are asked to end in the middle, those of this version adopt them.
    What had ended stays, each cell has its verdict once, and the record says which version ran what."""
    monkeypatch.setattr(submitting, "__version__", FORMER)
    with FaultLab(tmp_path, slots=()) as lab:
        campaigns = [lab.submit(cells=2), lab.submit(cells=2)]
        lab.begin_worker("w", SCRIPTED_VERSION=FORMER)
        wait_until(lambda: lab.ended() >= 1, seconds=120, what="a cell has ended")
        worker = lab.workers.pop("w")
        for _ in range(2):  # its cells go back into the queue
            worker.send_signal(signal.SIGTERM)
        wait_until(lambda: ended(worker), seconds=120, what="the former worker has ended")
        before = lab.ended()
        assert before < 4

        lab.begin_worker("w")
        with lab.center() as center:
            wait_until(lambda: _refused(watching.workers_of(center)) == set(campaigns), seconds=60, what="it looked")
            assert [adopting.adopt(center, campaign) for campaign in campaigns] == [FORMER, FORMER]
            assert adopting.adoptable(center) == []
        wait_until(lab.is_over, seconds=600, what="the campaigns are closed")
        assert lab.demand()["conformant None"] == 4
        with lab.center() as center:
            ran = [
                attempt.facts.controller["harness"]
                for campaign in campaigns
                for attempt in center.journal.attempts(campaign)
                if attempt.verdict == "conformant"
            ]
            assert sorted(set(ran)) == [FORMER, __version__]
            assert ran.count(FORMER) == before
            for campaign in campaigns:
                closed = next(e for e in center.journal.events(campaign) if e.kind == "campaign-closed")
                record = center.workspace.store.get(json.loads(closed.data)["outputs"]["json"])
                at = json.loads(record)["conditions"]
                versions = {attempt.facts.controller["harness"] for attempt in center.journal.attempts(campaign)}
                assert set(at["harness"].values() if isinstance(at["harness"], dict) else [at["harness"]]) == versions

        # The next upgrade brings the tables up to date while a worker runs.
        with psycopg.connect(lab.server.url("center"), autocommit=True) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        worker = lab.workers["w"]
        wait_until(lambda: ended(worker), seconds=60, what="the worker has seen it")
        assert worker.returncode == 0
        assert "a later harness has brought the tables up to date" in (tmp_path / "w.log").read_text()


def _refused(workers: list[dict[str, Any]]) -> set[str]:
    """Campaigns that a living worker refuses."""
    return {queue.partition("/")[0] for row in workers if row["state"] == "working" for queue in row["says"]["refused"]}
