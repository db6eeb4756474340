"""SQL that a declared database will not take: statements are tokenised by sqlglot, and held against what is known of
the database in its declared mode.

Which statement is sent to which database cannot be seen in files, so no finding about SQL blocks. A file that is named
after a database (``schema.mysql.sql``, ``mysql/init.sql``) is for the databases of that name or family; it is held
against those of another family only where the product has no file that is named for them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from harness.model.definitions import Database, Rule, Severity
from harness.model.finding import Concern, Finding, Targets
from harness.model.sqlrow import Reading, SqlHit, SqlStatement
from harness.scan.asides import aside
from harness.scan.embedded import Embedded, changesets, embedded
from harness.scan.groups import finding
from harness.scan.sqldialects import DIALECTS, Dialect, dialect_of
from harness.scan.sqlrules import Hit, Matcher, refuses
from harness.scan.sqlshapes import double_quoted
from harness.scan.sqltable import LONGEST, MOST, rewritings
from harness.scan.sqltokens import Statement, is_understood, is_unparsed, statements
from harness.scan.variants import sql_named

MAX_PER_FILE = 20
#: Names of functions that a text makes.
_DEFINED = re.compile(
    r"\bFUNCTION\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:[\w\"`]+\.)?[\"`]?(\w+)[\"`]?\s*\(", re.IGNORECASE
)


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
    why: str = ""  #: why no other database gets it
    program: bool = False  #: whether it stands in a program


class Names(Protocol):
    """What the SQL files of a product are named for, as ``harness.scan.gathering.Facts`` has it."""

    families: set[str]
    words: set[str]


@dataclass(frozen=True)
class _Source:
    """Where a text of SQL stands, and what its name says."""

    place: str
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
        self.kept: list[SqlStatement] | None = None  #: statements for the table; None: they are not kept
        self.left = 0  #: statements that are not kept because there are too many
        spoken = {DIALECTS[mode.sql] for mode in modes if mode.sql in DIALECTS}
        self.dialects = sorted(spoken)  #: that statements may be written in

    def read(self, place: str, text: str, languages: tuple[str, ...]) -> Iterator[SqlFact]:
        """Read the SQL of a file: all of an SQL file; the strings and the mapper elements of a program."""
        if "sql" in languages:
            word, family = sql_named(place)
            self.families.add(family)
            self.words.add(word)
            source = _Source(place, word, family, file=True)
            yield from self._within(source, changesets(text), dialect_of(text, family, self.declared))
            return
        pieces = list(embedded(text, languages, place))
        self.families |= {each.family for each in pieces if each.family}
        self.words |= {each.word for each in pieces if each.word}
        if pieces:
            whole = "\n".join(each.text for each in pieces if not each.name)
            yield from self._within(_Source(place, "", "", file=False), pieces, dialect_of(whole, "", self.declared))

    def _within(self, source: _Source, pieces: list[Embedded], dialect: Dialect) -> Iterator[SqlFact]:
        """The facts of texts of one file, at most so many of each rule."""
        counts: dict[str, int] = {}
        places: set[tuple[str, int, str]] = set()
        strings = _Strings()
        first = len(self.kept or ())
        own = {name.upper() for each in pieces for name in _DEFINED.findall(each.text)}
        every = [
            (rule, hit, piece)
            for piece in pieces
            for rule, hit in (self._named(piece) if piece.name else self._hits(source, piece, dialect, strings))
        ]
        quotes = [(rule.id, hit, None) for rule in self.strings for hit in strings.hits(dialect)]
        self._note(first, quotes)
        for rule, hit, piece in [*every, *quotes]:
            if hit.what.endswith(" (") and hit.what.removesuffix(" (") in own:
                continue  # the product makes this function itself
            if (rule, hit.line, hit.what) in places or counts.get(rule, 0) >= MAX_PER_FILE:
                continue
            places.add((rule, hit.line, hit.what))
            counts[rule] = counts.get(rule, 0) + 1
            yield SqlFact(
                rule=rule,
                place=source.place,
                line=hit.line,
                excerpt=hit.excerpt,
                word=(piece.word if piece is not None else "") or source.word,
                family=(piece.family if piece is not None else "") or source.family,
                what=hit.what,
                role=hit.role,
                why=piece.why if piece is not None else "",
                program=piece is not None and piece.program,
            )

    def _named(self, piece: Embedded) -> Iterator[tuple[str, Hit]]:
        """A name of an annotation that is a reserved word."""
        for matcher in self.matchers:
            if piece.name.upper() in matcher.reserved:
                yield matcher.rule.id, Hit(piece.above + 1, piece.text, piece.name.upper(), "column")

    def _hits(self, source: _Source, piece: Embedded, dialect: Dialect, strings: _Strings) -> Iterator[tuple[str, Hit]]:
        """Rule and place of each hit in one text, with lines of the whole file."""
        spoken = dialect_of(piece.text, piece.family) if piece.family else dialect
        for statement in statements(piece.text, spoken.tokenized_as):
            above = piece.above + statement.above
            line = above + statement.line
            if statement.trouble and not piece.is_cut:
                why = f"as SQL, in line {line}: {statement.trouble}; its words were searched all the same"
                self.trouble.append((source.place, why))
            elif piece.whole and is_unparsed(statement):
                self.unparsed.append((source.place, line, " ".join(statement.text[:160].split())))
            if self.strings and not statement.trouble:
                strings.take(statement, above)
            hits = [(matcher.rule.id, hit) for matcher in self.matchers for hit in matcher.find(statement)]
            if self.kept is not None:
                self._keep(source, piece, statement, spoken, hits)
            for rule, hit in hits:
                yield rule, replace(hit, line=above + hit.line)
        for matcher in self.matchers if source.file else ():
            for hit in matcher.in_lines(piece.text, MAX_PER_FILE):
                if self.kept is not None:
                    self._keep_line(source, piece, spoken, matcher.rule.id, hit)
                yield matcher.rule.id, replace(hit, line=piece.above + hit.line)

    def _keep(
        self, source: _Source, piece: Embedded, statement: Statement, dialect: Dialect, hits: list[tuple[str, Hit]]
    ) -> None:
        """Keep a statement for the table, with what sqlglot makes of it for other dialects."""
        assert self.kept is not None
        if len(self.kept) >= MOST:
            self.left += 1
            return
        understood = piece.whole and is_understood(statement)
        kinds = [SqlHit(rule=rule, what=hit.what, role=hit.role) for rule, hit in hits]
        reading: Reading = "damaged" if statement.trouble else "parsed" if understood else "words"
        short = len(statement.text) <= LONGEST
        self.kept.append(
            SqlStatement(
                place=source.place,
                line=piece.above + statement.above + statement.line,
                text=statement.text[:LONGEST],
                dialect=dialect.name,
                basis=dialect.basis,
                reading=reading,
                whole=piece.whole and short and not statement.trouble,
                word=piece.word or source.word,
                family=piece.family or source.family,
                hits=tuple(dict.fromkeys(kinds)),
                rewritings=rewritings(statement.text, statement.dialect, kinds, self.dialects, self._look)
                if understood and short
                else {},
            )
        )

    def _keep_line(self, source: _Source, piece: Embedded, dialect: Dialect, rule: str, hit: Hit) -> None:
        """Keep a line for a client for the table."""
        assert self.kept is not None
        if len(self.kept) >= MOST:
            self.left += 1
            return
        self.kept.append(
            SqlStatement(
                place=source.place,
                line=piece.above + hit.line,
                text=hit.excerpt,
                dialect=dialect.name,
                basis=dialect.basis,
                reading="line",
                whole=False,
                word=piece.word or source.word,
                family=piece.family or source.family,
                hits=(SqlHit(rule=rule, what=hit.what),),
            )
        )

    def _note(self, first: int, quotes: list[tuple[str, Hit, None]]) -> None:
        """Strings in double quotes are hits of the statements that they stand in; sqlglot takes them for names unless
        the dialect is MySQL's."""
        kept = self.kept or []
        for rule, hit, _ in quotes if kept else ():
            for number in range(first, len(kept)):
                each = kept[number]
                if each.line <= hit.line <= each.line + each.text.count("\n") and each.reading != "line":
                    hits = dict.fromkeys((*each.hits, SqlHit(rule=rule, what=hit.what)))
                    written = each.rewritings if each.dialect == "mysql" else {}
                    kept[number] = replace(each, hits=tuple(hits), rewritings=written)

    def _look(self, text: str, dialect: str) -> list[SqlHit]:
        """The rules that are about a text."""
        return [
            SqlHit(rule=matcher.rule.id, what=hit.what, role=hit.role)
            for statement in statements(text, dialect)
            for matcher in self.matchers
            for hit in matcher.find(statement)
        ]


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


def findings(
    rule: Rule, facts: Iterable[SqlFact], targets: Targets, names: Names, roots: Collection[str] = ()
) -> Iterator[Finding]:
    """Findings of a rule about SQL, for the databases that a file is for, or may be for: one for each line."""
    lines: dict[tuple[str, int], list[tuple[SqlFact, list[Database]]]] = {}
    for fact in facts:
        concerned = [database for database in targets.databases.values() if _refused(rule, fact, database, names)]
        if concerned:
            lines.setdefault((fact.place, fact.line), []).append((fact, concerned))
    lacking: set[Concern] = set()  # databases that no part is for, of which one place is a warning
    for (place, line), parts in lines.items():
        concerns = {Concern("database", database.database) for _, concerned in parts for database in concerned}
        message = parts[0][0].excerpt + _instead(parts)
        first = parts[0][0]
        why = (all(fact.why for fact, _ in parts) and first.why) or aside(place, roots, sources=False)
        if not why and first.word and len(names.families - {""}) > 1:
            # What is lacking is a part for this database: that is told once, and each place of the others is a note.
            if first.program or concerns <= lacking:
                why = f"in a part for {first.word}; there are parts for other databases"
            lacking |= concerns
        message += f" ({why})" if why else ""
        severity: Severity | None = "info" if why else None
        yield finding(rule, place, concerns, message, place=f"line {line}", line=line, severity=severity)


def _refused(rule: Rule, fact: SqlFact, database: Database, names: Names) -> bool:
    """Whether a statement may be sent to a database that does not take it."""
    mode = database.speaks
    return (
        mode is not None
        and refuses(rule, fact.what, fact.role, mode, database.database)
        and meant(fact.word, fact.family, database, names)
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


def meant(word: str, family: str, database: Database, names: Names) -> bool:
    """Whether a statement of a file for a word and a family may be sent to this database: see the module."""
    if not word:
        return True
    own = database.database.partition("-")[0]
    named = {each for each in names.words if each and (each.startswith(own) or own.startswith(each))}
    if named:  # there are files for this very database
        return word in named
    return family == database.sql or database.sql not in names.families
