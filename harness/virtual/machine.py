"""A virtual machine of ours: reached over SSH on a port of 127.0.0.1, as its emulator forwards it."""

from __future__ import annotations

import contextlib

import psutil

from harness.errors import InfrastructureError
from harness.hosts.inventory import Connection, Inventory
from harness.hosts.ssh import SshMachine
from harness.model.machine import MachineReference, Resources
from harness.model.verbs import Verbs
from harness.virtual.verbs import VirtualVerbs


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
