"""Statements of a product given to real servers, each in a user and database of its own that are dropped afterwards."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.endpoints.asking import Account, Refused, Session, connect
from harness.endpoints.holding import account_at, placed_at
from harness.endpoints.inventory import Server
from harness.errors import InfrastructureError
from harness.execution.endpoints import endpoint_password
from harness.execution.looking import Unrecorded
from harness.model.sqlrow import Proof, SqlAnswer, SqlRow
from harness.system.waiting import QUIET

SECONDS = 600.0  #: that all statements may take at one server
#: By SQL family, what bounds the next statement: five seconds.
_BOUNDS = {
    "postgresql": "SET statement_timeout = 5000",
    "mysql": "SET SESSION max_statement_time = 5",
}
#: What the server says of the place, and not of the statement: SQLSTATE of PostgreSQL, numbers of MySQL's errors. A
#: table that is not there or is there already, a row that is, a right that is missing, an end by its bound.
_OPEN: frozenset[str | int] = frozenset(
    (
        *("42P01", "3F000", "42P07", "42710", "42P06", "23505", "23503", "42501", "57014"),
        *(1044, 1045, 1049, 1050, 1061, 1062, 1109, 1142, 1146, 1227, 1452, 1969, 3024),
    )
)
#: Statements that a server is asked to plan, and does not run: they change nothing, and may answer with anything.
_PLANNED = frozenset(("SELECT", "WITH", "VALUES", "TABLE"))
#: What reads what a client sends behind it, or ends what is asked.
_LEFT_OUT = frozenset(("COPY", "LOAD", "SHUTDOWN", "USE", "CONNECT"))


@dataclass(frozen=True, kw_only=True)
class Proven:
    """What became of the statements at one server."""

    database: str
    mode: str
    server: str
    accepted: int = 0
    refused: int = 0
    open: int = 0
    not_sent: int = 0
    trouble: str = ""  #: why statements could not be sent; empty where they could


def prove(rows: Sequence[SqlRow], servers: Iterable[Server]) -> tuple[tuple[SqlRow, ...], list[Proven]]:
    """Give statements to servers, and note beside each prediction what was answered.

    Statements are sent in the order of the files. SELECT and the like are planned only (EXPLAIN). Fragments, and texts
    that were cut, are not sent; nor are those whose file is for another database.
    """
    proven: list[Proven] = []
    for server in servers:
        rows, result = _at(tuple(rows), server)
        proven.append(result)
    return tuple(rows), proven


def _at(rows: tuple[SqlRow, ...], server: Server) -> tuple[tuple[SqlRow, ...], Proven]:
    name, mode = server.database.database, server.database.mode or ""
    ledger = Unrecorded()
    answers: dict[int, tuple[Proof, str]] = {}
    trouble = ""
    try:
        with (
            placed_at((server,), ledger, QUIET, threading.Event(), patience=0.0) as place,
            account_at(place, endpoint_password(), ledger) as account,
        ):
            _send(rows, server, account, answers)
    except InfrastructureError as error:
        trouble = error.message
    noted = []
    for number, row in enumerate(rows):
        proof, said = answers.get(number, ("not-sent", ""))
        noted.append(replace(row, answers=tuple(_noted(answer, name, proof, said) for answer in row.answers)))
    counts = [answers[number][0] if number in answers else "not-sent" for number in range(len(rows))]
    return tuple(noted), Proven(
        database=name,
        mode=mode,
        server=server.where,
        accepted=counts.count("accepted"),
        refused=counts.count("refused"),
        open=counts.count("open"),
        not_sent=counts.count("not-sent"),
        trouble=trouble or "".join(f"what was made could not be dropped: {words}" for words in ledger.stayed[:1]),
    )


def _noted(answer: SqlAnswer, database: str, proof: Proof, said: str) -> SqlAnswer:
    return replace(answer, proof=proof, said=said) if answer.database == database else answer


def _send(rows: Sequence[SqlRow], server: Server, account: Account, answers: dict[int, tuple[Proof, str]]) -> None:
    """Raises:
    InfrastructureError: the server takes no connection, is in another mode, or is gone.
    """
    end = time.monotonic() + SECONDS
    with connect(server.endpoint, account) as session:
        _check_mode(session, server)
        for number, row in enumerate(rows):
            if not _is_sent(row, server.database.database):
                continue
            if time.monotonic() > end:
                raise InfrastructureError(
                    f"{server.where}: the statements took more than {SECONDS:.0f} s: the others were not sent",
                    advice="name fewer files",
                )
            answers[number] = _ask(session, server, row.statement.text)
            if answers[number][0] == "refused" and not session.alive():
                del answers[number]
                raise InfrastructureError(
                    f"{server.where} is gone after {row.statement.place} line {row.statement.line}",
                    advice="see its log",
                )


def _check_mode(session: Session, server: Server) -> None:
    """Raises:
    InfrastructureError: the server is in another mode than is declared.
    """
    mode = server.database.speaks
    for setting, wanted in (mode.setting if mode is not None else {}).items():
        question = server.recipe.observe.get(setting)
        try:
            rows = session.rows(question) if question is not None else []
        except Refused as refusal:
            raise InfrastructureError(
                f"{server.where} does not say its {setting}: {refusal}", advice="harness databases check"
            ) from refusal
        shown = rows[0][0] if rows and rows[0] else ""
        if question is None or shown.lower() != wanted.lower():
            raise InfrastructureError(
                f"{server.where}: {setting} is {shown!r}, and {wanted!r} is declared ({server.database.mode})",
                advice="name the mode that it has: --target database=NAME:MODE",
            )


def _is_sent(row: SqlRow, database: str) -> bool:
    """Whether a statement is one as it stands, and for this database."""
    meant = any(answer.database == database and answer.outcome != "other" for answer in row.answers)
    words = row.statement.text.split(maxsplit=1)
    return meant and row.statement.whole and bool(words) and words[0].upper() not in _LEFT_OUT


def _ask(session: Session, server: Server, text: str) -> tuple[Proof, str]:
    family = server.database.sql or ""
    if (bound := _BOUNDS.get(family)) is not None:
        with contextlib.suppress(Refused):
            session.rows(bound)
    words = text.split(maxsplit=1)
    planned = bool(words) and words[0].upper() in _PLANNED
    try:
        session.rows(f"EXPLAIN {text}" if planned else text)
    except Refused as refusal:
        with contextlib.suppress(Refused):
            session.rows("ROLLBACK")
        return ("open" if _code(refusal) in _OPEN else "refused"), str(refusal)[:300]
    return "accepted", "planned" if planned else "run"


def _code(refusal: Refused) -> str | int | None:
    """The SQLSTATE or number of an error, as its driver has it."""
    cause = refusal.__cause__
    first = cause.args[0] if cause is not None and cause.args else None
    if isinstance(first, int):
        return first
    for name in ("sqlstate", "pgcode"):
        if (code := getattr(cause, name, None)) is not None:
            return str(code)
    return None
