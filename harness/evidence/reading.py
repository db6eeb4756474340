"""Reads a record from the tables of a database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from harness.errors import InfrastructureError
from harness.evidence import tables
from harness.evidence.chain import GENESIS, WORKSPACE, link
from harness.evidence.tables import json_text
from harness.model.records import AttemptFacts, AttemptRow, CampaignRow, ChainEntry, EventRow, FileRow, ResourceRow
from harness.model.results import Cause, Measurement, Observation, Result, SkipReason, State, Verdict
from harness.system.canonical import read_json

Connect = Callable[[], AbstractContextManager[sa.Connection]]
Row = Mapping[str, Any]
#: Verdicts of an attempt that came to its end.
REACHED = [v.value for v in (Verdict.CONFORMANT, Verdict.CONDITIONAL, Verdict.NONCONFORMANT)]


class DatabaseReader:
    """Implements ``harness.evidence.journal.JournalReader``; each ``connect()`` gives a connection to read with."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def _rows(self, query: sa.Select[Any]) -> Sequence[Row]:
        with self._connect() as connection:
            return connection.execute(query).mappings().all()  # type: ignore[return-value]  # keys are text here

    def campaign(self, identity: str) -> CampaignRow | None:
        rows = self._rows(sa.select(tables.campaigns).where(tables.campaigns.c.id == identity))
        return CampaignRow(**rows[0]) if rows else None

    def campaigns(self) -> list[CampaignRow]:
        return [CampaignRow(**row) for row in self._rows(sa.select(tables.campaigns).order_by(*_newest_first()))]

    def attempts(self, campaign: str, cell: str = "") -> list[AttemptRow]:
        table = tables.attempts
        query = sa.select(table).where(table.c.campaign == campaign).order_by(table.c.cell, table.c.number)
        rows = self._rows(query.where(table.c.cell == cell) if cell else query)
        with _readable("attempts", campaign):
            return [_attempt(row) for row in rows]

    def observations(self, campaign: str) -> dict[tuple[str, int], list[Observation]]:
        table = tables.observations
        grouped: dict[tuple[str, int], list[Observation]] = {}
        rows = self._rows(sa.select(table).where(table.c.campaign == campaign).order_by(table.c.seq))
        with _readable("results", campaign):
            for row in rows:
                grouped.setdefault((row["cell"], row["number"]), []).append(_observation(row))
        return grouped

    def files(self, campaign: str) -> list[FileRow]:
        table = tables.files
        columns = [table.c[name] for name in ("cell", "number", "name", "sha256", "size", "media")]
        query = sa.select(*columns).where(table.c.campaign == campaign).order_by(table.c.seq)
        return [FileRow(**row) for row in self._rows(query)]

    def resources(self, state: str | None = None, campaign: str | None = None) -> list[ResourceRow]:
        query = sa.select(tables.resources).order_by(tables.resources.c.kind, tables.resources.c.name)
        if state is not None:
            query = query.where(tables.resources.c.state == state)
        if campaign is not None:
            query = query.where(tables.resources.c.campaign == campaign)
        return [ResourceRow(**row) for row in self._rows(query)]

    def submission(self, campaign: str) -> str | None:
        table = tables.submissions
        with self._connect() as connection:
            return connection.execute(sa.select(table.c.state).where(table.c.campaign == campaign)).scalar()

    def follow(self, campaign: str, after: int = 0) -> list[EventRow]:
        table = tables.events
        query = sa.select(table).where(table.c.campaign == campaign, table.c.seq > after).order_by(table.c.seq)
        return [EventRow(**row) for row in self._rows(query)]

    def events(self, campaign: str | None = None) -> list[EventRow]:
        if campaign is not None:
            return self.follow(campaign)
        table = tables.events
        query = sa.select(table).order_by(table.c.time, table.c.campaign, table.c.seq)
        return [EventRow(**row) for row in self._rows(query)]

    def chains(self) -> dict[str, tuple[int, str]]:
        return {row["campaign"]: (row["length"], row["head"]) for row in self._rows(sa.select(tables.chains))}

    def chain(self, campaign: str) -> tuple[int, str] | None:
        rows = self._rows(sa.select(tables.chains).where(tables.chains.c.campaign == campaign))
        return (rows[0]["length"], rows[0]["head"]) if rows else None

    def entries(self, campaign: str) -> list[ChainEntry]:
        table, named = tables.events, json_text({"chain": campaign})[1:-1]
        query = sa.select(table).where(
            table.c.campaign == WORKSPACE,
            table.c.kind.in_(("chain-opened", "chain-head")),
            table.c.data.contains(named, autoescape=True),
        )
        return [entry for row in self._rows(query.order_by(table.c.seq)) if (entry := _entry(row, campaign))]

    def stored(self, campaign: str) -> dict[str, Sequence[Row]]:
        wanted = {"campaigns": tables.campaigns.c.id, **{t.name: t.c.campaign for t in _EVIDENCE}}
        return {
            name: self._rows(
                sa.select(*(sa.type_coerce(c, sa.Text) if isinstance(c.type, tables.JsonText) else c for c in t.c))
                .where(wanted[name] == campaign)
                .order_by(*t.primary_key.columns)
            )
            for name, t in ((t.name, t) for t in (tables.campaigns, *_EVIDENCE))
        }

    def head(self, campaign: str) -> str:
        end = self.chain(campaign)
        return end[1] if end is not None else GENESIS

    def outputs(self, campaign: str) -> dict[str, str]:
        table = tables.events
        query = sa.select(table.c.data).where(
            table.c.campaign == campaign, table.c.kind.in_(("campaign-closed", "campaign-rendered"))
        )
        rows = self._rows(query.order_by(table.c.seq.desc()).limit(1))
        with _readable("events", campaign):
            return dict(read_json(rows[0]["data"])["outputs"]) if rows else {}

    def timings(self, newest: int) -> list[tuple[dict[str, str], float]]:
        table = tables.attempts
        query = sa.select(table.c.cell, table.c.facts).where(table.c.verdict.in_(REACHED))
        timings = []
        for row in self._rows(query.order_by(table.c.finished.desc()).limit(newest)):
            steps = row["facts"].get("seconds", {})
            # A wait for other cells says nothing of this cell; the order of cells would repeat it for good.
            seconds = steps.get("total", 0) - steps.get("wait", 0)
            pairs = [pair.partition("=") for pair in row["cell"].rpartition("#")[0].split(",")]
            if seconds > 0:
                timings.append(({key: value for key, _, value in pairs}, float(seconds)))
        return timings

    def state_times(self, campaign: str) -> dict[str, str]:
        table, kinds = tables.events, ("attempt-opened", "state", "attempt-closed")
        query = sa.select(table.c.cell, sa.func.max(table.c.time).label("since"))
        query = query.where(table.c.campaign == campaign, table.c.kind.in_(kinds)).group_by(table.c.cell)
        return {row["cell"]: row["since"] for row in self._rows(query)}


_EVIDENCE = (tables.attempts, tables.observations, tables.files)


def _newest_first() -> tuple[sa.ColumnElement[Any], ...]:
    return tables.campaigns.c.created.desc(), tables.campaigns.c.id.desc()


@contextlib.contextmanager
def _readable(what: str, campaign: str) -> Iterator[None]:
    """Rows that no harness wrote so are no reason for a traceback."""
    try:
        yield
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InfrastructureError(
            f"{what} of campaign {campaign} cannot be read: they are not what a harness writes "
            f"({type(error).__name__}: {str(error).splitlines()[0]})",
            advice="see what was changed: harness verify",
        ) from error


def _entry(row: Row, campaign: str) -> ChainEntry | None:
    """None where the text was met, but another chain is meant."""
    try:
        data = read_json(row["data"])
    except ValueError:
        return None
    if data.get("chain") != campaign:
        return None
    sound = row["digest"] == link(dict(row))
    if row["kind"] == "chain-opened":
        return ChainEntry(length=0, head=row["digest"], sound=sound)
    return ChainEntry(length=int(data.get("length", -1)), head=str(data.get("head", "")), sound=sound)


def _attempt(row: Row) -> AttemptRow:
    return AttemptRow(
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


def observation_row(observation: Observation) -> dict[str, Any]:
    """The columns of a result, and the data of its event."""
    return {
        "suite": observation.suite,
        "case": observation.case,
        "result": observation.result.value,
        "cause": observation.cause.value if observation.cause is not None else None,
        "skip_reason": observation.skip_reason.value if observation.skip_reason is not None else None,
        "seconds": observation.seconds,
        "detail": observation.detail,
        "measurements": [vars(m) for m in observation.measurements],
        "evidence": list(observation.evidence),
    }


def _observation(row: Row) -> Observation:
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
