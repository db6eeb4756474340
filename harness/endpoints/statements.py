"""A text of several statements for a driver that takes one at a time.

Such texts are written for clients such as SQL*Plus, DIsql and yasql: a semicolon at the end of a line ends a statement,
and a line with ``/`` alone ends a block, whose own semicolons end nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from sqlglot import Token, TokenType
from sqlglot.dialects.oracle import Oracle
from sqlglot.errors import TokenError

#: Where a text is cut that cannot be read in tokens, for example for a quote that is never closed.
_END = re.compile(r";[ \t]*(?:\r?\n|$)")
_BLOCKS = frozenset(("TRIGGER", "PROCEDURE", "FUNCTION", "PACKAGE", "TYPE", "CLASS"))
#: Words that may stand between CREATE and what is made.
_BETWEEN = frozenset("OR REPLACE EDITIONABLE NONEDITIONABLE FORCE NOFORCE AND PUBLIC PRIVATE".split())


class _Tokens(Oracle.Tokenizer):
    #: Without these words' own rule, by which all up to the next semicolon is one token, also within a text of SQL.
    COMMANDS: ClassVar[set[TokenType]] = set()


def statements_of(sql: str) -> list[str]:
    """The statements of a text; comments alone are none. A block that ``/`` ends keeps its last semicolon."""
    try:
        tokens = _Tokens().tokenize(sql)
    except TokenError:
        return [statement.strip() for statement in _END.split(sql) if statement.strip()]
    slashed = any(_is_alone(sql, token) for token in tokens)
    return [sql[first.start : last.end + 1] for first, last in _pieces(sql, tokens, slashed=slashed)]


def _pieces(sql: str, tokens: Sequence[Token], *, slashed: bool) -> Iterator[tuple[Token, Token]]:
    """First and last token of each statement. ``slashed``: blocks end with a line of their own."""
    piece: list[Token] = []
    for number, token in enumerate(tokens):
        if _is_alone(sql, token):
            if piece:
                yield piece[0], piece[-1]
            piece = []
            continue
        after = tokens[number + 1].start if number + 1 < len(tokens) else len(sql)
        ends = token.token_type is TokenType.SEMICOLON and (after == len(sql) or "\n" in sql[token.end : after])
        if not ends or (slashed and _is_block(piece)):
            piece.append(token)
        else:
            if piece:
                yield piece[0], piece[-1]
            piece = []
    if piece:
        yield piece[0], piece[-1]


def _is_alone(sql: str, token: Token) -> bool:
    """Whether it is a ``/`` that has a line for itself."""
    if token.token_type is not TokenType.SLASH:
        return False
    before = sql[sql.rfind("\n", 0, token.start) + 1 : token.start]
    return not (before + sql[token.end + 1 :].partition("\n")[0]).strip()


def _is_block(piece: Sequence[Token]) -> bool:
    """Whether a statement that begins with these tokens is one of procedures."""
    words = [token.text.upper() for token in piece[:8]]
    if not words or words[0] in ("BEGIN", "DECLARE"):
        return bool(words)
    kind = next((word for word in words[1:] if word not in _BETWEEN), "")
    return words[0] == "CREATE" and kind in _BLOCKS
