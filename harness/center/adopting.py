"""Hands a campaign to the workers of this version of the harness, so that an upgrade does not end it.

A worker runs only campaigns of its own version, because another version may read the definitions otherwise. Who adopts
a campaign has its definitions read by this version first: where the plan is the same, to its digest, cells that are
left are run by this version. What had ended stays, and each attempt names the version that ran it.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from harness import __version__
from harness.campaigns import inputs
from harness.campaigns.choosing import plan_of
from harness.campaigns.options import RunOptions
from harness.center.queueing import CANCELLED, JOBS, PAUSED, QUEUED, Center, closing
from harness.errors import DefinitionError, UsageError
from harness.evidence import tables
from harness.evidence.lookup import row_of
from harness.evidence.units import Unit
from harness.reading.catalogue import Catalogue
from harness.system.scratch import temporary_folder

OPEN_STATES = (QUEUED, PAUSED, CANCELLED)


def adoptable(center: Center) -> list[str]:
    """Campaigns that are not closed and belong to another version."""
    return [str(row["campaign"]) for row in center.submissions() if row["harness"] != __version__]


def adopt(center: Center, campaign: str) -> str:
    """Hand a campaign to workers of this version; gives the version that it belonged to. Twice is once.

    Raises:
        UsageError: it is not in the queue, or this version reads its definitions as another plan.
        InfrastructureError: its inputs are missing or were changed, or the database does not answer.
    """
    if center.state(campaign) in OPEN_STATES:  # else nothing is read, and the transaction says why not
        _demand_same_plan(center, campaign)
    table = tables.submissions

    def work(unit: Unit) -> str:
        query = sa.select(table.c.state, table.c.harness).where(table.c.campaign == campaign).with_for_update()
        row = unit.connection.execute(query).first()
        if row is None or row.state not in OPEN_STATES:
            state = "it was not submitted to this center" if row is None else f"it is {row.state}"
            raise UsageError(f"campaign {campaign} cannot be adopted: {state}", advice="see: harness queue")
        if row.harness == __version__:
            return __version__
        unit.connection.execute(table.update().where(table.c.campaign == campaign).values(harness=__version__))
        # The job that closes it may wait for a worker of the former version.
        closes = JOBS.c.queueing_lock == f"close {campaign}", JOBS.c.status == "todo"
        unit.connection.execute(JOBS.update().where(*closes).values(queue_name=closing(__version__)))
        unit.append("adopted", {"former": row.harness, "harness": __version__}, campaign)
        return str(row.harness)

    return center.journal.transact("adopting the campaign", work)


def _demand_same_plan(center: Center, campaign: str) -> None:
    row = row_of(center.journal, campaign)
    with temporary_folder("adopting") as scratch:
        tree = Path(scratch)
        matrix = inputs.unpack(inputs.of_campaign(row), center.workspace.store, tree)
        profile = RunOptions.kept(row.options).profile
        try:
            _, plan = plan_of(matrix, Catalogue((tree,), whole=False), profile=profile)
        except DefinitionError as error:
            raise _other_plan(campaign, str(error)) from error
    if plan.digest != row.plan_digest:
        raise _other_plan(campaign, f"another plan ({plan.digest[:12]}, not {row.plan_digest[:12]})")


def _other_plan(campaign: str, what: str) -> UsageError:
    return UsageError(
        f"campaign {campaign} cannot be adopted: harness {__version__} reads its definitions as {what}",
        advice="let workers of its own version finish it, or cancel it and submit it again",
    )
