"""Folders that a killed process left in the temporary folder are removed, and those of others are not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.system.scratch import remove_abandoned, temporary_folder

PROGRAM = """
import sys
from harness.system.scratch import temporary_folder
folders = [temporary_folder("sandbox"), temporary_folder("pytest")]
print(*(folder.name for folder in folders), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("cache", "other", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def started(tmp_path: Path, cache: str) -> tuple[subprocess.Popen[str], list[Path]]:
    """A process that has two folders, and these."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": str(tmp_path / cache)},
    )
    assert process.stdout is not None
    return process, [Path(name) for name in process.stdout.readline().split()]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    running, kept = started(tmp_path, "cache")
    elsewhere, unknown = started(tmp_path, "other")
    killed, left = started(tmp_path, "cache")
    with running, elsewhere, killed, temporary_folder("load") as own:
        (left[0] / "secret").write_text("s")
        aliens = [tmp_path / "tmp" / name for name in ("harness-of-somebody", "harness-pytest-abcdefgh", "else")]
        for alien in aliens:
            alien.mkdir()
        link = left[1].with_name(left[1].name + "-link")
        link.symlink_to(aliens[2])
        assert remove_abandoned() == []
        for process in (killed, elsewhere):
            process.kill()
            process.wait()
        assert remove_abandoned() == sorted(path.name for path in left)
        assert not any(path.exists() for path in left)
        assert all(path.is_dir() for path in [*kept, *unknown, *aliens, link, Path(own)])
        running.kill()


def test_without_a_cache_there_is_a_folder_still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with temporary_folder("lint") as folder:
        assert Path(folder).is_dir()
    assert not Path(folder).exists()
    assert remove_abandoned() == []
