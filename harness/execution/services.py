"""What the cells of a campaign share, and where an attempt at one is recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.containers.engine import Engine
from harness.machines.placing import PlacedCell
from harness.model.choice import CaseChoice
from harness.model.context import ReferenceCell
from harness.model.definitions import Suite
from harness.model.ledger import Ledger
from harness.model.plan import Cell, Definitions
from harness.model.records import AttemptFacts
from harness.model.results import Cause, Observation, State, Verdict
from harness.provision.provisioner import Kind, Provisioner
from harness.runners.sandboxed import Sandboxes
from harness.scan.inputs import Scans
from harness.system.forking import ForkServer
from harness.system.turns import Turns


class AttemptRecord(Ledger, Protocol):
    """Where one attempt is recorded."""

    hidden: list[str]
    number: int

    def state(self, state: State, step: str = "") -> None:
        """Record what is going on."""
        ...

    def observe(self, *observations: Observation) -> None:
        """Record what was seen of cases."""
        ...

    def finish(self, verdict: Verdict, cause: Cause | None, message: str, facts: AttemptFacts) -> None:
        """Close the attempt."""
        ...


@dataclass(frozen=True, kw_only=True)
class Lab:
    """What all cells of a campaign share. ``say`` shows progress: cell, words."""

    engine: Engine | None  #: None where every cell runs on lab hosts
    provisioners: Mapping[Kind, Provisioner]
    definitions: Definitions
    deployment_suite: Suite
    campaign: str
    cancel: threading.Event  #: stop now
    drain: threading.Event  #: finish the step, then stop
    forks: ForkServer
    sandboxes: Sandboxes = field(default_factory=Sandboxes)  #: for suites that are not the harness's own
    keeps_machines: bool = False  #: of cells that failed, for a look at them
    choice: CaseChoice = field(default_factory=CaseChoice)
    trusts_code: bool = False  #: whether suites that are not shipped run here without a sandbox
    turns: Turns = field(default_factory=Turns)
    scans: Scans = field(default_factory=Scans)
    reference_of: Callable[[Cell], ReferenceCell | None] = lambda _cell: None  #: whose numbers a cell is compared with
    say: Callable[[Cell, str], None] = lambda _cell, _words: None
    placed: Mapping[str, PlacedCell] = field(default_factory=dict)  #: by id of the cell
    controller: Mapping[str, Any] = field(default_factory=dict)  #: for the record of an attempt; empty: the campaign's

    @property
    def stopping(self) -> bool:
        """Whether the operator has asked the campaign to stop."""
        return self.cancel.is_set() or self.drain.is_set()
