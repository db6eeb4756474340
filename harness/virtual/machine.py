"""A virtual machine of ours: reached over SSH on a port of 127.0.0.1, as its emulator forwards it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import psutil

from harness.errors import InfrastructureError
from harness.hosts.inventory import Connection, Inventory
from harness.hosts.ssh import SshMachine
from harness.model.definitions import Host, Hosts
from harness.model.machine import MachineReference, Resources
from harness.model.verbs import Verbs
from harness.virtual.qemu import DEEDS, Qemu
from harness.virtual.verbs import VirtualVerbs

#: In a machine's folder, where it may be left standing: its key, as ssh(1) reads it.
KNOWN_HOSTS = "known_hosts"


class VirtualMachine(SshMachine):
    """Implements ``harness.model.machine.Machine``; ``reference`` names ports and the emulator's process."""

    def __init__(self, inventory: Inventory, host: str, reference: MachineReference) -> None:
        super().__init__(inventory, host)
        self._reference = reference

    @property
    def name(self) -> str:
        return self._reference.name

    @property
    def reference(self) -> MachineReference:
        return self._reference

    @property
    def accelerator(self) -> str:
        """How QEMU runs it: ``kvm`` or ``tcg``."""
        return self._reference.accelerator

    def address(self, port: int) -> tuple[str, int]:
        if port not in self._reference.ports:
            raise InfrastructureError(
                f"{self.name} does not publish port {port}", advice="declare it under ports in application.yaml"
            )
        return "127.0.0.1", self._reference.ports[port]

    @property
    def verbs(self) -> Verbs:
        return VirtualVerbs(self, self._reference.folder, self._reference.deeds)

    def _login(self) -> Connection:
        """A machine whose emulator has ended does not come back, so nobody waits for it."""
        pid = self._reference.process
        with contextlib.suppress(psutil.Error):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return super()._login()
        raise InfrastructureError(
            f"{self.name}: the virtual machine has ended (process {pid})", advice="see its console in the evidence"
        )

    def resources(self) -> Resources | None:
        """Of the emulator: what the machine costs this one."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self._reference.process)
            times = process.cpu_times()
            memory, moved = process.memory_info().rss / 2**20, None
            with contextlib.suppress(psutil.Error):
                counters = process.io_counters()
                moved = (counters.read_bytes + counters.write_bytes) / 2**20
            return Resources(cpu=times.user + times.system, memory=memory, disk=moved)
        return None


def machine_of(qemu: Qemu, host_key: str, identity: Path) -> VirtualMachine:
    """The machine that a QEMU runs; nobody has logged in yet. ``identity``: file of the key that it lets in."""
    host = Host(
        host=qemu.folder.name,
        address="127.0.0.1",
        port=qemu.ports[22],
        labels={},
        host_key=host_key,
        key=f"file:{identity.absolute()}",
    )
    reference = MachineReference(
        kind="vm",
        name=qemu.name,
        hosts=Hosts(hosts=(host,)),
        process=qemu.process.pid,
        folder=qemu.folder.absolute(),
        deeds=qemu.folder.absolute() / DEEDS,
        accelerator=qemu.shape.accelerator,
        ports={there: here for there, here in qemu.ports.items() if there != 22},
    )
    return VirtualMachine(Inventory(Hosts(hosts=(host,)), Path()), host.host, reference)


def entrance(folder: Path, port: int, host_key: str, identity: Path) -> dict[str, str]:
    """What another process must know to log in to the machine of ``folder``; its key is written there."""
    (folder / KNOWN_HOSTS).write_text(f"[127.0.0.1]:{port} {host_key}\n", encoding="utf-8")
    return {"port": str(port), "identity": str(identity.absolute())}


def login_words(folder: Path, state: Mapping[str, str], command: str, *, terminal: bool) -> list[str]:
    """The command line of ssh(1) that runs ``command`` in the machine of ``folder``; ``state`` holds its entrance."""
    options = (f"UserKnownHostsFile={folder / KNOWN_HOSTS}", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes")
    words = ["ssh", "-q", "-F", "none", "-o", "BatchMode=yes", *(word for each in options for word in ("-o", each))]
    where = ["-i", state["identity"], "-p", state["port"], *(["-t"] if terminal else []), "root@127.0.0.1"]
    return [*words, *where, command]
