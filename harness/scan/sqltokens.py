"""SQL taken apart into statements of tokens, by sqlglot's tokenisers."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.scan.sqldialects import guessed

PIECE = 1 << 18  #: characters that are tokenised at a time, up to the end of a statement
PARSED = 200_000  #: characters of a statement that are parsed; longer ones are data
_QUOTES = re.compile(r"['\"`$\[\]\\#/*{}]")  #: what begins strings, names, comments and templates
_DELIMITER = re.compile(r"^[ \t]*DELIMITER[ \t]+(\S{1,16})", re.IGNORECASE | re.MULTILINE)
_END = re.compile(r";[ \t\r]*\n")
_BLOCKS = frozenset(("TRIGGER", "PROCEDURE", "FUNCTION", "PACKAGE", "TYPE", "CLASS", "EVENT"))
#: Words that may stand between CREATE and what is made.
_BETWEEN = frozenset("OR REPLACE EDITIONABLE NONEDITIONABLE FORCE NOFORCE AND PUBLIC PRIVATE TEMPORARY TEMP".split())
#: Words that end with END and that word, and those that begin what ends with END alone.
_OPENS = frozenset(("BEGIN", "CASE", "LOOP", "DO", "REPEAT"))
#: Behind these a statement of a block begins, where IF is none of the functions.
_STARTS = frozenset(("", ";", "BEGIN", "LOOP", "DO", "REPEAT"))
_ENDED = frozenset(("IF", "LOOP", "CASE", "WHILE", "REPEAT", "FOR"))


@dataclass(frozen=True)
class Statement:
    """Tokens of one statement, its text, and the line that it begins in."""

    tokens: list[Any]
    text: str
    line: int
    dialect: str
    above: int = 0  #: lines of the text above the piece that lines are counted in
    trouble: str = ""  #: why it could be tokenised without its quotes alone

    @functools.cached_property
    def words(self) -> list[tuple[str, int]]:
        """Each word in upper case with the number of its token; a number is #, a string '' or '…', a quoted name
        ``ident``. A token of several words (ORDER BY) gives each of them."""
        return [(word, number) for number, token in enumerate(self.tokens) for word in _words_of(token)]

    def quote_of(self, token: Any) -> str:
        """The character that a token is written with first."""
        start = token.start - self.tokens[0].start
        return self.text[start : start + 1]

    def excerpt(self, number: int) -> str:
        """What stands around a token, at most 160 characters."""
        base = self.tokens[0].start
        start = self.tokens[max(0, number - 3)].start - base
        end = self.tokens[min(len(self.tokens) - 1, number + 7)].end - base + 1
        return " ".join(self.text[start:end].split())[:160]


def _words_of(token: Any) -> list[str]:
    from sqlglot import TokenType

    kind = token.token_type
    if kind == TokenType.NUMBER:
        return ["#"]
    if kind in (TokenType.STRING, TokenType.NATIONAL_STRING):
        return ["''" if not token.text else "'…'"]
    if kind == TokenType.IDENTIFIER:
        return ["ident"]
    return str(token.text).upper().split() or [""]


def statements(text: str, dialect: str = "") -> Iterator[Statement]:
    """The statements of a text, which is tokenised in pieces: tokens take a hundred times the memory of their text.

    What can be tokenised in no dialect is taken in ever smaller pieces, and at last without its quotes.
    ``dialect``: what sqlglot calls it; guessed where it is not given.
    """
    guess = dialect or guessed(text)
    text = _delimited(text)
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
        for part in _split(tokens, piece):
            yield _statement(part, piece, spoken, above, trouble)
        at, above, trouble = end, above + piece.count("\n"), ""
        size = PIECE if size else 0


def _delimited(text: str) -> str:
    """A text for the client of MySQL, with ; for each delimiter that it declares, and every character in its place."""
    if "DELIMITER" not in text.upper():
        return text
    parts: list[str] = []
    at, mark = 0, ";"
    for match in _DELIMITER.finditer(text):
        parts += [_ended(text[at : match.start()], mark), " " * len(match[0])]
        at, mark = match.end(), match[1]
    return "".join([*parts, _ended(text[at:], mark)])


def _ended(text: str, mark: str) -> str:
    return text if mark == ";" else text.replace(mark, ";" + " " * (len(mark) - 1))


def _words(piece: str) -> list[Any]:
    """The tokens of a text without its quotes; its words alone where there are none either."""
    for rest in (_QUOTES.sub(" ", piece), re.sub(r"[^\w\s;]", " ", piece)):
        with contextlib.suppress(ValueError):
            return _tokenized(rest, "")[0]
    return []


def _split(tokens: list[Any], piece: str) -> Iterator[list[Any]]:
    """The tokens of each statement. A block of procedures is one, up to its END or a line with ``/`` alone; a line with
    GO alone ends a statement."""
    from sqlglot import TokenType

    current: list[Any] = []
    block: _Block | None = None
    for number, token in enumerate(tokens):
        if token.text.upper() in ("/", "GO") and _is_alone(piece, token):
            if current:
                yield current
            current, block = [], None
            continue
        if token.token_type != TokenType.SEMICOLON:
            current.append(token)
            if len(current) <= 8 and block is None and _is_block(current):
                block = _Block()
                for each in current:
                    block.take(each.text.upper(), "")
            elif block is not None:
                block.take(token.text.upper(), tokens[number + 1].text if number + 1 < len(tokens) else "")
        elif block is not None and block.goes_on:
            continue
        elif current:
            yield current
            current, block = [], None
    if current and block is not None and block.goes_on:
        yield from _plainly(current)  # its end is not here: what looks like a block may be none
    elif current:
        yield current


def _plainly(tokens: Sequence[Any]) -> Iterator[list[Any]]:
    """Tokens cut where a line begins with a word that begins statements."""
    current: list[Any] = []
    line = 0
    for token in tokens:
        begins = token.line != line and token.text.upper() in (
            "CREATE",
            "INSERT",
            "UPDATE",
            "DELETE",
            "SELECT",
            "ALTER",
        )
        if begins and current:
            yield current
            current = []
        current.append(token)
        line = token.line
    if current:
        yield current


class _Block:
    """How deep a block is, word by word: whether a semicolon ends it."""

    def __init__(self) -> None:
        self._depth = 0
        self._declares = False
        self._package = False
        self._before = ""

    def take(self, word: str, following: str) -> None:
        """The next word, and what stands behind it."""
        before, self._before = self._before, word
        if before == "END":
            if word in _ENDED:
                return
        elif word in _OPENS and not (word == "REPEAT" and following == "("):
            self._depth += 1
            self._declares = False
            return
        elif word == "IF" and (before in _STARTS or (before in ("THEN", "ELSE") and following != "(")):
            self._depth += 1
            return
        if word == "PACKAGE":
            self._package = True
        elif word in ("IS", "AS") and self._package:
            self._package = False
            self._depth += 1
        elif word in ("DECLARE", "IS", "AS") and self._depth == 0 and following != "'":
            self._declares = True
        elif word == "END":
            self._depth -= 1

    @property
    def goes_on(self) -> bool:
        """Whether a semicolon here lies inside the block."""
        self._before = ";"
        return self._depth > 0 or self._declares


def _is_alone(piece: str, token: Any) -> bool:
    """Whether a token has a line for itself."""
    before = piece[piece.rfind("\n", 0, token.start) + 1 : token.start]
    return not (before + piece[token.end + 1 :].partition("\n")[0]).strip() if not before.strip() else False


def _is_block(tokens: Sequence[Any]) -> bool:
    """Whether a statement that begins with these tokens is one of procedures."""
    words = [token.text.upper() for token in tokens]
    if words[0] == "DECLARE":
        return True
    if words[0] == "BEGIN":
        return len(words) > 1 and words[1] not in ("TRANSACTION", "WORK", "TRAN", "ISOLATION", "IMMEDIATE", "DEFERRED")
    if words[0] != "CREATE":
        return False
    rest = [word for word in words[1:] if word not in _BETWEEN]
    if rest and rest[0] == "DEFINER":
        return any(word in _BLOCKS for word in rest)
    return bool(rest) and rest[0] in _BLOCKS


def _tokenized(text: str, guess: str) -> tuple[list[Any], str]:
    """The tokens of a text, and the dialect that it can be tokenised in."""
    from sqlglot.errors import SqlglotError

    trouble = ""
    for candidate in dict.fromkeys((guess, "mysql", "postgres", "oracle", "")):
        try:
            return list(_tokenizer(candidate).tokenize(text)), candidate
        except (SqlglotError, ValueError) as error:
            trouble = trouble or str(error).splitlines()[0]
    raise ValueError(trouble)


@functools.cache
def _tokenizer(dialect: str) -> Any:
    """A tokeniser of a dialect. By the dialects' own rule all behind some words is one token up to a semicolon: here
    every word is a token."""
    from sqlglot.dialects import Dialect

    plain = Dialect.get_or_raise(dialect).tokenizer_class
    return type(plain)(plain.__name__, (plain,), {"COMMANDS": set()})()


def _statement(tokens: list[Any], text: str, dialect: str, above: int, trouble: str) -> Statement:
    return Statement(tokens, text[tokens[0].start : tokens[-1].end + 1], tokens[0].line, dialect, above, trouble)


@functools.lru_cache(maxsize=64)
def parsed(text: str, dialect: str) -> Any:
    """The tree of a statement; None where the parser does not understand it."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it tells on a logger what it did not understand
    try:
        return sqlglot.parse_one(text, read=dialect or None)
    except (SqlglotError, RecursionError, ValueError):
        return None


def is_understood(statement: Statement) -> bool:
    """Whether the parser understands a statement, whole."""
    from sqlglot import exp

    if statement.trouble or len(statement.text) > PARSED:
        return False
    tree = parsed(statement.text, statement.dialect)
    return tree is not None and not isinstance(tree, exp.Command)


def is_unparsed(statement: Statement) -> bool:
    """Whether a statement defines a table and the parser does not understand it: its columns are read word by word."""
    words = [token.text.upper() for token in statement.tokens[:6]]
    return words[0] in ("CREATE", "ALTER") and "TABLE" in words and not is_understood(statement)
