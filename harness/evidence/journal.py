"""The journal: one SQLite file a workspace, WAL, synchronous=FULL; written before anything is created.

Events form a chain: each carries the SHA-256 of its own content and of the one before, so that a removed or
altered line shows (``harness.evidence.checking``). Attempts are immutable once done.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from harness.errors import HarnessBug, InfrastructureError
from harness.model.records import AttemptFacts, AttemptRow, CampaignRow, EventRow, FileRow, ResourceRow
from harness.model.results import Cause, Measurement, Observation, Result, SkipReason, State, Verdict
from harness.system.canonical import digest_of

metadata = sa.MetaData()

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("finished", sa.String),
    sa.Column("matrix", sa.String, nullable=False),
    sa.Column("folder", sa.String, nullable=False),
    sa.Column("plan_digest", sa.String, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("conditions", sa.JSON, nullable=False),
    sa.Column("verdict", sa.String),
)
attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("campaign", sa.String, primary_key=True),
    sa.Column("cell", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("verdict", sa.String),
    sa.Column("cause", sa.String),
    sa.Column("message", sa.String),
    sa.Column("started", sa.String, nullable=False),
    sa.Column("finished", sa.String),
    sa.Column("facts", sa.JSON, nullable=False),
)
observations = sa.Table(
    "observations",
    metadata,
    sa.Column("campaign", sa.String, primary_key=True),
    sa.Column("cell", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("suite", sa.String, primary_key=True),
    sa.Column("case", sa.String, primary_key=True),
    sa.Column("result", sa.String, nullable=False),
    sa.Column("cause", sa.String),
    sa.Column("skip_reason", sa.String),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("measurements", sa.JSON, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
)
files = sa.Table(
    "files",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("campaign", sa.String, nullable=False),
    sa.Column("cell", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("sha256", sa.String, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("media", sa.String, nullable=False),
)
resources = sa.Table(
    "resources",
    metadata,
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("campaign", sa.String, nullable=False),
    sa.Column("engine_id", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
)
events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("time", sa.String, nullable=False),
    sa.Column("campaign", sa.String, nullable=False),
    sa.Column("cell", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("previous", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
)

#: Of the tables and of what rows hold; raised when an older harness could not read them, or this one not older ones.
SCHEMA = 2
#: Where the chain begins.
GENESIS = "0" * 64


def now() -> str:
    """UTC, ISO 8601, milliseconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


class Journal:
    """All reading and writing of the journal; good for several threads.

    Raises:
        InfrastructureError: the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
        sa.event.listen(self._engine, "connect", _pragmas)
        with self._errors("opening the journal"), self._engine.connect() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar()
            filled = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
            if filled and version != SCHEMA:
                raise InfrastructureError(
                    f"{path} was made by another version of the harness (schema {version}, here {SCHEMA})",
                    advice="use that version for it, or another workspace: --workspace FOLDER",
                )
            if not filled:
                # The number first: a run that is killed in between must not leave a file that nobody can open.
                connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
            metadata.create_all(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.OperationalError as error:
            text = str(error.orig)
            full = "full" in text or "disk I/O" in text
            raise InfrastructureError(
                f"{doing}: {'no space left on the disk of the workspace' if full else text} ({self.path.name})",
                advice="free space there, then: harness resume" if full else "check the workspace and its permissions",
            ) from error
        except sa.exc.DatabaseError as error:
            raise InfrastructureError(
                f"{doing}: {self.path} is no journal of the harness, or is damaged: {error.orig}",
                advice="move it away, or restore it from a copy",
            ) from error

    @contextlib.contextmanager
    def _write(self, doing: str) -> Iterator[sa.Connection]:
        with self._lock, self._errors(doing), self._engine.connect() as connection:
            # The chain needs its head read and its next link written with no other process between.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextlib.contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._errors("reading the journal"), self._engine.connect() as connection:
            yield connection

    def _append(
        self,
        connection: sa.Connection,
        kind: str,
        data: dict[str, Any],
        campaign: str = "",
        cell: str = "",
        number: int = 0,
    ) -> None:
        head = connection.execute(sa.select(events.c.digest).order_by(events.c.seq.desc()).limit(1)).scalar()
        row = {
            "time": now(),
            "campaign": campaign,
            "cell": cell,
            "number": number,
            "kind": kind,
            "data": json.dumps(data, ensure_ascii=False, sort_keys=True, default=str),
            "previous": head or GENESIS,
        }
        connection.execute(events.insert().values(**row, digest=digest_of(row)))

    # writing

    def open_campaign(self, row: CampaignRow) -> None:
        """Record a campaign before its first attempt."""
        with self._write("opening the campaign") as connection:
            connection.execute(campaigns.insert().values(**vars(row)))
            data = {"plan": row.plan_digest, "snapshot": digest_of(row.plan), "conditions": row.conditions}
            self._append(connection, "campaign-opened", data, row.id)

    def close_campaign(self, campaign: str, verdict: Verdict, outputs: dict[str, str]) -> None:
        """Record the campaign's verdict and the digests of what was rendered."""
        with self._write("closing the campaign") as connection:
            connection.execute(
                campaigns.update().where(campaigns.c.id == campaign).values(finished=now(), verdict=verdict.value)
            )
            self._append(connection, "campaign-closed", {"verdict": verdict.value, "outputs": outputs}, campaign)

    def event(self, kind: str, data: dict[str, Any], campaign: str = "", cell: str = "", number: int = 0) -> None:
        with self._write(f"recording {kind}") as connection:
            self._append(connection, kind, data, campaign, cell, number)

    def begin(self, campaign: str, cell: str) -> int:
        """Open the next attempt at a cell; gives its number, from 1."""
        with self._write("opening an attempt") as connection:
            highest = connection.execute(
                sa.select(sa.func.max(attempts.c.number)).where(
                    attempts.c.campaign == campaign, attempts.c.cell == cell
                )
            ).scalar()
            number = (highest or 0) + 1
            connection.execute(
                attempts.insert().values(
                    campaign=campaign, cell=cell, number=number, state=State.QUEUED.value, started=now(), facts={}
                )
            )
            self._append(connection, "attempt-opened", {}, campaign, cell, number)
        return number

    def state(self, campaign: str, cell: str, number: int, state: State) -> None:
        with self._write(f"recording state {state.value}") as connection:
            self._open(connection, campaign, cell, number)
            connection.execute(
                attempts.update().where(*_attempt(attempts, campaign, cell, number)).values(state=state.value)
            )
            self._append(connection, "state", {"state": state.value}, campaign, cell, number)

    def observe(self, campaign: str, cell: str, number: int, seen: list[Observation]) -> None:
        """Record observations as they come."""
        with self._write("recording observations") as connection:
            self._open(connection, campaign, cell, number)
            for one in seen:
                row = observation_row(one)
                connection.execute(observations.insert().values(campaign=campaign, cell=cell, number=number, **row))
                self._append(connection, "observation", row, campaign, cell, number)

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
    ) -> None:
        """Close an attempt for good, in one transaction.

        Raises:
            HarnessBug: it is closed already.
        """
        with self._write("closing an attempt") as connection:
            self._open(connection, campaign, cell, number)
            who = cause.value if cause is not None else None
            values = {
                "state": State.DONE.value,
                "verdict": verdict.value,
                "cause": who,
                "message": message,
                "finished": now(),
                "facts": facts.plain(),
            }
            connection.execute(attempts.update().where(*_attempt(attempts, campaign, cell, number)).values(**values))
            data = {"verdict": verdict.value, "cause": who, "message": message, "facts": digest_of(facts.plain())}
            self._append(connection, "attempt-closed", data, campaign, cell, number)

    def _open(self, connection: sa.Connection, campaign: str, cell: str, number: int) -> None:
        state = connection.execute(
            sa.select(attempts.c.state).where(*_attempt(attempts, campaign, cell, number))
        ).scalar()
        if state is None or state == State.DONE.value:
            raise HarnessBug(
                f"attempt {number} at {cell} is {'closed' if state else 'not open'}: it never changes again"
            )

    def resource(self, campaign: str, kind: str, name: str, state: str, engine_id: str = "") -> None:
        """Record the intent, the making or the removal of a container, network or image."""
        with self._write(f"recording {kind} {name}") as connection:
            connection.execute(sa.delete(resources).where(resources.c.kind == kind, resources.c.name == name))
            connection.execute(
                resources.insert().values(kind=kind, name=name, campaign=campaign, state=state, engine_id=engine_id)
            )
            self._append(connection, f"resource-{state}", {"kind": kind, "name": name, "id": engine_id}, campaign)

    def file(self, campaign: str, cell: str, number: int, name: str, sha256: str, size: int, media: str) -> None:
        with self._write(f"recording file {name}") as connection:
            connection.execute(
                files.insert().values(
                    campaign=campaign, cell=cell, number=number, name=name, sha256=sha256, size=size, media=media
                )
            )
            self._append(connection, "file", {"name": name, "sha256": sha256, "size": size}, campaign, cell, number)

    # reading

    def campaign(self, identity: str) -> CampaignRow | None:
        with self._read() as connection:
            row = connection.execute(sa.select(campaigns).where(campaigns.c.id == identity)).mappings().first()
        return CampaignRow(**row) if row is not None else None

    def campaigns(self) -> list[CampaignRow]:
        """All campaigns, the newest first."""
        with self._read() as connection:
            rows = connection.execute(sa.select(campaigns).order_by(campaigns.c.created.desc())).mappings().all()
        return [CampaignRow(**row) for row in rows]

    def attempts(self, campaign: str) -> list[AttemptRow]:
        with self._read() as connection:
            rows = (
                connection.execute(
                    sa.select(attempts)
                    .where(attempts.c.campaign == campaign)
                    .order_by(attempts.c.cell, attempts.c.number)
                )
                .mappings()
                .all()
            )
        return [
            AttemptRow(
                cell=row["cell"],
                number=row["number"],
                state=State(row["state"]),
                started=row["started"],
                verdict=Verdict(row["verdict"]) if row["verdict"] else None,
                finished=row["finished"],
                cause=Cause(row["cause"]) if row["cause"] else None,
                message=row["message"] or "",
                facts=AttemptFacts.model_validate(row["facts"]),
            )
            for row in rows
        ]

    def timings(self, newest: int) -> list[tuple[dict[str, str], float]]:
        """Axes of a cell and seconds that an attempt at it took in all; only attempts that came to a verdict."""
        verdicts = [v.value for v in (Verdict.CONFORMANT, Verdict.CONDITIONAL, Verdict.NONCONFORMANT)]
        wanted = sa.select(attempts.c.cell, attempts.c.facts).where(attempts.c.verdict.in_(verdicts))
        with self._read() as connection:
            rows = connection.execute(wanted.order_by(attempts.c.finished.desc()).limit(newest)).all()
        found = []
        for cell, facts in rows:
            seconds = facts.get("seconds", {}).get("total")
            pairs = [pair.partition("=") for pair in cell.rpartition("#")[0].split(",")]
            if seconds:
                found.append(({key: value for key, _, value in pairs}, float(seconds)))
        return found

    def state_times(self, campaign: str) -> dict[str, str]:
        """When each cell came into the state that it is in."""
        kinds = ("attempt-opened", "state", "attempt-closed")
        query = sa.select(events.c.cell, sa.func.max(events.c.time)).where(
            events.c.campaign == campaign, events.c.kind.in_(kinds)
        )
        with self._read() as connection:
            return {row.cell: row[1] for row in connection.execute(query.group_by(events.c.cell))}

    def observations(self, campaign: str) -> dict[tuple[str, int], list[Observation]]:
        """By cell and attempt number, in the order they were seen."""
        with self._read() as connection:
            rows = (
                connection.execute(
                    sa.select(observations).where(observations.c.campaign == campaign).order_by(sa.text("rowid"))
                )
                .mappings()
                .all()
            )
        found: dict[tuple[str, int], list[Observation]] = {}
        for row in rows:
            found.setdefault((row["cell"], row["number"]), []).append(_observation(row))
        return found

    def files(self, campaign: str) -> list[FileRow]:
        wanted = [files.c[name] for name in ("cell", "number", "name", "sha256", "size", "media")]
        query = sa.select(*wanted).where(files.c.campaign == campaign).order_by(files.c.id)
        with self._read() as connection:
            rows = connection.execute(query).mappings().all()
        return [FileRow(**row) for row in rows]

    def resources(self, state: str | None = None) -> list[ResourceRow]:
        with self._read() as connection:
            query = sa.select(resources)
            rows = connection.execute(query.where(resources.c.state == state) if state else query).mappings().all()
        return [ResourceRow(**row) for row in rows]

    def events(self, campaign: str | None = None) -> list[EventRow]:
        with self._read() as connection:
            query = sa.select(events).order_by(events.c.seq)
            rows = (
                connection.execute(query.where(events.c.campaign == campaign) if campaign else query).mappings().all()
            )
        return [EventRow(**row) for row in rows]

    def head(self) -> str:
        """Digest of the newest event."""
        with self._read() as connection:
            found = connection.execute(sa.select(events.c.digest).order_by(events.c.seq.desc()).limit(1)).scalar()
        return found or GENESIS

    def outputs(self) -> dict[str, dict[str, str]]:
        """SHA-256 of what was rendered last, by campaign and kind."""
        found: dict[str, dict[str, str]] = {}
        for event in self.events():
            if event.kind in ("campaign-closed", "campaign-rendered"):
                found[event.campaign] = json.loads(event.data)["outputs"]
        return found


def _pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are ours: BEGIN IMMEDIATE
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _attempt(table: sa.Table, campaign: str, cell: str, number: int) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.campaign == campaign, table.c.cell == cell, table.c.number == number


def observation_row(seen: Observation) -> dict[str, Any]:
    return {
        "suite": seen.suite,
        "case": seen.case,
        "result": seen.result.value,
        "cause": seen.cause.value if seen.cause is not None else None,
        "skip_reason": seen.skip_reason.value if seen.skip_reason is not None else None,
        "seconds": seen.seconds,
        "detail": seen.detail,
        "measurements": [vars(m) for m in seen.measurements],
        "evidence": list(seen.evidence),
    }


def _observation(row: Any) -> Observation:
    return Observation(
        suite=row["suite"],
        case=row["case"],
        result=Result(row["result"]),
        seconds=row["seconds"],
        cause=Cause(row["cause"]) if row["cause"] else None,
        skip_reason=SkipReason(row["skip_reason"]) if row["skip_reason"] else None,
        detail=row["detail"],
        measurements=tuple(Measurement(**m) for m in row["measurements"]),
        evidence=tuple(row["evidence"]),
    )
