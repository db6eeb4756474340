"""``harness verify`` finds what was changed behind the harness's back."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.entry import cli
from harness.evidence import Workspace, broken_at
from harness.issuing.certifying import verify
from harness.system.forking import ForkServer
from tests.integration.test_kill import Lab


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a campaign that came to its end."""
    forks = ForkServer(["tests.scripted"])
    lab = Lab(forks, tmp_path_factory.mktemp("verify") / "lab")
    assert lab("run") == 0
    forks.close()
    return lab.workspace


@pytest.fixture
def workspace(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "ws"))


def wrong(place: Path) -> set[str]:
    workspace = Workspace(place)
    found = {step.name for step in verify(workspace) if not step.ok}
    workspace.journal.close()
    return found


def test_what_is_as_it_was_verifies(workspace: Path) -> None:
    assert wrong(workspace) == set()
    result = CliRunner().invoke(cli, ["verify", "--workspace", str(workspace), "--format", "json"])
    assert result.exit_code == 0
    assert json.loads(result.output)["status"] == "valid"


def sql(place: Path, *statements: str) -> None:
    with sqlite3.connect(place / "journal.sqlite") as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, statement
    connection.close()


CHAIN, TABLES = "chain of events", "tables follow from events"
SECOND = "(SELECT max(seq) FROM events)"


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["UPDATE events SET data = replace(data, 'pass', 'fail') WHERE kind = 'observation'"], {CHAIN, TABLES}),
        (["UPDATE events SET time = '2020' WHERE seq = 5"], {CHAIN}),
        (["UPDATE events SET cell = 'other' WHERE seq = 7"], {CHAIN}),
        (["DELETE FROM events WHERE seq = 9"], {CHAIN}),
        (["DELETE FROM events WHERE seq = 1"], {CHAIN, TABLES}),
        (
            [
                "UPDATE events SET seq = -1 WHERE seq = 11",
                "UPDATE events SET seq = 11 WHERE seq = 12",
                "UPDATE events SET seq = 12 WHERE seq = -1",
            ],
            {CHAIN},
        ),
        (["DELETE FROM events WHERE kind = 'campaign-closed'"], {TABLES}),
        (["UPDATE observations SET result = 'fail' WHERE \"case\" = 'DEP-1'"], {TABLES}),
        (["DELETE FROM observations WHERE \"case\" = 'DEP-2'"], {TABLES}),
        (["UPDATE attempts SET verdict = 'nonconformant'"], {TABLES}),
        (["UPDATE attempts SET facts = '{}'"], {TABLES}),
        (["UPDATE campaigns SET verdict = 'inconclusive'"], {TABLES}),
        (["UPDATE campaigns SET plan = '{}'"], {TABLES}),
        (["DELETE FROM files"], {TABLES}),
    ],
)
def test_a_journal_that_was_changed(workspace: Path, statements: list[str], found: set[str]) -> None:
    sql(workspace, *statements)
    assert found <= wrong(workspace)


def test_every_event_in_turn(workspace: Path) -> None:
    for event in Workspace(workspace).journal.events():
        where = (event.campaign, event.seq)
        with sqlite3.connect(workspace / "journal.sqlite") as connection:
            connection.execute("UPDATE events SET number = 77 WHERE campaign = ? AND seq = ?", where)
        assert broken_at(Workspace(workspace).journal) == where
        with sqlite3.connect(workspace / "journal.sqlite") as connection:
            changed = (event.number, *where)
            connection.execute("UPDATE events SET number = ? WHERE campaign = ? AND seq = ?", changed)
    assert wrong(workspace) == set()


def any_file(place: Path, pattern: str) -> Path:
    return sorted(path for path in place.glob(pattern) if path.is_file())[0]


@pytest.mark.parametrize(
    ("pattern", "work", "found"),
    [
        ("evidence/sha256/*/*", lambda p: p.write_bytes(p.read_bytes() + b"x"), "evidence"),
        ("evidence/sha256/*/*", lambda p: p.unlink(), "evidence"),
        ("campaigns/*/report.html", lambda p: p.write_text(p.read_text() + " "), "reports"),
        ("campaigns/*/certificate.pdf", lambda p: p.unlink(), "reports"),
        ("campaigns/*/campaign.json", lambda p: p.write_text("{}"), "reports"),
    ],
)
def test_files_that_were_changed(workspace: Path, pattern: str, work: Callable[[Path], object], found: str) -> None:
    work(any_file(workspace, pattern))
    assert wrong(workspace) == {found}
    result = CliRunner().invoke(cli, ["verify", "--workspace", str(workspace)])
    assert result.exit_code == 1
    assert f"INVALID {found}" in result.output


def test_a_report_that_is_being_written_again_is_no_tampering(workspace: Path) -> None:
    """A worker writes the file first and the journal then; a look in between must not call that a change."""
    place = Workspace(workspace)
    any_file(workspace, "campaigns/*/report.html").write_text("written, and not yet noted")
    (row,) = place.journal.campaigns()
    with place.hold(row.id):
        steps = {step.name: step for step in verify(place)}
        assert steps["reports"].ok
        assert "because they run: 1" in steps["reports"].detail
        assert not all(step.ok for step in verify(place, row.id)), "who asks for this campaign is told"
    assert wrong(workspace) == {"reports"}
