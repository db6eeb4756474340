"""A worker: registers what its machine can serve, takes cells from the queue, and runs each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import sqlalchemy as sa

from harness import __version__
from harness.campaigns.options import RunOptions
from harness.campaigns.sweeping import sweep
from harness.center import process
from harness.center.logs import LOG_FORMAT, Log
from harness.center.queueing import (
    CANCELLED,
    CELL,
    CLOSE,
    CLOSED,
    DRAINING,
    GONE,
    PAUSED,
    QUEUED,
    WORKING,
    Center,
    closing,
)
from harness.center.serving import Serving, capabilities
from harness.containers.engine import Engine
from harness.errors import HarnessError, UsageError
from harness.evidence import Recorder, Workspace, tables
from harness.evidence.claims import BEAT_SECONDS
from harness.evidence.journal import now
from harness.evidence.migrating import is_own
from harness.evidence.units import Unit
from harness.evidence.workspace import DATABASE, taken
from harness.system.locks import LockHeld, lock

if TYPE_CHECKING:
    import procrastinate
    from procrastinate.jobs import Job
    from procrastinate.manager import JobManager

#: Between two looks into the queue while it is empty, and at what else can be served; in seconds.
LOOK_SECONDS = 2.0
#: After a cell that waits for something; and, for each time that its process failed before, after a failure.
LATER_SECONDS, AFTER_FAILURE_SECONDS = 15.0, 20.0
#: So often the process of a cell may fail before the cell is given up.
TRIES = 4
#: A process that was asked to end and does not is killed after so many seconds.
GRACE_SECONDS = 60.0
#: The queue of what any worker of this version can do.
CLOSING = closing(__version__)


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """``slots``: cells at once. ``options``: what is used here of hosts, database servers, mirror. ``until_empty``: end
    when nothing is left that this worker can serve."""

    name: str
    slots: int
    options: RunOptions
    until_empty: bool = False


@dataclass
class Worker:
    """One worker of a center.

    Raises:
        UsageError: a worker of this name works already.
    """

    center: Center
    wanted: WorkerOptions
    say: Log = field(default_factory=Log)
    serving: Serving = field(init=False)
    identity: int = 0  #: in procrastinate's table
    running: dict[int, str] = field(default_factory=dict)  #: job -> campaign and cell
    _children: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)
    _draining: asyncio.Event = field(default_factory=asyncio.Event)
    _ending: bool = False  #: asked for an end twice: nothing is waited for any more
    _strays: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.serving = Serving(self.center, self.wanted.options)

    async def run(self) -> None:
        """Work until a signal asks for an end: the first lets cells that run come to theirs, the second ends them."""
        app = self.center.app()
        with self._workspace_lock():
            await self._work(app)

    @contextlib.contextmanager
    def _workspace_lock(self) -> Iterator[None]:
        path = self.center.workspace.root / "worker.lock"
        try:
            with lock(path, timeout=0, holder=self.wanted.name):
                yield
        except LockHeld as error:
            raise UsageError(
                f"worker {error.holder} works in this workspace already", advice="name another: --workspace FOLDER"
            ) from error

    async def _work(self, app: procrastinate.App) -> None:
        async with self._signals(), app.open_async():
            manager = app.job_manager
            await asyncio.to_thread(self._tidy)
            self._register()
            self.identity = await manager.register_worker()
            sides = [
                asyncio.create_task(self._again(lambda: self._beat(manager), BEAT_SECONDS)),
                asyncio.create_task(self._again(self._look, LOOK_SECONDS)),
            ]
            await self._steadily(self._look)
            try:
                await asyncio.gather(*(self._slot(number, manager) for number in range(self.wanted.slots)))
            finally:
                for side in sides:
                    side.cancel()
                await asyncio.gather(*sides, return_exceptions=True)
                with contextlib.suppress(Exception):  # a database that is away: the worker's heartbeat ends
                    await manager.unregister_worker(self.identity)
                    self._say_state(GONE)

    # --- the loop of a slot ---

    async def _slot(self, number: int, manager: JobManager) -> None:
        while not self._draining.is_set():
            job = await self._steadily(lambda: self._take(manager), while_taking=True)
            if job is not None:
                await self._do(number, job)
            elif self.wanted.until_empty and not self.running and not await self._has_work():
                return
            else:
                await self._pause(LOOK_SECONDS)

    async def _take(self, manager: JobManager) -> Job | None:
        wanted = (queue for queue, why in self.serving.answers.items() if not why and queue not in self.serving.full)
        queues = [CLOSING, *wanted]
        job = await manager.fetch_job(queues=queues, worker_id=self.identity)
        if job is not None and job.id is not None:
            self.running[job.id] = " ".join(map(str, job.task_kwargs.values()))
        return job

    async def _do(self, number: int, job: Job) -> None:
        assert job.id is not None
        campaign, cell = str(job.task_kwargs["campaign"]), str(job.task_kwargs.get("cell", ""))
        self.say(f"{campaign} {cell or 'closes'}", campaign=campaign, cell=cell)
        try:
            code, last = await self._in_process(number, job.id, job.task_name, campaign, cell)
            await self._steadily(lambda: asyncio.to_thread(self._account, job, campaign, cell, code, last))
        finally:
            self.running.pop(job.id, None)

    def _account(self, job: Job, campaign: str, cell: str, code: int, last: str) -> None:
        """Say to the queue what became of a job."""
        assert job.id is not None
        own, center = (job.id, self.identity), self.center
        if code == process.STOPPED and center.state(campaign) != CANCELLED:
            center.give_back(*own)  # this worker ends; another goes on
        elif code == process.LATER:
            center.give_back(*own, seconds=LATER_SECONDS)
        elif code in (process.ENDED, process.STOPPED):
            center.end(*own)
            if job.task_name == CLOSE:
                center.set_state(campaign, CLOSED, among=(QUEUED, PAUSED, CANCELLED))
        else:
            self._account_failure(job, campaign, cell, last)
        if job.task_name == CELL:
            center.advance(campaign)

    def _account_failure(self, job: Job, campaign: str, cell: str, last: str) -> None:
        assert job.id is not None
        record = Recorder(self.center.journal, self.center.workspace.store, campaign, cell, 0)
        times = job.attempts + 1  # it counts each time that the job was given back, for whatever reason
        if job.task_name == CELL:
            times = self.center.failures(campaign, cell) + 1
            record.event("cell-failed", worker=self.wanted.name, message=last)
        if times < TRIES:
            words = f"{campaign} {cell or 'closing'} failed here and is tried again: {last}"
            self.say(words, campaign=campaign, cell=cell)
            self.center.give_back(job.id, self.identity, seconds=AFTER_FAILURE_SECONDS * times)
        elif self.center.end(job.id, self.identity, failed=True):
            self.say(f"{campaign} {cell or 'closing'} is given up: {last}", campaign=campaign, cell=cell)
            record.event("cell-given-up", worker=self.wanted.name, message=last)

    async def _in_process(self, number: int, job: int, task: str, campaign: str, cell: str) -> tuple[int, str]:
        """Exit code of the process, and the last line that it printed."""
        root = self.center.workspace.root / "slots" / str(number)
        root.mkdir(parents=True, exist_ok=True)
        log = root / "log"
        options = json.dumps(self.wanted.options.plain())
        words = (task, campaign, cell, str(root), self.wanted.name, options, str(os.getpid()))
        with log.open("wb") as file:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                *(*process.PROGRAM, *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=asyncio.subprocess.STDOUT,
                # The mirror by the environment: its password is in no list of processes.
                env=os.environ
                | taken()
                | {
                    DATABASE: self.center.url,
                    process.MIRROR: self.wanted.options.mirror,
                    LOG_FORMAT: "json" if self.say.as_json else "text",
                },
                start_new_session=True,  # Ctrl-C on the worker's terminal lets it finish
            )
        self._children[job] = child
        try:
            code = await child.wait()
        finally:
            self._children.pop(job, None)
        lines = log.read_text(errors="replace").strip().splitlines()
        return code, lines[-1] if lines else f"its process ended with {code}, and printed nothing"

    # --- beside it ---

    async def _look(self) -> None:
        await asyncio.to_thread(self.serving.look)

    async def _has_work(self) -> bool:
        await self._steadily(self._look)
        counts = await asyncio.to_thread(self.center.counts)
        own = {CLOSING, *(queue for queue, why in self.serving.answers.items() if not why)}
        return any(queue in own for queue in counts)

    async def _beat(self, manager: JobManager) -> None:
        """Show that this worker lives; one that was thought dead, and was removed, comes back under a new number."""
        await manager.update_heartbeat(self.identity)
        known, current, own = await asyncio.to_thread(self._ours)
        if not current and not self._draining.is_set():
            self.say("a later harness has brought the tables up to date: this worker takes no more cells, and ends")
            self._draining.set()
        if not known:
            self.identity = await manager.register_worker()
            self.say("this worker was silent for so long that it was thought dead; it goes on")
        strays = own - self.running.keys()
        for job in strays & self._strays:  # the answer to a fetch was lost with its connection
            await asyncio.to_thread(self.center.give_back, job, self.identity)
        self._strays = strays
        await asyncio.to_thread(self._say_state, DRAINING if self._draining.is_set() else WORKING)

    def _ours(self) -> tuple[bool, bool, set[int]]:
        """Whether this worker is registered, whether the tables are those of its version, and its jobs."""
        query = sa.text("SELECT 1 FROM procrastinate_workers WHERE id = :id")
        jobs = sa.text("SELECT id FROM procrastinate_jobs WHERE worker_id = :id AND status = 'doing'")
        with self.center.journal.reading() as connection:
            known = connection.execute(query, {"id": self.identity}).first() is not None
            return known, is_own(connection), {job for (job,) in connection.execute(jobs, {"id": self.identity})}

    def _tidy(self) -> None:
        """Remove what cells of a worker left that was killed in this workspace; nothing else runs in it now."""
        with contextlib.suppress(HarnessError):  # without an engine there is nothing to remove, or the next cell does
            for root in sorted((self.center.workspace.root / "slots").glob("*")):
                place = Workspace(root)
                try:
                    for name in sweep(Engine(place.id), place, alone=True):
                        self.say(f"removed, left by a worker that was killed: {name}")
                finally:
                    place.journal.close()

    def _register(self) -> None:
        table, clock = tables.workers, self.center.journal.engine.clock()
        alive = table.c.name == self.wanted.name, table.c.state != GONE, clock - table.c.heartbeat < 3 * BEAT_SECONDS

        def work(unit: Unit) -> None:
            says = unit.connection.execute(sa.select(table.c.says).where(*alive)).scalar()
            if says is not None and says.get("place") != self._place:  # of this place it was killed a moment ago
                raise UsageError(
                    f"a worker named {self.wanted.name} works already", advice="name this one otherwise: --name"
                )
            unit.connection.execute(table.delete().where(table.c.name == self.wanted.name))
            values = {"name": self.wanted.name, "started": now(), "heartbeat": clock, "state": WORKING}
            unit.connection.execute(table.insert().values(**values, says=self._says()))

        self.center.journal.transact("registering the worker", work, conflicts=True)

    def _say_state(self, state: str) -> None:
        table, clock = tables.workers, self.center.journal.engine.clock()
        values = {"heartbeat": clock, "state": state, "says": self._says()}
        own = table.update().where(table.c.name == self.wanted.name).values(**values)
        self.center.journal.transact("showing that the worker lives", lambda unit: unit.connection.execute(own))

    def _says(self) -> dict[str, Any]:
        if not hasattr(self, "_capabilities"):
            self._capabilities = capabilities(self.wanted.options)
        return {
            **self._capabilities,
            "place": self._place,
            "slots": self.wanted.slots,
            "process": os.getpid(),
            "free_memory": psutil.virtual_memory().available,
            "running": sorted(self.running.values()),
            "refused": self.serving.refused,
        }

    @property
    def _place(self) -> str:
        return f"{socket.gethostname()}:{self.center.workspace.root}"

    # --- what holds it together ---

    async def _again(self, call: Callable[[], Coroutine[Any, Any, Any]], seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._steadily(call)

    async def _steadily(self, call: Callable[[], Coroutine[Any, Any, Any]], *, while_taking: bool = False) -> Any:
        """Do it, again and again where the database is away: cells that run do not end for that. Gives None where the
        worker ends meanwhile: then the sweeper does what is left; ``while_taking``: where it takes no more."""
        from procrastinate.exceptions import ConnectorException

        said = False
        while True:
            try:
                return await call()
            except (ConnectorException, HarnessError) as error:
                if isinstance(error, UsageError):
                    raise
                if not said:
                    self.say(f"waits for the database: {error.__cause__ or error}")
                said = True
                if self._ending or (while_taking and self._draining.is_set()):
                    return None
                await self._pause(LOOK_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._draining.wait(), seconds) if not self._draining.is_set() else None
            if self._draining.is_set():
                await asyncio.sleep(min(seconds, 0.5))

    @contextlib.asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        heard = (signal.SIGINT, signal.SIGTERM)
        for number in heard:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in heard:
                loop.remove_signal_handler(number)

    def _on_signal(self, _number: int) -> None:
        if not self._draining.is_set():
            self._draining.set()
            self.say(f"takes no more; {len(self.running)} run and come to their end. Once more ends them")
            return
        self._ending = True
        self._end_children(kill=False)
        asyncio.get_running_loop().call_later(GRACE_SECONDS, lambda: self._end_children(kill=True))
        self.say("ends what runs: these cells go back into the queue")

    def _end_children(self, *, kill: bool) -> None:
        for child in list(self._children.values()):
            with contextlib.suppress(ProcessLookupError):
                if kill:
                    child.kill()
                else:
                    child.terminate()
