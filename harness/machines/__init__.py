"""Machines that can be talked to: containers, virtual machines, hosts over SSH, this machine."""

from harness.machines.container import ContainerMachine
from harness.machines.engine import Engine
from harness.machines.inventory import HostUnreachable, Inventory
from harness.machines.local import LocalMachine
from harness.machines.opening import open_machine
from harness.machines.ssh import SshMachine
from harness.machines.virtual import VirtualMachine

__all__ = [
    "ContainerMachine", "Engine", "HostUnreachable", "Inventory", "LocalMachine", "SshMachine", "VirtualMachine",
    "open_machine",
]  # fmt: skip
