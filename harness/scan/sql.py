"""SQL that a declared database will not take: statements are tokenised and parsed by sqlglot.

Which statement is sent to which database cannot be seen in files, so no finding about SQL blocks. A file that is named
after a database (``schema.mysql.sql``, ``mysql/init.sql``) is for the databases of that name or family; it is held
against those of another family only where the product has no file that is named for them.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from harness.model.definitions import Database, Rule
from harness.model.finding import Concern, Finding, Targets
from harness.scan.groups import finding
from harness.scan.variants import sql_named

#: Family -> what sqlglot calls its dialect.
DIALECTS = {"mysql": "mysql", "postgresql": "postgres", "oracle": "oracle", "sqlite": "sqlite"}
#: What tells the dialect of a file that does not say.
_HINTS = (
    ("mysql", re.compile(r"`|AUTO_INCREMENT|\bENGINE\s*=|ON\s+DUPLICATE\s+KEY", re.IGNORECASE)),
    (
        "oracle",
        re.compile(r"\(\+\)|VARCHAR2|\bNUMBER\s*\(|\bFROM\s+DUAL\b|\bNVL2?\s*\(|CONNECT\s+BY|\bSYSDATE\b", re.I),
    ),
    ("postgres", re.compile(r"::\w|\$\$|\b(?:BIG)?SERIAL\b|\bILIKE\b|\bTEXT\[\]|\bBYTEA\b|\bJSONB\b", re.IGNORECASE)),
    ("sqlite", re.compile(r"\bAUTOINCREMENT\b|\bPRAGMA\b|WITHOUT\s+ROWID", re.IGNORECASE)),
)
#: A string in a program that is a statement.
_EMBEDDED = re.compile(
    r"""(?P<quote>\"\"\"|'''|"|'|`)(?P<sql>\s*(?:SELECT\s|INSERT\s+(?:IGNORE\s+)?INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|"""
    r"""CREATE\s+TABLE\s|ALTER\s+TABLE\s|REPLACE\s+INTO\s|MERGE\s+INTO\s)(?:(?!(?P=quote)).){4,8000})(?P=quote)""",
    re.IGNORECASE | re.DOTALL,
)
#: Statements of MyBatis mappers and the like.
_OPENING = re.compile(r"<(select|insert|update|delete|sql)\b[^<>]*>", re.IGNORECASE)
_CLOSING = re.compile(r"</(select|insert|update|delete|sql)>", re.IGNORECASE)
MAX_PER_FILE = 20
PIECE = 1 << 18  #: characters that are tokenised at a time, up to the end of a statement
_QUOTES = re.compile(r"['\"`$\[\]\\#/*{}]")  #: what begins strings, names, comments and templates
_END = re.compile(r";[ \t\r]*\n")
PARSED = 200_000  #: characters of a statement that are parsed; longer ones are data


@dataclass(frozen=True, kw_only=True)
class SqlFact:
    """A place in SQL that a rule is about; ``word`` and ``family`` of the database that the file is for by its name."""

    rule: str
    place: str
    line: int
    excerpt: str
    word: str
    family: str


class Names(Protocol):
    """What the SQL files of a product are named for, as ``harness.scan.gathering.Facts`` has it."""

    families: set[str]
    words: set[str]


@dataclass(frozen=True)
class Statement:
    """Tokens of one statement, its text, and the line that it begins in."""

    tokens: list[Any]
    text: str
    line: int
    dialect: str
    above: int = 0  #: lines of the text above the piece that lines are counted in
    trouble: str = ""  #: why it could be tokenised without its quotes alone


class Reader:
    """Looks for what the SQL rules name. ``trouble``: what could not be tokenised; ``unparsed``: place, line and
    beginning of definitions of tables that the parser does not understand."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = [(rule, _Matcher(rule.parameters)) for rule in rules if rule.detect == "sql"]
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
            yield from self._read(place, text, 0, word, family)
            return
        if "xml" in languages and "<mapper" not in text and "<sqlMap" not in text:
            return
        spans = _mapped(text) if "xml" in languages else (match.span("sql") for match in _EMBEDDED.finditer(text))
        lines = at = 0
        for start, end in spans:
            lines, at = lines + text.count("\n", at, start), start
            sql = text[start:end]
            if "xml" in languages:
                sql = re.sub(r"<!\[CDATA\[|\]\]>|<[^<>]+>", " ", sql)
            sql = re.sub(r"[#$%]\{[^{}]*\}|%\(\w+\)s|%s|(?<=[\s(=,])\?", "1", sql)
            yield from self._read(place, sql, lines, "", "")

    def _read(self, place: str, text: str, offset: int, word: str, family: str) -> Iterator[SqlFact]:
        counts: dict[str, int] = {}
        lines: set[tuple[str, int]] = set()
        for statement in statements(text, DIALECTS.get(family, "")):
            line = offset + statement.above + statement.line
            if statement.trouble:
                why = f"as SQL, in line {line}: {statement.trouble}; its words were searched all the same"
                self.trouble.append((place, why))
            elif is_unparsed(statement):
                self.unparsed.append((place, line, " ".join(statement.text[:160].split())))
            for rule, line, excerpt in self._hits(statement):
                if (rule, line) in lines or counts.get(rule, 0) >= MAX_PER_FILE:
                    continue
                lines.add((rule, line))
                counts[rule] = counts.get(rule, 0) + 1
                yield SqlFact(rule=rule, place=place, line=offset + line, excerpt=excerpt, word=word, family=family)

    def _hits(self, statement: Statement) -> Iterator[tuple[str, int, str]]:
        """Rule, line of the text and excerpt of each place that a rule is about."""
        for rule, matcher in self.rules:
            for line, excerpt in matcher.find(statement):
                yield rule.id, statement.above + line, excerpt


def _mapped(text: str) -> Iterator[tuple[int, int]]:
    """Where the content of each statement of a mapper begins and ends, up to the next end tag of its name.

    Each tag is looked at once: a search for the end from each beginning would be quadratic where ends are missing.
    """
    ends: dict[str, list[re.Match[str]]] = {}
    for closing in _CLOSING.finditer(text):
        ends.setdefault(closing[1].lower(), []).append(closing)
    past = 0
    for opening in _OPENING.finditer(text):
        if opening.start() < past:
            continue
        after = ends.get(opening[1].lower(), [])
        next_one = bisect.bisect_left(after, opening.end(), key=lambda closing: closing.start())
        if next_one < len(after):
            past = after[next_one].end()
            yield opening.end(), after[next_one].start()


def dialect_of(text: str) -> str:
    """What sqlglot calls the dialect that a text is likely of; empty for standard SQL."""
    return next((dialect for dialect, hint in _HINTS if hint.search(text)), "")


def statements(text: str, dialect: str = "") -> Iterator[Statement]:
    """The statements of a text, which is tokenised in pieces: tokens take a hundred times the memory of their text.

    What can be tokenised in no dialect is taken in ever smaller pieces, and at last without its quotes.
    """
    guess = dialect or dialect_of(text)
    at = above = 0
    size, trouble = PIECE, ""
    while at < len(text):
        end = match.end() if (match := _END.search(text, at + size)) else len(text)
        piece = text[at:end]
        try:
            tokens, spoken = _tokenized(piece, guess)
        except ValueError as error:
            if size and end < len(text):
                size *= 2  # a string or a body may hold what looks like the end of a statement
                continue
            if size:  # nothing that is longer helps: one statement after the other
                size = 0
                continue
            trouble, spoken = str(error), ""
            tokens = _words(piece)
        yield from _split(tokens, piece, spoken, above, trouble)
        at, above, trouble = end, above + piece.count("\n"), ""
        size = PIECE if size else 0


def _words(piece: str) -> list[Any]:
    """The tokens of a text without its quotes; its words alone where there are none either."""
    for rest in (_QUOTES.sub(" ", piece), re.sub(r"[^\w\s;]", " ", piece)):
        with contextlib.suppress(ValueError):
            return _tokenized(rest, "")[0]
    return []


def _split(tokens: list[Any], piece: str, spoken: str, above: int, trouble: str) -> Iterator[Statement]:
    from sqlglot import TokenType

    current: list[Any] = []
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            current.append(token)
        elif current:
            yield _statement(current, piece, spoken, above, trouble)
            current = []
    if current:
        yield _statement(current, piece, spoken, above, trouble)


def _tokenized(text: str, guess: str) -> tuple[list[Any], str]:
    """The tokens of a text, and the dialect that it can be tokenised in."""
    from sqlglot.dialects import Dialect
    from sqlglot.errors import SqlglotError

    trouble = ""
    for candidate in dict.fromkeys((guess, "mysql", "postgres", "oracle", "")):
        try:
            return list(Dialect.get_or_raise(candidate).tokenize(text)), candidate
        except (SqlglotError, ValueError) as error:
            trouble = trouble or str(error).splitlines()[0]
    raise ValueError(trouble)


def _statement(tokens: list[Any], text: str, dialect: str, above: int, trouble: str) -> Statement:
    return Statement(tokens, text[tokens[0].start : tokens[-1].end + 1], tokens[0].line, dialect, above, trouble)


class _Matcher:
    """What a rule looks for: sequences of ``words``, a ``quote``, names of ``columns``, ``types`` of columns."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.words = [sequence.upper().split() for sequence in parameters.get("words", [])]
        self.first = {sequence[0] for sequence in self.words}
        self.quote = parameters.get("quote", "")
        self.reserved = {name.upper() for name in parameters.get("columns", [])}
        self.types = {name.upper() for name in parameters.get("types", [])}
        self.within = parameters.get("within", "").upper()

    def find(self, statement: Statement) -> Iterator[tuple[int, str]]:
        if self.within and statement.tokens[0].text.upper() not in self.within.split("|"):
            return
        words = [_word(token) for token in statement.tokens]
        for i, word in enumerate(words):
            if word in self.first or "#" in self.first:
                for wanted in self.words:
                    if len(words) - i >= len(wanted) and all(map(_same, words[i : i + len(wanted)], wanted)):
                        yield statement.tokens[i].line, _excerpt(statement, i)
                        break
        if self.quote and self.quote in statement.text:
            base = statement.tokens[0].start
            for i, token in enumerate(statement.tokens):
                if statement.text[token.start - base : token.start - base + 1] == self.quote:
                    yield token.line, _excerpt(statement, i)
        if self.reserved or self.types:
            yield from self._columns(statement)

    def _columns(self, statement: Statement) -> Iterator[tuple[int, str]]:
        for name, quoted, kind, line in columns(statement):
            if self.reserved and not quoted and name.upper() in self.reserved:
                yield line, f"{name} {kind}"
            if self.types and re.sub(r"\(.*", "", kind).strip().upper() in self.types:
                yield line, f"{name} {kind}"


@functools.lru_cache(maxsize=64)
def _parsed(text: str, dialect: str) -> Any:
    import sqlglot
    from sqlglot.errors import SqlglotError

    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it tells on a logger what it did not understand
    try:
        return sqlglot.parse_one(text, read=dialect or None)
    except (SqlglotError, RecursionError, ValueError):
        return None


def columns(statement: Statement) -> list[tuple[str, bool, str, int]]:
    """Columns that a CREATE TABLE or ALTER TABLE defines: name, whether it is quoted, type as written, line."""
    from sqlglot import exp

    if statement.tokens[0].text.upper() not in ("CREATE", "ALTER") or len(statement.text) > PARSED:
        return []
    tree = _parsed(statement.text, statement.dialect)
    if tree is None or isinstance(tree, exp.Command):
        return list(_plain_columns(statement))
    rows = []
    lines = {token.text.upper(): token.line for token in reversed(statement.tokens)}
    for column in tree.find_all(exp.ColumnDef):
        kind = column.args.get("kind")
        written = kind.sql(dialect=statement.dialect or None) if kind is not None else ""
        line = lines.get(column.name.upper(), statement.line)
        rows.append((column.name, bool(getattr(column.this, "quoted", False)), written, line))
    return rows


def is_unparsed(statement: Statement) -> bool:
    """Whether a statement defines a table and the parser does not understand it: its columns are read word by word."""
    from sqlglot import exp

    words = [token.text.upper() for token in statement.tokens[:6]]
    if words[0] not in ("CREATE", "ALTER") or "TABLE" not in words:
        return False
    tree = _parsed(statement.text, statement.dialect) if len(statement.text) <= PARSED else None
    return tree is None or isinstance(tree, exp.Command)


#: What begins a part of a CREATE TABLE that is no column.
_NO_COLUMN = frozenset(
    "CONSTRAINT PRIMARY UNIQUE FOREIGN CHECK KEY INDEX FULLTEXT SPATIAL LIKE PERIOD EXCLUDE CLUSTER NOT".split()
)


def _plain_columns(statement: Statement) -> Iterator[tuple[str, bool, str, int]]:
    """Columns of a CREATE TABLE that the parser does not understand: of each part in parentheses the first words.

    Databases have clauses of their own behind the columns (STORAGE, CLUSTER, DISTRIBUTED BY); the columns are read all
    the same.
    """
    tokens = statement.tokens
    words = [token.text.upper() for token in tokens]
    if "TABLE" not in words[:6] or "(" not in words:
        return
    depth, parts = 0, list[list[Any]]()
    for token in tokens[words.index("(") :]:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0:
            break
        if depth == 1 and token.text in ("(", ","):
            parts.append([])
        else:
            parts[-1].append(token)
    base = tokens[0].start
    for part in parts:
        if len(part) < 2 or part[0].text.upper() in _NO_COLUMN:
            continue
        written = statement.text[part[0].start - base : part[0].start - base + 1]
        kind = part[1].text
        if len(part) > 2 and part[2].text == "(":
            inside = next((i for i, token in enumerate(part) if token.text == ")"), len(part) - 1)
            kind += "".join(token.text for token in part[2 : inside + 1])
        yield part[0].text, written in '`"[', kind, part[0].line


def _word(token: Any) -> str:
    from sqlglot import TokenType

    kind = token.token_type
    if kind == TokenType.NUMBER:
        return "#"
    if kind in (TokenType.STRING, TokenType.NATIONAL_STRING):
        return "''" if not token.text else "'…'"
    if kind == TokenType.IDENTIFIER:
        return "ident"
    return str(token.text).upper()


def _same(word: str, wanted: str) -> bool:
    return wanted in ("*", word) or (wanted == "NAME" and bool(re.fullmatch(r"ident|\w+", word)))


def _excerpt(statement: Statement, i: int) -> str:
    base = statement.tokens[0].start
    start = statement.tokens[max(0, i - 3)].start - base
    end = statement.tokens[min(len(statement.tokens) - 1, i + 7)].end - base + 1
    return " ".join(statement.text[start:end].split())[:160]


def findings(rule: Rule, facts: Iterable[SqlFact], targets: Targets, names: Names) -> Iterator[Finding]:
    """Findings of a rule about SQL, for the databases that a file is for, or may be for."""
    for fact in facts:
        concerned = [
            Concern("database", database.database)
            for database in targets.databases.values()
            if (database.sql in rule.concerns.sql or database.database in rule.concerns.databases)
            and _meant(fact, database, names)
        ]
        if concerned:
            yield finding(rule, fact.place, concerned, fact.excerpt, place=f"line {fact.line}", line=fact.line)


def _meant(fact: SqlFact, database: Database, names: Names) -> bool:
    """Whether a statement may be sent to this database: see the module."""
    if not fact.word:
        return True
    own = database.database.partition("-")[0]
    named = {word for word in names.words if word and (word.startswith(own) or own.startswith(word))}
    if named:  # there are files for this very database
        return fact.word in named
    return fact.family == database.sql or database.sql not in names.families
