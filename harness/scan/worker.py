"""The other side of ``readers``: a process that forks readers, and a reader, which has limits and reads inputs."""

from __future__ import annotations

import gc
import os
import pickle
import resource
import signal
import socket
import time
from dataclasses import dataclass

from pydantic_core import PydanticSerializationError

from harness.scan import limits
from harness.scan.gathering import Facts, Gatherer
from harness.scan.limits import Unreadable
from harness.scan.listing import Input
from harness.scan.readers import LENGTH, facts_adapter
from harness.system.forking import die_with
from harness.system.printable import printable

#: Seconds of CPU time after which the kernel ends a reader that the clock could not stop: it is in one long call.
PATIENCE = 3


def serve(requests: socket.socket) -> None:
    """Fork a reader for each connection that is sent, until the other side is gone."""
    facts_adapter()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no reader is waited for
    server = os.getpid()
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
        if not message:
            return
        if os.fork() == 0:
            try:
                requests.close()
                die_with(server)
                _Session(socket.socket(fileno=descriptors[0])).run()
            finally:
                os._exit(0)
        os.close(descriptors[0])
        requests.sendall(b"r")


def _limit() -> None:
    """What the whole process may take, beside CPU time, which has a limit for each input."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):  # what libraries print of anyone's files is for no terminal
        os.dup2(null, output)
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, limits.MEMORY),
        (resource.RLIMIT_FSIZE, limits.CONTAINER + limits.CHUNK),
    ):
        hard = resource.getrlimit(kind)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, hard))


@dataclass
class _Session:
    """One reader, for one scan."""

    connection: socket.socket

    def run(self) -> None:
        _limit()
        rules, targets, hashes, statements = pickle.loads(self._message())  # noqa: S301  # of the process that started this one
        gatherer = Gatherer(rules, targets, hashes=hashes, statements=statements)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        while message := self._message():
            given: Input = pickle.loads(message)  # noqa: S301  # as above
            seconds = time.process_time() + limits.seconds_of_input(given.size) + PATIENCE
            soft = int(seconds) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
            answer = _answer(gatherer, given)
            self.connection.sendall(LENGTH.pack(len(answer)) + answer)

    def _message(self) -> bytes:
        head = self._receive(LENGTH.size)
        return self._receive(LENGTH.unpack(head)[0]) if head else b""

    def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.connection.recv(count - len(data))
            if not piece:
                return b""
            data += piece
        return data


def _answer(gatherer: Gatherer, given: Input) -> bytes:
    try:
        answer = _json(gatherer.gather(given))
    except Unreadable as error:  # the clock looked once more
        answer = _json(Facts(unread=[(given.place, str(error))]))
    except MemoryError:
        why = f"reading it takes more than {limits.MEMORY >> 20} MiB of memory"
        answer = _json(Facts(unread=[(given.place, why)]))
    if len(answer) > limits.FACTS:
        why = f"more is there to be said of it than {limits.FACTS >> 20} MiB hold"
        answer = _json(Facts(unread=[(given.place, why)]))
    return answer


def _json(facts: Facts) -> bytes:
    try:
        return facts_adapter().dump_json(facts)
    except PydanticSerializationError:  # half surrogates, which names in archives may have
        return facts_adapter().dump_json(printable(facts))


def main(descriptor: int) -> None:
    """``descriptor``: of the socket that connections of readers are sent over."""
    serve(socket.socket(fileno=descriptor))
