"""PostgreSQL: many machines. Rows are locked where SQLite locks the file; a snapshot is a repeatable read."""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections.abc import Iterator

import sqlalchemy as sa

from harness.errors import InfrastructureError, UsageError

#: Of the lock under which tables are made and changed; any number that no other program of the database takes.
SCHEMA_LOCK = 0x78_69_6E_63
#: SQLSTATE (PostgreSQL, appendix A) of what may succeed when it is tried again: serialization, deadlock.
TRANSIENT = ("40001", "40P01")
#: For so many seconds a connection is tried again where a server that answered before does not: one that is restarted
#: must not cost a cell that runs.
AWAY_SECONDS = 30.0
PAUSE_SECONDS = 0.5
#: What is asked of libpq and of the server, so that neither waits for long for the other where the network between them
#: is cut: who waits for an answer looks after half a minute, and a transaction whose client is gone keeps no locks.
ALIVE = {
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "35000",
    "options": "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 "
    "-c tcp_user_timeout=35000 -c idle_in_transaction_session_timeout=30000",
}
_PATIENT = sa.text("SET LOCAL idle_in_transaction_session_timeout = 0")
#: SQLSTATE of what has ended a connection: a server that ends, crashed or begins; a session that stood still for long.
ENDED = ("57P01", "57P02", "57P03", "57P05", "25P03")
#: Classes of SQLSTATE: the connection is gone, resources are short, the server is going down.
GONE, SHORT, ENDING = "08", "53", "57"


class PostgreSQL:
    """Implements ``harness.evidence.engines.DatabaseEngine``."""

    one_machine = False

    def __init__(self, url: sa.URL) -> None:
        if importlib.util.find_spec("psycopg") is None:
            raise UsageError(
                "a record in PostgreSQL needs the Python package psycopg",
                advice="install it: pip install 'xinchuang-harness[postgresql]'",
            )
        self.place = url.render_as_string(hide_password=True)
        plain, mark, query = url.set(drivername="postgresql").render_as_string(hide_password=False).partition("?")
        # Blanks, which libpq reads in this form alone: SQLAlchemy leaves them in passwords and names.
        self.url = plain.replace(" ", "%20") + mark + query.replace("+", "%20")
        url = url.set(drivername="postgresql+psycopg").update_query_dict(ALIVE | dict(url.query))
        self.pool = sa.create_engine(url, pool_size=4, max_overflow=28)
        self.waits = AWAY_SECONDS  #: 0 for what asks again by itself
        self._answered = False

    @property
    def conninfo(self) -> str:
        """For connections that libpq makes by itself; it holds the password."""
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        return make_conninfo(
            self.url, **{key: value for key, value in ALIVE.items() if key not in conninfo_to_dict(self.url)}
        )

    @property
    def away_seconds(self) -> float:
        """Nothing for a server that has never answered."""
        return self.waits if self._answered else 0.0

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        # Not asked first whether it lives: whoever writes does it again (``lost``).
        with self._connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._connect(asks=True) as connection:
            yield connection

    def _connect(self, *, asks: bool = False) -> sa.Connection:
        """A connection; it is waited for where the server answered before. ``asks``: whether it still lives."""
        end = time.monotonic() + self.away_seconds
        was_kept = asks  # a connection that is no good any more says nothing of the server
        while True:
            try:
                connection = self.pool.connect()
                if asks:
                    self._ask(connection)
            except sa.exc.OperationalError as error:
                if not self.lost(error) or (time.monotonic() >= end and not was_kept):
                    raise
                was_kept = False
                time.sleep(PAUSE_SECONDS if time.monotonic() < end else 0.0)
            else:
                self._answered = True
                return connection

    def _ask(self, connection: sa.Connection) -> None:
        """A server that was started again is met with a new connection. Who reads keeps nobody waiting, so its
        transaction may be idle for long: a report is made meanwhile.

        Raises:
            sqlalchemy.exc.OperationalError: it does not answer; then all connections that were kept are dropped.
        """
        try:
            connection.execute(_PATIENT)
        except sa.exc.DBAPIError:
            connection.close()
            raise

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        with self._connect(asks=True) as connection:
            connection.rollback()  # what asked whether it lives
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            connection.execute(_PATIENT)
            connection.execute(sa.text("SELECT 1"))  # the moment is that of the first look
            yield connection

    def alone(self, connection: sa.Connection) -> None:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))

    def clock(self) -> sa.ColumnElement[float]:
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)

    def transient(self, error: sa.exc.DBAPIError) -> bool:
        return _state(error) in TRANSIENT

    def lost(self, error: sa.exc.DBAPIError) -> bool:
        state = _state(error)
        if state:
            return state[:2] == GONE or state in ENDED
        return error.connection_invalidated or isinstance(error, sa.exc.OperationalError)

    def trouble(self, doing: str, error: sa.exc.DBAPIError) -> InfrastructureError:
        state, text = _state(error), str(error.orig).strip().splitlines()
        detail = text[0] if text else type(error.orig).__name__
        if state[:2] == SHORT:
            return InfrastructureError(
                f"{doing}: the database {self.place} lacks room: {detail}",
                advice="free space or connections there, then: harness resume",
            )
        if not state or state[:2] in (GONE, ENDING) or state.startswith("28") or state == "3D000":
            return InfrastructureError(
                f"{doing}: the database {self.place} cannot be reached: {detail}",
                advice="check the server, the URL and the permissions, then: harness resume",
            )
        return InfrastructureError(
            f"{doing}: the database {self.place} refused: {detail} (SQLSTATE {state})",
            advice="see the log of the database server",
        )


def _state(error: sa.exc.DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")
