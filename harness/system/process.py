"""The one place that starts programs on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness.errors import Canceled, InfrastructureError, StepTimeout


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A program that ended: exit status, texts, wall time in seconds.

    ``rc`` is 124 where the limit ran out, and 128 + n where signal n ended it.
    """

    rc: int
    out: str = ""
    err: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.rc == 0

    @property
    def text(self) -> str:
        """Both texts, for logs and messages."""
        return "\n".join(part for part in (self.out.rstrip(), self.err.rstrip()) if part)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    cancel: threading.Event | None = None,
) -> Completed:
    """Run a program to its end; its whole process group dies at the limit, and with this process.

    ``timeout`` in seconds; ``env`` is laid over this process's environment.

    Raises:
        InfrastructureError: the program does not exist.
        StepTimeout: it did not end in time.
        Canceled: ``cancel`` was set while it ran.
    """
    if shutil.which(argv[0]) is None:
        raise InfrastructureError(f"program not found: {argv[0]}", advice="install it, or run: make setup")
    started = time.monotonic()
    process = subprocess.Popen(
        [*_guard(), *argv],
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, **env} if env is not None else None,
        start_new_session=True,
    )
    try:
        first = stdin
        while True:
            left = timeout - (time.monotonic() - started)
            try:
                out, err = process.communicate(input=first, timeout=min(0.5, max(left, 0.01)))
                break
            except subprocess.TimeoutExpired:
                first = None  # communicate() keeps what it has not written yet
                if cancel is not None and cancel.is_set():
                    raise Canceled(f"canceled while {argv[0]} ran") from None
                if left <= 0:
                    raise StepTimeout(
                        f"{Path(argv[0]).name} did not end within {timeout:.0f} s",
                        advice="look at its log; raise timeout_factor in an adjust if the machine is slow",
                    ) from None
    finally:
        if process.poll() is None:
            kill_group(process.pid)
            process.communicate()
    return Completed(
        rc=process.returncode,
        out=out.decode(errors="replace"),
        err=err.decode(errors="replace"),
        seconds=time.monotonic() - started,
    )


def background(argv: Sequence[str], *, cwd: Path, log: BinaryIO) -> subprocess.Popen[bytes]:
    """Start a program and leave it running; it dies with the thread that started it. What it prints goes to ``log``."""
    return subprocess.Popen(
        [*_guard(), *argv], cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )


@contextlib.contextmanager
def connected(argv: Sequence[str]) -> Iterator[socket.socket]:
    """Start a program whose standard input and output are one end of a socket; gives the other. It ends with it.

    Raises:
        InfrastructureError: the program does not exist.
    """
    if shutil.which(argv[0]) is None:
        raise InfrastructureError(f"program not found: {argv[0]}", advice="install it, or correct the inventory")
    mine, theirs = socket.socketpair()
    with mine:
        with theirs:
            end = theirs.fileno()  # no guard: a thread that logs in may be over soon, and the socket ends it anyway
            process = subprocess.Popen(
                list(argv), stdin=end, stdout=end, stderr=subprocess.DEVNULL, start_new_session=True
            )
        try:
            yield mine
        finally:
            mine.close()
            kill_group(process.pid)
            process.wait()


def _guard() -> list[str]:
    """A killed harness must not leave programs behind; setpriv is part of util-linux."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def kill_group(pid: int) -> None:
    """End the session that ``run`` started, all of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def without_proxy() -> dict[str, str]:
    """Environment with which a suite reaches the product on this machine, whatever proxy is set for the world."""
    names = [name for key in ("no_proxy", "NO_PROXY") for name in os.environ.get(key, "").split(",") if name]
    value = ",".join(dict.fromkeys([*names, "127.0.0.1", "localhost"]))
    return {"no_proxy": value, "NO_PROXY": value}
