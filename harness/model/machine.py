"""What a machine can do, whatever it is made of."""

from __future__ import annotations

from typing import Protocol

from harness.system.process import Completed


class Machine(Protocol):
    """One machine of a cell: a container now, a VM or a lab host by the same four verbs."""

    @property
    def name(self) -> str: ...

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
