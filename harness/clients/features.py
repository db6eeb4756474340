"""Tries features of a database, one by one, with the SQL that shows each.

The answer is the database's, whatever it is: a feature that it lacks is no failure of anybody until a product needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.control.servers import CellDatabase, QueryFailed
from harness.errors import InfrastructureError
from harness.model.definitions import SqlFeature

#: ``yes``: as its standard demands. ``differs``: it answers otherwise. ``no``: it refuses the statement.
State = Literal["yes", "differs", "no"]
#: Characters of an error or an answer that are kept.
MAX_WORDS = 300


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a database made of a feature; ``words``: its error or its other answer; ``statement`` shows it."""

    feature: str
    case: str
    zh: str
    en: str
    standard: str
    state: State
    words: str
    statement: str

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def try_feature(database: CellDatabase, feature: SqlFeature, number: int) -> Tried:
    """Run the script of a feature in the cell's own database, and remove what it made.

    ``number`` makes the names of its tables: two features at the same time must have two.

    Raises:
        InfrastructureError: the database does not answer at all.
    """
    family = database.definition.sql
    script = feature.sql[family] if family is not None and family in feature.sql else feature.sql.get("any", "")
    if not script:
        return _tried(feature, "no", "no statement is known for this family of SQL / 未收录该 SQL 方言的语句", "")
    names = {"{t}": f"xct{number}", "{u}": f"xcu{number}"}
    shown = _filled(script, {"{t}": "t", "{u}": "u"})
    sql = _filled(_filled(script, names), {"{text}": "x" * feature.size, "{values}": _values(feature.rows)})
    remove = _removal(names["{t}"], names["{u}"])
    if feature.refused:
        return _refused(database, feature, sql, shown, remove)
    wanted = [_filled(row, {"{size}": str(feature.size)}) for row in feature.answer]
    try:
        rows = ["|".join(row) for row in database.query(sql)]
    except QueryFailed as refusal:
        _demand_life(database, refusal)
        return _tried(feature, "no", _said(refusal, database), shown)
    finally:
        _clear(database, remove)
    if rows == wanted:
        return _tried(feature, "yes", "", shown)
    given, due = _listed(rows), _listed(wanted)
    return _tried(feature, "differs", f"it gave {given}, expected {due} / 得到 {given}，应为 {due}", shown)


def _refused(database: CellDatabase, feature: SqlFeature, sql: str, shown: str, remove: str) -> Tried:
    """A feature that is shown by a refusal. What comes before must be taken: else something else was refused."""
    statements = [part for part in re.split(r"(?<=;)\n", sql) if part.strip()]
    try:
        if statements[:-1]:
            database.query("\n".join(statements[:-1]))
    except QueryFailed as refusal:
        _demand_life(database, refusal)
        return _tried(feature, "no", _said(refusal, database), shown)
    finally:
        _clear(database, remove)
    try:
        rows = database.query(sql)
    except QueryFailed as refusal:
        _demand_life(database, refusal)
        return _tried(feature, "yes", "", shown)
    finally:
        _clear(database, remove)
    took = f": {_listed(['|'.join(row) for row in rows])}" if rows else ""
    return _tried(feature, "differs", f"it was not refused{took} / 未被拒绝{took}", shown)


def _demand_life(database: CellDatabase, refusal: QueryFailed) -> None:
    """A refusal says something of a feature only where the database answers: its client fails for one that is away,
    too.

    Raises:
        InfrastructureError: it does not answer.
    """
    try:
        database.query("SELECT 1 FROM dual;" if database.definition.sql == "oracle" else "SELECT 1;")
    except QueryFailed:
        raise InfrastructureError(
            f"{database.name} does not answer any more: {_said(refusal, database)}", advice="see the database's log"
        ) from refusal


def used(features: Iterable[SqlFeature], texts: Mapping[str, str]) -> dict[str, str]:
    """The features that SQL of a product uses: their names, and where: a text of ``texts`` by name, and its line."""
    places: dict[str, str] = {}
    for feature in features:
        if not feature.used:
            continue
        pattern = re.compile(feature.used, re.IGNORECASE)
        for name, text in texts.items():
            plain = re.sub(r"--[^\n]*", lambda match: " " * len(match.group()), text)
            if match := pattern.search(plain):
                places[feature.feature] = f"{name}:{plain.count(chr(10), 0, match.start()) + 1}"
                break
    return places


def _tried(feature: SqlFeature, state: State, words: str, statement: str) -> Tried:
    return Tried(
        feature=feature.feature,
        case=feature.case,
        zh=feature.title.zh,
        en=feature.title.en,
        standard=feature.standard,
        state=state,
        words=words[:MAX_WORDS],
        statement=statement,
    )


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _values(rows: int) -> str:
    return ", ".join(f"({number}, 'r{number}')" for number in range(1, rows + 1))


def _removal(first: str, second: str) -> str:
    """Statements that every family knows, those with foreign keys first."""
    return f"DROP VIEW IF EXISTS {first}_v;\nDROP TABLE IF EXISTS {second};\nDROP TABLE IF EXISTS {first};\n"


def _clear(database: CellDatabase, remove: str) -> None:
    try:
        database.query(remove)
    except QueryFailed:  # a family without IF EXISTS; names are fresh, so nothing depends on it
        return


def _said(refusal: QueryFailed, database: CellDatabase) -> str:
    """The database's own words, without where its client read the statement."""
    text = str(refusal).removeprefix(f"{database.name}: ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("LINE ", "--------"))]
    first = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "refused")
    return re.sub(r"^(?:psql:<stdin>:\d+: |Parse error near line \d+: |Error: near line \d+: )", "", first)


def _listed(rows: list[str]) -> str:
    return "; ".join(row if len(row) <= 80 else f"{row[:77]}…" for row in rows[:6]) or "no row"
