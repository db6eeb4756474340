"""A port of this machine that leads to one of a lab host, over the SSH connection to it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import paramiko

from harness.errors import HarnessError

PIECE = 1 << 16
#: Where no connection can be taken now, the next attempt follows after so many seconds.
PAUSE_SECONDS = 0.1

Channel = socket.socket | paramiko.Channel


class Forward:
    """Listens on 127.0.0.1; each connection is carried by a channel that ``connect`` opens.

    A connection that the host refuses is reset here: that is how it looks to whoever made it. A connection that cannot
    be taken (no descriptor is left, the caller gave up) ends nothing but itself. ``close`` ends them all.
    """

    def __init__(self, connect: Callable[[], Channel], name: str) -> None:
        self._connect = connect
        self._server = socket.create_server(("127.0.0.1", 0))
        self._name = name
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._open: set[Channel] = set()
        self._thread = threading.Thread(target=self._accept, name=name, daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port on this machine."""
        host, port = self._server.getsockname()
        return str(host), int(port)

    def close(self) -> None:
        """End the port and every connection through it."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # the thread that waits in accept wakes
        self._server.close()
        self._thread.join(timeout=10)
        with self._lock:
            ends = list(self._open)
        for end in ends:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._server.accept()
            except OSError:
                self._closed.wait(PAUSE_SECONDS)
                continue
            try:
                threading.Thread(target=self._carry, args=(client,), name=self._name, daemon=True).start()
            except RuntimeError:  # no thread is left
                _reset(client)

    def _carry(self, client: socket.socket) -> None:
        with client:
            try:
                channel = self._connect()
            except (paramiko.SSHException, EOFError, OSError, HarnessError):
                _reset(client)
                return
            with channel, self._known(client, channel):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=_pump, args=(channel, client), name=self._name, daemon=True)
                back.start()
                _pump(client, channel)
                back.join()

    @contextlib.contextmanager
    def _known(self, *ends: Channel) -> Iterator[None]:
        """Both ends of a connection, for ``close``, which may have come before."""
        with self._lock:
            self._open.update(ends)
        if self._closed.is_set():
            for end in ends:
                end.close()
        try:
            yield
        finally:
            with self._lock:
                self._open.difference_update(ends)


def _reset(client: socket.socket) -> None:
    """End a connection so that its maker sees a reset and not an end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def _pump(source: Channel, to: Channel) -> None:
    """Carry one direction to its end."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        while data := source.recv(PIECE):
            to.sendall(data)
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        to.shutdown(socket.SHUT_WR)  # a channel knows the same numbers
