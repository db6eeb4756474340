"""Machines that can be talked to: containers of the Docker engine, and hosts over SSH."""

from harness.machines.container import ContainerMachine
from harness.machines.engine import Engine
from harness.machines.inventory import HostUnreachable, Inventory
from harness.machines.ssh import SshMachine

__all__ = ["ContainerMachine", "Engine", "HostUnreachable", "Inventory", "SshMachine"]
