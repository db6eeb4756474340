"""Claims: the way a campaign is held by the worker that runs it, and asked to stop by anybody else.

A claim has a fencing token, which grows with every claim on the campaign: the journal refuses what is written under an
older one. Whether the worker of a claim still lives is known in two ways: on one machine by a file lock, which the
kernel drops with the process; among many machines by a heartbeat, whose time is the database's.
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
from harness.evidence.database import DatabaseJournal, Unit
from harness.model.records import ClaimRow, Stop
from harness.system.locks import LockHeld, holder_of, lock

#: A worker shows that it lives this often, in seconds; after three that it let pass, its claim may be taken over.
BEAT_SECONDS = 10.0
EXPIRES_SECONDS = 3 * BEAT_SECONDS


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A campaign, held by a worker until it is released or taken over."""

    campaign: str
    worker: str
    token: int


class Claims(Protocol):
    """Who works on which campaign.

    Raises:
        InfrastructureError: the database does not answer.
    """

    def claim(self, campaign: str) -> Claim:
        """Hold the campaign.

        Raises:
            UsageError: another worker, which lives, works on it.
        """
        ...

    def beat(self, claim: Claim) -> None:
        """Show that the worker lives.

        Raises:
            ClaimLost: the campaign was taken over.
        """
        ...

    def cancel(self, campaign: str, *, stop: Stop) -> ClaimRow:
        """Ask the worker to stop; gives who was asked.

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

    def holder(self, campaign: str) -> ClaimRow | None:
        """Who works on the campaign now. To ask disturbs no worker."""
        ...

    def expired(self) -> list[ClaimRow]:
        """Claims whose worker is gone without a release."""
        ...


class Liveness(Protocol):
    """How it is known whether the worker of a claim lives."""

    def take(self, campaign: str, worker: str) -> Callable[[], object]:
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

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, campaign: str) -> Path:
        return self.folder / campaign / "lock"

    def take(self, campaign: str, worker: str) -> Callable[[], object]:
        held = contextlib.ExitStack()
        try:
            held.enter_context(lock(self._path(campaign), timeout=0, holder=worker))
        except LockHeld as error:
            raise _held(campaign, error.holder) from None
        return held.close

    def lives(self, row: ClaimRow) -> bool:
        return bool(row.worker) and holder_of(self._path(row.campaign)) is not None


class HeartbeatLiveness:
    """By the age of the last heartbeat: a killed process is known after ``EXPIRES_SECONDS``."""

    def take(self, campaign: str, worker: str) -> Callable[[], object]:
        return lambda: None

    def lives(self, row: ClaimRow) -> bool:
        return bool(row.worker) and row.age < EXPIRES_SECONDS


class DatabaseClaims:
    """Implements ``Claims`` over the journal's database."""

    def __init__(self, journal: DatabaseJournal, liveness: Liveness) -> None:
        self._journal, self._liveness = journal, liveness
        self._proofs: dict[tuple[str, int], Callable[[], object]] = {}
        self._guard = threading.Lock()

    def claim(self, campaign: str) -> Claim:
        worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        proof = self._liveness.take(campaign, worker)

        def work(unit: Unit) -> Claim:
            row = self._row(unit.connection, campaign, lock_it=True)
            # With a file lock, whoever has it is the only one that lives.
            if row is not None and isinstance(self._liveness, HeartbeatLiveness) and self._liveness.lives(row):
                raise _held(campaign, row.worker)
            token, clock = (row.token if row is not None else 0) + 1, self._journal.engine.clock()
            values = {"worker": worker, "token": token, "heartbeat": clock, "cancel": ""}
            table = tables.claims
            if row is None:
                unit.connection.execute(table.insert().values(campaign=campaign, **values))
            else:
                unit.connection.execute(table.update().where(table.c.campaign == campaign).values(**values))
            return Claim(campaign=campaign, worker=worker, token=token)

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

    def _change(self, doing: str, claim: Claim, **values: Any) -> None:
        table = tables.claims
        own_row = table.c.campaign == claim.campaign, table.c.token == claim.token, table.c.worker == claim.worker

        def work(unit: Unit) -> None:
            if not unit.connection.execute(table.update().where(*own_row).values(**values)).rowcount:
                raise _lost(claim)

        self._journal.transact(doing, work)

    def cancel(self, campaign: str, *, stop: Stop) -> ClaimRow:
        row = self.holder(campaign)
        if row is None:
            raise UsageError(f"campaign {campaign} is not running", advice="see: harness status")
        table = tables.claims
        asked = table.update().where(table.c.campaign == campaign, table.c.token == row.token)
        asked = asked.where(table.c.cancel != "now").values(cancel=stop)  # "now" is not taken back
        self._journal.transact("asking the campaign to stop", lambda unit: unit.connection.execute(asked))
        return row

    def cancelled(self, claim: Claim) -> Stop | None:
        row = self._look(claim.campaign)
        if row is None or (row.token, row.worker) != (claim.token, claim.worker):
            raise _lost(claim)
        return row.cancel

    def holder(self, campaign: str) -> ClaimRow | None:
        row = self._look(campaign)
        return row if row is not None and self._liveness.lives(row) else None

    def expired(self) -> list[ClaimRow]:
        query = self._query().where(tables.claims.c.worker != "")
        with self._journal.reading() as connection:
            rows = [_claim_row(row) for row in connection.execute(query).mappings()]
        return [row for row in rows if not self._liveness.lives(row)]

    def _look(self, campaign: str) -> ClaimRow | None:
        with self._journal.reading() as connection:
            return self._row(connection, campaign, lock_it=False)

    def _query(self) -> sa.Select[Any]:
        table = tables.claims
        age = (self._journal.engine.clock() - table.c.heartbeat).label("age")
        return sa.select(table.c.campaign, table.c.worker, table.c.token, table.c.cancel, age)

    def _row(self, connection: sa.Connection, campaign: str, *, lock_it: bool) -> ClaimRow | None:
        query = self._query().where(tables.claims.c.campaign == campaign)
        row = connection.execute(query.with_for_update() if lock_it else query).mappings().first()
        return _claim_row(row) if row is not None else None


def _claim_row(row: Any) -> ClaimRow:
    return ClaimRow(**{**row, "cancel": row["cancel"] or None})


def _held(campaign: str, by: str) -> UsageError:
    return UsageError(
        f"campaign {campaign} is being worked on by another process ({by})",
        advice="wait for it, or look at: harness status",
    )


def _lost(claim: Claim) -> ClaimLost:
    return ClaimLost(
        f"campaign {claim.campaign} was taken over by another worker, and nothing more is written here",
        advice="see: harness status",
    )
