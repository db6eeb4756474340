"""A new product's folder is good whatever the product is called; a plan is shown whatever lies in the workspace."""

from __future__ import annotations

import gc
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.campaigns import plan_of
from harness.cli import COMMANDS
from harness.cli.entry import cli
from tests.products import WEB, product


@pytest.mark.parametrize(
    "title",
    [
        "My: product",
        "a, b",
        "{curly}",
        "1.0",
        "yes",
        "# no comment",
        "'quoted' \"twice\"",
        "back\\slash",
        "数据库 db",
        "[list] - item",
    ],
)
def test_any_title_gives_good_definitions(tmp_path: Path, title: str) -> None:
    done = CliRunner().invoke(cli, ["init", str(tmp_path / "p"), "--name", title])
    assert done.exit_code == 0, done.output
    definitions, _ = plan_of(tmp_path / "p")
    assert definitions.application.name.en == title


@pytest.mark.parametrize("state", ["no workspace", "no journal", "another version's"])
def test_a_plan_needs_no_workspace(tmp_path: Path, state: str) -> None:
    folder = product(tmp_path / "p", WEB)
    workspace = tmp_path / "ws"
    if state != "no workspace":
        workspace.mkdir()
    if state == "another version's":
        with sqlite3.connect(workspace / "journal.sqlite") as connection:
            connection.execute("CREATE TABLE events (seq)")
            connection.execute("PRAGMA user_version = 1")
        connection.close()
    done = CliRunner().invoke(cli, ["plan", str(folder), "--workspace", str(workspace)])
    assert done.exit_code == 0, done.output
    assert ("no times from earlier runs" in done.output) is (state == "another version's")


def test_a_command_that_is_called_here_hides_nothing_from_the_collector() -> None:
    """What this process holds is not the command's to freeze: libraries look for it there at the end of the tests."""
    before = gc.get_freeze_count()
    for name in COMMANDS:
        assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0
    assert (gc.get_freeze_count(), gc.isenabled()) == (before, True)
