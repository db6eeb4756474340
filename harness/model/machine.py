"""What a machine can do, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from harness.model.definitions import Endpoint, Hosts
from harness.model.verbs import Verbs
from harness.system.process import Completed


class MachineReference(BaseModel):
    """Enough to reach a machine of a cell from another process; travels as JSON and holds no secret.

    ``ports``: port of the machine -> port of 127.0.0.1 that leads there, where they are not the same.
    """

    model_config = ConfigDict(frozen=True)
    kind: Literal["container", "ssh", "vm", "local", "endpoint"]
    name: str
    container: str = ""  #: id in the engine
    began: str = ""  #: of a container: when it was started, and its networks; to see that it was disturbed
    hosts: Hosts | None = None  #: the host and those that lead to it
    known_hosts: Path = Path()
    endpoint: Endpoint | None = None  #: a database server of the laboratory, with port and driver
    ports: dict[int, int] = {}
    process: int = 0  #: of the emulator, for a virtual machine
    folder: Path = Path()  #: of the emulator of a virtual machine, with its monitor
    accelerator: str = ""  #: of a virtual machine: tcg, or kvm
    deeds: Path = Path()  #: where the verbs that a suite uses are noted (``harness.model.verbs``)
    peers: dict[str, str] = {}  #: of a lab host: role -> address of the other machines of the cell
    broker: Path = Path()  #: socket of what uses the machine for sandboxed code, which then knows nothing else of it
    number: int = 0  #: of the machine, at that broker
    variables: dict[str, str] = {}  #: of a container: of every command, while it has a way to repositories
    mark: str = ""  #: put into the environment of every command on a lab host, to find what it started


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What programs of a machine have used until now: ``cpu`` in seconds since some moment, ``memory`` in MiB; what
    they moved to and from ``disk`` and ``network`` in MiB since some moment, None where that cannot be seen."""

    cpu: float
    memory: float
    disk: float | None = None
    network: float | None = None


class Machine(Protocol):
    """One machine of a cell: a container, a virtual machine, a lab host or this machine, by the same verbs."""

    @property
    def name(self) -> str:
        """By what messages name it."""
        ...

    @property
    def reference(self) -> MachineReference:
        """By what another process opens it."""
        ...

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        """Run ``sh -c command`` there. An exit status is never an exception.

        Raises:
            InfrastructureError: the machine does not answer.
        """
        ...

    def put(self, path: str, data: bytes, *, mode: str = "0644", owner: str = "root:root") -> None:
        """Write a file; folders are made.

        Raises:
            InfrastructureError: the machine does not answer or the file cannot be written.
        """
        ...

    def get(self, path: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: there is none.
            InfrastructureError: the machine does not answer.
        """
        ...

    def address(self, port: int) -> tuple[str, int]:
        """Where the controller reaches the machine's TCP ``port``.

        Raises:
            InfrastructureError: the port is not published.
        """
        ...

    def processes(self) -> dict[int, str]:
        """Process id and command line of what runs there, without the kernel's threads and what serves this call.

        Raises:
            InfrastructureError: the machine does not answer.
        """
        ...

    def resources(self) -> Resources | None:
        """What its programs have used; None where that cannot be seen from here.

        Raises:
            InfrastructureError: the machine does not answer.
        """
        ...

    @property
    def verbs(self) -> Verbs:
        """What a reliability suite may do to it."""
        ...

    def close(self) -> None:
        """End what was opened to reach it. The machine itself stays."""
        ...
