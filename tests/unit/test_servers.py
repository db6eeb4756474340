"""A server of the lab that dies before it answers: the reason is named at once, not after its whole limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.control.servers import CellServer
from harness.errors import AttestationMismatch, InfrastructureError
from harness.model.context import Access
from harness.model.definitions import Middleware
from harness.system.process import Completed

BROKER: dict[str, Any] = {
    "middleware": "broker",
    "name": "Broker",
    "vendor": "Example",
    "certainty": "general",
    "source": "a test",
    "placement": "server",
    "port": 1883,
    "packages": ["broker"],
    "start": "start-it",
    "stop": "stop-it",
    "ready": "is-it-ready",
    "version": "print-it",
    "log": "/var/log/broker's.log",
}


@dataclass
class Machine:
    """Its server never answers; ``log`` is what it printed."""

    log: str
    commands: list[str] = field(default_factory=list)
    name: str = "middleware"

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        self.commands.append(command)
        if command.startswith("tail"):
            return Completed(rc=0, out=self.log)
        return Completed(rc=0 if command == "start-it" else 1)


def server(log: str, seconds: float) -> CellServer:
    definition = Middleware.model_validate({**BROKER, "start_seconds": seconds})
    return CellServer(Machine(log), definition, Access(kind="broker"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "log",
    ["started\nqemu: uncaught target signal 4 (Illegal instruction) - core dumped\n", "Illegal instruction\n"],
)
def test_a_server_that_the_cpu_cannot_run_is_named_at_once(log: str) -> None:
    broken = server(log, 600)
    with pytest.raises(AttestationMismatch, match=r"broker died with SIGILL .*非法指令"):
        broken.start()
    machine: Any = broken.machine
    assert machine.commands == ["start-it", "is-it-ready", "tail -n 20 '/var/log/broker'\"'\"'s.log' 2>/dev/null"]


def test_another_word_in_the_log_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = server("it says: no Illegal instruction was met\n", 0.2)
    with pytest.raises(InfrastructureError, match="broker does not answer") as caught:
        waits.start()
    assert not isinstance(caught.value, AttestationMismatch)
