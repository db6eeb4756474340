"""A machine of a cell as sandboxed code sees it: every verb goes over one socket to a broker, which has the machine."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any

from harness import errors
from harness.errors import HarnessError, InfrastructureError
from harness.model.machine import MachineReference, Resources
from harness.model.verbs import UnsupportedVerbs, Verb, Verbs
from harness.system.frames import BrokenFrame, receive, send
from harness.system.process import Completed

#: Errors that are made of a message and an advice; others are told as what they are a kind of.
SIMPLE = (
    "HarnessError",
    "UsageError",
    "InfrastructureError",
    "ProvisionError",
    "AttestationMismatch",
    "UnsupportedVerb",
    "SuiteError",
    "StepTimeout",
    "Canceled",
)


class _Quiet(socket.socket):
    """Closed with the thread that it belongs to, without the warning that a suite might take for its own."""

    def __del__(self) -> None:
        self.close()


class Calls:
    """Asks the broker behind a socket; each thread has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def __call__(self, call: str, number: int, data: bytes = b"", **arguments: Any) -> tuple[Any, bytes]:
        """What the broker answers: a value, and bytes.

        Raises:
            HarnessError: as the machine itself would.
            FileNotFoundError: a file that is asked for is not there.
        """
        try:
            connection = self.connection()
            send(connection, {"call": call, "machine": number, "arguments": arguments}, data)
            answered = receive(connection)
        except BaseException as error:
            self.drop()  # the answer to this call must not be taken for that to the next one
            if isinstance(error, OSError | BrokenFrame):
                raise InfrastructureError(f"the broker of this cell's machines is gone: {error}") from error
            raise
        if answered is None:
            self.drop()
            raise InfrastructureError("the broker of this cell's machines has ended")
        message, received = answered
        if (trouble := message.get("error")) is None:
            return message.get("value"), received
        if trouble["kind"] == "FileNotFoundError":
            raise FileNotFoundError(trouble["message"])
        kind = getattr(errors, trouble["kind"]) if trouble["kind"] in SIMPLE else HarnessError
        raise kind(trouble["message"], advice=trouble["advice"])

    def connection(self) -> socket.socket:
        """The connection of this thread, also after a fork."""
        if getattr(self._local, "owner", None) != os.getpid():
            opened = _Quiet(socket.AF_UNIX, socket.SOCK_STREAM)
            opened.connect(str(self._path))
            self._local.connection, self._local.owner = opened, os.getpid()
        held: socket.socket = self._local.connection
        return held

    def drop(self) -> None:
        """End the connection of this thread."""
        if getattr(self._local, "owner", None) == os.getpid():
            with contextlib.suppress(OSError):
                self._local.connection.close()
        self._local.owner = None


class BrokeredMachine:
    """Implements ``harness.model.machine.Machine``."""

    def __init__(self, reference: MachineReference) -> None:
        self._reference = reference
        self._calls = Calls(reference.broker)

    @property
    def name(self) -> str:
        return self._reference.name

    @property
    def reference(self) -> MachineReference:
        return self._reference

    def _ask(self, call: str, data: bytes = b"", **arguments: Any) -> Any:
        return self._calls(call, self._reference.number, data, **arguments)[0]

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        return Completed(**self._ask("run", command=command, timeout=timeout, stdin=stdin, user=user))

    def put(self, path: str, data: bytes, *, mode: str = "0644", owner: str = "root:root") -> None:
        self._ask("put", data, path=path, mode=mode, owner=owner)

    def get(self, path: str) -> bytes:
        return self._calls("get", self._reference.number, path=path)[1]

    def address(self, port: int) -> tuple[str, int]:
        if port not in self._reference.ports:
            raise InfrastructureError(
                f"{self.name} does not publish port {port}", advice="declare it under ports in application.yaml"
            )
        return "127.0.0.1", self._reference.ports[port]

    def processes(self) -> dict[int, str]:
        return {int(pid): str(args) for pid, args in self._ask("processes").items()}

    def resources(self) -> Resources | None:
        used = self._ask("resources")
        return Resources(**used) if used is not None else None

    def disturbance(self) -> str:
        """What was done to a container from outside, as the container's own machine says it; empty for nothing."""
        return str(self._ask("disturbance"))

    def reboot(self, seconds: float = 600) -> float:
        """Restart a lab host or a virtual machine; gives the seconds that it took. Raises as the machine itself."""
        return float(self._ask("reboot", seconds=seconds))

    @property
    def verbs(self) -> Verbs:
        return BrokeredVerbs(self)

    def close(self) -> None:
        self._calls.drop()


class BrokeredVerbs(UnsupportedVerbs):
    """The verbs of the machine behind the broker."""

    def __init__(self, machine: BrokeredMachine) -> None:
        self._ask = machine._ask

    @property
    def can(self) -> frozenset[Verb]:
        return frozenset(Verb(verb) for verb in self._ask("can"))

    def cut_network(self, peer: str = "") -> None:
        self._ask("cut_network", peer=peer)

    def heal_network(self) -> None:
        self._ask("heal_network")

    def slow_network(self, *, delay: float = 0.0, loss: float = 0.0) -> None:
        self._ask("slow_network", delay=delay, loss=loss)

    def lose_names(self) -> None:
        self._ask("lose_names")

    def fill_disk(self, *, leave: int = 0, path: str = "/") -> None:
        self._ask("fill_disk", leave=leave, path=path)

    def free_disk(self) -> None:
        self._ask("free_disk")

    def move_clock(self, seconds: float) -> None:
        self._ask("move_clock", seconds=seconds)

    def restore_clock(self) -> None:
        self._ask("restore_clock")

    def limit_memory(self, size: int) -> None:
        self._ask("limit_memory", size=size)

    def restore_memory(self) -> None:
        self._ask("restore_memory")

    def pause(self) -> None:
        self._ask("pause")

    def resume(self) -> None:
        self._ask("resume")

    def undo(self) -> None:
        self._ask("undo")
