"""The workspace of one machine and its store. What every database must do stands in tests/contract/journal."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

import harness
from harness.errors import InfrastructureError, UsageError
from harness.evidence import Recorder, Workspace
from harness.evidence import workspace as workspace_module
from harness.evidence.database import DatabaseJournal
from harness.evidence.s3 import S3Store
from harness.evidence.sqlite import url_of
from harness.model.results import Observation, Result
from harness.system.process import run
from tests.journals import campaign


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def test_wal_and_full_synchronisation(workspace: Workspace) -> None:
    assert isinstance(workspace.journal, DatabaseJournal)
    with workspace.journal.engine.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(InfrastructureError, match="no journal"):
        DatabaseJournal(url_of(tmp_path / "journal.sqlite"))


@pytest.mark.parametrize("schema", [1, 2])
def test_a_workspace_with_one_chain_for_all_is_refused_and_left_alone(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, digest TEXT)")
        connection.execute(f"PRAGMA user_version = {schema}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(InfrastructureError, match="another version") as caught:
        Workspace(tmp_path)
    assert "campaign.json" in caught.value.advice
    assert path.read_bytes()[100:] == before[100:]  # the header says that the file has a log beside it now


@pytest.mark.parametrize("name", ["plain", "with space", "100%", "a?b#c", "中文"])
def test_a_workspace_may_have_any_name(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path / name)
    campaign(workspace.journal)
    assert (tmp_path / name / "journal.sqlite").is_file()
    assert Workspace(tmp_path / name).journal.campaign("c1") is not None


def test_evidence_is_found_by_its_digest_and_checked(workspace: Workspace) -> None:
    digest = workspace.store.put(b"log")
    assert workspace.store.get(digest) == b"log"
    workspace.store.path(digest).write_bytes(b"changed")
    with pytest.raises(InfrastructureError, match="was changed"):
        workspace.store.get(digest)
    with pytest.raises(InfrastructureError, match="missing"):
        workspace.store.get("0" * 64)


def test_secrets_are_masked_in_what_is_kept(workspace: Workspace) -> None:
    campaign(workspace.journal)
    number = workspace.journal.begin("c1", "cell")
    recorder = Recorder(workspace.journal, workspace.store, "c1", "cell", number, hidden=["s3cret-value"])
    digest = recorder.keep("app.log", b"password=s3cret-value")
    recorder.observe(Observation(case="C", suite="s", result=Result.FAIL, detail="got s3cret-value"))
    assert b"s3cret" not in workspace.store.get(digest)
    assert "s3cret" not in workspace.journal.observations("c1")["cell", number][0].detail


def _hold(place: Path, held: Event) -> None:
    with Workspace(place).hold("c1"):
        held.set()
        signal.pause()


def test_a_killed_process_holds_its_campaign_no_longer(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    context = multiprocessing.get_context("fork")
    held = context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "ws", held))
    process.start()
    assert held.wait(30)
    assert workspace.alive("c1")
    with pytest.raises(UsageError, match="being worked on"), workspace.hold("c1"):
        pass
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not workspace.alive("c1")
    assert [row.campaign for row in workspace.claims.expired()] == ["c1"]
    with workspace.hold("c1") as again:
        assert again.token == 2


def test_programs_that_are_started_do_not_see_the_database_s_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_module, "_taken", {})
    monkeypatch.setenv("HARNESS_DATABASE_URL", url_of(tmp_path / "elsewhere.sqlite"))
    for _ in range(2):
        workspace = Workspace(tmp_path / "ws")
        assert not (tmp_path / "ws" / "journal.sqlite").exists()
        assert Workspace.is_at(tmp_path / "ws")
        assert run(["sh", "-c", "echo ${HARNESS_DATABASE_URL:-none}"], timeout=30).out == "none\n"
        workspace.journal.close()
    assert (tmp_path / "elsewhere.sqlite").exists()


@pytest.mark.parametrize(
    ("words", "home"),
    [
        (["import sqlite3", "PRAGMA journal", "BEGIN IMMEDIATE", "sqlite_master"], "evidence/sqlite.py"),
        (["journal.sqlite"], "evidence/workspace.py"),
        (["import psycopg", "REPEATABLE READ"], "evidence/postgresql.py"),
    ],
)
def test_words_of_a_database_stand_in_its_module_alone(words: list[str], home: str) -> None:
    root = Path(harness.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in words)
    }
    assert found == {home}


def test_a_workspace_is_for_its_owner_alone(workspace: Workspace) -> None:
    """Whatever the umask of whoever made it: logs of a product are in it."""
    campaign(workspace.journal)
    recorder = Recorder.of_campaign(workspace.journal, workspace.store, "c1")
    recorder.keep("a.log", b"what it printed")
    for name in ("c1", "c2"):
        workspace.folder(name)
    folders = [workspace.root, *(workspace.root / "campaigns").rglob("c?"), workspace.root / "campaigns"]
    files = [workspace.root / "journal.sqlite", *(p for p in (workspace.root / "evidence").rglob("*") if p.is_file())]
    assert len(folders) == 4
    assert len(files) == 2
    assert {path.stat().st_mode & 0o077 for path in (*folders, *files)} == {0}


def test_keys_of_a_store_are_seen_by_no_program_and_given_to_the_harness_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_module, "_taken", {})
    monkeypatch.setenv("HARNESS_EVIDENCE", "s3://evidence-of-two/中 心")
    keys = {"AWS_ACCESS_KEY_ID": "an id", "AWS_SECRET_ACCESS_KEY": "a secret", "AWS_SESSION_TOKEN": "a token"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        workspace = Workspace(tmp_path / "ws")
        assert isinstance(workspace.store, S3Store)
        assert workspace.store.keys == keys
        assert "a secret" not in repr(workspace.store)
        assert "AWS_" not in run(["env"], timeout=30).out
        workspace.journal.close()
    assert workspace_module.taken() == keys


def test_without_a_bucket_the_keys_stay_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_module, "_taken", {})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of something else")
    monkeypatch.setenv("HARNESS_EVIDENCE", str(tmp_path / "a folder"))
    workspace = Workspace(tmp_path / "ws")
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "of something else"
    workspace.store.put(b"x")
    assert (tmp_path / "a folder" / "sha256").is_dir()


def test_a_bucket_without_its_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs the Python package boto3") as caught:
        S3Store("s3://evidence", tmp_path)
    assert "xinchuang-harness[s3]" in caught.value.advice
