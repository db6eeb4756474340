"""The network of a cell: closed where this machine reaches containers by their own addresses.

A closed network is internal: it has no way out of it, and the engine publishes no ports there. An engine on another
machine, in a virtual machine, without root, or Podman gives addresses that this machine does not reach: there ports
are published on 127.0.0.1, on a network that leads out.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

from harness.containers.engine import Engine
from harness.containers.engine_errors import engine_errors
from harness.errors import InfrastructureError
from harness.model.machine import Machine

#: Where a container that only waits has no listener (RFC 863), and how long it may take to say so.
PORT_OF_NONE = 9
PATH_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class CellNetwork:
    """``bridge``: this machine's interface to it, where it is closed."""

    identity: str
    name: str
    bridge: str = ""

    @property
    def closed(self) -> bool:
        """Whether it leads to nothing but its own containers and this machine."""
        return self.bridge != ""


def make_network(engine: Engine, name: str, labels: dict[str, str]) -> CellNetwork:
    """A network for a cell, closed where the engine's containers are reached without published ports.

    Raises:
        InfrastructureError: the engine does not make it.
    """
    if engine.reached is not False:
        identity = engine.create_network(name, labels, internal=True)
        bridge = _bridge(engine, identity)
        engine.reached = bridge != ""
        if bridge:
            return CellNetwork(identity=identity, name=name, bridge=bridge)
        engine.remove_network(name)
    return CellNetwork(identity=engine.create_network(name, labels), name=name)


def _bridge(engine: Engine, network: str) -> str:
    """This machine's interface that has an address in a network; empty where there is none."""
    with engine_errors("looking at a network"):
        known = engine.client.api.inspect_network(network)
    configured = (known.get("Options") or {}).get("com.docker.network.bridge.name")
    bridge = str(configured or f"br-{known['Id'][:12]}")
    subnets = [ipaddress.ip_network(entry["Subnet"]) for entry in (known.get("IPAM") or {}).get("Config") or ()]
    own = [
        ipaddress.ip_address(address.address)
        for address in psutil.net_if_addrs().get(bridge, ())
        if address.family == socket.AF_INET
    ]
    return bridge if any(address in subnet for address in own for subnet in subnets) else ""


def address_of(engine: Engine, container: str) -> str:
    """The address of a container on the cell's network.

    Raises:
        InfrastructureError: the container has no address there.
    """
    with engine_errors("asking for the address of a container"):
        networks = engine.client.api.inspect_container(container)["NetworkSettings"]["Networks"]
    address = next((str(network["IPAddress"]) for network in networks.values() if network.get("IPAddress")), "")
    if not address:
        raise InfrastructureError(
            f"container {container[:12]} has no address: it is on no network",
            advice="see who took it off its network: docker events",
        )
    return address


def demand_path(address: str) -> None:
    """See that packets go to a container and back: a product that is not reached must not be called one that does not
    answer.

    Raises:
        InfrastructureError: this machine's firewall or routes keep them away.
    """
    try:
        socket.create_connection((address, PORT_OF_NONE), PATH_SECONDS).close()
    except ConnectionRefusedError:  # it answers, and nothing listens there
        return
    except OSError as error:
        raise InfrastructureError(
            f"a container at {address} is not reached from this machine: {error or type(error).__name__}",
            advice="look for what keeps them apart: ip route get ADDRESS; iptables -S OUTPUT; a VPN's routes",
        ) from error


def name_places(machine: Machine, names: Iterable[tuple[str, str]]) -> None:
    """Let names lead to addresses on a machine; pairs of address and name.

    Raises:
        InfrastructureError: the machine does not take it.
    """
    lines = "".join(f"{address} {name}\n" for address, name in names)
    answer = machine.run("cat >>/etc/hosts", stdin=lines, timeout=60)
    if not answer.ok:
        raise InfrastructureError(
            f"{machine.name}: /etc/hosts cannot be written: {answer.text[-200:]}", advice="see the engine's log"
        )


def introduce(engine: Engine, machines: Mapping[str, Machine], *, closed: bool) -> None:
    """Tell each machine, by role, where the others are; in a closed network demand a way to each first.

    Raises:
        InfrastructureError: a machine does not take it, or is not reached.
    """
    addresses = {name: address_of(engine, machine.reference.container) for name, machine in machines.items()}
    if closed:
        for address in addresses.values():
            demand_path(address)
    if len(machines) > 1:
        for machine in machines.values():
            name_places(machine, [(address, name) for name, address in addresses.items()])
