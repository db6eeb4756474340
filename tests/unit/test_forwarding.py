"""A port that leads somewhere else: what cannot be taken, what is refused, and the end."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from harness.errors import InfrastructureError
from harness.hosts import forwarding
from harness.hosts.forwarding import Forward


@pytest.fixture
def far() -> Iterator[list[socket.socket]]:
    """The far ends of the channels that ``connect`` opens."""
    ends: list[socket.socket] = []
    yield ends
    for end in ends:
        end.close()


def connect(far: list[socket.socket]) -> socket.socket:
    near, other = socket.socketpair()
    far.append(other)
    return near


def talk(forward: Forward, far: list[socket.socket]) -> socket.socket:
    client = socket.create_connection(forward.address, 10)
    client.sendall(b"question")
    while not far:
        pass
    assert far[-1].recv(8, socket.MSG_WAITALL) == b"question"
    far[-1].sendall(b"answer")
    assert client.recv(6, socket.MSG_WAITALL) == b"answer"
    return client


@pytest.mark.parametrize("trouble", [errno.EMFILE, errno.ECONNABORTED, errno.ENOBUFS])
def test_a_connection_that_cannot_be_taken_ends_nothing_but_itself(
    monkeypatch: pytest.MonkeyPatch, far: list[socket.socket], trouble: int
) -> None:
    monkeypatch.setattr(forwarding, "PAUSE_SECONDS", 0.001)
    left = [OSError(trouble, "no"), OSError(trouble, "no")]
    accept = socket.socket.accept

    def flaky(self: socket.socket) -> Any:
        if left:
            raise left.pop()
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", flaky)
    forward = Forward(lambda: connect(far), "test")
    talk(forward, far).close()
    assert left == []
    forward.close()


def test_what_the_host_refuses_is_reset() -> None:
    def refuse() -> socket.socket:
        raise InfrastructureError("no")

    forward = Forward(refuse, "test")
    # The reset may come before the connection is known to be there.
    with pytest.raises(ConnectionResetError), socket.create_connection(forward.address, 10) as client:
        client.recv(1)
    forward.close()


def test_the_end_ends_port_and_connections(far: list[socket.socket]) -> None:
    forward = Forward(lambda: connect(far), "test")
    client, address = talk(forward, far), forward.address
    forward.close()
    assert client.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(address, 5)
    client.close()
