"""File locks of this machine.

A lock is held by an open file (``F_OFD_SETLK``, fcntl(2)), so two threads of one process exclude each other like two
processes do, and the kernel drops the lock when the process ends, however it ends. ``holder_of`` asks for a lock
without taking it for a moment, so a look disturbs no holder; flock(2) cannot do that.

The library fasteners uses ``lockf``, which does not exclude threads; filelock keeps shared locks in an SQLite file and
does not know who holds one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.errors import Canceled, InfrastructureError

#: The pauses between two attempts grow from the first to the second value, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.2
#: ``struct flock``: type, whence, start, length, process.
_FORM = "hhqqi4x"


class LockHeld(InfrastructureError):
    """Somebody else has the lock; ``holder`` is what they wrote about themselves."""

    def __init__(self, message: str, *, holder: str, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.holder = holder


@contextlib.contextmanager
def lock(
    path: Path,
    *,
    shared: bool = False,
    timeout: float | None = None,
    cancel: threading.Event | None = None,
    holder: str = "",
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the lock of the file ``path``; the file and its folder are made and stay.

    ``shared``: together with others that share it. ``timeout`` in seconds: None waits without an end, 0 does not wait.
    ``holder``: who takes it and for what, for those who wait. ``on_wait`` gets the holder's text when a wait begins
    and whenever another holder is waited for; for a shared lock that text names the last holder that came.

    Raises:
        LockHeld: it could not be had within ``timeout``.
        Canceled: ``cancel`` was set meanwhile.
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        _wait(path, descriptor, shared=shared, timeout=timeout, cancel=cancel, on_wait=on_wait)
        os.ftruncate(descriptor, 0)
        text = " ".join(holder.split()) or "a process that does not say what it does"
        os.write(descriptor, f"{text} (process {os.getpid()})\n".encode("utf-8", "replace"))
        yield
    finally:
        os.close(descriptor)


def holder_of(path: Path) -> str | None:
    """What the holder of a lock says about itself, None where the lock is free. The lock is not taken for that."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, struct.pack(_FORM, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        return None if struct.unpack(_FORM, answer)[0] == fcntl.F_UNLCK else _text(path)
    finally:
        os.close(descriptor)


def take(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file without waiting; gives whether it is taken. It ends with the file.

    A shared lock needs a file that is open for reading, the other kind one that is open for writing.
    """
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FORM, kind, os.SEEK_SET, 0, 0, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def give_back(descriptor: int) -> None:
    """Let the lock of an open file go before the file is closed."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FORM, fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))


def _wait(
    path: Path,
    descriptor: int,
    *,
    shared: bool,
    timeout: float | None,
    cancel: threading.Event | None,
    on_wait: Callable[[str], None] | None,
) -> None:
    """Wait without blocking in the kernel, so that signal, cancel event and limit are acted upon meanwhile."""
    end = None if timeout is None else time.monotonic() + timeout
    pause, reported = FIRST_PAUSE, ""
    while not take(descriptor, shared=shared):
        text = _text(path)
        if end is not None and time.monotonic() >= end:
            raise LockHeld(f"{path.name} is held by {text}", holder=text, advice="wait for it, then repeat")
        if on_wait is not None and text != reported:
            reported = text
            on_wait(text)
        (cancel or threading.Event()).wait(pause if end is None else min(pause, max(end - time.monotonic(), 0.0)))
        if cancel is not None and cancel.is_set():
            raise Canceled(f"stopped while waiting for {path.name}, held by {text}")
        pause = min(2 * pause, LONGEST_PAUSE)


def _text(path: Path) -> str:
    """The last line of the file: those who share a lock may write at one time."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else "a process that has just taken it"
