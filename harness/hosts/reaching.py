"""The way to a host of the inventory."""

from __future__ import annotations

from harness.hosts.inventory import Inventory
from harness.hosts.local import LocalMachine
from harness.hosts.ssh import SshMachine
from harness.model.definitions import Host


def machine_of(inventory: Inventory, host: Host, mark: str = "") -> SshMachine | LocalMachine:
    """A machine for a host; nothing is connected to yet. ``mark`` is in the environment of every command there."""
    if host.connection == "local":
        return LocalMachine(host.host, mark)
    return SshMachine(inventory, host.host, mark)
