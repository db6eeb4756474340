"""Tries features of a database, one by one, with the SQL that shows each.

The answer is the database's, whatever it is: a feature that it lacks is no failure of anybody until a product needs it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

from harness.clients.sessions import hold
from harness.control.backups import ToolMissing, restored
from harness.control.ending import short_of_memory
from harness.control.servers import CellDatabase, QueryFailed
from harness.errors import InfrastructureError
from harness.model.definitions import SqlFamily, SqlFeature, SqlFeatures, SqlStep
from harness.model.definitions.sqlfeature import bounds

_T = TypeVar("_T")

#: ``yes``: as its standard demands. ``differs``: it answers otherwise. ``no``: it refuses the statement. ``unknown``:
#: it was not asked.
State = Literal["yes", "differs", "no", "unknown"]
#: Characters of an error or an answer that are kept.
MAX_WORDS = 300
#: A statement that holds semicolons, as the client of the MySQL family is given it.
_DELIMITED = re.compile(r"^DELIMITER //\n(.*)//\nDELIMITER ;$", re.MULTILINE)
#: Families whose DROP takes IF EXISTS.
_IF_EXISTS = ("postgresql", "mysql", "sqlite", "informix")


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


def try_features(database: CellDatabase, features: SqlFeatures, case: str, numbers: Iterator[int]) -> list[Tried]:
    """Try the features of a case in the cell's own database, and remove what they made.

    ``numbers`` make the names of their tables: two features must have two.

    Raises:
        InfrastructureError: the database does not answer at all.
    """
    tables: list[str] = []
    try:
        return [
            _Trial(database, each, tables, numbers, features.begin).tried()
            for feature in features.features
            if feature.case == case
            for each in feature.at_levels()
        ]
    finally:
        _clear(database, tables)


@dataclass(frozen=True)
class _Trial:
    """One feature at one database. ``tables``: names of what it makes are added there."""

    database: CellDatabase
    feature: SqlFeature
    tables: list[str]
    numbers: Iterator[int]
    begin: Mapping[SqlFamily, str]

    def tried(self) -> Tried:
        feature, family = self.feature, self.database.definition.sql
        if family is not None and family in feature.without:
            reason = feature.without[family]
            return self._result("unknown", f"{reason.en} / {reason.zh}", "")
        steps = _of(feature.steps, family)
        script = _of(feature.sql, family) or ""
        if feature.steps and steps:
            return self._held(steps, script)
        if not script or feature.steps:
            return self._result("unknown", "no statement is known for this family of SQL / 未收录该 SQL 方言的语句", "")
        shown = _filled(script, {"{t}": "t", "{u}": "u"})
        if feature.restored:
            return self._restored(script, _of(feature.restored, family) or "", shown)
        return self._refused(script, shown) if feature.refused else self._answered(script, shown)

    def _answered(self, script: str, shown: str) -> Tried:
        wanted = [self._of_size(row) for row in self.feature.answer]
        try:
            rows = ["|".join(row) for row in self.database.query(self._sent(script, self._names()))]
        except QueryFailed as refusal:
            return self._no(refusal, shown)
        if rows == wanted:
            return self._result("yes", "", shown)
        given, due = _listed(rows), _listed(wanted)
        return self._result("differs", f"it gave {given}, expected {due} / 得到 {given}，应为 {due}", shown)

    def _refused(self, script: str, shown: str) -> Tried:
        """A feature that is shown by a refusal. What comes before must be taken: else something else was refused."""
        statements = [part for part in re.split(r"(?<=;)\n", script) if part.strip()]
        try:
            if statements[:-1]:
                self.database.query(self._sent("\n".join(statements[:-1]), self._names()))
        except QueryFailed as refusal:
            return self._no(refusal, shown)
        try:
            rows = self.database.query(self._sent(script, self._names()))
        except QueryFailed as refusal:
            _demand_life(self.database, refusal)
            return self._result("yes", "", shown)
        took = f": {_listed(['|'.join(row) for row in rows])}" if rows else ""
        return self._result("differs", f"it was not refused{took} / 未被拒绝{took}", shown)

    def _restored(self, script: str, asked: str, shown: str) -> Tried:
        """What was written, in a database that the dump of it was restored into."""
        if self.database.definition.backup is None:
            return self._result("unknown", "its tools are not known, or do not run here / 备份工具未知或不在本单元", "")
        names = self._names()
        tables = [name for mark, name in names.items() if mark in script]
        sent = self._sent(asked, names)
        shown = f"{shown}\n-- dump, restore 备份并恢复\n{_filled(asked, {'{t}': 't', '{u}': 'u'})}"
        try:
            self.database.query(self._sent(script, names))
            before = [] if self.feature.refused else self.database.query(sent)
            with restored(self.database, tables, names["{t}"].replace("xct", "xcr")) as second:
                if self.feature.refused:
                    second.query(_filled("SELECT COUNT(*) FROM {t};", names))  # it is there: else that is refused
                    return self._refused_by(second, sent, shown)
                after = second.query(sent)
        except QueryFailed as refusal:
            return self._no(refusal, shown)
        except ToolMissing as missing:
            return self._result("unknown", f"a tool is not there / 缺少工具: {missing}", shown)
        wanted = [self._of_size(row) for row in self.feature.answer]
        for when, rows in (("before the dump / 备份前", before), ("restored / 恢复后", after)):
            given = ["|".join(row) for row in rows]
            if given != wanted:
                return self._result("differs", f"{when}: {_listed(given)}, expected {_listed(wanted)}", shown)
        return self._result("yes", "", shown)

    def _refused_by(self, second: CellDatabase, sql: str, shown: str) -> Tried:
        try:
            second.query(sql)
        except QueryFailed as refusal:
            _demand_life(second, refusal)
            return self._result("yes", "", shown)
        return self._result("differs", "the restored database did not refuse it / 恢复后的数据库未拒绝", shown)

    def _held(self, steps: Sequence[SqlStep], script: str) -> Tried:
        """What several sessions show."""
        family, names = self.database.definition.sql, self._names()
        if not self.database.has_sessions:
            return self._result("unknown", "no client is known that holds sessions / 未收录可保持会话的客户端", "")
        level = next(iter(self.feature.levels), "")
        begin = (self.begin.get(family, "") if family is not None else "").replace("{level}", level.upper())
        if level and not begin:
            return self._result("unknown", "how a level is set is not known / 未收录该 SQL 方言设置隔离级别的语句", "")
        shown = _filled(script, {"{t}": "t", "{u}": "u"})
        try:
            if script:
                self.database.query(self._sent(script, names))
        except QueryFailed as refusal:
            return self._no(refusal, shown)
        filled = [self._sent(step.sql.replace("{begin}", begin), names) for step in steps]
        plain = {"{begin}": begin, "{t}": "t", "{u}": "u"}
        readable = [step.model_copy(update={"sql": _filled(step.sql, plain)}) for step in steps]
        held = hold(self.database, self.feature, readable, filled)
        plain = {names["{t}"]: "t", names["{u}"]: "u"}
        shown, words = _filled(f"{shown}\n{held.transcript}".strip(), plain), _filled(held.fault, plain)
        if not words:
            return self._result("yes", "", shown)
        return self._result("no" if held.refused else "differs", words, shown)

    def _names(self) -> dict[str, str]:
        """Fresh tables; what was made of them is removed with those of all features."""
        number = next(self.numbers)
        names = {"{t}": f"xct{number}", "{u}": f"xcu{number}"}
        self.tables.extend(names.values())
        return names

    def _sent(self, script: str, names: Mapping[str, str]) -> str:
        feature = self.feature
        if self.database.by_driver:  # a word of the client, which takes one statement at a time; a driver sends all
            script = _DELIMITED.sub(r"\1;", script)
        values = {"{text}": "x" * feature.size, "{values}": _values(feature.rows), "{characters}": self._characters}
        return _filled(_filled(script, names), {name: value for name, value in values.items() if name in script})

    def _of_size(self, row: str) -> str:
        return _filled(row, {"{size}": str(self.feature.size), "{characters}": self._characters})

    @property
    def _characters(self) -> str:
        ranges = [bounds(each) for each in self.feature.characters]
        return "".join(chr(code) for first, last in ranges for code in range(first, last + 1))

    def _no(self, refusal: QueryFailed, shown: str) -> Tried:
        _demand_life(self.database, refusal)
        if str(refusal).endswith("Killed"):  # by a limit of its machine; the database said nothing
            return self._result("unknown", "its machine has too little memory for this / 所在机器内存不足", shown)
        return self._result("no", _said(refusal, self.database), shown)

    def _result(self, state: State, words: str, statement: str) -> Tried:
        feature = self.feature
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
            f"{database.name} does not answer any more: {_said(refusal, database)}"
            + short_of_memory(database.machine, database.name, database.definition.limits),
            advice="see the database's log",
        ) from refusal


#: What is no SQL of a statement: texts (their quotes stay), comments but those that MySQL reads. Backslashes escape in
#: MySQL's texts alone.
_NO_SQL = {
    "mysql": re.compile(r"'((?:[^'\\]|''|\\.)*)'|--(?=\s|$)[^\n]*|/\*(?!!).*?\*/", re.DOTALL),
    "": re.compile(r"'((?:[^']|'')*)'|--[^\n]*|/\*(?!!).*?\*/", re.DOTALL),
}


def _blank(match: re.Match[str]) -> str:
    text = match.group()
    blanks = re.sub(r"[^\n]", " ", text)
    return f"'{blanks[1:-1]}'" if text.startswith("'") else blanks


def used(features: Iterable[SqlFeature], texts: Mapping[str, str], family: SqlFamily | None = None) -> dict[str, str]:
    """The features that SQL of a product uses: their names, and where: a text of ``texts`` by name, and its line.

    What stands in texts (string literals) and comments is no SQL; ``family`` says how texts are written.
    """
    pattern_of_rest = _NO_SQL["mysql" if family == "mysql" else ""]
    plain_texts = {name: pattern_of_rest.sub(_blank, text) for name, text in texts.items()}
    places: dict[str, str] = {}
    for feature in features:
        if not feature.used:
            continue
        pattern = re.compile(feature.used, re.IGNORECASE)
        for name, plain in plain_texts.items():
            if match := pattern.search(plain):
                places[feature.feature] = f"{name}:{plain.count(chr(10), 0, match.start()) + 1}"
                break
    return places


def _of(values: Mapping[Any, _T], family: SqlFamily | None) -> _T | None:
    """A family's own value, or that for any."""
    return values[family] if family in values else values.get("any")


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _values(rows: int) -> str:
    return ", ".join(f"({number}, 'r{number}')" for number in range(1, rows + 1))


def _clear(database: CellDatabase, tables: Sequence[str]) -> None:
    """Remove tables, the later first: they may refer to those before. What stays goes with the cell's database."""
    word = "IF EXISTS " if database.definition.sql in _IF_EXISTS else ""
    views = [f"DROP VIEW {word}{name}_v;" for name in tables if name.startswith("xct")]
    drops = [*views, *(f"DROP TABLE {word}{name};" for name in reversed(tables))]
    if not tables:
        return
    with contextlib.suppress(QueryFailed):
        database.query("\n".join(drops) + "\n")
        return
    for drop in drops:  # one that cannot be dropped keeps no other
        with contextlib.suppress(QueryFailed):
            database.query(drop)


def _said(refusal: QueryFailed, database: CellDatabase) -> str:
    """The database's own words, without where its client read the statement."""
    text = str(refusal).removeprefix(f"{database.name}: ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("LINE ", "--------"))]
    first = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "refused")
    return re.sub(r"^(?:psql:<stdin>:\d+: |Parse error near line \d+: |Error: near line \d+: )", "", first)


def _listed(rows: list[str]) -> str:
    return "; ".join(row if len(row) <= 80 else f"{row[:77]}…" for row in rows[:6]) or "no row"
