"""A product in a container reaches the other machines of its cell, and nothing else. Each attempt succeeds on an
ordinary bridge, so that the test is able to fail."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.campaigns.options import cache_folder
from harness.campaigns.sweeping import sweep
from harness.containers import engine as engine_module
from harness.containers import firewall
from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from harness.containers.machine import ContainerMachine
from harness.containers.networks import address_of
from harness.evidence import Workspace
from tests.hostile.test_packages import own_address
from tests.labs import SAY, Notes, cell_of_containers, elsewhere, system

PORT = 8080
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Prey:
    """``port``: of a listener on all addresses of this machine; ``outside``: a container on an ordinary bridge."""

    port: int
    own: str
    bridge: str
    outside: str
    elsewhere: str


def listen(stack: contextlib.ExitStack) -> int:
    server = stack.enter_context(socket.create_server(("0.0.0.0", 0)))
    stack.callback(server.shutdown, socket.SHUT_RDWR)

    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                server.accept()[0].close()

    threading.Thread(target=answer, daemon=True).start()
    return int(server.getsockname()[1])


@contextlib.contextmanager
def cell(name: str) -> Iterator[dict[str, ContainerMachine]]:
    """A cell of two machines that both serve and say ``name``."""
    with cell_of_containers(Engine("hostile"), PORT) as machines:
        made = {name: machine for name, machine in machines.of.items() if isinstance(machine, ContainerMachine)}
        for machine in made.values():
            machine.run(SAY.format(port=PORT, word=f"{name} {machine.name}"))
        yield made


@contextlib.contextmanager
def on_a_bridge(network: str = "", name_server: str = "") -> Iterator[ContainerMachine]:
    """A container that serves, on the bridge that all engines have or on one of its own, which it makes where it is
    the first there. The engine's own name server stands before ``name_server`` there."""
    engine = Engine("hostile")
    base = BaseImages(engine, cache_folder()).ensure(system("debian-12"), "x86_64", Notes())
    name = f"harness-hostile-{secrets.token_hex(4)}"
    if makes := bool(network) and not name_server:
        engine.create_network(network, engine.labels("hostile", name, ""))
    options: dict[str, Any] = {"network": network} if network else {}
    options |= {"dns": [name_server]} if name_server else {}
    try:
        container = engine.client.containers.run(base.id, ["sleep", "infinity"], name=name, detach=True, **options)
        machine = ContainerMachine(engine, str(container.id), network or name)
        machine.run(SAY.format(port=PORT, word="ordinary"))
        yield machine
    finally:
        engine.remove_container(name)
        if makes:
            engine.remove_network(network)


def attempts(prey: Prey, machine: ContainerMachine) -> dict[str, str]:
    """Commands that succeed where they reach something."""
    networks = machine.engine.client.api.inspect_container(machine.container)["NetworkSettings"]["Networks"]
    (network,) = networks.values()
    bridges = psutil.net_if_addrs()
    (address, *_) = bridges.get(f"br-{network['NetworkID'][:12]}") or bridges["docker0"]
    gateway = address.address
    return {
        "this machine by the gateway": f"exec 3<>/dev/tcp/{gateway}/{prey.port}",
        "this machine by another address": f"exec 3<>/dev/tcp/{prey.own}/{prey.port}",
        "this machine by the bridge of others": f"exec 3<>/dev/tcp/{prey.bridge}/{prey.port}",
        "a container of another network": f"exec 3<>/dev/tcp/{prey.outside}/{PORT}",
        "another machine": f"exec 3<>/dev/tcp/{prey.elsewhere}/{PORT}",
    }


def reached(machine: ContainerMachine, commands: dict[str, str]) -> list[str]:
    """The attempts that succeed, all made at once."""
    words = " ".join(f"(timeout 2 bash -c '{command}' && echo '{name}') &" for name, command in commands.items())
    return sorted(machine.run(f"{{ {words} wait; }} 2>/dev/null").out.splitlines())


@pytest.fixture
def prey() -> Iterator[Prey]:
    with contextlib.ExitStack() as stack:
        outside = stack.enter_context(on_a_bridge())
        networks = outside.engine.client.api.inspect_container(outside.container)["NetworkSettings"]["Networks"]
        bridge = networks["bridge"]
        other = stack.enter_context(elsewhere(PORT))
        yield Prey(listen(stack), own_address(), bridge["Gateway"], bridge["IPAddress"], other)


def test_a_product_reaches_its_cell_and_nothing_else(prey: Prey) -> None:
    """Two cells of the same product at once, each with its own database."""
    with cell("first") as first, cell("second") as second, on_a_bridge() as ordinary:
        assert reached(ordinary, attempts(prey, ordinary)) == sorted(
            attempts(prey, ordinary)
        )  # so the rest is able to fail
        for name, machines in (("first", first), ("second", second)):
            with socket.create_connection(machines["application"].address(PORT), 20) as end:
                assert end.recv(100).decode() == f"{name} application\n"
            for machine in machines.values():
                answer = machine.run(f"timeout 5 bash -c 'cat </dev/tcp/database/{PORT}'").out
                assert answer == f"{name} database\n"
        for machine, other in ((first["application"], second), (second["database"], first)):
            neighbour, _ = other["application"].address(PORT)
            further = {"another cell": f"exec 3<>/dev/tcp/{neighbour}/{PORT}"}
            assert reached(machine, attempts(prey, machine) | further) == []


KILLED = """
import os, signal, sys
from harness.containers.engine import Engine
from tests.labs import cell_of_containers
with cell_of_containers(Engine(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def bridge_of(machine: ContainerMachine) -> str:
    """The bridge of the one network that a container is in."""
    networks = machine.engine.client.api.inspect_container(machine.container)["NetworkSettings"]["Networks"]
    (network,) = networks.values()
    return f"br-{network['NetworkID'][:12]}"


def test_a_sweep_after_a_kill_takes_the_rules_of_that_cell_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    engine = Engine(workspace.id)
    with cell("stays") as machines:
        stays = bridge_of(machines["application"])
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, workspace.id], cwd=ROOT, check=False, capture_output=True
        )
        assert killed.returncode == -signal.SIGKILL
        (network,) = [name for kind, name, _ in engine.ours() if kind == "network"]
        left = f"br-{engine.client.api.inspect_network(network)['Id'][:12]}"
        assert {left, stays} <= (firewall.closed() or set())
        assert f"rule {left}" in sweep(engine, workspace)
        assert engine.ours() == []
        # Cells of other tests come and go meanwhile.
        rules = firewall.closed() or set()
        assert left not in rules
        assert stays in rules


def test_a_rule_that_is_gone_is_told() -> None:
    """A reload of the firewall drops it."""
    with cell_of_containers(Engine("hostile"), PORT) as machines:
        assert list(machines.openings()) == []
        assert isinstance(machines.application, ContainerMachine)
        assert firewall.reopen(bridge_of(machines.application))
        assert "something removed the rule" in machines.openings()[0]


ASK = """
use IO::Socket::INET;
$s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "127.0.0.11:53") or exit 1;
$s->send(pack("n6", 7, 256, 1, 0, 0, 0) . "\\6stolen\\7example\\0" . pack("n2", 1, 1));
alarm 2; $s->recv($r, 512); exit(length($r) > 40 ? 0 : 1);
"""
NAME_SERVER = """
use IO::Socket::INET;
$s = IO::Socket::INET->new(Proto => "udp", LocalPort => 53) or die;
while ($a = $s->recv($q, 512)) {
  open F, ">>/asked"; print F $q; close F;
  $answer = pack("n5", 0x8180, 1, 1, 0, 0) . substr($q, 12, 20) . pack("nnnNnC4", 0xc00c, 1, 1, 9, 4, 10, 9, 8, 7);
  $s->send(substr($q, 0, 2) . $answer);
}
"""


def test_no_name_of_the_outside_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the engine's own name server knows another that would answer."""
    ask = {"by the engine's name server": f"perl -e '{ASK}'", "as programs do": "getent hosts stolen.example"}
    with on_a_bridge(f"harness-hostile-{secrets.token_hex(4)}") as server:
        server.put("/server", NAME_SERVER.encode())
        server.run("setsid perl /server >/dev/null 2>&1 &")
        address = address_of(server.engine, server.container)
        monkeypatch.setattr(engine_module, "NOWHERE", address)
        with cell("closed") as machines:
            assert asked(machines["application"], ask) == []
        assert not server.run("test -e /asked").ok
        with on_a_bridge(server.name, address) as ordinary:
            assert asked(ordinary, ask) == sorted(ask)  # so the rest is able to fail
        assert b"stolen" in server.get("/asked")


def asked(machine: ContainerMachine, commands: dict[str, str]) -> list[str]:
    return sorted(name for name, command in commands.items() if machine.run(command, timeout=10).ok)
