"""The broker of a cell's machines: what sandboxed code may say over it, and what it gets for anything else."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InfrastructureError, SuiteError, UnsupportedVerb
from harness.hosts.inventory import HostUnreachable
from harness.machines import broker as broker_module
from harness.machines.broker import Broker
from harness.machines.brokered import BrokeredMachine
from harness.machines.opening import open_machine
from harness.model.context import CellContext
from harness.model.machine import MachineReference, Resources
from harness.model.verbs import UnsupportedVerbs, Verb
from harness.system.frames import listen, receive, send
from harness.system.process import Completed
from tests.suite_runs import context


class Verbs(UnsupportedVerbs):
    """Has one verb, and notes its use."""

    def __init__(self, done: list[Any]) -> None:
        self.done = done

    @property
    def can(self) -> frozenset[Verb]:
        return frozenset({Verb.DELAY})

    def slow_network(self, *, delay: float = 0.0, loss: float = 0.0) -> None:
        self.done.append((delay, loss))


class Machine:
    """A machine of a cell that remembers what was done to it."""

    def __init__(self, reference: MachineReference) -> None:
        self.reference, self.name, self.done = reference, reference.name, list[Any]()
        self.files: dict[str, bytes] = {}
        self.wait = threading.Event()

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        self.done.append((command, timeout, stdin, user))
        if command == "wait":
            self.wait.wait(20)
        if command == "lost":
            raise HostUnreachable("it is gone", advice="look at it")
        return Completed(rc=3, out=f"{self.name}: {command}", err="e", seconds=0.5)

    def put(self, path: str, data: bytes, *, mode: str = "0644", owner: str = "root:root") -> None:
        self.files[path] = data
        self.done.append((path, mode, owner))

    def get(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(f"{self.name} has no {path}")
        return self.files[path]

    def processes(self) -> dict[int, str]:
        return {1: "init", 7: "it"}

    def resources(self) -> Resources:
        return Resources(cpu=1.5, memory=2.5)

    @property
    def verbs(self) -> Verbs:
        return Verbs(self.done)

    def close(self) -> None:
        self.done.append("closed")


class Cell:
    """Two machines behind a broker, and how sandboxed code sees them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **ports: tuple[str, int]) -> None:
        self.machines: dict[str, Machine] = {}
        monkeypatch.setattr(broker_module, "open_machine", self._open)
        real = context(folder, ports=ports)
        application = MachineReference(kind="container", name="product", container="0123", began="then")
        server = real.servers["database"].model_copy(
            update={"machine": MachineReference(kind="ssh", name="server", mark="secret-mark", known_hosts=Path("/k"))}
        )
        self.real = real.model_copy(update={"application_machine": application, "servers": {"database": server}})
        self.path = folder / "broker"
        self.broker = Broker(self.real, self.path)

    def _open(self, reference: MachineReference) -> Any:
        return self.machines.setdefault(reference.name, Machine(reference))

    @property
    def told(self) -> CellContext:
        return CellContext.model_validate_json(self.broker.context.model_dump_json(by_alias=True))

    def inside(self, role: str = "") -> BrokeredMachine:
        machine = open_machine(self.told.servers[role].machine if role else self.told.application_machine)
        assert isinstance(machine, BrokeredMachine)
        return machine

    def raw(self, message: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(self.path))
            send(end, message, data)
            answered = receive(end)
        assert answered is not None
        return answered[0]


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    made = Cell(tmp_path, monkeypatch)
    yield made
    made.broker.close()


def test_each_machine_is_used_by_its_own_number(cell: Cell) -> None:
    product, server = cell.inside(), cell.inside("database")
    assert product.run("id", timeout=7, stdin="ü", user="app") == Completed(
        rc=3, out="product: id", err="e", seconds=0.5
    )
    assert server.run("id").out == "server: id"
    assert cell.machines["product"].done == [("id", 7, "ü", "app")]
    product.put("/a", b"\x00\xff", mode="0600", owner="app:app")
    assert product.get("/a") == b"\x00\xff"
    with pytest.raises(FileNotFoundError, match="server has no /a"):
        server.get("/a")
    assert server.processes() == {1: "init", 7: "it"}
    assert server.resources() == Resources(cpu=1.5, memory=2.5)
    assert product.verbs.can == {Verb.DELAY}
    product.verbs.slow_network(delay=0.5)
    assert cell.machines["product"].done[-1] == (0.5, 0.0)


def test_nothing_of_the_way_to_a_machine_is_told(cell: Cell) -> None:
    text = cell.broker.context.model_dump_json(by_alias=True)
    assert "0123" not in text
    assert "secret-mark" not in text
    assert "/k" not in text
    assert cell.told.application_machine.kind == "container"


def test_errors_keep_their_kind_and_whom_they_blame(cell: Cell) -> None:
    assert not cell.broker.lost
    with pytest.raises(InfrastructureError, match="it is gone") as lost:
        cell.inside().run("lost")
    assert cell.broker.lost
    assert (lost.value.cause, lost.value.advice) == ("infra", "look at it")
    with pytest.raises(UnsupportedVerb):
        cell.inside().verbs.pause()
    with pytest.raises(UnsupportedVerb):
        cell.inside().reboot()
    assert cell.inside().run("id").rc == 3


@pytest.mark.parametrize(
    "message",
    [
        {"call": "run", "machine": 2, "arguments": {"command": "id"}},
        {"call": "run", "machine": -1, "arguments": {"command": "id"}},
        {"call": "run", "machine": True, "arguments": {"command": "id"}},
        {"call": "run", "machine": "product", "arguments": {"command": "id"}},
        {"call": "run", "machine": 0, "arguments": {"command": ["id"]}},
        {"call": "run", "machine": 0, "arguments": {"command": "id", "timeout": 1e9}},
        {"call": "run", "machine": 0, "arguments": {"command": "id", "user": "--reuid=0"}},
        {"call": "run", "machine": 0, "arguments": {"command": "id", "more": 1}},
        {"call": "run", "machine": 0, "arguments": None},
        {"call": "put", "machine": 0, "arguments": {"path": "relative"}},
        {"call": "put", "machine": 0, "arguments": {"path": "/a", "mode": "0644; id"}},
        {"call": "close", "machine": 0, "arguments": {}},
        {"call": "__class__", "machine": 0, "arguments": {}},
        {"call": ["run"], "machine": 0, "arguments": {}},
        {"call": "reference", "machine": 0, "arguments": {}},
        {"call": "listen", "arguments": {"name": "engine"}},
        {},
    ],
)
def test_anything_else_is_refused(cell: Cell, message: dict[str, Any]) -> None:
    assert cell.raw(message)["error"]["kind"] == "SuiteError"
    assert [machine.done for machine in cell.machines.values()] in ([], [[]])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 16,
        struct.pack(">QQ", 5, 0) + b"[1,2]",
        struct.pack(">QQ", 2, 0) + b"{]",
        struct.pack(">QQ", 200_000, 0) + b"[" * 200_000,
        struct.pack(">QQ", 2**40, 2**62),
    ],
)
def test_what_is_no_message_ends_its_own_connection(cell: Cell, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(cell.path))
        end.sendall(data)
        end.shutdown(socket.SHUT_WR)
        end.settimeout(20)
        with contextlib.suppress(ConnectionResetError):  # where it ended with a part of it unread
            assert end.recv(100) == b""
    assert cell.inside().run("id").rc == 3


def test_a_call_that_is_given_up_leaves_no_answer_for_the_next(cell: Cell) -> None:
    """A case's limit raises in the middle of a call."""
    machine = cell.inside()
    machine.run("first")
    connection = machine._calls.connection()
    connection.settimeout(0.05)
    with pytest.raises(InfrastructureError):
        machine.run("wait")
    assert machine.run("next").out == "product: next"
    cell.machines["product"].wait.set()


def test_threads_do_not_wait_for_each_other(cell: Cell) -> None:
    machine, outcomes = cell.inside(), list[str]()
    slow = threading.Thread(target=lambda: outcomes.append(machine.run("wait").out))
    slow.start()
    assert machine.run("quick").out == "product: quick"
    assert outcomes == []
    cell.machines["product"].wait.set()
    slow.join(20)
    assert outcomes == ["product: wait"]


def test_a_closed_broker_is_the_labs_trouble(cell: Cell) -> None:
    machine = cell.inside()
    machine.run("id")
    cell.broker.close()
    with pytest.raises(InfrastructureError, match="broker"):
        machine.run("id")
    assert cell.machines["product"].done[-1] == "closed"


def test_ports_of_the_cell_are_reached_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two products; one is told ports of the other's machine nowhere."""
    with socket.create_server(("127.0.0.1", 0)) as web, socket.create_server(("127.0.0.1", 0)) as api:
        closed = socket.create_server(("127.0.0.1", 0))
        addresses = {"web": web.getsockname(), "api": api.getsockname(), "shut": closed.getsockname()}
        closed.close()
        cell = Cell(tmp_path, monkeypatch, **addresses)
        try:
            own = {name: ("127.0.0.1", _free()) for name in addresses}
            listen(cell.path, own)
            for server, name in ((web, "web"), (api, "api")):
                with socket.create_connection(own[name], 20) as near:
                    far, _ = server.accept()
                    with far:
                        near.sendall(name.encode())
                        near.shutdown(socket.SHUT_WR)
                        assert far.recv(10) == name.encode()
                        assert far.recv(10) == b""
                        far.sendall(b"answer")
                    assert near.recv(10) == b"answer"
                    assert near.recv(10) == b""
            with pytest.raises(ConnectionResetError), socket.create_connection(own["shut"], 20) as near:
                near.recv(1)
            with pytest.raises(SuiteError):
                listen(cell.path, {"web": ("127.0.0.1", _free())})
        finally:
            cell.broker.close()


def test_ports_below_a_thousand_and_double_ones_get_numbers_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lab host is reached by its own address: two hosts may have the same port, and nobody opens port 80 inside."""
    cell = Cell(tmp_path, monkeypatch, web=("10.0.0.5", 80), api=("10.0.0.5", 8080), more=("10.0.0.6", 8080))
    ports = cell.told.ports
    cell.broker.close()
    assert {host for host, _ in ports.values()} == {"127.0.0.1"}
    assert ports["api"] == ("127.0.0.1", 8080)
    assert len(set(ports.values())) == 3
    assert min(port for _, port in ports.values()) >= 1024


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_messages_are_ascii_json() -> None:
    """A lone surrogate, which a product's output may hold, passes."""
    one, other = socket.socketpair()
    with one, other:
        send(one, {"out": "\udc80"}, b"x")
        assert receive(other) == ({"out": "\udc80"}, b"x")
        assert json.dumps("\udc80").isascii()
