"""What the rings with real pieces share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import commands
from tests.buckets import Gateway, gateway
from tests.databases import Cluster, cluster

# A shell starts what it runs in the background with Ctrl-C ignored, and that is passed on: the harness heeds it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """In an environment of tox, keep why tests failed: ``make test`` prints it last, after all that ran beside it."""
    place = os.environ.get("TOX_ENV_DIR")
    if place and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(place, "failures.txt").open("a") as file:
            for report in (*terminalreporter.stats.get("failed", ()), *terminalreporter.stats.get("error", ())):
                file.write(f"{report.nodeid} ({report.when})\n{_end_of(report.longreprtext, 40)}\n")
                file.writelines(f"--- {name}\n{_end_of(text, 20)}\n" for name, text in report.sections)


def _end_of(text: str, lines: int) -> str:
    return "\n".join(text.splitlines()[-lines:])


@dataclass(frozen=True)
class Ran:
    """A finished ``harness`` command."""

    code: int
    out: str
    err: str

    @classmethod
    def of(cls, done: subprocess.CompletedProcess[str]) -> Ran:
        """None ends with a traceback, whatever it was given."""
        assert "Traceback (most recent call last)" not in done.stderr, done.stderr
        return cls(done.returncode, done.stdout, done.stderr)

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def cells(self) -> dict[str, Any]:
        """Cells of a summary by CPU."""
        return {cell["axes"]["cpu"]: cell for cell in self.json["cells"]}


Run = Callable[..., Ran]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "harness", *arguments]


@pytest.fixture
def harness(tmp_path: Path) -> Run:
    """Run the command line as a process in ``tmp_path``."""

    def run(*arguments: str | Path, timeout: float = 900, **env: str) -> Ran:
        done = commands.run([*map(str, arguments)], cwd=tmp_path, env={**os.environ, **env}, timeout=timeout)
        return Ran.of(done)

    return run


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """A PostgreSQL server of a module's own."""
    with cluster() as running:
        yield running


@pytest.fixture(scope="module")
def buckets() -> Iterator[Gateway]:
    """An S3-compatible server of a module's own."""
    with gateway() as running:
        yield running
