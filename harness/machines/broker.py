"""The one way out of a sandbox: a socket behind which the machines of one cell are used, and its ports reached.

What comes over it was written by others. A call is one of a table, its arguments have the types of that table, and it
is made of a machine of this cell by its number: no name, path or address of anything else can be said.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.containers.machine import ContainerMachine
from harness.errors import HarnessError, InfrastructureError, SuiteError, UnsupportedVerb
from harness.machines.brokered import SIMPLE
from harness.machines.opening import open_machine
from harness.model.context import CellContext
from harness.model.machine import Machine, MachineReference
from harness.system import forwarding
from harness.system.frames import BrokenFrame, receive, send

#: Connections at once: threads of one suite.
MOST_CONNECTIONS = 64
_Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Run(_Arguments):
    command: str
    timeout: _Seconds = 60
    stdin: str = ""
    user: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$")] = "root"


class _Put(_Arguments):
    path: Annotated[str, Field(pattern=r"^/[^\x00]*$")]
    mode: Annotated[str, Field(pattern=r"^[0-7]{3,4}$")] = "0644"
    owner: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$")] = "root:root"


class _Get(_Arguments):
    path: Annotated[str, Field(pattern=r"^/[^\x00]*$")]


class _Peer(_Arguments):
    peer: str = ""


class _Slow(_Arguments):
    delay: float = 0.0
    loss: float = 0.0


class _Fill(_Arguments):
    leave: int = 0
    path: str = "/"


class _Clock(_Arguments):
    seconds: float


class _Memory(_Arguments):
    size: int


class _Reboot(_Arguments):
    seconds: _Seconds = 600


class _Listen(_Arguments):
    name: str


_VERBS: dict[str, type[_Arguments]] = {
    "cut_network": _Peer,
    "heal_network": _Arguments,
    "slow_network": _Slow,
    "lose_names": _Arguments,
    "fill_disk": _Fill,
    "free_disk": _Arguments,
    "move_clock": _Clock,
    "restore_clock": _Arguments,
    "limit_memory": _Memory,
    "restore_memory": _Arguments,
    "pause": _Arguments,
    "resume": _Arguments,
    "undo": _Arguments,
}


def _run(machine: Machine, given: Any, _: bytes) -> tuple[Any, bytes]:
    completed = machine.run(given.command, timeout=given.timeout, stdin=given.stdin, user=given.user)
    return dataclasses.asdict(completed), b""


def _put(machine: Machine, given: Any, data: bytes) -> tuple[Any, bytes]:
    machine.put(given.path, data, mode=given.mode, owner=given.owner)
    return None, b""


def _resources(machine: Machine, _given: Any, _data: bytes) -> tuple[Any, bytes]:
    used = machine.resources()
    return (dataclasses.asdict(used) if used is not None else None), b""


def _reboot(machine: Machine, given: Any, _: bytes) -> tuple[Any, bytes]:
    reboot = getattr(machine, "reboot", None)
    if reboot is None:
        raise UnsupportedVerb(f"{machine.name} cannot be restarted", advice="run it on a lab host")
    return reboot(given.seconds), b""


Call = Callable[[Machine, Any, bytes], tuple[Any, bytes]]
_CALLS: dict[str, tuple[type[_Arguments], Call]] = {
    "run": (_Run, _run),
    "put": (_Put, _put),
    "get": (_Get, lambda machine, given, _: (None, machine.get(given.path))),
    "processes": (_Arguments, lambda machine, _given, _data: (machine.processes(), b"")),
    "resources": (_Arguments, _resources),
    "disturbance": (
        _Arguments,
        lambda machine, _given, _data: (machine.disturbance() if isinstance(machine, ContainerMachine) else "", b""),
    ),
    "reboot": (_Reboot, _reboot),
    "can": (_Arguments, lambda machine, _given, _data: (sorted(machine.verbs.can), b"")),
}


class Broker:
    """Serves one suite's run, until ``close``. ``context`` is what the sandboxed side is to be told of the cell.

    ``lost``: whether a machine did not answer a call: what the sandboxed side prints of that is its own word.

    Raises:
        OSError: the socket cannot be made.
    """

    def __init__(self, real: CellContext, path: Path) -> None:
        servers = [each for server in real.servers.values() for each in (server.machine, server.asks)]
        self._references = _different([real.application_machine, *filter(None, servers)])
        self.context, self._addresses = _told(real, self._references, path)
        self._machines: dict[int, Machine] = {}
        self._lock = threading.Lock()
        self._large = threading.Lock()  #: for one long message at a time: many would take the machine's memory
        self._open: list[socket.socket] = []
        self._forwarders: dict[str, subprocess.Popen[bytes]] = {}
        self._closed = self.lost = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o666)  # the folder that it is in is the sandbox's alone
        self._listener.listen(MOST_CONNECTIONS)
        threading.Thread(target=self._accept, name="broker", daemon=True).start()

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection, forwarder and machine's connection. What a machine still does for a call goes on."""
        with self._lock:
            self._closed = True
            ends, machines = [self._listener, *self._open], list(self._machines.values())
            forwarders = list(self._forwarders.values())
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for process in forwarders:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        for machine in machines:
            machine.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                full = self._closed or len(self._open) >= MOST_CONNECTIONS
                if not full:
                    self._open.append(connection)
            if full:
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), name="broker", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while (request := receive(connection, self._large)) is not None:
                message, data = request
                reply, out = self._answer(message, data, connection)
                send(connection, reply, out)
        except (OSError, BrokenFrame):
            pass  # its own trouble
        finally:
            with self._lock:
                if connection in self._open:
                    self._open.remove(connection)
            connection.close()

    def _answer(self, message: dict[str, Any], data: bytes, connection: socket.socket) -> tuple[dict[str, Any], bytes]:
        try:
            with self._large if message.get("call") == "get" else contextlib.nullcontext():
                value, out = self._do(message, data, connection)
        except FileNotFoundError as error:
            return {"error": {"kind": "FileNotFoundError", "message": str(error), "advice": ""}}, b""
        except HarnessError as error:
            self.lost = self.lost or isinstance(error, InfrastructureError)
            kind = next(each.__name__ for each in type(error).__mro__ if each.__name__ in SIMPLE)
            return {"error": {"kind": kind, "message": error.message, "advice": error.advice}}, b""
        except (ValidationError, ValueError, TypeError, OSError) as error:
            return {"error": {"kind": "SuiteError", "message": f"refused: {error}"[:2000], "advice": ""}}, b""
        return {"value": value}, out

    def _do(self, message: dict[str, Any], data: bytes, connection: socket.socket) -> tuple[Any, bytes]:
        call, arguments = message.get("call"), message.get("arguments")
        if call == "listen":
            self._listen(_Listen.model_validate(arguments).name, connection)
            return None, b""
        machine = self._machine(message.get("machine"))
        if isinstance(call, str) and call in _VERBS:
            given = _VERBS[call].model_validate(arguments)
            getattr(machine.verbs, call)(**given.model_dump())
            return None, b""
        if not isinstance(call, str) or call not in _CALLS:
            raise SuiteError(f"no machine has a verb {str(call)[:100]!r}")
        kind, function = _CALLS[call]
        return function(machine, kind.model_validate(arguments), data)

    def _machine(self, number: object) -> Machine:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(self._references):
            raise SuiteError(f"the cell has no machine {str(number)[:100]!r}")
        with self._lock:
            if number not in self._machines:
                self._machines[number] = open_machine(self._references[number])
            return self._machines[number]

    def _listen(self, name: str, connection: socket.socket) -> None:
        """Take a listener of the sandbox's own loopback, and lead its connections to the port of that name."""
        if name not in self._addresses or name in self._forwarders:
            raise SuiteError(f"the cell has no port {name[:100]!r}, or it is led to already")
        send(connection, {"value": "now"})
        _, handed, _, _ = socket.recv_fds(connection, 1, 1)
        if len(handed) != 1:
            raise SuiteError("no listener was handed over")
        with socket.socket(fileno=handed[0]) as listener:
            host, port = self._addresses[name]
            number = listener.fileno()
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", forwarding.__file__, str(number), host, str(port)],
                pass_fds=[number],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )
        with self._lock:
            self._forwarders[name] = process
            late = self._closed
        if late:
            process.kill()


def _different(references: Sequence[MachineReference]) -> list[MachineReference]:
    different: list[MachineReference] = []
    for reference in references:
        if reference not in different:
            different.append(reference)
    return different


def _told(
    real: CellContext, references: Sequence[MachineReference], path: Path
) -> tuple[CellContext, dict[str, tuple[str, int]]]:
    """The context without the ways to the machines, and where its ports lead to: name -> address here."""
    taken: set[int] = set()
    ports: dict[str, tuple[str, int]] = {}
    for name, (_, port) in real.ports.items():
        own = port if port >= 1024 and port not in taken else next(p for p in range(20_000, 65_536) if p not in taken)
        taken.add(own)
        ports[name] = ("127.0.0.1", own)
    inside = {real.application.ports[name]: own for name, (_, own) in ports.items() if name in real.application.ports}

    def brokered(reference: MachineReference) -> MachineReference:
        number = references.index(reference)
        return MachineReference(
            kind=reference.kind,
            name=reference.name,
            broker=path,
            number=number,
            ports=inside if reference == real.application_machine else {},
        )

    shown = real.model_copy(
        update={
            "application_machine": brokered(real.application_machine),
            "servers": {
                role: server.model_copy(
                    update={
                        "machine": brokered(server.machine),
                        "asks": brokered(server.asks) if server.asks is not None else None,
                    }
                )
                for role, server in real.servers.items()
            },
            "ports": ports,
        }
    )
    return shown, dict(real.ports)
