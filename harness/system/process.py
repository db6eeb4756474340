"""Starts programs on this machine, runs them within limits, and ends them."""

from __future__ import annotations

import contextlib
import os
import selectors
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
from harness.system.bounded import MAX_OUTPUT, Bounded
from harness.system.surroundings import surroundings

PIECE = 1 << 16
#: How often a program that runs is looked at: whether it was canceled, or its limit is over.
LOOK_SECONDS = 0.1


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
        """Whether it ended with status 0."""
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
    """Run a program to its end; its whole session dies at the limit, and with this process.

    ``timeout`` in seconds; ``env`` is laid over what may pass of this process's environment
    (``harness.system.surroundings``). Each output is read as it comes and cut
    in the middle beyond ``MAX_OUTPUT`` bytes, so that a program that prints without end costs no memory here.

    Raises:
        InfrastructureError: the program does not exist.
        StepTimeout: it did not end in time, or something that it started still held its output open.
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
        env=surroundings(env),
        start_new_session=True,
    )
    with process:
        try:
            out, err = _converse(process, argv[0], stdin or b"", started + timeout, timeout, cancel)
        except BaseException:
            # The program itself may be over: what it started holds the pipes then.
            kill_session(process.pid)
            raise
    status = process.returncode
    return Completed(
        # Python gives the number of a signal below zero, a shell above 128: here it is above, whoever was ended.
        rc=status if status >= 0 else 128 - status,
        out=out.text,
        err=err.text,
        seconds=time.monotonic() - started,
    )


def _converse(
    process: subprocess.Popen[bytes],
    program: str,
    stdin: bytes,
    end: float,
    timeout: float,
    cancel: threading.Event | None,
) -> tuple[Bounded, Bounded]:
    """Feed a program and read both of its outputs until they are closed and it has ended."""
    out, err = Bounded(MAX_OUTPUT), Bounded(MAX_OUTPUT)
    left = memoryview(stdin)
    with selectors.DefaultSelector() as selector:
        for pipe, kept in ((process.stdout, out), (process.stderr, err)):
            assert pipe is not None
            selector.register(pipe, selectors.EVENT_READ, kept)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while True:
            pause = min(LOOK_SECONDS, max(end - time.monotonic(), 0.01))
            if selector.get_map():
                for key, _ in selector.select(pause):
                    if key.fileobj is process.stdin:
                        left = _feed(key.fd, left)
                        if not left:
                            selector.unregister(process.stdin)
                            process.stdin.close()
                    elif piece := os.read(key.fd, PIECE):
                        key.data.add(piece)
                    else:
                        selector.unregister(key.fileobj)
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(pause)
            if not selector.get_map() and process.poll() is not None:
                return out, err
            if cancel is not None and cancel.is_set():
                raise Canceled(f"canceled while {program} ran")
            if time.monotonic() >= end:
                raise StepTimeout(
                    f"{Path(program).name} did not end within {timeout:.0f} s",
                    advice="look at its log; raise timeout_factor in an adjust if the machine is slow",
                )


def _feed(pipe: int, left: memoryview) -> memoryview:
    """Write what a pipe takes now; gives what is left to write, nothing where its reader is gone."""
    try:
        return left[os.write(pipe, left[:PIECE]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[len(left) :]


def background(
    argv: Sequence[str],
    *,
    cwd: Path,
    log: BinaryIO,
    user: int = 0,
    groups: Sequence[int] = (),
    descriptors: Sequence[int] = (),
    lasting: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program and leave it running; it dies with the thread that started it, or is ``lasting``. What it prints
    goes to ``log``.

    It has no capability (capabilities(7)) and gains none, whoever runs the harness. With ``user`` it is that user, in
    the group of the same id and in ``groups``; only root may say so. ``descriptors`` pass into it.
    """
    own = [f"--reuid={user}", f"--regid={user}"] if user else []
    own += [f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"] if user else []
    return subprocess.Popen(
        [*_guard(*own, *_WITHOUT_POWERS, lasting=lasting), *argv],
        cwd=cwd,
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=surroundings(),
        start_new_session=True,
    )


@contextlib.contextmanager
def connected(argv: Sequence[str]) -> Iterator[socket.socket]:
    """Start a program whose standard input and output are one end of a socket; gives the other. It ends with it.

    Raises:
        InfrastructureError: the program does not exist.
    """
    if shutil.which(argv[0]) is None:
        raise InfrastructureError(f"program not found: {argv[0]}", advice="install it, or correct the inventory")
    parent_end, child_end = socket.socketpair()
    with parent_end:
        with child_end:
            end = child_end.fileno()  # no guard: a thread that logs in may be over soon, and the socket ends it anyway
            process = subprocess.Popen(
                list(argv),
                stdin=end,
                stdout=end,
                stderr=subprocess.DEVNULL,
                env=surroundings(),
                start_new_session=True,
            )
        try:
            yield parent_end
        finally:
            parent_end.close()
            kill_session(process.pid)
            process.wait()


#: Who is not root has none, and may not change what it may have.
_WITHOUT_POWERS = ("--no-new-privs", *(("--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()))


def _guard(*further: str, lasting: bool = False) -> list[str]:
    """A killed harness must not leave programs behind; setpriv is part of util-linux."""
    mortal = [] if lasting else ["--pdeathsig", "KILL"]
    return ["setpriv", *mortal, *further] if shutil.which("setpriv") else []


def kill_session(leader: int) -> None:
    """End everything in the session and the process group that ``leader`` began, whether it still lives or not.

    What a program moved into a session of its own is not in it.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(int(entry.name)) == leader:
                os.kill(int(entry.name), signal.SIGKILL)


def without_proxy(*hosts: str) -> dict[str, str]:
    """Environment with which a suite reaches the product, on this machine or at ``hosts``, whatever proxy is set for
    the world."""
    names = [name for key in ("no_proxy", "NO_PROXY") for name in os.environ.get(key, "").split(",") if name]
    value = ",".join(dict.fromkeys([*names, "127.0.0.1", "localhost", *hosts]))
    return {"no_proxy": value, "NO_PROXY": value}
