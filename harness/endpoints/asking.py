"""A session at a database server: connected as somebody, asked with SQL, answered with texts."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.endpoints.drivers import DRIVERS, Driver, Login
from harness.errors import InfrastructureError, UsageError
from harness.model.definitions import Endpoint


class Refused(Exception):
    """The server answered a statement with an error; its words."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who asks, and in which database. ``password`` is None where the server wants none."""

    user: str
    password: str | None
    database: str


def where(endpoint: Endpoint) -> str:
    """By what messages name an endpoint."""
    return f"endpoint {endpoint.endpoint} ({endpoint.address}:{endpoint.port})"


def driver_of(endpoint: Endpoint) -> Driver:
    """The driver of an endpoint that was ``resolved``."""
    assert endpoint.driver is not None
    return DRIVERS[endpoint.driver]


class Session:
    """One connection; ``rows`` and ``alive`` are for one thread at a time."""

    def __init__(self, connection: Any, driver: Driver, endpoint: Endpoint, password: str | None) -> None:
        self._connection, self._driver, self._endpoint = connection, driver, endpoint
        self._password = password

    def rows(self, *statements: str) -> list[list[str]]:
        """Run statements; the rows of all, as texts.

        Raises:
            Refused: the server answers with an error, or the connection has broken.
        """
        rows: list[list[str]] = []
        try:
            for statement in statements:
                with contextlib.closing(self._connection.cursor()) as cursor:
                    cursor.execute(statement)
                    rows += self._driver.rows(cursor)
        except Exception as error:  # drivers have classes of their own, and not all of what they raise is one
            raise Refused(_hidden(_words(error), self._password)) from error
        return rows

    def script(self, sql: str) -> list[list[str]]:
        """As ``rows``, for a text of several statements."""
        if self._driver.whole:
            return self.rows(sql)
        from harness.endpoints.statements import statements_of  # it loads a parser of SQL, which few cells need

        return self.rows(*statements_of(sql))

    def alive(self) -> bool:
        """Whether the server answers in this session."""
        try:
            self.rows(self._driver.ping)
        except Refused:
            return False
        return True

    def close(self) -> None:
        """End it; nothing is raised."""
        with contextlib.suppress(Exception):
            self._connection.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(endpoint: Endpoint, account: Account) -> Session:
    """Connect to an endpoint.

    Raises:
        InfrastructureError: it does not answer, refuses the account, or shows another certificate.
        UsageError: the driver is missing, or the file of certificates is.
    """
    driver = driver_of(endpoint)
    if driver.missing:
        raise UsageError(f"{where(endpoint)}: {driver.missing}", advice="install it, then: harness resume")
    try:
        module = driver.load()
    except ImportError as error:
        raise UsageError(
            f"{where(endpoint)}: the driver {driver.name} does not load: {error}", advice="install what it names"
        ) from error
    ca = str(Path(endpoint.tls.ca).expanduser()) if endpoint.tls is not None else ""
    if ca and not driver.tls:
        raise UsageError(
            f"{where(endpoint)}: {driver.name} cannot be told whom to trust (tls)",
            advice="leave tls away, and set the driver's own configuration up for it",
        )
    if ca and not Path(ca).is_file():
        raise UsageError(
            f"{where(endpoint)}: no file of certificates at {ca} (tls: ca)", advice="correct databases.yaml"
        )
    login = Login(
        host=endpoint.address,
        port=endpoint.port or 0,
        user=account.user,
        password=account.password,
        database=account.database,
        ca=ca,
        checks_name=endpoint.tls is None or endpoint.tls.verify == "name",
        seconds=endpoint.seconds,
    )
    try:
        return Session(driver.connect(module, login), driver, endpoint, account.password)
    except Exception as error:
        words = _hidden(_words(error), account.password)
        raise InfrastructureError(
            f"{where(endpoint)} takes no connection of {account.user!r}: {words}",
            advice="check that it is up, its address, account and secret in databases.yaml: harness databases check",
        ) from error


def _words(error: BaseException) -> str:
    """What a driver says, in one line."""
    return " ".join(str(error).split())[:600] or type(error).__name__


def _hidden(text: str, password: str | None) -> str:
    return text.replace(password, "…") if password else text
