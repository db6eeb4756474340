"""What a worker can serve: looked at for one cell of each queue, with the worker's own engine and inventories."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import __version__
from harness.attest.architecture import NAMES, emulator, host_architecture
from harness.campaigns import inputs
from harness.campaigns.options import RunOptions, databases_at, inventory_at
from harness.campaigns.snapshot import MachineSize
from harness.center.limiting import full
from harness.center.queueing import Center, Queue
from harness.containers.engine import Engine
from harness.errors import HarnessError
from harness.evidence.lookup import row_of
from harness.machines.placing import Placement, place
from harness.model.plan import Cell, Definitions
from harness.reading.catalogue import Catalogue
from harness.reading.read import read
from harness.system.scratch import temporary_folder
from harness.virtual.qemu import BOARDS

KVM = Path("/dev/kvm")


#: After so many seconds a queue that was refused is looked at anew: an engine was started, an inventory changed.
AGAIN_SECONDS = 60.0


@dataclass
class Serving:
    """Queue -> empty where the worker serves it, else why not."""

    center: Center
    options: RunOptions
    answers: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)  #: queues of other versions of the harness, and why not
    full: frozenset[str] = frozenset()  #: whose customer has as many cells running as it may
    _read: dict[str, Definitions] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _looked: float = 0.0

    def look(self) -> list[str]:
        """The queues that are open now and can be served.

        Raises:
            InfrastructureError: the database does not answer.
        """
        with self._guard:
            open_queues = self.center.queues()
            if time.monotonic() - self._looked >= AGAIN_SECONDS:
                self.answers = {queue: answer for queue, answer in self.answers.items() if not answer}
                self._looked = time.monotonic()
            own = [queue for queue in open_queues if queue.version == __version__]
            for queue in own:
                if queue.name not in self.answers:
                    self.answers[queue.name] = self._obstacle(queue)
            self.others = {
                queue.name: f"it is for harness {queue.version}, and this is {__version__}; "
                "after an upgrade see: harness queue adopt"
                for queue in open_queues
                if queue.version != __version__
            }
            self.full = full(self.center)
            names = {queue.name for queue in own}
            self.answers = {queue: answer for queue, answer in self.answers.items() if queue in names}
            campaigns = {queue.campaign for queue in open_queues}
            self._read = {campaign: read for campaign, read in self._read.items() if campaign in campaigns}
            return [queue for queue, answer in self.answers.items() if not answer]

    @property
    def refused(self) -> dict[str, str]:
        """Queue -> why this worker does not serve it."""
        return {**{queue: answer for queue, answer in self.answers.items() if answer}, **self.others}

    def _obstacle(self, queue: Queue) -> str:
        try:
            if queue.sample is None:
                return "it was submitted before the tables were brought up to date: cancel it, and submit it again"
            placement = self._placement(self._definitions(queue.campaign), queue.sample)
            if placement.kind is None:
                return placement.by
            if placement.kind in ("container", "vm"):
                Engine(self.center.workspace.id)
        except HarnessError as error:
            return error.message
        return ""

    def _placement(self, definitions: Definitions, cell: Cell) -> Placement:
        inventory, databases = inventory_at(self.options.hosts), databases_at(self.options.databases)
        return place(definitions, cell, inventory, databases).placement

    def _definitions(self, campaign: str) -> Definitions:
        """Read once, and not expanded: a plan may have 10,000 cells."""
        if campaign not in self._read:
            row = row_of(self.center.journal, campaign)
            options = RunOptions.kept(row.options)
            with temporary_folder("serving") as scratch:
                tree = Path(scratch)
                matrix = inputs.unpack(inputs.of_campaign(row), self.center.workspace.store, tree)
                self._read[campaign] = read(matrix, Catalogue((tree,), whole=False), options.profile)
        return self._read[campaign]


def capabilities(options: RunOptions) -> dict[str, Any]:
    """What a worker says of its machine: engine, architectures (own, and emulated by which program), virtual machines,
    KVM, hosts and database servers of its inventories, CPUs, and memory in bytes."""
    engine: Engine | None = None
    try:
        engine = Engine()
    except HarnessError as error:
        obstacle = error.message
    else:
        obstacle = ""
    inventory, databases = inventory_at(options.hosts), databases_at(options.databases)
    size = MachineSize.of(engine)
    return {
        "version": __version__,
        "engine": engine.version.get("Version", "") if engine is not None else "",
        "no_engine": obstacle,
        "architecture": host_architecture(),
        "emulated": [name for name in NAMES if _emulates(name)],
        "vm": [name for name, board in BOARDS.items() if shutil.which(board[0])],
        "kvm": KVM.exists(),
        "hosts": [host.host for host in inventory.hosts.hosts] if inventory is not None else [],
        "databases": [server.endpoint for server in databases.databases] if databases is not None else [],
        "cpus": size.cpus,
        "memory": size.memory,
    }


def _emulates(architecture: str) -> bool:
    """Whether programs of a foreign architecture run here."""
    try:
        return emulator(architecture) is not None
    except HarnessError:
        return False
