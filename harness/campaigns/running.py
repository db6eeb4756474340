"""Runs the cells of a plan on this machine, from the beginning or from where it was cut off.

A campaign is submitted first: its inputs go into the evidence store. It is then read and run from there, in both cases.
"""

from __future__ import annotations

import contextlib
import datetime
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.campaigns import inputs
from harness.campaigns.choosing import check_choice, chosen, needs_engine, plan_of
from harness.campaigns.foreign import name_foreign_code
from harness.campaigns.options import RunOptions, databases_at, inventory_at
from harness.campaigns.snapshot import conditions, deployment_suite, snapshot
from harness.campaigns.sweeping import sweep
from harness.campaigns.working import Job, work
from harness.containers.engine import Engine
from harness.errors import HarnessError, InfrastructureError, UsageError
from harness.evidence import EvidenceStore, Hold, Recorder, Workspace
from harness.evidence.journal import now
from harness.evidence.lookup import row_of
from harness.execution.attempt import cases_of
from harness.issuing.outcome import Finished, Progress
from harness.issuing.rendering import finish
from harness.model.definitions import Suite
from harness.model.plan import Cell, Definitions, Plan
from harness.model.records import AttemptFacts, AttemptRow, CampaignRow
from harness.model.results import Cause, Observation, Result, State, Verdict
from harness.presentation import Presentation
from harness.reading.catalogue import Catalogue
from harness.reading.origins import replaced
from harness.system.canonical import read_json
from harness.system.descriptors import raise_limit

#: An attempt that ended by one of these says nothing of the product: the cell is run again.
INCOMPLETE = (Cause.CANCELED, Cause.INFRA, Cause.HARNESS)
#: Attempts of a cell that may be cut off, beyond the retries of its matrix, before a center gives the cell up.
CUT_OFFS = 5


def run_campaign(
    folder: Path,
    workspace: Workspace,
    options: RunOptions,
    progress: Progress,
    *,
    catalogue: Catalogue | None = None,
) -> Finished:
    """Run the matrix in ``folder`` from its beginning; ``catalogue``: what is shipped where none is given.

    Raises:
        DefinitionError, UsageError, InfrastructureError: nothing was run.
    """
    catalogue = catalogue or Catalogue.standard()
    definitions, plan = plan_of(folder, catalogue, profile=options.profile)
    cells = chosen(plan, options.only)
    check_choice(definitions, cells, options)
    for entry in replaced(definitions.basis):
        progress.note(f"warning 警告: {entry.warning}")
    name_foreign_code(definitions, cells, options, progress)
    engine = _engine(definitions, cells, workspace, options)
    identity = new_identity()
    with workspace.hold(identity) as held:
        row = campaign_row(identity, folder, definitions, plan, options, catalogue, workspace.store)
        workspace.journal.open_campaign(replace(row, conditions=conditions(engine)))
        progress.note(f"campaign {identity}: {len(cells)} of {len(plan.cells)} cells")
        with _submitted(row_of(workspace.journal, identity), workspace, options) as submitted:
            return _work(submitted, [cell.id for cell in cells], workspace, engine, options, progress, held)


def new_identity() -> str:
    """Of a campaign that begins now: its day (UTC) and six hex digits."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d}-{secrets.token_hex(3)}"


def campaign_row(
    identity: str,
    folder: Path,
    definitions: Definitions,
    plan: Plan,
    options: RunOptions,
    catalogue: Catalogue,
    store: EvidenceStore,
) -> CampaignRow:
    """A campaign before its first attempt, its inputs in the store; whoever runs it adds the conditions of the test.

    Raises:
        InfrastructureError, UsageError: as ``inputs.submit``.
    """
    return CampaignRow(
        id=identity,
        created=now(),
        finished=None,
        matrix=plan.matrix,
        folder=str(folder.resolve()),
        plan_digest=plan.digest,
        plan=snapshot(
            definitions, plan, deployment_suite(catalogue), inputs.submit(definitions, plan, catalogue, store)
        ),
        options=options.plain(),
        conditions={},
        verdict=None,
    )


def resume_campaign(identity: str, workspace: Workspace, options: RunOptions, progress: Progress) -> Finished:
    """Go on with a campaign that was cut off: cells whose last attempt says nothing are run, others are left alone.

    The definitions are those that it was submitted with; ``options`` override those that it began with.

    Raises:
        UsageError: there is no such campaign, or it is being worked on.
        InfrastructureError: its inputs are missing or were changed.
    """
    row = row_of(workspace.journal, identity)
    with workspace.hold(identity) as held:
        stored = RunOptions.kept(row.options).with_named(options)
        with _submitted(row, workspace, stored) as submitted:
            cells = chosen(submitted.plan, stored.only)
            name_foreign_code(submitted.definitions, cells, stored, progress)
            engine = _engine(submitted.definitions, cells, workspace, stored)
            if engine is not None:
                sweep(engine, workspace, campaign=identity)
            for attempt in workspace.journal.attempts(identity):
                if attempt.state is not State.DONE:
                    _close_cut_off(submitted, attempt, workspace, held)
            retries = stored.retries(submitted.definitions.matrix.retries).fail
            left = [cell.id for cell in cells_left(cells, workspace.journal.attempts(identity), retries)]
            progress.note(f"campaign {identity}: {len(left)} cells left")
            return _work(submitted, left, workspace, engine, stored, progress, held)


def run_one_cell(
    identity: str, cell: str, workspace: Workspace, options: RunOptions, progress: Progress, *, worker: str
) -> bool:
    """Run one cell of a campaign that was submitted to a center; gives whether the cell has come to its end.

    ``workspace`` is one in which nothing else runs meanwhile; ``worker`` names who runs it, for the record. A cell that
    has its verdict already is left alone, and an attempt that was cut off is closed first.

    Raises:
        UsageError: there is no such campaign or cell, or another worker works on it.
        InfrastructureError: its inputs are missing, the journal or the evidence cannot be written.
    """
    row = row_of(workspace.journal, identity)
    with workspace.hold(identity, cell) as held:
        stored = RunOptions.kept(row.options).with_named(options)
        with _submitted(row, workspace, stored) as submitted:
            cells = [each for each in submitted.plan.cells if each.id == cell]
            if not cells:
                raise UsageError(f"campaign {identity} has no cell {cell}", advice="see: harness status")
            engine = _engine(submitted.definitions, cells, workspace, stored)
            if engine is not None:
                sweep(engine, workspace, alone=True)
            own = workspace.journal.attempts(identity, cell)
            for attempt in own:
                if attempt.state is not State.DONE:
                    _close_cut_off(submitted, attempt, workspace, held)
            own = workspace.journal.attempts(identity, cell)
            retries = stored.retries(submitted.definitions.matrix.retries)
            tried = sum(attempt.cause in INCOMPLETE for attempt in own)
            if not cells_left(cells, own, retries.fail) or tried > retries.infra + CUT_OFFS:
                return True
            name_foreign_code(submitted.definitions, cells, stored, progress)
            controller = {"worker": worker, **conditions(engine)}
            return not _cells(submitted, cells, workspace, engine, stored, progress, held, controller)


def close_campaign(identity: str, workspace: Workspace, progress: Progress) -> Finished | None:
    """Render a campaign all of whose cells came to their end, and close it; None where it is closed already.

    Raises:
        UsageError: there is no such campaign, or somebody works on it.
    """
    row = row_of(workspace.journal, identity)
    if row.finished:
        return None
    with workspace.hold(identity) as held, _submitted(row, workspace, RunOptions.kept(row.options)) as submitted:
        for attempt in workspace.journal.attempts(identity):
            if attempt.state is not State.DONE:
                _close_cut_off(submitted, attempt, workspace, held)
        return finish(identity, workspace, progress, close=True, presentation=submitted.presentation, token=held.token)


def cells_left(cells: Sequence[Cell], attempts: Sequence[AttemptRow], retries: int) -> list[Cell]:
    """Cells without a verdict: never tried, their last attempt was cut off or says nothing, or a retry is due.

    ``attempts`` in the order of their numbers, all of them closed.
    """
    last = {attempt.cell: attempt for attempt in attempts}
    failed = failures(attempts)
    return [
        cell
        for cell in cells
        if (attempt := last.get(cell.id)) is None
        or attempt.cause in INCOMPLETE
        or (attempt.verdict is Verdict.NONCONFORMANT and failed[cell.id] <= retries)
    ]


def failures(attempts: Sequence[AttemptRow]) -> Counter[str]:
    """Whole attempts at which the product failed, by cell."""
    return Counter(attempt.cell for attempt in attempts if attempt.verdict is Verdict.NONCONFORMANT)


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A campaign as it was submitted: read from its stored inputs, which lie in the catalogue's folder."""

    row: CampaignRow
    definitions: Definitions
    plan: Plan
    catalogue: Catalogue

    @property
    def deployment(self) -> Suite:
        """The suite of the deployment steps."""
        return deployment_suite(self.catalogue)

    @property
    def presentation(self) -> Presentation:
        """The submitter's own wording and templates, over those that are shipped."""
        return Presentation.standard(Catalogue.standard(self.catalogue.roots[0]))


@contextlib.contextmanager
def _submitted(row: CampaignRow, workspace: Workspace, options: RunOptions) -> Iterator[Submitted]:
    trusts = options.trust_code
    with inputs.unpacked(inputs.of_campaign(row), workspace, row.id, trusts_code=trusts) as (matrix, catalogue):
        definitions, plan = plan_of(matrix, catalogue, profile=options.profile)
        if plan.digest != row.plan_digest:
            raise InfrastructureError(
                f"this harness reads the inputs of campaign {row.id} as another plan "
                f"({plan.digest[:12]}, not {row.plan_digest[:12]})",
                advice="use the version that it was begun with",
            )
        yield Submitted(row=row, definitions=definitions, plan=plan, catalogue=catalogue)


def _engine(
    definitions: Definitions, cells: Sequence[Cell], workspace: Workspace, options: RunOptions
) -> Engine | None:
    """The container engine, where any cell needs one."""
    inventory, databases = inventory_at(options.hosts), databases_at(options.databases)
    return Engine(workspace.id) if needs_engine(definitions, cells, inventory, databases) else None


def _close_cut_off(submitted: Submitted, attempt: AttemptRow, workspace: Workspace, held: Hold) -> None:
    """Close an attempt that was cut off when the harness ended: its open cases are missed, which is no fault of the
    product.

    If the harness is killed in here as well, the next resume closes what is still open.
    """
    identity = submitted.row.id
    cell = next(cell for cell in submitted.plan.cells if cell.id == attempt.cell)
    workspace.journal.adopt(identity, cell.id, attempt.number, token=held.token)
    recorder = Recorder(workspace.journal, workspace.store, identity, cell.id, attempt.number, token=held.token)
    recorder.event("attempt-cut-off", state=attempt.state.value)
    observations = workspace.journal.observations(identity).get((cell.id, attempt.number), [])
    known = {(observation.suite, observation.case) for observation in observations}
    reason = "the harness was ended in the middle of this attempt"
    recorder.observe(
        *(
            Observation(case=case.id, suite=suite, result=Result.MISS, cause=Cause.INFRA, detail=reason)
            for suite, case in cases_of(submitted.definitions, submitted.deployment, cell)
            if (suite, case.id) not in known
        )
    )
    recorder.finish(Verdict.INCONCLUSIVE, Cause.INFRA, reason, AttemptFacts())


def _work(
    submitted: Submitted,
    wanted: Sequence[str],
    workspace: Workspace,
    engine: Engine | None,
    options: RunOptions,
    progress: Progress,
    held: Hold,
) -> Finished:
    """Run the cells of these ids, and render."""
    cells = [cell for cell in submitted.plan.cells if cell.id in set(wanted)]
    stopped = _cells(submitted, cells, workspace, engine, options, progress, held)
    return finish(
        submitted.row.id,
        workspace,
        progress,
        close=True,
        interrupted=stopped,
        presentation=submitted.presentation,
        token=held.token,
    )


def _cells(
    submitted: Submitted,
    cells: Sequence[Cell],
    workspace: Workspace,
    engine: Engine | None,
    options: RunOptions,
    progress: Progress,
    held: Hold,
    controller: Mapping[str, Any] | None = None,
) -> bool:
    """Run these cells, and sweep; gives whether they were asked to stop."""
    raise_limit()  # each connection that a cell of a closed network hands on takes two descriptors of this process
    identity = submitted.row.id
    job = Job(
        campaign=identity,
        definitions=submitted.definitions,
        deployment=submitted.deployment,
        cells=cells,
        options=options,
        inventory=inventory_at(options.hosts),
        databases=databases_at(options.databases),
        submitted_from=Path(submitted.row.folder),
        failed_before=failures(workspace.journal.attempts(identity, cells[0].id if len(cells) == 1 else "")),
        controller=controller or {},
    )
    stopped = work(job, workspace, engine, progress, held)
    if engine is not None:
        # What a killed run had asked the engine for may have come after its sweep. An engine that is gone: every cell
        # says so, and `harness gc` finds what is left.
        with contextlib.suppress(HarnessError):
            sweep(engine, workspace, campaign=identity, spared=_kept(workspace, identity))
    return stopped


def _kept(workspace: Workspace, identity: str) -> set[str]:
    """Names of containers, networks and virtual machines that were left standing for a look (``run --keep``)."""
    events = workspace.journal.events(identity)
    return {str(name) for event in events if event.kind == "kept" for name in read_json(event.data)["objects"]}
