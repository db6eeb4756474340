"""Work that may share the machine, and work that needs it alone."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path

from harness.errors import Canceled

POLL_SECONDS = 0.2


class Turns:
    """Many may be in ``shared`` at once; ``alone`` waits until none is, and lets none begin meanwhile.

    With ``path``, a lock file of this machine, that holds between processes too: a load of one harness waits for the
    cells of another. Once ``cancel`` is set, whoever waits for another process waits no more.

    Raises:
        Canceled: where ``cancel`` was set while it waited.
    """

    def __init__(self, path: Path | None = None, cancel: threading.Event | None = None) -> None:
        self._condition = threading.Condition()
        self._sharing = 0
        self._alone = 0
        self._busy = False
        self._path = path
        self._cancel = cancel or threading.Event()

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._busy and not self._alone)
            self._sharing += 1
        try:
            with self._host(fcntl.LOCK_SH):
                yield
        finally:
            with self._condition:
                self._sharing -= 1
                self._condition.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        with self._condition:
            self._alone += 1
            self._condition.wait_for(lambda: not self._busy and self._sharing == 0)
            self._alone -= 1
            self._busy = True
        try:
            with self._host(fcntl.LOCK_EX):
                yield
        finally:
            with self._condition:
                self._busy = False
                self._condition.notify_all()

    @contextlib.contextmanager
    def _host(self, kind: int) -> Iterator[None]:
        """Hold the machine's lock, which ends with this process however that ends.

        Whoever wants it alone first takes a gate that others only pass through, so that they cannot keep it waiting
        for good.
        """
        if self._path is None:
            yield
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as lock, self._path.with_name(f"{self._path.name}.gate").open("a") as gate:
            self._take(gate.fileno(), fcntl.LOCK_EX)
            self._take(lock.fileno(), kind)
            fcntl.flock(gate, fcntl.LOCK_UN)
            yield

    def _take(self, descriptor: int, kind: int) -> None:
        """Wait without blocking in the kernel, so that a signal is acted upon meanwhile."""
        pause = 0.002  # a gate is held for less
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._cancel.wait(pause):
                    raise Canceled("stopped while waiting for another harness on this machine") from None
                pause = min(2 * pause, POLL_SECONDS)
            else:
                return
