"""A port of this machine that leads to one of a lab host, over the SSH connection to it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

import paramiko

from harness.errors import HarnessError

PIECE = 1 << 16


class Forward:
    """Listens on 127.0.0.1; each connection is carried by a channel that ``connect`` opens.

    A connection that the host refuses is reset here: that is how it looks to whoever made it.
    """

    def __init__(self, connect: Callable[[], paramiko.Channel], name: str) -> None:
        self._connect = connect
        self._server = socket.create_server(("127.0.0.1", 0))
        self._name = name
        threading.Thread(target=self._accept, name=name, daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._server.getsockname()
        return str(host), int(port)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # the thread that waits in accept wakes
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._carry, args=(client,), name=self._name, daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client:
            try:
                channel = self._connect()
            except (paramiko.SSHException, EOFError, OSError, HarnessError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            with channel:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=_pump, args=(channel, client), name=self._name, daemon=True)
                back.start()
                _pump(client, channel)
                back.join()


def _pump(source: socket.socket | paramiko.Channel, to: socket.socket | paramiko.Channel) -> None:
    """Carry one direction to its end."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        while data := source.recv(PIECE):
            to.sendall(data)
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        to.shutdown(socket.SHUT_WR)  # a channel knows the same numbers
