"""What a rule about SQL looks for in a statement, and in the lines of an SQL file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.model.definitions import Rule, SqlMode
from harness.scan.sqlcolumns import columns, namings
from harness.scan.sqlshapes import SHAPES
from harness.scan.sqltokens import Statement


@dataclass(frozen=True)
class Hit:
    """A place that a rule is about. ``what``: the word of the rule, as entries of databases name it; ``role``: of a
    reserved word, what it names."""

    line: int
    excerpt: str
    what: str
    role: str = ""


class Matcher:
    """What a rule looks for: sequences of ``words``, a ``quote``, ``reserved`` words as names, ``types`` of columns,
    ``shapes`` of statements, ``lines`` of files."""

    def __init__(self, rule: Rule, reserved: Iterable[str] = ()) -> None:
        parameters = rule.parameters
        self.rule = rule
        self.words = [(sequence, sequence.upper().split()) for sequence in parameters.get("words", [])]
        self.first = {sequence[0] for _, sequence in self.words}
        self.quote = parameters.get("quote", "")
        families = parameters.get("reserved", {})
        self.reserved = {word.upper() for words in families.values() for word in words}
        if families:
            self.reserved |= {word.upper() for word in reserved}
        self.types = {name.upper() for name in parameters.get("types", [])}
        self.shapes = {name: SHAPES[name] for name in parameters.get("shapes", [])}
        self.lines = [(name, re.compile(text, re.M)) for name, text in parameters.get("lines", {}).items()]
        self.within = frozenset(parameters.get("within", "").upper().split("|")) - {""}
        self.unless_dialect = parameters.get("unless_dialect", "")
        self.unless_kind = re.compile(parameters.get("unless_kind", r"(?!)"), re.I)

    def find(self, statement: Statement) -> Iterator[Hit]:
        """What is in a statement."""
        if self.within and statement.tokens[0].text.upper() not in self.within:
            return
        if self.unless_dialect and statement.dialect == self.unless_dialect:
            return
        if self.words:
            yield from self._sequences(statement)
        if self.quote and self.quote in statement.text:
            for number, token in enumerate(statement.tokens):
                if statement.quote_of(token) == self.quote and not (self.quote == "[" and token.text == "["):
                    yield Hit(token.line, statement.excerpt(number), self.quote)
        for name, shape in self.shapes.items():
            for number in shape(statement):
                yield Hit(statement.tokens[number].line, statement.excerpt(number), name)
        if self.types:
            for column in columns(statement):
                if column.type in self.types and not self.unless_kind.search(column.kind):
                    yield Hit(column.line, f"{column.name} {column.kind}"[:160], column.type)
        if self.reserved:
            yield from self._names(statement)

    def _sequences(self, statement: Statement) -> Iterator[Hit]:
        words = statement.words
        for i, (word, number) in enumerate(words):
            if word in self.first or "#" in self.first:
                for what, wanted in self.words:
                    if _matches(words, i, wanted):
                        yield Hit(statement.tokens[number].line, statement.excerpt(number), what)
                        break

    def _names(self, statement: Statement) -> Iterator[Hit]:
        kinds = {column.token: column.kind for column in columns(statement)}
        for naming in namings(statement):
            if naming.word in self.reserved:
                token = statement.tokens[naming.token]
                excerpt = (
                    f"{token.text} {kinds[naming.token]}"[:160]
                    if naming.role == "column"
                    else statement.excerpt(naming.token)
                )
                yield Hit(token.line, excerpt, naming.word, naming.role)

    def in_lines(self, text: str, most: int) -> Iterator[Hit]:
        """What is in the lines of a file, comments included: at most so many places of each kind."""
        for name, pattern in self.lines:
            for _, match in zip(range(most), pattern.finditer(text), strict=False):
                start = match.start() + len(match[0]) - len(match[0].lstrip())
                yield Hit(text.count("\n", 0, start) + 1, match[0].strip()[:160], name)


def _matches(words: list[tuple[str, int]], i: int, wanted: list[str]) -> bool:
    """Whether words from a place on are those that are wanted. ``!(`` at the end: no ( follows."""
    for k, each in enumerate(wanted):
        word = words[i + k][0] if i + k < len(words) else ""
        if k and each == "!(":
            return word != "("
        if not word or not _same(word, each):
            return False
    return True


def _same(word: str, wanted: str) -> bool:
    return wanted in ("*", word) or (wanted == "NAME" and bool(re.fullmatch(r"ident|\w+", word)))


def refuses(rule: Rule, hit_what: str, role: str, mode: SqlMode, database: str) -> bool:
    """Whether a database in a mode does not take what a rule looks for."""
    if "reserved" in rule.parameters:
        return _reserves(rule.parameters["reserved"], hit_what, role, mode)
    parameters = rule.parameters
    if hit_what in mode.takes or hit_what in parameters.get("taken_by", {}).get(mode.sql, ()):
        return False
    if hit_what in mode.refuses or database in rule.concerns.databases:
        return True
    if "refused_by" in parameters:
        return hit_what in parameters["refused_by"].get(mode.sql, ())
    trait = rule.concerns.trait
    if trait is not None:
        return mode.counts_bytes if trait == "bytes" else mode.has_no_empty_string
    return mode.sql in rule.concerns.sql


def _reserves(families: dict[str, list[str]], word: str, role: str, mode: SqlMode) -> bool:
    """Whether a word cannot be such a name without quotes. In PostgreSQL any word may be an alias behind AS."""
    family = mode.reserved_as or mode.sql
    if role == "alias" and family == "postgresql":
        return False
    if word in map(str.upper, mode.reserved):
        return True
    if mode.reserved and mode.reserved_as is None:
        return False  # its list is whole
    return word in map(str.upper, families.get(family, ())) and word not in map(str.upper, mode.free)
