"""A machine of a cell from what another process knows of it."""

from __future__ import annotations

from pathlib import Path

from harness.containers.engine import shared_engine
from harness.containers.machine import ContainerMachine
from harness.endpoints.machine import EndpointMachine
from harness.errors import HarnessBug
from harness.hosts.inventory import Inventory
from harness.hosts.local import LocalMachine
from harness.hosts.ssh import SshMachine
from harness.machines.brokered import BrokeredMachine
from harness.model.machine import Machine, MachineReference
from harness.virtual.machine import VirtualMachine


def open_machine(reference: MachineReference) -> Machine:
    """The machine behind a reference; nothing is connected to before it is used.

    Raises:
        InfrastructureError: it is a container, and no engine answers.
    """
    if reference.broker != Path():
        return BrokeredMachine(reference)
    if reference.kind == "endpoint":
        return EndpointMachine(reference)
    if reference.kind == "container":
        return ContainerMachine(
            shared_engine(),
            reference.container,
            reference.name,
            reference.began,
            reference.deeds,
            variables=reference.variables,
        )
    if reference.kind == "local":
        local = LocalMachine(reference.name, reference.mark, deeds=reference.deeds)
        local.peers = dict(reference.peers)
        return local
    if reference.hosts is None:
        raise HarnessBug(f"{reference.name}: a machine over SSH without its host")
    inventory = Inventory(reference.hosts, reference.known_hosts)
    host = reference.hosts.hosts[0].host
    if reference.kind == "vm":
        return VirtualMachine(inventory, host, reference)
    machine = SshMachine(inventory, host, reference.mark, deeds=reference.deeds)
    machine.peers = dict(reference.peers)
    return machine
