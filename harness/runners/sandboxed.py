"""Sandboxes for the suites of a campaign: each is made for one run, and entered by a fork of one prepared process."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.system.forking import ForkServer
from harness.system.process import Completed
from harness.system.sandbox import Sandbox, WaitingSandbox, demanded, variables

#: What a process that suites are forked from must have imported.
PRELOAD = "harness.runners.pytest.preload"


@dataclass(frozen=True, kw_only=True)
class SuiteSandbox:
    """A sandbox, and ``ForkServer.run`` in it, for one run."""

    sandbox: Sandbox
    run: Callable[..., Completed]


class Sandboxes:
    """What enters them was forked from a process that knows nothing of this one, neither memory nor environment."""

    def __init__(self) -> None:
        self._forks: ForkServer | None = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Have the process that is forked begin its imports, while other work is done."""
        with self._lock:
            if self._forks is None:
                self._forks = ForkServer([PRELOAD], environment=variables())

    @contextlib.contextmanager
    def taken(self, folder: Path, *more: Path) -> Iterator[SuiteSandbox]:
        """A sandbox for a single run of a suite of ``folder``, which also reads ``more``; the thread that asks has it.

        Raises:
            InfrastructureError: this machine has none.
        """
        self.prepare()
        assert self._forks is not None
        with demanded(folder, *more) as sandbox, contextlib.closing(WaitingSandbox(sandbox)) as inside:
            yield SuiteSandbox(sandbox=sandbox, run=functools.partial(self._forks.run, inside=inside))

    def close(self) -> None:
        """End the process that is forked."""
        with self._lock:
            if self._forks is not None:
                self._forks.close()
                self._forks = None
