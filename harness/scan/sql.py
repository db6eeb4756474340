"""SQL that a declared database will not take: statements are tokenised by sqlglot, and held against what is known of
the database in its declared mode.

Which statement is sent to which database cannot be seen in files, so no finding about SQL blocks. A file that is named
after a database (``schema.mysql.sql``, ``mysql/init.sql``) is for the databases of that name or family; it is held
against those of another family only where the product has no file that is named for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from harness.model.definitions import Database, Rule
from harness.model.finding import Concern, Finding, Targets
from harness.scan.embedded import embedded
from harness.scan.groups import finding
from harness.scan.sqldialects import Dialect, dialect_of
from harness.scan.sqlrules import Hit, Matcher, refuses
from harness.scan.sqlshapes import double_quoted
from harness.scan.sqltokens import Statement, is_unparsed, statements
from harness.scan.variants import sql_named

MAX_PER_FILE = 20


@dataclass(frozen=True, kw_only=True)
class SqlFact:
    """A place in SQL that a rule is about; ``word`` and ``family`` of the database that the file is for by its name.
    ``what`` and ``role``: as ``harness.scan.sqlrules.Hit`` has them."""

    rule: str
    place: str
    line: int
    excerpt: str
    word: str
    family: str
    what: str = ""
    role: str = ""


class Names(Protocol):
    """What the SQL files of a product are named for, as ``harness.scan.gathering.Facts`` has it."""

    families: set[str]
    words: set[str]


@dataclass(frozen=True)
class _Source:
    """Where a text of SQL stands, and what its name says."""

    place: str
    offset: int
    word: str
    family: str
    file: bool  #: whether it is a file of SQL, and not a part of another text


class Reader:
    """Looks for what the SQL rules name. ``trouble``: what could not be tokenised; ``unparsed``: place, line and
    beginning of definitions of tables that the parser does not understand.

    ``databases``: whose reserved words count; ``declared``: dialect that the application says its SQL is in.
    """

    def __init__(self, rules: Iterable[Rule], databases: Iterable[Database] = (), declared: str = "") -> None:
        modes = [mode for database in databases if (mode := database.speaks) is not None]
        words = {word for mode in modes for word in mode.reserved}
        every = [rule for rule in rules if rule.detect == "sql"]
        self.matchers = [Matcher(rule, words) for rule in every]
        self.strings = [rule for rule in every if rule.parameters.get("double_quoted")]
        self.declared = declared
        self.families: set[str] = set()  #: that files are named for
        self.words: set[str] = set()  #: names of databases that files are named for
        self.trouble: list[tuple[str, str]] = []
        self.unparsed: list[tuple[str, int, str]] = []

    def read(self, place: str, text: str, languages: tuple[str, ...]) -> Iterator[SqlFact]:
        """Read the SQL of a file: all of an SQL file; the strings and the mapper elements of a program."""
        if "sql" in languages:
            word, family = sql_named(place)
            self.families.add(family)
            self.words.add(word)
            source = _Source(place, 0, word, family, file=True)
            yield from self._within(source, [(text, 0)], dialect_of(text, family, self.declared))
            return
        pieces = [(each.text, each.above) for each in embedded(text, languages)]
        if pieces:
            whole = "\n".join(sql for sql, _ in pieces)
            yield from self._within(_Source(place, 0, "", "", file=False), pieces, dialect_of(whole, "", self.declared))

    def _within(self, source: _Source, pieces: list[tuple[str, int]], dialect: Dialect) -> Iterator[SqlFact]:
        """The facts of texts of one file, at most so many of each rule."""
        counts: dict[str, int] = {}
        places: set[tuple[str, int, str]] = set()
        strings = _Strings()
        every: Iterator[tuple[str, Hit]] = (
            each for text, above in pieces for each in self._hits(replace(source, offset=above), text, dialect, strings)
        )
        for rule, hit in [*every, *((rule.id, hit) for rule in self.strings for hit in strings.hits(dialect))]:
            if (rule, hit.line, hit.what) in places or counts.get(rule, 0) >= MAX_PER_FILE:
                continue
            places.add((rule, hit.line, hit.what))
            counts[rule] = counts.get(rule, 0) + 1
            yield SqlFact(
                rule=rule,
                place=source.place,
                line=hit.line,
                excerpt=hit.excerpt,
                word=source.word,
                family=source.family,
                what=hit.what,
                role=hit.role,
            )

    def _hits(self, source: _Source, text: str, dialect: Dialect, strings: _Strings) -> Iterator[tuple[str, Hit]]:
        """Rule and place of each hit in one text, with lines of the whole file."""
        for statement in statements(text, dialect.tokenized_as):
            above = source.offset + statement.above
            line = above + statement.line
            if statement.trouble:
                why = f"as SQL, in line {line}: {statement.trouble}; its words were searched all the same"
                self.trouble.append((source.place, why))
            elif is_unparsed(statement):
                self.unparsed.append((source.place, line, " ".join(statement.text[:160].split())))
            if self.strings and not statement.trouble:
                strings.take(statement, above)
            for matcher in self.matchers:
                for hit in matcher.find(statement):
                    yield matcher.rule.id, replace(hit, line=above + hit.line)
        for matcher in self.matchers if source.file else ():
            for hit in matcher.in_lines(text, MAX_PER_FILE):
                yield matcher.rule.id, hit


class _Strings:
    """Double quotes of one file: whether they are around strings is known when all of it was read."""

    def __init__(self) -> None:
        self._sure: list[Hit] = []
        self._likely: list[Hit] = []
        self._names = False

    def take(self, statement: Statement, above: int) -> None:
        """The quotes of a statement."""
        if '"' not in statement.text:
            return
        sure, likely, names = double_quoted(statement)
        self._names |= names

        def hits(numbers: list[int]) -> list[Hit]:
            return [
                Hit(above + statement.tokens[number].line, statement.excerpt(number), "double-quoted")
                for number in numbers
            ]

        self._sure += hits(sure)
        self._likely += hits(likely)

    def hits(self, dialect: Dialect) -> list[Hit]:
        """Strings in double quotes. Where others are around names, what looks like a name is one; only in MySQL's
        dialect it is not."""
        surely_strings = dialect.name == "mysql" or (not self._names and dialect.name in ("", "sqlite"))
        return [*self._sure, *self._likely] if surely_strings else self._sure


def findings(rule: Rule, facts: Iterable[SqlFact], targets: Targets, names: Names) -> Iterator[Finding]:
    """Findings of a rule about SQL, for the databases that a file is for, or may be for: one for each line."""
    lines: dict[tuple[str, int], list[tuple[SqlFact, list[Database]]]] = {}
    for fact in facts:
        concerned = [database for database in targets.databases.values() if _refused(rule, fact, database, names)]
        if concerned:
            lines.setdefault((fact.place, fact.line), []).append((fact, concerned))
    for (place, line), parts in lines.items():
        concerns = {Concern("database", database.database) for _, concerned in parts for database in concerned}
        message = parts[0][0].excerpt + _instead(parts)
        yield finding(rule, place, concerns, message, place=f"line {line}", line=line)


def _refused(rule: Rule, fact: SqlFact, database: Database, names: Names) -> bool:
    """Whether a statement may be sent to a database that does not take it."""
    mode = database.speaks
    return (
        mode is not None
        and refuses(rule, fact.what, fact.role, mode, database.database)
        and _meant(fact, database, names)
    )


def _instead(parts: list[tuple[SqlFact, list[Database]]]) -> str:
    """What databases call types of others."""
    others: dict[str, list[str]] = {}
    for fact, concerned in parts:
        for database in concerned:
            mode = database.speaks
            if mode is not None and (name := mode.types.get(fact.what)):
                others.setdefault(f"{fact.what}: {name}", []).append(database.database)
    return "".join(f"; {words} ({', '.join(dict.fromkeys(databases))})" for words, databases in others.items())


def _meant(fact: SqlFact, database: Database, names: Names) -> bool:
    """Whether a statement may be sent to this database: see the module."""
    if not fact.word:
        return True
    own = database.database.partition("-")[0]
    named = {word for word in names.words if word and (word.startswith(own) or own.startswith(word))}
    if named:  # there are files for this very database
        return fact.word in named
    return fact.family == database.sql or database.sql not in names.families
