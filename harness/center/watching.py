"""What people see of a center: its workers, and its queue with what nobody serves, and why."""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa

from harness.center.limiting import limits
from harness.center.queueing import CANCELLED, GONE, PAUSED, QUEUED, Center
from harness.errors import UsageError
from harness.evidence import tables
from harness.evidence.claims import BEAT_SECONDS
from harness.model.results import State

#: A worker that was silent for longer is shown as silent.
SILENT_SECONDS = 3 * BEAT_SECONDS


def workers_of(center: Center) -> list[dict[str, Any]]:
    """Every worker that registered: name, state (working, draining, silent, gone), seconds since it was heard, and what
    it says of itself."""
    table = tables.workers
    age = (center.journal.engine.clock() - table.c.heartbeat).label("age")
    query = sa.select(table.c.name, table.c.started, table.c.state, table.c.says, age).order_by(table.c.name)
    with center.journal.reading() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    for row in rows:
        row["age"] = round(row["age"], 1)
        if row["state"] != GONE and row["age"] > SILENT_SECONDS:
            row["state"] = "silent"
    return rows


def queue_of(center: Center) -> list[dict[str, Any]]:
    """Every campaign that is not closed: customer, with its ``limit``, priority, state, cells by state, and
    ``unserved``: queues that no worker serves, each with the workers' reasons."""
    most_of = limits(center)
    counts, workers = center.counts(), [w for w in workers_of(center) if w["state"] in ("working", "draining")]
    queues: dict[str, list[str]] = {}
    for queue, campaign in ((queue.name, queue.campaign) for queue in center.queues()):
        queues.setdefault(campaign, []).append(queue)
    shown = []
    for submission in center.submissions():
        campaign = str(submission["campaign"])
        waiting = [queue for queue in queues.get(campaign, ()) if "todo" in counts.get(queue, {})]
        unserved = {
            queue: {w["name"]: w["says"]["refused"].get(queue, "") for w in workers}
            for queue in waiting
            if all(queue in w["says"]["refused"] for w in workers)
        }
        most = most_of.get(str(submission["customer"]))
        shown.append({**submission, "limit": most, "cells": _cells(center, campaign), "unserved": unserved})
    return shown


def _cells(center: Center, campaign: str) -> dict[str, int]:
    row = center.journal.campaign(campaign)
    last = {attempt.cell: attempt for attempt in center.journal.attempts(campaign)}
    counted: Counter[str] = Counter()
    for cell in row.plan["cells"] if row is not None else ():
        attempt = last.get(cell["id"])
        ended = attempt is not None and attempt.state is State.DONE
        counted["ended" if ended else "running" if attempt is not None else "waiting"] += 1
    return dict(counted)


def pause(center: Center, campaign: str) -> None:
    """Take no more cells of a campaign; those that run come to their end.

    Raises:
        UsageError: it is not in the queue.
    """
    if not center.set_state(campaign, PAUSED, among=(QUEUED,)):
        raise _not_so(center, campaign, "be paused")


def go_on(center: Center, campaign: str) -> None:
    """Take cells of a paused campaign again.

    Raises:
        UsageError: it is not paused.
    """
    if not center.set_state(campaign, QUEUED, among=(PAUSED,)):
        raise _not_so(center, campaign, "go on")


def cancel(center: Center, campaign: str, *, now: bool) -> int:
    """End a campaign: cells that wait are withdrawn, cells that run are asked to stop; gives how many ran.

    Raises:
        UsageError: it is over, or was never submitted.
    """
    if not center.set_state(campaign, CANCELLED, among=(QUEUED, PAUSED)):
        raise _not_so(center, campaign, "be cancelled")
    center.withdraw(campaign)
    running = center.workspace.claims.holders(campaign)
    if running:
        center.workspace.claims.cancel(campaign, stop="now" if now else "drain")
    center.advance(campaign)
    return len(running)


def _not_so(center: Center, campaign: str, what: str) -> UsageError:
    state = center.state(campaign)
    if state is None:
        return UsageError(f"campaign {campaign} was not submitted to this center", advice="see: harness queue")
    return UsageError(f"campaign {campaign} cannot {what}: it is {state}", advice="see: harness queue, harness status")
