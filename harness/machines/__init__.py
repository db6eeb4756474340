"""Machines that can be talked to: containers of the Docker engine."""

from harness.machines.container import ContainerMachine
from harness.machines.engine import Engine

__all__ = ["ContainerMachine", "Engine"]
