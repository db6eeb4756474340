"""Attempts at a cell: how often, and who decides whether the lab or the product is at fault."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.errors import Canceled, HarnessError
from harness.evidence import Recorder, Workspace
from harness.execution.cell import block_cell, run_cell
from harness.execution.services import Lab
from harness.issuing.outcome import Progress
from harness.judging import Judgement
from harness.model.definitions import Retries
from harness.model.plan import Cell
from harness.model.results import Cause, Verdict
from harness.provision.provisioner import Kind
from harness.system.waiting import Waiting

#: What serves, an operating system, a CPU: what the known-good probe can tell apart.
Target = tuple[Kind, str, str]


@dataclass
class Attempts:
    """Runs cells, each as often as ``retries`` allows for what went wrong; every attempt is kept.

    After trouble of the lab a known-good probe is run on the cell's target. Where that fails too, the target is in
    quarantine: its other cells are recorded as blocked, with the probe's words, and not run.
    """

    lab: Lab
    workspace: Workspace
    retries: Retries
    progress: Progress
    token: int = 0  #: of the claim on the campaign
    #: Attempts at a cell at which the product failed before, by the cell's id.
    failed_before: Mapping[str, int] = field(default_factory=dict)
    quarantine: dict[Target, str] = field(default_factory=dict)
    _probing: threading.Lock = field(default_factory=threading.Lock)

    def run(self, cell: Cell) -> Judgement:
        """All attempts at one cell; gives the judgement of the last.

        Raises:
            InfrastructureError: the journal or the evidence cannot be written.
        """
        placed = self.lab.placed[cell.id]
        left = {
            "infra": self.retries.infra,
            "fail": max(0, self.retries.fail - self.failed_before.get(cell.id, 0)),
        }
        while True:
            record = self._open(cell)
            reason = next(
                (self.quarantine[target] for target in self._targets(cell) if target in self.quarantine), None
            )
            if reason is not None:
                judgement = block_cell(self.lab, placed, record, f"the target is in quarantine: {reason}")
            else:
                judgement = run_cell(self.lab, placed, record)
            kind = _kind(judgement)
            if reason is not None or kind not in left or self.lab.stopping:
                break
            if kind == "infra" and self._probe_targets(cell):
                break
            if left[kind] == 0:
                break
            left[kind] -= 1
        return judgement

    def _open(self, cell: Cell) -> Recorder:
        number = self.workspace.journal.begin(self.lab.campaign, cell.id, token=self.token)
        return self._recorder(cell.id, number)

    def _recorder(self, cell: str, number: int) -> Recorder:
        return Recorder(self.workspace.journal, self.workspace.store, self.lab.campaign, cell, number, token=self.token)

    def _probe_targets(self, cell: Cell) -> bool:
        """Run the known-good probe on every target of the cell; gives whether one fails and is in quarantine then."""
        try:
            results = [self._probe(target) for target in self._targets(cell)]  # all, whatever the first one gives
        except Canceled:
            return False  # a probe that was stopped says nothing of its target
        return any(results)

    def _targets(self, cell: Cell) -> list[Target]:
        placed = self.lab.placed[cell.id]
        if placed.placement.kind is None:
            return []
        return [(placed.placement.kind, os.os, cpu.cpu) for os, cpu in placed.machines]

    def _probe(self, target: Target) -> bool:
        kind, os, cpu = target[0], self.lab.definitions.systems[target[1]], self.lab.definitions.cpus[target[2]]
        record = self._recorder("", 0)
        waiting = Waiting(
            who=f"known-good probe of {os.os} on {cpu.cpu}, campaign {self.lab.campaign}",
            notify=lambda words: self.progress.note(f"known-good probe waits / 等待: {words}"),
            stopped=lambda: self.lab.stopping,
        )
        with self._probing, self.lab.turns.shared(waiting):
            if target in self.quarantine:
                return True
            try:
                self.lab.provisioners[kind].known_good(os, cpu, self.lab.campaign, record)
            except Canceled:  # no trouble of the lab, and no quarantine
                raise
            except HarnessError as error:
                self.quarantine[target] = error.message
                record.event("quarantine", os=os.os, cpu=cpu.cpu, reason=error.message)
                return True
            record.event("known-good-probe", os=os.os, cpu=cpu.cpu, result="good")
            return False


def _kind(judgement: Judgement) -> str:
    if judgement.verdict is Verdict.NONCONFORMANT:
        return "fail"
    if judgement.verdict is Verdict.INCONCLUSIVE and judgement.cause is Cause.INFRA:
        return "infra"
    return ""
