"""Runs a function in a process of its own, forked from a server that has its imports done already.

A fork of this process would be unsafe: it has threads and open connections. The server has neither: it imports,
waits and forks. ``multiprocessing``'s forkserver is not used, because it runs the caller's main program again in
each process that it forks.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.errors import Canceled, InfrastructureError, StepTimeout
from harness.system.bounded import read_bounded
from harness.system.canonical import read_json
from harness.system.entering import close_all, enter, give_up_rights
from harness.system.polling import readable
from harness.system.process import Completed, kill_session
from harness.system.surroundings import surroundings

_PR_SET_PDEATHSIG = 1  # prctl(2)
MAX_REQUEST = 200_000  # bytes; the kernel's default for one packet is a little more
MAX_DESCRIPTORS = 16  #: of one request: the pipe of its status, the log, the namespaces of a sandbox


class Inside(Protocol):
    """A sandbox that waits for a process to enter it, and ends with it."""

    namespaces: list[int]  #: descriptors, in the order in which they are entered
    variables: dict[str, str]  #: the whole environment there
    rights: dict[str, Any]  #: arguments of ``give_up_rights``; the filter of system calls in hexadecimal

    def close(self) -> None:
        """End all that runs in it."""
        ...


class ForkServer:
    """A process with ``modules`` imported, from which others are forked. It ends with this one, however that ends.

    ``close`` ends it, and with it all that runs.
    """

    def __init__(
        self,
        modules: Sequence[str],
        keep: Collection[str] = (),
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``keep``: variables that pass into its environment beside those that any program gets; ``environment``: all
        of it, in place of both. What is forked can read it, in a sandbox too."""
        self._lock = threading.Lock()
        self._modules = tuple(modules)
        self._environment = dict(surroundings(keep=keep) if environment is None else environment)
        self._start()

    def _start(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            # Nothing of the current folder is imported (-P): it may be a vendor's.
            argv = [sys.executable, "-P", "-m", "harness.system.forking", str(theirs.fileno()), *self._modules]
            # A session of its own: Ctrl-C on the terminal is for the harness, which ends what runs in good order.
            self._process = subprocess.Popen(
                argv,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        finally:
            theirs.close()

    def close(self) -> None:
        self._requests.close()
        self._process.wait()

    def run(
        self,
        function: str,
        arguments: Sequence[object],
        *,
        log: Path,
        timeout: float,
        cwd: Path,
        env: Mapping[str, str],
        cancel: threading.Event | None = None,
        inside: Inside | None = None,
    ) -> Completed:
        """Call ``function`` (``module:name``) there with JSON ``arguments``; its result is the exit status.

        What it prints goes to ``log``. ``timeout`` in seconds; ``env`` is laid over the environment. The process
        leads a session of its own, all of which is ended with it. Where it is called ``inside`` a sandbox, ``cwd`` and
        paths of the arguments are those of the sandbox, which is closed with it.

        Raises:
            StepTimeout: it did not end in time.
            Canceled: ``cancel`` was set while it ran.
            InfrastructureError: the server is gone, the log cannot be written.
        """
        started = time.monotonic()
        request: dict[str, Any] = {
            "function": function,
            "arguments": list(arguments),
            "cwd": str(cwd),
            "env": dict(env),
        }
        if inside is not None:
            request |= {"env": {**inside.variables, **env}, "rights": inside.rights}
        status, theirs = os.pipe()
        try:
            namespaces = inside.namespaces if inside is not None else ()
            pid = self._fork(json.dumps(request).encode(), theirs, log, namespaces)
            try:
                rc = self._wait(status, function, started + timeout, timeout, cancel)
            finally:
                kill_session(pid)  # also what it left behind
                if inside is not None:
                    inside.close()
        finally:
            os.close(status)
        text = read_bounded(log)
        return Completed(rc=rc, out=text, seconds=time.monotonic() - started)

    def _fork(self, request: bytes, status: int, log: Path, namespaces: Sequence[int]) -> int:
        if len(request) > MAX_REQUEST:
            raise InfrastructureError(f"a suite's arguments take {len(request)} bytes; the limit is {MAX_REQUEST}")
        output, answer = -1, b""
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with self._lock:
                answer = self._ask(request, [status, output, *namespaces])
                if not answer:
                    # A suite may have killed it, or a lack of memory; that must not hurt all the suites that follow.
                    self.close()
                    self._start()
                    answer = self._ask(request, [status, output, *namespaces])
        except OSError as error:
            raise InfrastructureError(f"a suite's process cannot be started: {error}") from error
        finally:
            os.close(status)
            if output >= 0:
                os.close(output)
        if not answer:
            message = f"the process that suites are forked from is gone (process {self._process.pid})"
            raise InfrastructureError(message, advice="look for a lack of memory, then: harness resume")
        return int(answer)

    def _ask(self, request: bytes, descriptors: Sequence[int]) -> bytes:
        """Have the server fork; gives the process id, nothing where the server is gone."""
        with contextlib.suppress(ConnectionError):
            socket.send_fds(self._requests, [request], descriptors)
            return self._requests.recv(64)
        return b""

    def _wait(self, status: int, function: str, end: float, timeout: float, cancel: threading.Event | None) -> int:
        while True:
            if readable([status], min(0.5, max(end - time.monotonic(), 0.01))):
                answer = os.read(status, 64)
                if not answer:
                    raise InfrastructureError(
                        f"the process that ran {function} is gone with its server",
                        advice="look for a lack of memory, then: harness resume",
                    )
                return int(answer)
            if cancel is not None and cancel.is_set():
                raise Canceled(f"canceled while {function} ran")
            if time.monotonic() >= end:
                raise StepTimeout(
                    f"{function.partition(':')[2].strip('_')} did not end within {timeout:.0f} s",
                    advice="look at its log; raise timeout_factor in an adjust if the machine is slow",
                )


def serve(requests: socket.socket, modules: Sequence[str]) -> None:
    """Fork for each request until the other side is gone; then end all that runs."""
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what was imported stays for good: no process that is forked needs to look through it
    server = os.getpid()
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}  # process id -> the pipe that gets its exit status
    watched: list[Any] = [requests, wake]
    while True:
        ready = readable(watched)
        if wake in ready:
            os.read(wake, 512)
            _reap(running)
        if requests in ready:
            message, descriptors, _, _ = socket.recv_fds(requests, MAX_REQUEST, MAX_DESCRIPTORS)
            if not message:
                break
            status, output, *namespaces = descriptors
            pid = os.fork()
            if pid == 0:
                close_all((requests.fileno(), wake, waker, status, *running.values()))
                _child(read_json(message), output, server, namespaces)
            close_all((output, *namespaces))
            running[pid] = status
            requests.send(str(pid).encode())
    for pid in running:
        kill_session(pid)


def _reap(running: dict[int, int]) -> None:
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            pipe = running.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            try:
                os.write(pipe, str(code if code >= 0 else 128 - code).encode())
            except BrokenPipeError:
                pass  # nobody waits any more: it was canceled, or late
            finally:
                os.close(pipe)


def _child(request: dict[str, Any], output: int, server: int, namespaces: Sequence[int]) -> None:
    code = 1
    try:
        die_with(server)
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        if "rights" in request:
            _go_inside(namespaces, request["rights"])
        for stream in (sys.stdout, sys.stderr):  # a log in the order in which things were said
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        os.environ.update(request["env"])
        os.chdir(str(request["cwd"]))
        sys.path.insert(0, str(request["cwd"]))  # as ``python -m`` does
        module, _, name = str(request["function"]).partition(":")
        code = int(getattr(importlib.import_module(module), name)(*request["arguments"]))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  # it is printed, and then this process ends
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 255)


def _go_inside(namespaces: Sequence[int], rights: dict[str, Any]) -> None:
    """Give the work to a process in a sandbox, without a descriptor, variable or right of this one; this one waits.

    It stays outside: what runs in the sandbox neither sees it nor gives its status.
    """
    enter(namespaces)
    inner = os.fork()
    if inner:
        code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        os._exit(code if code >= 0 else 128 - code)
    os.setsid()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    give_up_rights(**{**rights, "filter_program": bytes.fromhex(rights["filter_program"])})
    os.environ.clear()


def die_with(parent: int) -> None:
    """Be killed when ``parent`` ends; Linux only, as is the rest of the harness."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    # Under its own name: the functions above must not exist twice.
    from harness.system.forking import serve as _serve

    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
