"""What a process made is known as its own for as long as it runs, whatever number it has there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.system import makers

PROGRAM = "import sys; from harness.system.makers import own_name; print(own_name(), flush=True); sys.stdin.read()"


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that makes something, and its name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    with process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def test_a_name_holds_until_its_process_is_killed(other: tuple[subprocess.Popen[str], str]) -> None:
    process, name = other
    assert makers.runs(name)
    assert makers.own_name() != name
    assert makers.own_name() == makers.own_name()
    assert makers.runs(makers.own_name())
    process.kill()
    process.wait()
    assert not makers.runs(name)
    assert not makers.runs(name)


@pytest.mark.parametrize("name", ["", "nobody", "../../../etc/passwd", "4711"])
def test_a_name_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not makers.runs(name)
