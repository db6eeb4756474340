"""The journal over tables of a database: every change is one transaction, which holds the change and its events."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from harness.errors import ClaimLost, DoubleResult, HarnessBug, InfrastructureError
from harness.evidence import tables
from harness.evidence.engines import DatabaseEngine, engine_of
from harness.evidence.journal import JournalReader, now
from harness.evidence.migrating import prepare
from harness.evidence.reading import DatabaseReader, observation_row
from harness.evidence.units import Unit
from harness.model.records import AttemptFacts, CampaignRow, ResourceState
from harness.model.results import Cause, Observation, State, Verdict
from harness.system.canonical import digest_of

T = TypeVar("T")

#: How often a transaction is tried that another writer got in the way of.
TRIES = 10
#: Between two tries at a transaction whose connection was lost.
AGAIN_SECONDS = 0.1


class DatabaseJournal(DatabaseReader):
    """Implements ``harness.evidence.journal.Journal``. Good for several threads and processes.

    Raises:
        UsageError: no URL of a database that is known.
        InfrastructureError: the database cannot be opened, or was made by another version.
    """

    def __init__(self, url: str) -> None:
        self.engine: DatabaseEngine = engine_of(url)
        super().__init__(self.reading)
        try:
            with self._errors("opening the journal"):
                prepare(self.engine)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.engine.pool.dispose()

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise self.engine.trouble(doing, error) from error
        except UnicodeEncodeError as error:
            raise HarnessBug(f"{doing}: text that no database can hold: {error}") from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read with, whose errors are ours."""
        with self._errors("reading the journal"), self.engine.reading() as connection:
            yield connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[JournalReader]:
        with self._errors("reading the journal"), self.engine.snapshot() as connection:
            yield DatabaseReader(lambda: contextlib.nullcontext(connection))

    @contextlib.contextmanager
    def _write(self) -> Iterator[Unit]:
        with self.engine.writing() as connection:
            unit = Unit(connection)
            yield unit
            unit.flush()
            unit.ends = True

    def transact(self, doing: str, work: Callable[[Unit], T], *, conflicts: bool = False) -> T:
        """Do ``work`` in one transaction, again where another writer got in its way; with ``conflicts`` also where
        another writer took the key that it wanted.

        Where the connection is lost, it is done again as well, for as long as the engine waits for its server: once,
        because what was lost before the end was not committed, and what was lost in the end is looked for.
        """
        with self._errors(doing):
            left, give_up = TRIES, 0.0
            sent: tuple[Unit, T] | None = None  # its commit is on its way, or was not: nobody has seen it
            while True:
                unit: Unit | None = None
                try:
                    if sent is not None and self._is_written(sent[0]):
                        return sent[1]
                    sent = None
                    with self._write() as unit:
                        result = work(unit)
                    break
                except sa.exc.DBAPIError as error:
                    if self.engine.lost(error):
                        # The first loss may be that of a connection which was kept while the server was started again.
                        is_first, give_up = not give_up, give_up or time.monotonic() + self.engine.away_seconds
                        if not is_first and time.monotonic() >= give_up:
                            raise
                        time.sleep(AGAIN_SECONDS)
                        if unit is not None and unit.ends:
                            sent = unit, result
                        continue
                    left -= 1
                    conflict = conflicts and isinstance(error, sa.exc.IntegrityError)
                    if not left or not (conflict or self.engine.transient(error)):
                        raise
            return result

    def _is_written(self, unit: Unit) -> bool:
        """Whether a unit was committed, whose end nobody has seen: its events are in their chains then.

        Its chains are locked first, so a server that has not noticed the loss has come to an end with it. A unit
        without events may be done twice.
        """
        table = tables.events
        with self.engine.writing() as connection:
            for event in unit.written:
                Unit(connection).end_of(event["campaign"])
                place = table.c.campaign == event["campaign"], table.c.seq == event["seq"]
                if connection.execute(sa.select(table.c.digest).where(*place)).scalar() != event["digest"]:
                    return False
        return bool(unit.written)

    # --- campaigns ---

    def open_campaign(self, row: CampaignRow) -> None:
        self.transact("opening the campaign", lambda unit: self.add_campaign(unit, row))

    def add_campaign(self, unit: Unit, row: CampaignRow) -> None:
        """Open a campaign in a transaction in which more is done."""
        unit.connection.execute(tables.campaigns.insert().values(**vars(row)))
        data = {"plan": row.plan_digest, "snapshot": digest_of(row.plan), "conditions": row.conditions}
        unit.append("campaign-opened", data, row.id)

    def close_campaign(self, campaign: str, verdict: Verdict, outputs: dict[str, str], *, token: int = 0) -> None:
        def work(unit: Unit) -> None:
            check_token(unit, campaign, token)
            table = tables.campaigns
            unit.connection.execute(
                table.update().where(table.c.id == campaign).values(finished=now(), verdict=verdict.value)
            )
            unit.append("campaign-closed", {"verdict": verdict.value, "outputs": outputs}, campaign)
            unit.enter_head(campaign)

        self.transact("closing the campaign", work)

    def rendered(self, campaign: str, outputs: dict[str, str]) -> None:
        def work(unit: Unit) -> None:
            unit.append("campaign-rendered", {"outputs": outputs}, campaign)
            unit.enter_head(campaign)

        self.transact("recording what was rendered", work)

    # --- attempts ---

    def begin(self, campaign: str, cell: str, *, token: int = 0) -> int:
        table = tables.attempts

        def work(unit: Unit) -> int:
            check_token(unit, campaign, token)
            unit.head(campaign)  # who opens another attempt of the campaign waits here
            highest = unit.connection.execute(
                sa.select(sa.func.max(table.c.number)).where(table.c.campaign == campaign, table.c.cell == cell)
            ).scalar()
            number = (highest or 0) + 1
            values = {"campaign": campaign, "cell": cell, "number": number, "token": token}
            unit.connection.execute(
                table.insert().values(**values, state=State.QUEUED.value, started=now(), message="", facts={})
            )
            unit.append("attempt-opened", {}, campaign, cell, number)
            return number

        return self.transact("opening an attempt", work, conflicts=True)

    def adopt(self, campaign: str, cell: str, number: int, *, token: int) -> None:
        def work(unit: Unit) -> None:
            check_token(unit, campaign, token)
            unit.connection.execute(
                tables.attempts.update().where(*_attempt(campaign, cell, number)).values(token=token)
            )

        self.transact("going on with an attempt", work)

    def state(self, campaign: str, cell: str, number: int, state: State, *, step: str = "", token: int = 0) -> None:
        def work(unit: Unit) -> None:
            _check_open(unit, campaign, cell, number, token)
            unit.connection.execute(
                tables.attempts.update().where(*_attempt(campaign, cell, number)).values(state=state.value)
            )
            unit.append("state", {"state": state.value, **({"step": step} if step else {})}, campaign, cell, number)

        self.transact(f"recording state {state.value}", work)

    def observe(self, campaign: str, cell: str, number: int, results: Sequence[Observation], *, token: int = 0) -> None:
        if not results:
            return

        def work(unit: Unit) -> None:
            _check_open(unit, campaign, cell, number, token)
            rows = []
            for observation in results:
                row = observation_row(observation)
                seq = unit.append("observation", row, campaign, cell, number)
                rows.append({"campaign": campaign, "cell": cell, "number": number, "seq": seq, **row})
            try:
                unit.connection.execute(tables.observations.insert(), rows)
            except sa.exc.IntegrityError as error:
                raise _double(results, cell, number) from error

        self.transact("recording observations", work)

    def finish(
        self,
        campaign: str,
        cell: str,
        number: int,
        *,
        verdict: Verdict,
        cause: Cause | None,
        message: str,
        facts: AttemptFacts,
        token: int = 0,
    ) -> None:
        who, plain = cause.value if cause is not None else None, facts.plain()
        end = {"state": State.DONE.value, "verdict": verdict.value, "cause": who, "message": message}

        def work(unit: Unit) -> None:
            _check_open(unit, campaign, cell, number, token)
            values = {**end, "finished": now(), "facts": plain}
            unit.connection.execute(tables.attempts.update().where(*_attempt(campaign, cell, number)).values(**values))
            data = {"verdict": verdict.value, "cause": who, "message": message, "facts": digest_of(plain)}
            unit.append("attempt-closed", data, campaign, cell, number)

        self.transact("closing an attempt", work)

    # --- notes, resources, files ---

    def event(
        self,
        kind: str,
        data: Mapping[str, Any],
        campaign: str = "",
        cell: str = "",
        number: int = 0,
        *,
        token: int = 0,
    ) -> None:
        def work(unit: Unit) -> None:
            check_token(unit, campaign, token)
            unit.append(kind, data, campaign, cell, number)

        self.transact(f"recording {kind}", work)

    def resource(
        self, campaign: str, kind: str, name: str, state: ResourceState, engine_id: str = "", *, token: int = 0
    ) -> None:
        table = tables.resources

        def work(unit: Unit) -> None:
            check_token(unit, campaign, token)
            values = {"campaign": campaign, "state": state, "engine_id": engine_id}
            where = table.c.kind == kind, table.c.name == name
            if not unit.connection.execute(table.update().where(*where).values(**values)).rowcount:
                unit.connection.execute(table.insert().values(kind=kind, name=name, **values))
            unit.append(f"resource-{state}", {"kind": kind, "name": name, "id": engine_id}, campaign)

        self.transact(f"recording {kind} {name}", work, conflicts=True)

    def file(
        self,
        campaign: str,
        cell: str,
        number: int,
        name: str,
        sha256: str,
        size: int,
        media: str,
        *,
        token: int = 0,
    ) -> None:
        row = {"cell": cell, "number": number, "name": name, "sha256": sha256, "size": size, "media": media}

        def work(unit: Unit) -> None:
            check_token(unit, campaign, token)
            data = {"name": name, "sha256": sha256, "size": size}
            seq = unit.append("file", data, campaign, cell, number)
            unit.connection.execute(tables.files.insert().values(campaign=campaign, seq=seq, **row))

        self.transact(f"recording file {name}", work)


def check_token(unit: Unit, campaign: str, token: int) -> None:
    """Whether a claim still holds; it cannot be taken over until the transaction ends.

    Raises:
        ClaimLost: it does not.
    """
    if not token:
        return
    table = tables.claims
    own = table.c.campaign == campaign, table.c.token == token
    row = unit.connection.execute(sa.select(table.c.worker).where(*own).with_for_update(read=True)).first()
    if row is None or not row[0]:
        later = sa.select(table.c.worker).where(table.c.campaign == campaign, table.c.token > token)
        workers = [worker for (worker,) in unit.connection.execute(later) if worker]
        now_held = f"{workers[0]} works on it now" if workers else "nobody works on it now"
        raise ClaimLost(
            f"campaign {campaign} was taken over: {now_held}, and nothing more is written here",
            advice="see: harness status",
        )


def _check_open(unit: Unit, campaign: str, cell: str, number: int, token: int) -> None:
    check_token(unit, campaign, token)
    query = sa.select(tables.attempts.c.state, tables.attempts.c.token).where(*_attempt(campaign, cell, number))
    row = unit.connection.execute(query).first()
    if row is None or row[0] == State.DONE.value:
        raise HarnessBug(f"attempt {number} at {cell} is {'closed' if row else 'not open'}: it never changes again")
    if row[1] != token:
        raise ClaimLost(
            f"attempt {number} at {cell} belongs to another claim on the campaign, and nothing more is written here",
            advice="see: harness status",
        )


def _attempt(campaign: str, cell: str, number: int) -> tuple[sa.ColumnElement[bool], ...]:
    table = tables.attempts
    return table.c.campaign == campaign, table.c.cell == cell, table.c.number == number


def _double(results: Sequence[Observation], cell: str, number: int) -> InfrastructureError:
    names = [f"{result.case} of suite {result.suite}" for result in results]
    among = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return DoubleResult(
        f"a case has two results in attempt {number} at {cell}; it is among: {among}",
        advice="give suites different names, and the cases of a suite different ids: harness lint",
    )
