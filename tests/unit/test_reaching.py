"""What a product declares that it must reach: read, planned, refused where nothing can serve it, and led there."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Collection, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from harness.containers import reaching
from harness.containers.reaching import Reaching
from harness.errors import DefinitionError, InfrastructureError
from harness.execution.making import roles_of
from harness.machines.placing import place
from harness.model.definitions import Reached
from harness.planning import expand
from harness.planning.expansion import REACHES
from harness.reading.read import read

LICENCE = {"host": "licence.example", "port": 443}
WHERE = {**LICENCE, "address": "10.0.0.7"}


@pytest.mark.parametrize(
    ("reach", "told"),
    [
        ([{"host": "localhost", "port": 80}], "no name of another machine"),
        ([{"host": "10.0.0.7", "port": 80}], "no name of another machine"),
        ([{"host": "a name", "port": 80}], "should match pattern"),
        ([{"host": "a\n10.0.0.1 b", "port": 80}], "should match pattern"),
        ([{"host": "x" * 254, "port": 80}], "at most 253"),
        ([{**LICENCE, "port": 0}], "greater than or equal to 1"),
        ([{**LICENCE, "address": "127.0.0.1"}], "no machine of a laboratory"),
        ([{**LICENCE, "address": "169.254.169.254"}], "no machine of a laboratory"),
        ([{**LICENCE, "address": "::1"}], "no machine of a laboratory"),
        ([{**LICENCE, "address": "0.0.0.0"}], "no machine of a laboratory"),
        ([{**LICENCE, "address": "licence"}], "address"),
        ([LICENCE, WHERE], "twice in reach: licence.example:443"),
        ([{"host": f"h{n}", "port": 1} for n in range(33)], "not 33"),
    ],
)
def test_what_is_no_place_is_a_fault_of_the_file(folder: Any, reach: list[dict[str, Any]], told: str) -> None:
    folder.change("application", reach=reach)
    with pytest.raises(DefinitionError) as caught:
        read(folder.root)
    assert told in str(caught.value)
    assert caught.value.faults[0].file.endswith("application.yaml")


@pytest.mark.parametrize("host", ["application", "database", "middleware"])
def test_a_machine_of_the_cell_is_no_place_outside_of_it(folder: Any, host: str) -> None:
    folder.change("application", reach=[{"host": host, "port": 5432}])
    with pytest.raises(DefinitionError, match=f"reach names a machine of the cell: {host}"):
        expand(read(folder.root))


def test_places_are_named_in_the_plan_and_go_to_the_products_machine(folder: Any) -> None:
    second = {"host": "login.example", "port": 636}
    assert not any(note.startswith(REACHES) for cell in expand(read(folder.root)).cells for note in cell.notes)
    folder.change("application", reach=[WHERE, second])
    definitions = read(folder.root)
    cell = expand(definitions).cells[0]
    assert f"{REACHES}licence.example:443 (10.0.0.7), login.example:636" in cell.notes
    attempt: Any = SimpleNamespace(placed=place(definitions, cell), lab=SimpleNamespace(definitions=definitions))
    product, *others = roles_of(attempt)
    assert [str(each) for each in product.reach] == ["licence.example:443 (10.0.0.7)", "login.example:636"]
    assert all(role.reach == () for role in others)


def test_a_virtual_machine_reaches_no_such_place(folder: Any) -> None:
    folder.change("application", reach=[WHERE])
    folder.change("matrix", prefer=["vm"])
    definitions = read(folder.root)
    placement = place(definitions, expand(definitions).cells[0]).placement
    assert placement.kind is None
    assert "take a container or a lab host" in placement.by


@contextlib.contextmanager
def led(
    places: list[Reached], where: dict[str, socket.socket | None], monkeypatch: Any, own: Collection[Reached] = ()
) -> Iterator[Any]:
    """Ways to servers of this machine by the names of places; None where there is none."""

    def address(at: Reached, *, own: bool = False) -> str:
        if where[at.host] is None:
            raise InfrastructureError(f"{at} is not known here")
        return "127.0.0.1"

    monkeypatch.setattr(reaching, "address_of_place", address)
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in places]
    ends = [listener.getsockname() for listener in listeners]
    way = Reaching(places, listeners, own)
    way.start()
    try:
        yield way, ends
    finally:
        way.close()


def at(host: str, port: int) -> Reached:
    return Reached(host=host, port=port)


def test_connections_are_led_to_their_own_place_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        where: dict[str, socket.socket | None] = {"one": one, "two": two, "gone": None}
        places = [at("one", one.getsockname()[1]), at("two", two.getsockname()[1]), at("gone", 1)]
        began = time.time()
        with led(places, where, monkeypatch) as (way, ends):
            for server, end, word in ((one, ends[0], b"first"), (two, ends[1], b"second"), (one, ends[0], b"third")):
                with socket.create_connection(end, 10) as near:
                    far, _ = server.accept()
                    with far:
                        near.sendall(word)
                        near.shutdown(socket.SHUT_WR)
                        assert far.recv(10) == word
                        assert far.recv(10) == b""  # the end is told, and the other direction goes on
                        far.sendall(word * 50_000)
                    received = b"".join(iter(lambda near=near: near.recv(1 << 16), b""))
                    assert received == word * 50_000
            assert way.troubles(began) == []
            with pytest.raises(ConnectionResetError), socket.create_connection(ends[2], 10) as near:
                near.recv(1)
            (words,) = way.troubles(began)
            assert "gone:1, which the product must reach, did not take a connection" in words
            assert way.troubles(time.time() + 1) == []
            counts = [(fact["connections"], fact["failures"]) for fact in way.facts()]
            assert counts == [(2, 0), (1, 0), (1, 1)]
            with socket.create_connection(ends[0], 10) as near:  # one that stands when the cell ends
                far, _ = one.accept()
                threading.Timer(0.05, way.close).start()
                with far, contextlib.suppress(OSError):
                    assert near.recv(1) == b""
            way.close = lambda: None


def test_a_product_cannot_use_up_the_descriptors_of_the_harness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections beyond the limit wait until another ends."""
    monkeypatch.setattr(reaching, "MOST", 2)
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as stack:
        place = at("one", server.getsockname()[1])
        way, (end,) = stack.enter_context(led([place], {"one": server}, monkeypatch))
        nears, fars = [], []
        for _ in range(2):
            nears.append(stack.enter_context(socket.create_connection(end, 10)))
            fars.append(stack.enter_context(server.accept()[0]))
        nears.append(stack.enter_context(socket.create_connection(end, 10)))
        for near, far in zip(nears[:2], fars, strict=True):
            near.sendall(b"there")
            assert far.recv(10) == b"there"
        assert way.facts()[0]["connections"] == 2
        nears[0].close()
        fars[0].close()
        third = stack.enter_context(server.accept()[0])
        nears[2].sendall(b"third")
        assert third.recv(10) == b"third"
        assert way.facts()[0]["connections"] == 3


@pytest.mark.parametrize("own", [False, True], ids=["declared", "of the laboratory"])
@pytest.mark.parametrize("where", ["accept", "connect"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS])
def test_what_this_machine_lacks_is_its_own_trouble_and_passes(
    monkeypatch: pytest.MonkeyPatch, number: int, where: str, own: bool
) -> None:
    """The laboratory's own places too; those that come after are carried as before, to each place."""
    lacking = threading.Event()
    lacking.set()
    names = {"accept": (asyncio.SelectorEventLoop, "sock_accept"), "connect": (asyncio, "open_connection")}
    holder, name = names[where]
    works = getattr(holder, name)

    async def call(*given: Any, **named: Any) -> Any:
        if lacking.is_set() and "sock" not in named:
            lacking.clear()
            raise OSError(number, os.strerror(number))
        return await works(*given, **named)

    monkeypatch.setattr(holder, name, call)
    monkeypatch.setattr(reaching, "PAUSE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        places = [at("one", first.getsockname()[1]), at("two", second.getsockname()[1])]
        began = time.time()
        servers: dict[str, socket.socket | None] = {"one": first, "two": second}
        with led(places, servers, monkeypatch, own=places if own else ()) as (way, ends):
            if where == "connect":
                with pytest.raises(ConnectionResetError), socket.create_connection(ends[0], 10) as near:
                    near.recv(1)
            for server, end in ((first, ends[0]), (second, ends[1])):
                with socket.create_connection(end, 10) as near, server.accept()[0] as far:
                    near.sendall(b"there")
                    assert far.recv(10) == b"there"
            told = [words for words in way.troubles(began) if os.strerror(number) in words]
            assert told
            assert told[0].startswith("the machine of the harness could not carry a connection to ")
            assert way.troubles(time.time() + 1) == []


@pytest.mark.parametrize("address", ["127.0.0.5", "::1", "224.0.0.1", "fe80::1"])
def test_no_name_leads_to_this_machine(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that the laboratory's name server gives, among others."""
    entries = [(None, None, None, "", (each, 1)) for each in ("203.0.113.9", address)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
    with pytest.raises(Exception, match="is this machine or one of its containers"):
        reaching.address_of_place(at("licence.example", 443))
