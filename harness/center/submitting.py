"""Puts a campaign into the queue: its inputs into the store, its record and its jobs in one transaction."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from harness import __version__
from harness.campaigns.choosing import check_choice, chosen, in_order, plan_of
from harness.campaigns.estimating import expected_seconds
from harness.campaigns.options import RunOptions
from harness.campaigns.running import campaign_row, new_identity
from harness.center.queueing import QUEUED, Center, Entry
from harness.evidence import tables
from harness.evidence.units import Unit
from harness.model.plan import Cell, Definitions
from harness.reading.catalogue import Catalogue
from harness.system.canonical import digest_of


def submit(
    folder: Path,
    center: Center,
    options: RunOptions,
    catalogue: Catalogue,
    *,
    customer: str = "",
    priority: int = 0,
) -> str:
    """Queue the matrix in ``folder``; gives the campaign's id. Nothing of the folder is read later.

    Campaigns of a higher ``priority`` come first, and those of the same share the workers.

    Raises:
        DefinitionError, UsageError, InfrastructureError: nothing was queued.
    """
    definitions, plan = plan_of(folder, catalogue, profile=options.profile)
    cells = chosen(plan, options.only)
    check_choice(definitions, cells, options)
    identity = new_identity()
    row = campaign_row(identity, folder, definitions, plan, options, catalogue, center.workspace.store)
    row = replace(row, conditions={"harness": __version__})
    expected = expected_seconds(center.journal, cells)
    queued = [(cell, _queue(identity, definitions, cell)) for cell in in_order(list(cells), definitions, expected)]
    entries = [Entry(cell=cell.id, queue=queue) for cell, queue in queued]
    samples = {queue: cell for cell, queue in reversed(queued)}

    def work(unit: Unit) -> None:
        center.journal.add_campaign(unit, row)
        submission = {"campaign": identity, "customer": customer, "priority": priority, "state": QUEUED}
        submission["harness"] = __version__
        unit.connection.execute(tables.submissions.insert().values(**submission))
        rows = [
            {"queue": queue, "campaign": identity, "cell": cell.id, "sample": asdict(cell)}
            for queue, cell in samples.items()
        ]
        unit.connection.execute(tables.queues.insert(), rows)
        unit.append("submission", {"state": QUEUED, "customer": customer, "priority": priority}, identity)
        center.put(unit, center.cell_jobs(identity, entries, priority))

    center.journal.transact("submitting the campaign", work)
    return identity


def _queue(campaign: str, definitions: Definitions, cell: Cell) -> str:
    """The queue of a cell: cells of a campaign that need the same machines share it, so a worker that can serve a cell
    of it can serve all. Its name shows the system and the CPU."""
    needs = asdict(definitions.application_of(cell.axes).needs)
    roles = {axis: value for axis, value in cell.axes.items() if axis.endswith(("_os", "_cpu")) or axis == "database"}
    placed = {"axes": roles, "prefer": list(cell.prefer), "needs": needs, "middleware": cell.axes.get("middleware", "")}
    return f"{campaign}/{cell.axes['cpu']}/{cell.axes['os']}/{digest_of(placed)[:6]}"
