"""The differences between databases; everything else in a record is the same in all of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import sqlalchemy as sa

from harness.errors import InfrastructureError, UsageError


class DatabaseEngine(Protocol):
    """One database, as the journal uses it."""

    pool: sa.Engine
    place: str  #: for messages: never with a password
    #: Whether it serves the processes of one machine only: then a file lock says at once who works.
    one_machine: bool

    @property
    def away_seconds(self) -> float:
        """Seconds for which a server is waited for that answered before and does not any more."""
        ...

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A connection in a transaction that writes: committed, on the disk, when it ends; rolled back on an error."""
        ...

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection to read with."""
        ...

    def snapshot(self) -> AbstractContextManager[sa.Connection]:
        """A connection to which everything stands as it did at one moment."""
        ...

    def alone(self, connection: sa.Connection) -> None:
        """Within a transaction that writes: nobody else changes the tables until it ends."""
        ...

    def clock(self) -> sa.ColumnElement[float]:
        """Seconds since 1970 by the database's clock, at this very moment."""
        ...

    def transient(self, error: sa.exc.DBAPIError) -> bool:
        """Whether the same transaction may succeed when it is tried again."""
        ...

    def lost(self, error: sa.exc.DBAPIError) -> bool:
        """Whether the connection is gone, and another may be had."""
        ...

    def trouble(self, doing: str, error: sa.exc.DBAPIError) -> InfrastructureError:
        """The error in our words: what was being done, what went wrong, who acts."""
        ...


def engine_of(url: str) -> DatabaseEngine:
    """The engine of a database: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST:PORT/NAME``.

    Raises:
        UsageError: no URL of a database that is known.
        InfrastructureError: the database does not answer.
    """
    from harness.evidence.postgresql import PostgreSQL
    from harness.evidence.sqlite import SQLite

    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise UsageError(
            "the URL of the database cannot be read", advice="for example: postgresql://harness@db.example/harness"
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            return SQLite(parsed)
        case "postgresql":
            return PostgreSQL(parsed)
        case other:
            raise UsageError(f"a record cannot be kept in {other}", advice="known: sqlite, postgresql")
