"""Commands of the command line as processes, forked from a process that has their imports done.

A command spends a second of processor time on its imports, and the rings run more than a thousand. What is forked has
its own folder, environment, files and end, as any process; nothing else of a command differs. Where the environment is
for Python itself or for the loader of programs, and where a test sends signals or reads while a command runs, it is
begun as users begin it: ``tests.conftest.command``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import harness
from harness.cli import COMMANDS, main
from harness.system.polling import readable

MAX_REQUEST = 200_000  # bytes; the kernel's default for one packet is a little more
#: Variables that act while Python or a program begins, by how they begin.
OF_THE_START = ("PYTHON", "LD_", "FAKETIME")


def run(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """``harness ARGUMENTS`` in ``cwd`` with all of ``env``.

    Raises:
        subprocess.TimeoutExpired: it did not end in ``timeout`` seconds; it is killed.
    """
    words = [sys.executable, "-m", "harness", *arguments]
    if any(env.get(name) != os.environ.get(name) for name in env | os.environ if name.startswith(OF_THE_START)):
        return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = _server().run(arguments, cwd, env, timeout, (out.fileno(), err.fileno()))
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode().replace("\r\n", "\n"))
    return subprocess.CompletedProcess(words, code, *texts)


@functools.cache
def _server() -> _Server:
    return _Server()


class _Server:
    """The process that commands are forked from; it ends with this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.commands", str(theirs.fileno())],
                cwd=Path(__file__).parents[1],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self._close)

    def _close(self) -> None:
        self._requests.close()
        self._process.wait()

    def run(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float, files: tuple[int, int]
    ) -> int:
        request = json.dumps({"arguments": arguments, "cwd": str(cwd), "env": dict(env)}).encode()
        assert len(request) <= MAX_REQUEST
        status, theirs = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._requests, [request], [*files, theirs])
                answer = self._requests.recv(64)
            os.close(theirs)
            assert answer, "the process that commands are forked from is gone"
            if not readable([status], timeout):
                os.kill(int(answer), signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(arguments), timeout)
            return int(os.read(status, 64) or b"-9")
        finally:
            os.close(status)


def _serve(requests: socket.socket) -> int:
    """Fork for each request until the other side is gone; gives the code to exit with, of this process or a command."""
    for module in {module for module, _ in COMMANDS.values()}:
        importlib.import_module(f"harness.cli.{module}")
    importlib.import_module("harness.cli.entry")
    importlib.import_module("httpcore")
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}
    while True:
        ready = readable([requests, wake])
        if wake in ready:
            os.read(wake, 512)
            for pid in list(running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    pipe = running.pop(pid)
                    with contextlib.suppress(BrokenPipeError):  # it came too late
                        os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
                    os.close(pipe)
        if requests in ready:
            message, descriptors, _, _ = socket.recv_fds(requests, MAX_REQUEST, 3)
            if not message:
                return 0
            out, err, status = descriptors
            if pid := os.fork():
                running[pid] = status
                os.close(out)
                os.close(err)
                requests.send(str(pid).encode())
                continue
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(out, 1)
            os.dup2(err, 2)
            requests.close()
            for each in {out, err, wake, waker, status, *running.values()}:
                os.close(each)
            return _command(json.loads(message))


def _command(request: dict[str, object]) -> int:
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    time.tzset()
    random.seed()
    os.chdir(str(request["cwd"]))
    sys.path[0] = str(request["cwd"])  # as ``python -m`` does
    sys.modules["__main__"].__package__ = "harness"  # whose name stands in a usage
    sys.argv = [str(Path(harness.__file__).with_name("__main__.py")), *request["arguments"]]  # type: ignore[misc]
    main()
    return 0


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as _requests:
        _code = _serve(_requests)
    sys.exit(_code)
