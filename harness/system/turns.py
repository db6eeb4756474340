"""Work that may share this machine, and a load, which needs the machine alone."""

from __future__ import annotations

import contextlib
import io
import math
import secrets
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.errors import Canceled
from harness.system.locks import give_back, holder_of, take
from harness.system.wait import wait_until
from harness.system.waiting import QUIET, Notice, Waiting

POLL_SECONDS = 0.2


class Turns:
    """Many may be in ``shared`` at once; ``alone`` waits until none is, and lets none begin meanwhile.

    Whoever takes a turn must not wait for anything that another holder of a turn may hold: machines are leased before
    a turn is taken. With ``path``, a lock file of this machine, turns hold between processes too: a load of one
    harness waits for the cells of another.

    Every wait ends with Canceled once ``waiting.stopped`` is true, and is announced when it becomes long.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._condition = threading.Condition()
        self._sharing: list[str] = []
        self._loads_waiting = 0
        self._load: str | None = None
        self._path = path
        #: What other processes read: one file a process, with everyone in it that has a turn now.
        self._signing = threading.Lock()
        self._signed_by: list[str] = []
        self._signature: io.FileIO | None = None

    @contextlib.contextmanager
    def shared(self, waiting: Waiting = QUIET) -> Iterator[None]:
        """Share the machine.

        Raises:
            Canceled: the wait was stopped.
        """
        with self._condition:
            self._wait(lambda: self._load is None and not self._loads_waiting, waiting)
            self._sharing.append(waiting.who)
        try:
            with self._between_processes(waiting, shared=True):
                yield
        finally:
            with self._condition:
                self._sharing.remove(waiting.who)
                self._condition.notify_all()

    @contextlib.contextmanager
    def alone(self, waiting: Waiting = QUIET) -> Iterator[None]:
        """Have the machine alone. Raises as ``shared``."""
        with self._condition:
            self._loads_waiting += 1
            try:
                self._wait(lambda: self._load is None and not self._sharing, waiting)
                self._load = waiting.who
            finally:
                self._loads_waiting -= 1
                self._condition.notify_all()
        try:
            with self._between_processes(waiting, shared=False):
                yield
        finally:
            with self._condition:
                self._load = None
                self._condition.notify_all()

    @contextlib.contextmanager
    def teardown(self, waiting: Waiting = QUIET) -> Iterator[None]:
        """Share the machine; work that must be done even after a stop goes on without a turn then."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(Canceled):
                stack.enter_context(self.shared(waiting))
            yield

    def _wait(self, is_free: Callable[[], bool], waiting: Waiting) -> None:
        """Wait under the condition for the other threads of this process."""
        notice = Notice(waiting)
        while not is_free():
            if waiting.stopped():
                raise Canceled("stopped while waiting for this machine")
            self._condition.wait(POLL_SECONDS)
            notice.look(self._holders_here)

    def _holders_here(self) -> str:
        held = [f"a load ({self._load})"] if self._load is not None else [*self._sharing]
        if not held:
            held = ["a load that waits as well"]
        return f"this machine, which has: {', '.join(name or 'other work' for name in held)}"

    @contextlib.contextmanager
    def _between_processes(self, waiting: Waiting, *, shared: bool) -> Iterator[None]:
        """Hold the machine's lock, which ends with this process however that ends.

        Whoever wants the machine alone first takes a gate that others only pass through, so that they cannot keep it
        waiting for good.
        """
        if self._path is None:
            yield
            return
        if self._signature is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+") as lock, self._path.with_name(f"{self._path.name}.gate").open("a+") as gate:
            notice = Notice(waiting)
            self._take(gate.fileno(), notice, shared=shared)
            self._take(lock.fileno(), notice, shared=shared)
            give_back(gate.fileno())
            with self._signed(waiting.who or "work without a name"):
                yield

    def _take(self, descriptor: int, notice: Notice, *, shared: bool) -> None:
        """Wait without blocking in the kernel, so that a stop is acted upon meanwhile."""

        def taken() -> bool:
            if take(descriptor, shared=shared):
                return True
            if notice.waiting.stopped():
                raise Canceled("stopped while waiting for another harness on this machine")
            notice.look(self._holders_elsewhere)
            return False

        # A gate is held for less than the first pause.
        wait_until(taken, seconds=math.inf, what="this machine", interval=0.002, longest=POLL_SECONDS)

    @contextlib.contextmanager
    def _signed(self, who: str) -> Iterator[None]:
        """Let other processes read who has a turn."""
        with self._signing:
            self._signed_by.append(who)
            self._write_signature()
        try:
            yield
        finally:
            with self._signing:
                self._signed_by.remove(who)
                self._write_signature()

    def _write_signature(self) -> None:
        if self._signature is None:
            folder = self._signatures()
            folder.mkdir(exist_ok=True)
            self._read_signatures()  # clears what killed processes left
            path = folder / secrets.token_hex(8)
            self._signature = path.open("wb", buffering=0)
            take(self._signature.fileno())  # says that its writer lives
            weakref.finalize(self, _withdraw, self._signature, path)
        self._signature.seek(0)
        self._signature.truncate()
        self._signature.write(", ".join(self._signed_by).encode())

    def _signatures(self) -> Path:
        assert self._path is not None
        return self._path.with_name(f"{self._path.name}.holders")

    def _read_signatures(self) -> list[str]:
        """Who has a turn, one text a living process."""
        texts = []
        for path in sorted(self._signatures().glob("*")):
            with contextlib.suppress(OSError):
                if holder_of(path) is None:  # its process is gone
                    path.unlink(missing_ok=True)
                else:
                    texts.append(path.read_text(encoding="utf-8"))
        return texts

    def _holders_elsewhere(self) -> str:
        held = ", ".join(text for text in self._read_signatures() if text) or "another harness that waits as well"
        return f"this machine, which another harness has: {held}"


def _withdraw(signature: io.FileIO, path: Path) -> None:
    signature.close()
    path.unlink(missing_ok=True)
