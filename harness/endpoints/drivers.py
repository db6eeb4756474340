"""Drivers of Python (PEP 249) that ask database servers from this machine; each is imported when it is needed.

They are called as they are, without SQLAlchemy: its dialects ask a server for its version and more at the first
connection, which servers that descend from another answer in words of their own.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

from harness.system.addresses import in_url

#: As ``psql -A -t`` and ``mariadb -N -B`` print a value that is not there.
_NULL = {"psycopg": "", "psycopg2": "", "ksycopg2": "", "PyMySQL": "NULL", "dmPython": "", "yaspy": "", "gbase8sdb": ""}
#: What ``mariadb -B`` writes in a value for what would end it.
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\0": "\\0"})
#: A network that went away without a word is noticed within half a minute.
_LIBPQ = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}
#: In which a server must answer a statement, in seconds, where the driver takes such a limit.
ANSWER_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Login:
    """Where to connect, and as whom. ``ca``: a file, empty where nothing is demanded of the server's certificate."""

    host: str
    port: int
    user: str
    password: str | None
    database: str
    ca: str = ""
    checks_name: bool = True
    seconds: int = 10


@dataclass(frozen=True, kw_only=True)
class Driver:
    """A driver: its module, the extra of this package that installs it, and how it connects and gives rows.

    ``tls``: whether it can be told whom the server's certificate must be signed by; ``ping``: SQL that any server of
    the kind answers.
    """

    name: str
    module: str
    extra: str
    connect: Callable[[ModuleType, Login], Any]
    rows: Callable[[Any], Iterator[list[str]]]
    whole: bool = True  #: whether several statements may be sent in one text
    tls: bool = True
    ping: str = "select 1"

    @property
    def missing(self) -> str:
        """Why it cannot be used here, and what to do; empty where it can."""
        if importlib.util.find_spec(self.module) is not None:
            return ""
        return f"the driver {self.name} is not installed on this machine: pip install 'xinchuang-harness[{self.extra}]'"

    def load(self) -> ModuleType:
        """Its module. Raises ImportError where it, or a library that it needs, is missing."""
        return importlib.import_module(self.module)


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _libpq(module: ModuleType, login: Login) -> Any:
    """psycopg, and those made of psycopg2."""
    more: dict[str, Any] = {} if module.__name__ == "ksycopg2" else dict(_LIBPQ)
    if login.ca:
        more |= {"sslmode": "verify-full" if login.checks_name else "verify-ca", "sslrootcert": login.ca}
    connection = module.connect(
        **_given(
            host=login.host,
            port=login.port,
            user=login.user,
            password=login.password,
            dbname=login.database,
            connect_timeout=login.seconds,
            **more,
        )
    )
    connection.autocommit = True
    return connection


def _pymysql(module: ModuleType, login: Login) -> Any:
    return module.connect(
        **_given(
            host=login.host,
            port=login.port,
            user=login.user,
            password=login.password.encode() if login.password is not None else None,  # a text would be Latin-1
            database=login.database or None,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=login.seconds,
            read_timeout=ANSWER_SECONDS,
            write_timeout=ANSWER_SECONDS,
            client_flag=module.constants.CLIENT.MULTI_STATEMENTS,
            conv={},  # values as the server writes them
            ssl={"ca": login.ca, "check_hostname": login.checks_name} if login.ca else None,
        )
    )


def _dmpython(module: ModuleType, login: Login) -> Any:
    return module.connect(
        **_given(user=login.user, password=login.password, server=login.host, port=login.port, autoCommit=True)
    )


def _yaspy(module: ModuleType, login: Login) -> Any:
    connection = module.connect(
        **_given(dsn=f"{in_url(login.host)}:{login.port}", user=login.user, password=login.password)
    )
    connection.autocommit = True
    return connection


def _gbase8sdb(module: ModuleType, login: Login) -> Any:
    """In the server's own SQL: in its mode of Oracle, ``sysmaster:systables`` is no table."""
    place = {"host": login.host, "port": login.port, "db_name": login.database or "sysmaster", "sqlmode": "gbase"}
    connection = module.connect(module.makedsn(**place), login.user, login.password or "")
    connection.autocommit = True
    return connection


def _psycopg_rows(cursor: Any) -> Iterator[list[str]]:
    """The server's own texts, of every statement."""
    while True:
        result = cursor.pgresult
        for row in range(result.ntuples if result is not None else 0):
            values = (result.get_value(row, column) for column in range(result.nfields))
            yield ["" if value is None else bytes(value).decode("utf-8", "replace") for value in values]
        if not cursor.nextset():
            return


def _pymysql_rows(cursor: Any) -> Iterator[list[str]]:
    while True:
        for row in cursor.fetchall() if cursor.description else ():
            yield [text_of(value, "PyMySQL") for value in row]
        if not cursor.nextset():
            return


def _plain_rows(name: str) -> Callable[[Any], Iterator[list[str]]]:
    """Of a driver that keeps the rows of the last statement only."""

    def rows(cursor: Any) -> Iterator[list[str]]:
        for row in cursor.fetchall() if cursor.description else ():
            yield [text_of(value, name) for value in cast(Sequence[Any], row)]

    return rows


def text_of(value: Any, driver: str) -> str:
    """A value as the client of the database prints it."""
    if value is None:
        return _NULL[driver]
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        if driver != "PyMySQL":
            return f"\\x{data.hex()}"
        value = data.decode("utf-8", "replace")
    return str(value).translate(_ESCAPED) if driver == "PyMySQL" else str(value)


DRIVERS = {
    driver.name: driver
    for driver in (
        Driver(name="psycopg", module="psycopg", extra="postgresql", connect=_libpq, rows=_psycopg_rows),
        Driver(name="psycopg2", module="psycopg2", extra="opengauss", connect=_libpq, rows=_plain_rows("psycopg2")),
        Driver(name="ksycopg2", module="ksycopg2", extra="kingbase", connect=_libpq, rows=_plain_rows("ksycopg2")),
        Driver(name="PyMySQL", module="pymysql", extra="mysql", connect=_pymysql, rows=_pymysql_rows),
        Driver(
            name="dmPython",
            module="dmPython",
            extra="dameng",
            connect=_dmpython,
            rows=_plain_rows("dmPython"),
            whole=False,
            tls=False,
        ),
        Driver(
            name="yaspy",
            module="yaspy",
            extra="yashandb",
            connect=_yaspy,
            rows=_plain_rows("yaspy"),
            whole=False,
            tls=False,
            ping="select 1 from dual",
        ),
        Driver(
            name="gbase8sdb",
            module="gbase8sdb",
            extra="gbase",
            connect=_gbase8sdb,
            rows=_plain_rows("gbase8sdb"),
            whole=False,
            tls=False,
            ping="select first 1 1 from sysmaster:systables",
        ),
    )
}
