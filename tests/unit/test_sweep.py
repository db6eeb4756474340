"""Ports as another machine sees them: those that take a connection, and what is not seen."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from harness.clients import sweep as sweeping
from harness.clients.sweep import beside, sweep, unrefused


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Two ports with listeners and two that were theirs and are closed, in place of all."""
    ends = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    ports = [end.getsockname()[1] for end in ends]
    for end in ends[2:]:
        end.close()
    monkeypatch.setattr(sweeping, "PORTS", ports)
    yield ports
    for end in ends[:2]:
        end.close()


def test_what_takes_a_connection_is_listed_in_order(few: list[int]) -> None:
    seen = sweep("127.0.0.1", seconds=5)
    assert seen.taken == tuple(sorted(few[:2]))
    assert seen.whole


@pytest.mark.parametrize("error", [TimeoutError("timed out"), OSError(113, "No route to host"), ConnectionResetError()])
def test_a_port_that_is_silent_is_not_held_to_be_closed(
    few: list[int], monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    connect = socket.socket.connect

    def kept(self: socket.socket, place: tuple[str, int]) -> None:
        if place[1] == few[3]:
            raise error
        connect(self, place)

    monkeypatch.setattr(socket.socket, "connect", kept)
    seen = sweep("127.0.0.1", seconds=5)
    assert (seen.taken, seen.silent, seen.tried, seen.whole) == (tuple(sorted(few[:2])), 1, 4, False)


def test_a_firewall_that_drops_everything_ends_it_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    def dropped(_self: socket.socket, _place: tuple[str, int]) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", dropped)
    seen = sweep("192.0.2.1", seconds=0.01)
    assert not seen.whole
    assert sweeping.MOST_SILENT <= seen.tried <= sweeping.MOST_SILENT + sweeping.AT_ONCE


@pytest.fixture
def datagrams() -> Iterator[list[int]]:
    """UDP ports: a silent one, one that answers, one that is closed."""
    ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for end in ends:
        end.bind(("127.0.0.1", 0))
    ports = [end.getsockname()[1] for end in ends]
    ends[2].close()

    def answer() -> None:
        _, peer = ends[1].recvfrom(1)
        ends[1].sendto(b"x", peer)

    thread = threading.Thread(target=answer)
    thread.start()
    yield ports
    ends[1].close()
    ends[0].close()
    thread.join()


def test_a_udp_port_is_reached_that_answers_or_does_not_refuse(datagrams: list[int]) -> None:
    assert unrefused("127.0.0.1", datagrams, seconds=0.5) == tuple(sorted(datagrams[:2]))


def test_nothing_is_said_of_udp_where_closed_ports_are_silent(
    datagrams: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Datagrams to all ports but the first two are lost on the way."""
    send = socket.socket.send

    def lost(self: socket.socket, data: bytes) -> int:
        return send(self, data) if self.getpeername()[1] in datagrams[:2] else len(data)

    monkeypatch.setattr(socket.socket, "send", lost)
    assert unrefused("127.0.0.1", datagrams, seconds=0.2) is None


@pytest.mark.parametrize(
    ("kind", "ports", "address", "expected"),
    [
        ("container", {"web": 8080}, "172.18.0.2", "172.18.0.2"),
        ("container", {"web": 8080}, "127.0.0.1", ""),
        ("container", {}, "172.18.0.2", ""),
        ("ssh", {"web": 8080}, "192.0.2.7", ""),
        ("vm", {"web": 8080}, "127.0.0.1", ""),
    ],
)
def test_where_this_machine_is_another_machine_of_the_network(
    kind: str, ports: dict[str, int], address: str, expected: str
) -> None:
    machine = SimpleNamespace(reference=SimpleNamespace(kind=kind), address=lambda port: (address, port))
    deployment: Any = SimpleNamespace(
        machine=machine, context=SimpleNamespace(application=SimpleNamespace(ports=ports))
    )
    assert beside(deployment) == expected
