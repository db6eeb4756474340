"""The queue of a center: procrastinate's jobs beside the journal's tables, in one database."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from harness.errors import UsageError
from harness.evidence import Workspace, tables
from harness.evidence.database import DatabaseJournal
from harness.evidence.postgresql import PostgreSQL
from harness.evidence.units import Unit
from harness.model.plan import Cell

if TYPE_CHECKING:
    import procrastinate
    from procrastinate.jobs import Job

#: Names of tasks in the queue: a cell is run; a campaign whose cells have ended is rendered and closed.
CELL, CLOSE = "cell", "close"
#: States of a submission.
QUEUED, PAUSED, CANCELLED, CLOSED = "queued", "paused", "cancelled", "closed"
#: States of a worker.
WORKING, DRAINING, GONE = "working", "draining", "gone"
#: Status of a job that waits or runs (procrastinate's words).
OPEN = ("todo", "doing")
#: A step of priority is worth more than any number of cells of a campaign.
PRIORITY_STEP = 1_000_000
JOBS = sa.table(
    "procrastinate_jobs",
    *(sa.column(name) for name in ("id", "queue_name", "worker_id", "queueing_lock")),
    sa.column("status", postgresql.ENUM("todo", "doing", name="procrastinate_job_status", create_type=False)),
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A cell that is to be queued."""

    cell: str
    queue: str


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Cells of a campaign that need the same machines. ``sample`` is the cell with the id ``cell``; None where it was
    submitted before the tables had it."""

    name: str
    campaign: str
    cell: str
    sample: Cell | None
    version: str  #: of the harness whose workers run it


class Center:
    """The queue of the workspace's database.

    Raises:
        UsageError: the database is no PostgreSQL, or procrastinate is not installed.
        InfrastructureError: the database does not answer.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        if not isinstance(workspace.journal, DatabaseJournal) or not isinstance(workspace.journal.engine, PostgreSQL):
            raise UsageError(
                "a center needs a PostgreSQL database, and HARNESS_DATABASE_URL names none",
                advice="for example: export HARNESS_DATABASE_URL=postgresql://harness@db.example/harness",
            )
        if importlib.util.find_spec("procrastinate") is None:
            raise UsageError(
                "a center needs the Python package procrastinate",
                advice="install it: pip install 'xinchuang-harness[center]'",
            )
        self.journal = workspace.journal
        # Workers and sweepers ask again by themselves, and say so; who only looks wants an answer.
        workspace.journal.engine.waits = 0.0
        self.url, self._conninfo = workspace.journal.engine.url, workspace.journal.engine.conninfo
        self._prepare()

    def app(self) -> procrastinate.App:
        """A way to procrastinate's own calls, over connections of its own; opened by whoever uses it."""
        import procrastinate

        return procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=self._conninfo, min_size=1, max_size=4)
        )

    def _prepare(self) -> None:
        """Make procrastinate's tables where they are missing; who comes second waits for who came first."""
        from procrastinate.schema import SchemaManager

        def work(unit: Unit) -> None:
            self.journal.engine.alone(unit.connection)
            if not sa.inspect(unit.connection).has_table(JOBS.name):
                _driver(unit).execute(SchemaManager.get_schema())  # several statements, and "%" that is no parameter

        with self.journal.reading() as connection:
            if sa.inspect(connection).has_table(JOBS.name):
                return
        self.journal.transact("making the tables of the queue", work)

    # --- putting in ---

    def put(self, unit: Unit, jobs: Sequence[Job]) -> None:
        """Queue jobs in the transaction of ``unit``. A job whose lock is queued already stays the only one."""
        from procrastinate import SyncPsycopgConnector
        from procrastinate.manager import JobManager

        manager = JobManager(SyncPsycopgConnector())
        locks = [job.queueing_lock for job in jobs]
        open_ones = JOBS.c.status.in_(OPEN), JOBS.c.queueing_lock.in_(locks)
        query = sa.select(JOBS.c.queueing_lock).where(*open_ones)
        there = {lock for (lock,) in unit.connection.execute(query)}
        fresh = [job for job in jobs if job.queueing_lock not in there]
        if fresh:
            manager.batch_defer_jobs(jobs=fresh, connection=_driver(unit))

    def cell_jobs(self, campaign: str, entries: Sequence[Entry], priority: int) -> list[Job]:
        """Jobs of cells. The first cells of every campaign come before the second ones of any, so campaigns of the
        same priority share the workers fairly, however many cells each has."""
        from procrastinate.jobs import Job

        return [
            Job(
                queue=entry.queue,
                priority=priority * PRIORITY_STEP - number,
                lock=None,
                queueing_lock=f"{campaign} {entry.cell}",
                task_name=CELL,
                task_kwargs={"campaign": campaign, "cell": entry.cell},
            )
            for number, entry in enumerate(entries)
        ]

    def close_job(self, campaign: str, version: str) -> Job:
        """The job that renders and closes a campaign, for workers of that version of the harness."""
        from procrastinate.jobs import Job

        return Job(
            queue=closing(version),
            priority=999 * PRIORITY_STEP,
            lock=f"close {campaign}",
            queueing_lock=f"close {campaign}",
            task_name=CLOSE,
            task_kwargs={"campaign": campaign},
        )

    # --- what is there ---

    def queues(self) -> list[Queue]:
        """Every queue of a campaign that is not paused or over."""
        table, submitted = tables.queues, tables.submissions
        query = (
            sa.select(table.c.queue, table.c.campaign, table.c.cell, table.c.sample, submitted.c.harness)
            .join(submitted, submitted.c.campaign == table.c.campaign)
            .where(submitted.c.state == QUEUED)
        )
        with self.journal.reading() as connection:
            return [
                Queue(
                    name=row.queue,
                    campaign=row.campaign,
                    cell=row.cell,
                    sample=_cell(row.sample),
                    version=row.harness,
                )
                for row in connection.execute(query)
            ]

    def submissions(self) -> list[Mapping[str, Any]]:
        """Every campaign that was submitted and is not closed: campaign, customer, priority, state, and the version of
        the harness whose workers run it."""
        table = tables.submissions
        with self.journal.reading() as connection:
            query = sa.select(table).where(table.c.state != CLOSED).order_by(table.c.campaign)
            return [dict(row) for row in connection.execute(query).mappings()]

    def state(self, campaign: str) -> str | None:
        """The state of a submission; None where the campaign was not submitted here."""
        return self.journal.submission(campaign)

    def finished(self, campaign: str) -> bool:
        """Whether a campaign was closed."""
        query = sa.select(tables.campaigns.c.finished).where(tables.campaigns.c.id == campaign)
        with self.journal.reading() as connection:
            return bool(connection.execute(query).scalar())

    def counts(self) -> dict[str, dict[str, int]]:
        """Queue -> status of a job -> how many, of jobs that wait or run."""
        query = (
            sa.select(JOBS.c.queue_name, JOBS.c.status, sa.func.count())
            .where(JOBS.c.status.in_(OPEN))
            .group_by(JOBS.c.queue_name, JOBS.c.status)
        )
        counted: dict[str, dict[str, int]] = {}
        with self.journal.reading() as connection:
            for queue, status, number in connection.execute(query):
                counted.setdefault(queue, {})[status] = number
        return counted

    def failures(self, campaign: str, cell: str) -> int:
        """How often the process of a cell failed, on any worker."""
        table = tables.events
        own = table.c.campaign == campaign, table.c.cell == cell, table.c.kind == "cell-failed"
        with self.journal.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*own)).scalar() or 0)

    # --- changing ---

    def set_state(self, campaign: str, state: str, *, among: Sequence[str]) -> bool:
        """Bring a submission into a state from ``among``; gives whether it was in one of these."""
        table = tables.submissions

        def work(unit: Unit) -> bool:
            changed = table.update().where(table.c.campaign == campaign, table.c.state.in_(among)).values(state=state)
            if not unit.connection.execute(changed).rowcount:
                return False
            unit.append("submission", {"state": state}, campaign)
            return True

        return self.journal.transact("changing the submission", work)

    def end(self, job: int, worker: int, *, failed: bool = False) -> bool:
        """End a job that this worker runs; gives whether it was still this worker's. Another worker's job, which was
        taken over, stays what it is."""
        ended = sa.text("SELECT procrastinate_finish_job_v1(:job, CAST(:status AS procrastinate_job_status), false)")
        status = "failed" if failed else "succeeded"
        return self._change(job, worker, "ending a job", ended, status=status)

    def give_back(self, job: int, worker: int | None, seconds: float = 0.0) -> bool:
        """Put a job that this worker runs (None: a worker that is gone) back into its queue, to be taken after so many
        seconds; gives whether it was still this worker's."""
        again = sa.text(
            "SELECT procrastinate_retry_job_v2(:job, clock_timestamp() + make_interval(secs => :seconds), "
            "NULL, NULL, NULL)"
        )
        return self._change(job, worker, "giving a job back", again, seconds=seconds)

    def _change(self, job: int, worker: int | None, doing: str, change: sa.TextClause, **values: Any) -> bool:
        def work(unit: Unit) -> bool:
            own = JOBS.c.id == job, JOBS.c.worker_id.is_not_distinct_from(worker), JOBS.c.status == "doing"
            if unit.connection.execute(sa.select(JOBS.c.id).where(*own).with_for_update()).first() is None:
                return False
            unit.connection.execute(change, {"job": job, **values})
            return True

        return self.journal.transact(doing, work)

    def advance(self, campaign: str) -> None:
        """Where no cell of a campaign waits or runs any more, queue the job that closes it; once, whoever asks."""
        table = tables.submissions
        own = sa.select(tables.queues.c.queue).where(tables.queues.c.campaign == campaign)
        waits = sa.select(JOBS.c.id).where(JOBS.c.status.in_(OPEN), JOBS.c.queue_name.in_(own)).limit(1)
        with self.journal.reading() as connection:  # after all cells but the last ones, nothing is locked
            if connection.execute(waits).first() is not None:
                return

        def work(unit: Unit) -> None:
            query = sa.select(table.c.state, table.c.harness).where(table.c.campaign == campaign).with_for_update()
            row = unit.connection.execute(query).first()
            if row is None or row.state not in (QUEUED, CANCELLED):
                return
            if unit.connection.execute(waits).first() is None:
                self.put(unit, [self.close_job(campaign, row.harness)])

        self.journal.transact("closing the campaign", work)

    def withdraw(self, campaign: str) -> int:
        """Take the cells of a campaign that wait out of the queue; gives how many."""
        own = sa.select(tables.queues.c.queue).where(tables.queues.c.campaign == campaign)
        waits = JOBS.c.status == "todo", JOBS.c.queue_name.in_(own)
        cancel = sa.func.procrastinate_cancel_job_v1(JOBS.c.id, sa.false(), sa.true())  # not running ones; deleted
        withdrawn = sa.select(cancel).where(*waits)
        return self.journal.transact("emptying the queue", lambda unit: len(unit.connection.execute(withdrawn).all()))


def closing(version: str) -> str:
    """The queue in which campaigns of that version of the harness wait to be closed; any of its workers can do that."""
    return f"{CLOSE}/{version}"


def _cell(plain: Mapping[str, Any] | None) -> Cell | None:
    """A cell as it was recorded (``dataclasses.asdict``)."""
    if plain is None:
        return None
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
    return Cell(**values)


def _driver(unit: Unit) -> Any:
    """The driver's own connection, in the same transaction."""
    return unit.connection.connection.driver_connection
