"""Sandboxes for the suites of one attempt at a cell: each is made before it is needed, and used for one run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.system.forking import ForkServer
from harness.system.sandbox import Sandbox, demanded

#: What a process that suites are forked from must have imported.
PRELOAD = "harness.runners.pytest.preload"


@dataclass(frozen=True, kw_only=True)
class SuiteSandbox:
    """A sandbox with a process in it that has imported what a suite needs, and forks it."""

    sandbox: Sandbox
    forks: ForkServer

    def close(self) -> None:
        """End all that runs in it, and remove what it wrote."""
        self.forks.close()
        self.sandbox.close()


class Sandboxes:
    """Belongs to one thread: what runs in a sandbox ends with the thread that made it."""

    def __init__(self) -> None:
        self._ready: dict[Path, SuiteSandbox] = {}

    def prepare(self, folder: Path) -> None:
        """Have a sandbox for a suite of ``folder`` begin its imports, while other work is done.

        Raises:
            InfrastructureError: this machine has no sandbox.
        """
        if folder not in self._ready:
            self._ready[folder] = _started(folder)

    @contextlib.contextmanager
    def taken(self, folder: Path) -> Iterator[SuiteSandbox]:
        """One for a single run of a suite of ``folder``. Raises as ``prepare``."""
        held = self._ready.pop(folder, None) or _started(folder)
        try:
            yield held
        finally:
            held.close()

    def close(self) -> None:
        """End those that were not used."""
        while self._ready:
            self._ready.popitem()[1].close()


def _started(folder: Path) -> SuiteSandbox:
    sandbox = demanded(folder)
    try:
        return SuiteSandbox(sandbox=sandbox, forks=ForkServer([PRELOAD], within=sandbox.command))
    except BaseException:
        sandbox.close()
        raise
