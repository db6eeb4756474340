"""Claims: the way a campaign, or a cell of it, is held by the worker that runs it, and asked to stop by anybody else.

A claim on a campaign excludes every other on it and on its cells; claims on different cells stand side by side. A claim
has a fencing token, which grows with every claim on the campaign and its cells: the journal refuses what is written
under a claim that was taken over. Whether the worker of a claim still lives is known in two ways: on one machine by a
file lock, which the kernel drops with the process; among many machines by a heartbeat, whose time is the database's.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from harness.errors import ClaimLost, UsageError
from harness.evidence import tables
from harness.evidence.database import DatabaseJournal
from harness.evidence.units import Unit
from harness.model.records import ClaimRow, Stop
from harness.system.locks import LockHeld, holder_of, lock

#: A worker shows that it lives this often, in seconds; one that was silent for so long may be taken over. Minutes,
#: because a server that is started again, or a network that is mended, must not cost the work of hours.
BEAT_SECONDS = 10.0
EXPIRES_SECONDS = 180.0


class Held(UsageError):
    """Another worker, which lives, works on the campaign or the cell."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A campaign, or a cell of it, held by a worker until it is released or taken over."""

    campaign: str
    worker: str
    token: int
    cell: str = ""  #: empty for the whole campaign
    patience: float = EXPIRES_SECONDS  #: seconds of silence after which it may be taken over


class Claims(Protocol):
    """Who works on which campaign.

    Raises:
        InfrastructureError: the database does not answer.
    """

    def claim(self, campaign: str, cell: str = "") -> Claim:
        """Hold the campaign, or one cell of it.

        Raises:
            UsageError: another worker, which lives, works on it; for a whole campaign, on any of its cells.
        """
        ...

    def beat(self, claim: Claim) -> None:
        """Show that the worker lives.

        Raises:
            ClaimLost: the campaign was taken over.
        """
        ...

    def cancel(self, campaign: str, *, stop: Stop) -> ClaimRow:
        """Ask all workers of the campaign to stop; gives one that was asked.

        Raises:
            UsageError: nobody works on it.
        """
        ...

    def cancelled(self, claim: Claim) -> Stop | None:
        """Whether, and how, the worker is asked to stop.

        Raises:
            ClaimLost: the campaign was taken over.
        """
        ...

    def release(self, claim: Claim) -> None:
        """Hold it no longer; of a claim that was lost nothing is left to release."""
        ...

    def forfeit(self) -> None:
        """Give up everything that is held here, at once: nothing more is written under it."""
        ...

    def holder(self, campaign: str) -> ClaimRow | None:
        """Who works on the campaign now, or on a cell of it. To ask disturbs no worker."""
        ...

    def holders(self, campaign: str) -> list[ClaimRow]:
        """Everybody who works on the campaign or on its cells now."""
        ...

    def expired(self) -> list[ClaimRow]:
        """Claims whose worker is gone without a release."""
        ...


class Liveness(Protocol):
    """How it is known whether the worker of a claim lives."""

    #: Whether nobody else can live who holds the same, once ``take`` has returned.
    exclusive: bool

    def take(self, campaign: str, cell: str, worker: str) -> Callable[[], object]:
        """Prove from now on that the worker lives; gives what ends the proof.

        Raises:
            UsageError: another worker proves that it lives.
        """
        ...

    def lives(self, row: ClaimRow) -> bool:
        """Whether the worker of a claim lives."""
        ...


class LockLiveness:
    """By a lock on a file in the campaign's folder: a killed process is known at once."""

    exclusive = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, campaign: str, cell: str) -> Path:
        return self.folder / campaign / (f"lock-{cell.rpartition('#')[2]}" if cell else "lock")

    def take(self, campaign: str, cell: str, worker: str) -> Callable[[], object]:
        held = contextlib.ExitStack()
        try:
            held.enter_context(lock(self._path(campaign, cell), timeout=0, holder=worker))
        except LockHeld as error:
            raise _held(campaign, error.holder) from None
        return held.close

    def lives(self, row: ClaimRow) -> bool:
        return bool(row.worker) and holder_of(self._path(row.campaign, row.cell)) is not None


class HeartbeatLiveness:
    """By the age of the last heartbeat: a killed process is known when its claim's patience is over."""

    exclusive = False

    def take(self, campaign: str, cell: str, worker: str) -> Callable[[], object]:
        return lambda: None

    def lives(self, row: ClaimRow) -> bool:
        return bool(row.worker) and row.age < row.patience


class DatabaseClaims:
    """Implements ``Claims`` over the journal's database."""

    def __init__(self, journal: DatabaseJournal, liveness: Liveness, patience: float | None = None) -> None:
        self._journal, self._liveness, self._patience = journal, liveness, patience
        self._proofs: dict[tuple[str, int], Callable[[], object]] = {}
        self._guard = threading.Lock()

    def claim(self, campaign: str, cell: str = "") -> Claim:
        worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        proof = self._liveness.take(campaign, cell, worker)
        patience = EXPIRES_SECONDS if self._patience is None else self._patience

        def work(unit: Unit) -> Claim:
            table = tables.claims
            issued = self._lock(unit.connection, campaign)
            rivals = self._rows(unit.connection, campaign, *([table.c.cell.in_(("", cell))] if cell else []))
            for row in rivals:
                proved = row.cell == cell and self._liveness.exclusive  # who holds the same lives no more
                if not proved and row.worker != worker and self._liveness.lives(row):  # this one: its answer was lost
                    raise _held(campaign, row.worker)
            token, clock = issued + 1, self._journal.engine.clock()
            values = {"worker": worker, "token": token, "heartbeat": clock, "cancel": "", "patience": patience}
            campaign_row = table.c.campaign == campaign
            if rivals:  # a worker that was thought dead and wakes up holds nothing any more
                cells = [row.cell for row in rivals]
                unit.connection.execute(table.update().where(campaign_row, table.c.cell.in_(cells)).values(worker=""))
            unit.connection.execute(table.update().where(campaign_row, table.c.cell == "").values(issued=token))
            if not unit.connection.execute(
                table.update().where(campaign_row, table.c.cell == cell).values(**values)
            ).rowcount:
                unit.connection.execute(table.insert().values(campaign=campaign, cell=cell, **values))
            return Claim(campaign=campaign, cell=cell, worker=worker, token=token, patience=patience)

        try:
            claim = self._journal.transact("claiming the campaign", work, conflicts=True)
        except BaseException:
            proof()
            raise
        with self._guard:
            self._proofs[campaign, claim.token] = proof
        return claim

    def beat(self, claim: Claim) -> None:
        self._change("showing that the worker lives", claim, heartbeat=self._journal.engine.clock())

    def release(self, claim: Claim) -> None:
        with self._guard:
            proof = self._proofs.pop((claim.campaign, claim.token), None)
        try:
            with contextlib.suppress(ClaimLost):
                self._change("releasing the campaign", claim, worker="", cancel="")
        finally:
            if proof is not None:
                proof()

    def forfeit(self) -> None:
        with self._guard:
            held = list(self._proofs)
        table = tables.claims

        def work(unit: Unit) -> None:
            for campaign, token in held:
                own = table.c.campaign == campaign, table.c.token == token
                unit.connection.execute(table.update().where(*own).values(worker="", cancel=""))

        self._journal.transact("giving up what is held", work)

    def _change(self, doing: str, claim: Claim, **values: Any) -> None:
        table = tables.claims
        own_row = table.c.campaign == claim.campaign, table.c.token == claim.token, table.c.worker == claim.worker

        def work(unit: Unit) -> None:
            if not unit.connection.execute(table.update().where(*own_row).values(**values)).rowcount:
                raise _lost(claim)

        self._journal.transact(doing, work)

    def cancel(self, campaign: str, *, stop: Stop) -> ClaimRow:
        rows = self.holders(campaign)
        if not rows:
            raise UsageError(f"campaign {campaign} is not running", advice="see: harness status")
        table = tables.claims
        tokens = [row.token for row in rows]
        asked = table.update().where(table.c.campaign == campaign, table.c.token.in_(tokens))
        asked = asked.where(table.c.cancel != "now").values(cancel=stop)  # "now" is not taken back
        self._journal.transact("asking the campaign to stop", lambda unit: unit.connection.execute(asked))
        return rows[0]

    def cancelled(self, claim: Claim) -> Stop | None:
        table = tables.claims
        own = table.c.campaign == claim.campaign, table.c.token == claim.token, table.c.worker == claim.worker
        with self._journal.reading() as connection:
            row = connection.execute(sa.select(table.c.cancel).where(*own)).first()
        if row is None:
            raise _lost(claim)
        return row[0] or None

    def holder(self, campaign: str) -> ClaimRow | None:
        return next(iter(self.holders(campaign)), None)

    def holders(self, campaign: str) -> list[ClaimRow]:
        return [row for row in self._look(campaign) if self._liveness.lives(row)]

    def expired(self) -> list[ClaimRow]:
        query = self._query().where(tables.claims.c.worker != "")
        with self._journal.reading() as connection:
            rows = [_claim_row(row) for row in connection.execute(query).mappings()]
        return [row for row in rows if not self._liveness.lives(row)]

    def _look(self, campaign: str) -> list[ClaimRow]:
        """The campaign's own claim first."""
        with self._journal.reading() as connection:
            return self._rows(connection, campaign)

    def _lock(self, connection: sa.Connection, campaign: str) -> int:
        """Lock the claims on a campaign and its cells, which nobody else can add to or change until the transaction
        ends; gives the newest of their tokens."""
        table = tables.claims
        row = table.c.campaign == campaign, table.c.cell == ""
        issued = connection.execute(sa.select(table.c.issued).where(*row).with_for_update()).scalar()
        if issued is None:
            # The row of the campaign is the lock for all of them, so it must be there; whoever is second tries again.
            first = {"worker": "", "token": 0, "heartbeat": 0.0, "cancel": "", "patience": 0.0, "issued": 0}
            connection.execute(table.insert().values(campaign=campaign, cell="", **first))
        return issued or 0

    def _query(self) -> sa.Select[Any]:
        table = tables.claims
        age = (self._journal.engine.clock() - table.c.heartbeat).label("age")
        columns = (table.c[name] for name in ("campaign", "cell", "worker", "token", "cancel", "patience"))
        return sa.select(*columns, age)

    def _rows(self, connection: sa.Connection, campaign: str, *where: sa.ColumnElement[bool]) -> list[ClaimRow]:
        """Claims that somebody holds: those that have ended stay too, and are as many as the cells."""
        table = tables.claims
        held = table.c.campaign == campaign, table.c.worker != ""
        query = self._query().where(*held, *where).order_by(table.c.cell)
        return [_claim_row(row) for row in connection.execute(query).mappings()]


def _claim_row(row: Any) -> ClaimRow:
    return ClaimRow(**{**row, "cancel": row["cancel"] or None})


def _held(campaign: str, by: str) -> Held:
    return Held(
        f"campaign {campaign} is being worked on by another process ({by})",
        advice="wait for it, or look at: harness status",
    )


def _lost(claim: Claim) -> ClaimLost:
    return ClaimLost(
        f"campaign {claim.campaign} was taken over by another worker, and nothing more is written here",
        advice="see: harness status",
    )
