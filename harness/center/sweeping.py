"""The sweep: cells of workers that are gone go back into the queue, and no campaign is left without an end.

It runs apart from the workers, once or more often: all it does may be done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable

from harness.center.queueing import CANCELLED, CLOSED, PAUSED, QUEUED, Center
from harness.errors import HarnessError, InfrastructureError, UsageError
from harness.evidence.claims import EXPIRES_SECONDS

#: A worker that was silent for so long is removed from procrastinate's table; its jobs went back long before.
FORGOTTEN_SECONDS = 86400.0
#: Between two sweeps, in seconds.
EVERY_SECONDS = 10.0


def sweep_once(center: Center, silence: float = EXPIRES_SECONDS) -> list[str]:
    """Sweep; gives what it did, in words. A worker that was silent for ``silence`` seconds counts as dead.

    Raises:
        InfrastructureError: the database does not answer.
    """
    actions = []
    for job, worker, name in asyncio.run(_stalled(center, silence)):
        if center.give_back(job, worker):
            actions.append(f"back into the queue: {name}")
    for submission in center.submissions():
        campaign, state = str(submission["campaign"]), submission["state"]
        if center.finished(campaign):
            center.set_state(campaign, CLOSED, among=(QUEUED, CANCELLED, PAUSED))
            actions.append(f"closed: {campaign}")
            continue
        if state == CANCELLED and any(row.cancel is None for row in center.workspace.claims.holders(campaign)):
            # A worker had taken the cell, and not yet claimed it, when the others were asked.
            with contextlib.suppress(UsageError):  # it has ended meanwhile
                center.workspace.claims.cancel(campaign, stop="drain")
                actions.append(f"asked to stop, cancelled meanwhile: {campaign}")
        center.advance(campaign)
    return actions


async def _stalled(center: Center, silence: float) -> list[tuple[int, int | None, str]]:
    from procrastinate.exceptions import ConnectorException

    app = center.app()
    try:
        async with app.open_async():
            jobs = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=silence)
            rows = [(job.id, job.worker_id, " ".join(map(str, job.task_kwargs.values()))) for job in jobs if job.id]
            await app.job_manager.prune_stalled_workers(FORGOTTEN_SECONDS)
            return rows
    except ConnectorException as error:
        raise InfrastructureError(
            f"sweeping: the database does not answer: {error.__cause__ or error}", advice="it is tried again"
        ) from error


def sweep_forever(center: Center, silence: float, say: Callable[[str], None]) -> None:
    """Sweep again and again, until SIGINT or SIGTERM."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    away = False
    while not over.is_set():
        try:
            for words in sweep_once(center, silence):
                say(words)
            away = False
        except HarnessError as error:
            if not away:
                say(str(error))
            away = True
        over.wait(EVERY_SECONDS)
    with contextlib.suppress(HarnessError):
        center.journal.close()
