"""Journal and store: written through, chained, immutable."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from harness.errors import HarnessBug, InfrastructureError, UsageError
from harness.evidence import Journal, Recorder, Workspace, broken_at
from harness.model.records import AttemptFacts, CampaignRow
from harness.model.results import Cause, Measurement, Observation, Result, State, Verdict


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def open_campaign(journal: Journal, identity: str = "c1") -> None:
    row = CampaignRow(
        id=identity,
        created="2026-01-01",
        finished=None,
        matrix="m",
        folder="/m",
        plan_digest="d",
        plan={"cells": []},
        options={},
        conditions={},
        verdict=None,
    )
    journal.open_campaign(row)


def test_wal_and_full_synchronisation(workspace: Workspace) -> None:
    open_campaign(workspace.journal)
    with workspace.journal._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_what_is_recorded_is_read_back_by_another_process(workspace: Workspace) -> None:
    journal = workspace.journal
    open_campaign(journal)
    number = journal.begin("c1", "cell")
    one = Observation(
        case="C-1",
        suite="s",
        result=Result.ERROR,
        cause=Cause.INFRA,
        detail="生僻字 𬱖",
        seconds=1.5,
        measurements=(Measurement(name="p95", value=2.0, unit="ms"),),
        evidence=("ab",),
    )
    journal.observe("c1", "cell", number, [one])
    other = Journal(journal.path)
    assert other.observations("c1") == {("cell", 1): [one]}
    assert other.attempts("c1")[0].state is State.QUEUED


def test_an_attempt_is_closed_once_and_never_changes(workspace: Workspace) -> None:
    journal = workspace.journal
    open_campaign(journal)
    number = journal.begin("c1", "cell")
    journal.finish("c1", "cell", number, verdict=Verdict.CONFORMANT, cause=None, message="", facts=AttemptFacts())
    with pytest.raises(HarnessBug, match="never changes"):
        journal.finish(
            "c1", "cell", number, verdict=Verdict.NONCONFORMANT, cause=None, message="", facts=AttemptFacts()
        )
    with pytest.raises(HarnessBug, match="never changes"):
        journal.observe("c1", "cell", number, [Observation(case="C", suite="s", result=Result.PASS)])
    with pytest.raises(HarnessBug):
        journal.state("c1", "cell", number, State.RUNNING)
    assert journal.begin("c1", "cell") == 2


def test_one_observation_a_case_and_attempt(workspace: Workspace) -> None:
    journal = workspace.journal
    open_campaign(journal)
    number = journal.begin("c1", "cell")
    one = Observation(case="C", suite="s", result=Result.FAIL)
    journal.observe("c1", "cell", number, [one])
    with pytest.raises(InfrastructureError):
        journal.observe("c1", "cell", number, [Observation(case="C", suite="s", result=Result.PASS)])
    assert journal.observations("c1") == {("cell", 1): [one]}


@pytest.mark.parametrize(
    "sql",
    [
        'UPDATE events SET data = \'{"verdict": "conformant"}\' WHERE seq = 2',
        "DELETE FROM events WHERE seq = 2",
        "UPDATE events SET time = '2020-01-01' WHERE seq = 1",
    ],
)
def test_a_changed_journal_shows(workspace: Workspace, sql: str) -> None:
    journal = workspace.journal
    open_campaign(journal)
    journal.begin("c1", "cell")
    journal.event("note", {"text": "x"}, "c1")
    assert broken_at(journal) is None
    with sqlite3.connect(journal.path) as raw:
        raw.execute(sql)
    raw.close()
    assert broken_at(journal) is not None


def test_many_threads_write_one_chain(workspace: Workspace) -> None:
    def work(name: str) -> None:
        for n in range(10):
            workspace.journal.event("note", {"n": n}, "c", name)

    threads = [threading.Thread(target=work, args=(f"cell{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(workspace.journal.events()) == 60
    assert broken_at(workspace.journal) is None


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(InfrastructureError, match="no journal"):
        Journal(tmp_path / "journal.sqlite")


def test_evidence_is_found_by_its_digest_and_checked(workspace: Workspace) -> None:
    digest = workspace.store.put(b"log")
    assert workspace.store.get(digest) == b"log"
    workspace.store.path(digest).write_bytes(b"changed")
    with pytest.raises(InfrastructureError, match="was changed"):
        workspace.store.get(digest)
    with pytest.raises(InfrastructureError, match="missing"):
        workspace.store.get("0" * 64)


def test_secrets_are_masked_in_what_is_kept(workspace: Workspace) -> None:
    open_campaign(workspace.journal)
    number = workspace.journal.begin("c1", "cell")
    recorder = Recorder(workspace.journal, workspace.store, "c1", "cell", number, hidden=["s3cret-value"])
    digest = recorder.keep("app.log", b"password=s3cret-value")
    recorder.observe(Observation(case="C", suite="s", result=Result.FAIL, detail="got s3cret-value"))
    assert b"s3cret" not in workspace.store.get(digest)
    assert "s3cret" not in workspace.journal.observations("c1")["cell", number][0].detail


def test_a_campaign_is_held_by_one_at_a_time(workspace: Workspace) -> None:
    assert not workspace.alive("c1")
    with workspace.working("c1"):
        assert workspace.alive("c1")
        with pytest.raises(UsageError, match="being worked on"), workspace.working("c1"):
            pass
    assert not workspace.alive("c1")


def test_a_journal_of_another_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Journal(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
    before = path.read_bytes()
    with pytest.raises(InfrastructureError, match="another version"):
        Journal(path)
    assert path.read_bytes() == before
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    Journal(path).close()
