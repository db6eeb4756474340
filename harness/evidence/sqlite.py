"""SQLite: one file, the processes of one machine. WAL and synchronous=FULL: what is committed survives a power cut."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from harness.errors import InfrastructureError

#: Seconds that a writer waits for another process.
PATIENCE = 30
#: ``PRAGMA user_version`` of the harnesses that had one chain for a whole workspace.
ONE_CHAIN = (1, 2)
_NEW, _OLD = "move it away, or restore it from a copy", "use the version that made it, or another workspace: "


def url_of(path: Path) -> str:
    """URL of the database in a file."""
    return sa.URL.create("sqlite", database=str(path)).render_as_string()


class SQLite:
    """Implements ``harness.evidence.engines.DatabaseEngine``."""

    one_machine = True
    away_seconds = 0.0

    def __init__(self, url: sa.URL) -> None:
        self.path = Path(str(url.database))
        self.place = str(self.path)
        # A chain needs its head read and its next link written with nobody between: one writer at a time.
        self._writers = threading.RLock()
        self.pool = sa.create_engine(url, connect_args={"timeout": PATIENCE})
        sa.event.listen(self.pool, "connect", _settings)
        self._refuse_one_chain()

    def _refuse_one_chain(self) -> None:
        if not self.path.exists():
            return
        try:
            with self.pool.connect() as connection:
                version = connection.exec_driver_sql("PRAGMA user_version").scalar()
        except sa.exc.DBAPIError as error:
            raise self.trouble("opening the journal", error) from error
        if version in ONE_CHAIN:
            raise InfrastructureError(
                f"{self.path} was made by another version of the harness: one chain holds all its campaigns together, "
                "and to part them it would have to be written anew, which nobody could tell from a forgery",
                advice=f"{_OLD}--workspace FOLDER; its records (campaign.json) are read by every version",
            )

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with self._writers, self.pool.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self.pool.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        with self.pool.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")  # the moment is that of the first look
            yield connection

    def alone(self, connection: sa.Connection) -> None:
        """Nothing to do: a transaction that writes is alone here."""

    def clock(self) -> sa.ColumnElement[float]:
        return sa.cast((sa.func.julianday("now") - 2440587.5) * 86400.0, sa.Float)

    def transient(self, error: sa.exc.DBAPIError) -> bool:
        return False  # BEGIN IMMEDIATE has waited already

    def lost(self, error: sa.exc.DBAPIError) -> bool:
        return False  # a file is never away

    def trouble(self, doing: str, error: sa.exc.DBAPIError) -> InfrastructureError:
        text = str(error.orig)
        if not isinstance(error, sa.exc.OperationalError):
            return InfrastructureError(
                f"{doing}: {self.path} is no journal of the harness, or is damaged: {text}", advice=_NEW
            )
        if "full" in text or "disk I/O" in text:
            return InfrastructureError(
                f"{doing}: no space left on the disk of the workspace ({self.path.name})",
                advice="free space there, then: harness resume",
            )
        return InfrastructureError(
            f"{doing}: {text} ({self.path.name})", advice="check the workspace and its permissions"
        )


def _settings(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by us
    cursor = connection.cursor()
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Two processes that open a new file at once get in each other's way here, and SQLite does not wait for it."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= end:
                raise
            time.sleep(0.01)
        else:
            return
