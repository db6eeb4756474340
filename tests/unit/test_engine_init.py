"""The engine's own first program, between a fork and what it becomes, is no program of the product."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from harness.containers import executions
from harness.containers.executions import ExecutionWatch
from harness.system.wait import wait_until


def watched(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> list[str]:
    """Run a program of that name that has forked, and give what a watch for another architecture says of it."""
    folder.mkdir()
    program = folder / name
    shutil.copy(shutil.which("dash") or "/bin/sh", program)
    with subprocess.Popen([program, "-c", "(sleep 60; :) & wait"]) as first:
        parent = psutil.Process(first.pid)
        try:
            children = wait_until(lambda: parent.children() or None, seconds=20, what="it has forked")
            family = [first.pid, *(child.pid for child in children)]
            monkeypatch.setattr(executions, "_processes", lambda _first: family)
            monkeypatch.setattr(executions.ExecutionWatch, "_begin", lambda self: "")
            monkeypatch.setattr(executions, "START_SECONDS", 0.0)
            watch = ExecutionWatch("c", first.pid, "aarch64")
            watch._knows_emulator = True
            try:
                return [program.path for program in watch.executions().foreign]
            finally:
                watch.close()
        finally:
            for process in parent.children(recursive=True):
                process.kill()
            first.kill()


@pytest.mark.parametrize("name", ["docker-init", "podman-init"])
def test_what_the_engines_init_has_forked_is_not_the_products(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    assert watched(monkeypatch, tmp_path / "a", name) == []


def test_another_program_that_has_forked_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert [Path(path).name for path in watched(monkeypatch, tmp_path / "b", "server")] == ["server"]


def test_a_program_that_only_bears_the_name_is_the_products(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first program is another file."""
    with subprocess.Popen(["/bin/sleep", "60"]) as first:
        monkeypatch.setattr(executions.ExecutionWatch, "_begin", lambda self: "")
        copy = tmp_path / "docker-init"
        shutil.copy("/bin/sleep", copy)
        with subprocess.Popen([copy, "60"]) as other:
            monkeypatch.setattr(executions, "_processes", lambda _first: [first.pid, other.pid])
            watch = ExecutionWatch("c", first.pid, "aarch64")
            watch._knows_emulator = True
            try:
                assert [Path(program.path).name for program in watch.executions().foreign] == ["docker-init"]
            finally:
                watch.close()
                other.kill()
                first.kill()
