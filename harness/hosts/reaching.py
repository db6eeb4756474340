"""The way to a host of the inventory."""

from __future__ import annotations

import threading

from harness.hosts.inventory import Inventory
from harness.hosts.local import LocalMachine
from harness.hosts.ssh import SshMachine
from harness.model.definitions import Host


def machine_of(
    inventory: Inventory, host: Host, mark: str = "", *, cancel: threading.Event | None = None
) -> SshMachine | LocalMachine:
    """A machine for a host; nothing is connected to yet.

    ``mark`` is in the environment of every command there. ``cancel``: once it is set, whatever waits for the host
    raises Canceled at once.
    """
    if host.connection == "local":
        return LocalMachine(host.host, mark, cancel=cancel)
    return SshMachine(inventory, host.host, mark, cancel=cancel)
