"""Where a machine of a cell is reached: at its own address where this machine reaches it, else by a published port."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from harness.containers.engine import Engine
from harness.errors import InfrastructureError
from harness.machines.opening import open_machine
from harness.system.wait import wait_until
from tests.labs import SAY, cell_of_containers, podman


@pytest.mark.parametrize(
    "kind", ["docker", "docker whose containers are not reached", pytest.param("podman", marks=pytest.mark.full)]
)
def test_a_declared_port_is_reached_and_no_other(kind: str, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(podman(tmp_path)) if kind == "podman" else Engine("contract")
        if kind == "docker whose containers are not reached":
            engine.reached = False  # it would be another machine's
        machines = stack.enter_context(cell_of_containers(engine, 8080))
        assert [words for words in machines.openings() if "is not closed" in words] == list(machines.openings())
        assert bool(machines.openings()) == (kind != "docker")
        machine = machines.application
        host, port = machine.address(8080)
        assert (host == "127.0.0.1", port == 8080) == (kind != "docker", kind == "docker")
        machine.run(SAY.format(port=8080, word="here"))

        def answer() -> bytes | None:
            with contextlib.suppress(OSError), socket.create_connection((host, port), 5) as end:
                return end.recv(10) or None
            return None

        assert wait_until(answer, seconds=30, what="an answer", interval=0.1) == b"here\n"
        assert machines.on("database").run("getent hosts application").ok
        assert machine.run("getent hosts database").ok
        with pytest.raises(InfrastructureError, match="does not publish"):
            machine.address(9999)
        with pytest.raises(InfrastructureError, match="does not publish"):
            machines.on("database").address(8080)


def test_packages_are_installed_in_a_closed_network_while_there_is_a_way() -> None:
    fetch = "/usr/lib/apt/apt-helper download-file http://203.0.113.1/tool /tmp/tool"
    with cell_of_containers(Engine("contract"), 8080) as machines:
        machine = machines.application
        update = "apt-get -q -o APT::Update::Error-Mode=any -o Acquire::Retries=0 update"
        assert not machine.run(update, timeout=120).ok
        for _ in range(2):
            with machines.outlet() as refused:
                done = machine.run(update, timeout=120)
                assert done.ok, done.text
                assert list(refused) == []
                assert not machine.run(fetch).ok
                assert refused[0].startswith("GET http:")
                assert open_machine(machine.reference).run("echo $http_proxy").out.startswith("http:")
        assert machine.run("echo $http_proxy").out == "\n"
        assert not machine.run("bash -c 'exec 3<>/dev/tcp/127.0.0.1/3128'").ok
