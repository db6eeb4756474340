"""Commands that tests fork end as commands that users begin: their texts, codes, environment and folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from threading import Thread

import pytest

from tests import commands
from tests.conftest import command


def begun(words: list[str], cwd: Path, env: dict[str, str]) -> tuple[int, str, str]:
    done = subprocess.run(command(*words), cwd=cwd, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "words",
    [["--version"], ["lint", "没有 it"], ["list"], ["no-such"], ["suites", "list"], ["init", "p", "--kind", "batch"]],
    ids=lambda words: words[0],
)
def test_what_is_forked_ends_as_what_is_begun(words: list[str], tmp_path: Path) -> None:
    for name in ("forked", "begun"):
        (tmp_path / name).mkdir()
    env = {**os.environ, "COLUMNS": "70", "NO_COLOR": "1"}
    forked = commands.run(words, cwd=tmp_path / "forked", env=env, timeout=60)
    assert (forked.returncode, forked.stdout, forked.stderr) == begun(words, tmp_path / "begun", env)
    made = [
        sorted(p.relative_to(tmp_path / name) for p in (tmp_path / name).rglob("*")) for name in ("forked", "begun")
    ]
    assert made[0] == made[1]


def test_two_at_once_have_their_own_environments(tmp_path: Path) -> None:
    ends: dict[str, str] = {}

    def run(name: str) -> None:
        env = {**os.environ, "HARNESS_DATABASE_URL": f"{name}://x"}
        ends[name] = commands.run(["queue"], cwd=tmp_path, env=env, timeout=60).stderr

    threads = [Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "kept in one" in ends["one"]
    assert "kept in two" in ends["two"]


def test_what_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        commands.run(["suites", "list"], cwd=tmp_path, env=os.environ, timeout=0.01)
    assert commands.run(["--version"], cwd=tmp_path, env=os.environ, timeout=60).returncode == 0


def test_a_variable_for_python_has_python_begun(tmp_path: Path) -> None:
    done = commands.run(["--version"], cwd=tmp_path, env={**os.environ, "PYTHONVERBOSE": "1"}, timeout=60)
    assert "import 'harness'" in done.stderr
