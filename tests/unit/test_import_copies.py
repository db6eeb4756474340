"""What was imported and is not on this machine any more is not said to be served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli import copies
from harness.cli.catalogue import targets_command
from harness.cli.entry import cli
from harness.containers.imported import kept_file
from harness.errors import InfrastructureError
from harness.system.makers import cache_folder
from tests.imports import Place
from tests.roots import files, tar_of
from tests.unit.conftest import MatrixFolder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A user's folder with a system that was imported for two architectures; no engine answers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    def away(_workspace: str) -> None:
        raise InfrastructureError("no engine answers")

    monkeypatch.setattr("harness.cli.copies.Engine", away)
    place = Place(tmp_path, cache=cache_folder())
    for architecture in ("x86_64", "aarch64"):
        place.import_root(tar_of(files(architecture)))
    monkeypatch.chdir(place.folder)
    return place


def checked(*name: str) -> tuple[int, dict[str, Any], dict[str, bool]]:
    """The exit code, the row of the system, and whether each CPU class is served."""
    ran = CliRunner().invoke(targets_command, ["check", *name, "--format", "json"])
    answer = json.loads(ran.output)
    (row,) = [row for row in answer["targets"] if row["name"] == "testlinux-1.0"]
    pairs = {pair["cpu"]: pair["served"] for pair in answer["pairs"] if pair["os"] == "testlinux-1.0"}
    return ran.exit_code, row, pairs


def lose(place: Place, architecture: str) -> str:
    path = kept_file(place.cache, place.entry()["imported"][architecture]["sha256"])
    path.unlink()
    return str(path)


def test_a_copy_that_is_gone_serves_nothing(here: Place) -> None:
    code, row, pairs = checked("testlinux-1.0")
    assert (code, row["served"], pairs["x86-64"]) == (0, True, True)
    gone = lose(here, "x86_64")
    code, row, pairs = checked("testlinux-1.0")
    assert (code, row["served"], pairs["x86-64"]) == (0, True, False), "the other architecture is served still"
    assert gone in row["by"]
    assert "import the same again" in row["by"]
    lose(here, "aarch64")
    code, row, pairs = checked("testlinux-1.0")
    assert (code, row["served"], any(pairs.values())) == (3, False, False)
    assert checked()[0] == 0


def test_a_plan_of_it_warns(here: Place, folder: MatrixFolder) -> None:
    folder.change("matrix", axes={"os": ["testlinux-1.0"], "cpu": ["x86-64"], "database": ["sqlite"]})
    whole = CliRunner().invoke(cli, ["plan", str(folder.root)])
    assert (whole.exit_code, whole.stderr) == (0, "")
    gone = lose(here, "x86_64")
    for form in ("text", "json"):
        ran = CliRunner().invoke(cli, ["plan", str(folder.root), "--format", form])
        assert ran.exit_code == 0
        assert f"testlinux-1.0: the copy of what was imported for x86_64 is not on this machine ({gone})" in ran.stderr


def test_a_base_image_that_is_there_still_serves(here: Place) -> None:
    value, gone = here.systems[-1], lose(here, "x86_64")
    assert list(copies.lost_copies(value, lambda _system, architecture: architecture == "x86_64")) == []
    lost = copies.lost_copies(value, lambda _system, architecture: architecture != "x86_64")
    assert list(lost) == ["x86_64"]
    assert gone in lost["x86_64"]
