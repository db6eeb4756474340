"""Inputs are read in a process of its own, which has limits: what an input does to its reader, it does to itself.

A process without threads and connections, which has its imports done, forks a reader for each scan; the reader takes
one input after the other. Where it dies, the input that it read is lost, and a new reader takes the others.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pickle
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.errors import InfrastructureError
from harness.model.definitions import Rule
from harness.model.finding import Targets
from harness.scan import limits
from harness.scan.gathering import Facts
from harness.scan.listing import Input
from harness.system.polling import readable
from harness.system.surroundings import surroundings

AHEAD = 8  #: inputs that a reader is given before it has answered: so few that they fit into its socket
#: Seconds that an input may take by the clock on the wall, for each of CPU time, and beside it: disks are slow.
WALL, WALL_MORE = 6, 60
LENGTH = struct.Struct(">I")
#: The modules are those of this process: the folder that it stands in may be the one that is scanned.
_MAIN = "import sys; sys.path[:] = sys.argv[2:]; from harness.scan.worker import main; main(int(sys.argv[1]))"


def _folders() -> list[str]:
    return [str(Path(folder).absolute()) for folder in sys.path]


@functools.cache
def facts_adapter() -> TypeAdapter[Facts]:
    """Facts as JSON and back: whoever took over a reader can send nothing but facts."""
    return TypeAdapter(Facts)


class _Forker:
    """The process that readers are forked from; it ends with this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def reader(self) -> socket.socket:
        """A connection to a new reader.

        Raises:
            InfrastructureError: none can be started.
        """
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            for _ in range(2):
                if self._requests is None:
                    self._start()
                assert self._requests is not None
                try:
                    socket.send_fds(self._requests, [b"r"], [theirs.fileno()])
                    if self._requests.recv(1):
                        return ours
                except OSError:
                    pass
                self._end()
        ours.close()
        raise InfrastructureError(
            "the process that reads files for the scan cannot be started",
            advice="look for a lack of memory, then try again",
        )

    def _start(self) -> None:
        self._requests, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _MAIN, str(theirs.fileno()), *_folders()],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=surroundings(),
                start_new_session=True,
            )

    def _end(self) -> None:
        if self._requests is not None:
            self._requests.close()
        if self._process is not None:
            self._process.wait()
        self._requests = self._process = None

    def close(self) -> None:
        """End the process, and with it every reader."""
        with self._lock:
            self._end()


@functools.cache
def _forker(process: int) -> _Forker:
    """That of this process: one that was forked has none yet."""
    forker = _Forker()
    atexit.register(forker.close)
    return forker


class _Reader:
    """A process that reads inputs."""

    def __init__(self, setup: bytes) -> None:
        self._socket = _forker(os.getpid()).reader()
        self._send(setup)

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # whoever waits for the answer notices
            self._socket.sendall(LENGTH.pack(len(message)) + message)

    def give(self, given: Input) -> None:
        """Have it read an input, after those that it has."""
        self._send(pickle.dumps(given))

    def facts(self, given: Input) -> Facts:
        """The answer to the input that was given first of those that are not answered.

        Raises:
            EOFError: it is gone, or its answer is none.
        """
        end = time.monotonic() + WALL_MORE + WALL * limits.seconds_of_input(given.size)
        (length,) = LENGTH.unpack(self._receive(LENGTH.size, end))
        if length > limits.FACTS:
            raise EOFError("an answer of too many bytes")
        try:
            return facts_adapter().validate_json(self._receive(length, end))
        except ValidationError as error:
            raise EOFError("an answer that is none") from error

    def _receive(self, count: int, end: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            if not readable([self._socket], max(0.0, end - time.monotonic())):
                raise EOFError("no answer in time")
            try:
                piece = self._socket.recv(min(count - len(data), 1 << 20))
            except ConnectionError as error:
                raise EOFError("the reader is gone") from error
            if not piece:
                raise EOFError("the reader is gone")
            data += piece
        return bytes(data)

    def close(self) -> None:
        """End it: it is killed where it does not end by itself, by the limit of its CPU time."""
        self._socket.close()


def gather(
    inputs: Sequence[Input], rules: Sequence[Rule], targets: Targets, *, hashes: bool, statements: bool = False
) -> Iterator[Facts]:
    """The facts of each input, in their order. An input that ended its reader gives the fact that it is unread.

    Raises:
        InfrastructureError: no reader can be started.
    """
    setup = pickle.dumps((tuple(rules), targets, hashes, statements))
    todo, given = deque(inputs), deque[Input]()
    reader: _Reader | None = None
    try:
        while todo or given:
            if reader is None:
                reader = _Reader(setup)
            while todo and len(given) < AHEAD:
                given.append(todo.popleft())
                reader.give(given[-1])
            first = given.popleft()
            try:
                yield reader.facts(first)
            except EOFError:
                reader.close()
                reader = None
                todo.extendleft(reversed(given))
                given.clear()
                yield Facts(unread=[(first.place, "whoever reads it is ended by it: it takes too much time or memory")])
    finally:
        if reader is not None:
            reader.close()
