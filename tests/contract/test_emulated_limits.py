"""Limits of containers: as they are stated, and stretched where the emulator's own share counts toward them."""

from __future__ import annotations

import pytest

from harness.containers.engine import Engine
from harness.containers.machine import ContainerMachine
from harness.control.ending import short_of_memory
from harness.control.limits import full_of_processes
from harness.errors import InfrastructureError
from harness.model.definitions import EMULATED_MEMORY, EMULATED_PROCESSES, Limits, size_in_bytes
from tests.labs import cell_of_containers

#: Takes 1.2 GiB, which is more than the limit of a machine that states none, and less than four times that.
TAKE = "perl -e '$x = q(x) x (1228 << 20); print length $x'"


def unanswered(*_: object, **__: object) -> None:
    raise InfrastructureError("the engine lost what a command printed")


@pytest.mark.parametrize(
    ("model", "memory", "processes"),
    [("hygon-c86", 1, 1), ("kunpeng-920", EMULATED_MEMORY, EMULATED_PROCESSES)],
)
def test_both_machines_of_a_cell_have_the_limits_of_their_kind(
    monkeypatch: pytest.MonkeyPatch, model: str, memory: int, processes: int
) -> None:
    engine, stated = Engine("contract"), Limits()
    with cell_of_containers(engine, model=model) as machines:
        for machine in machines.of.values():
            assert isinstance(machine, ContainerMachine)
            limits = engine.client.api.inspect_container(machine.container)["HostConfig"]
            assert limits["Memory"] == min(size_in_bytes(stated.memory) * memory, max(engine.memory // 2, 2**30))
            assert limits["PidsLimit"] == stated.processes * processes
            assert not full_of_processes(machine, stated)
            assert short_of_memory(machine, "a database", stated) == ""
            with monkeypatch.context() as lost:  # what cannot be asked there is asked of the engine
                lost.setattr(machine, "run", unanswered)
                assert not full_of_processes(machine, stated)
            took = machine.run(TAKE, timeout=300)
            words = short_of_memory(machine, "a database", stated)
            if memory == 1:
                assert took.rc == 137
                assert "limits.memory of a database is 1g" in words
            else:
                assert (took.out, words) == (str(1228 << 20), "")
