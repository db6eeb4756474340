"""Shapes of statements that no sequence of words shows: which tables are changed, what stands in double quotes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from harness.scan.sqlcolumns import columns, inline_keys
from harness.scan.sqltokens import Statement

#: Behind these a value stands in double quotes, where it is no name.
_BEFORE_VALUE = frozenset(
    ("=", "<>", "!=", "<", ">", "<=", ">=", "LIKE", "DEFAULT", "THEN", "ELSE", "COMMENT", "REGEXP")
)
_NAME = re.compile(r"[A-Za-z_\u4e00-\u9fff][\w$#]*")


def _texts(statement: Statement) -> list[str]:
    return [token.text.upper() for token in statement.tokens]


def _top(words: list[str], last: int | None = None) -> Iterator[tuple[int, str]]:
    """Words outside of parentheses, with their numbers."""
    depth = 0
    for number, word in enumerate(words[:last]):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth == 0:
            yield number, word


def _update_join(statement: Statement) -> Iterator[int]:
    """UPDATE of several tables before SET."""
    words = _texts(statement)
    if words[0] != "UPDATE":
        return
    for number, word in _top(words):
        if word == "SET":
            return
        if word in ("JOIN", ",") or word.endswith(" JOIN"):
            yield number
            return


def _delete_join(statement: Statement) -> Iterator[int]:
    """DELETE that names the tables to delete from before FROM."""
    words = _texts(statement)
    if words[0] != "DELETE" or len(words) < 4 or words[1] in ("FROM", "TOP", "("):
        return
    for number, word in _top(words):
        if word in ("WHERE", "SELECT", "RETURNING"):
            return
        if word == "FROM" and number > 1 and words[number - 1] not in ("LOW_PRIORITY", "QUICK", "IGNORE"):
            yield number
            return


def _change_limit(statement: Statement) -> Iterator[int]:
    """UPDATE or DELETE with LIMIT or ORDER BY."""
    words = _texts(statement)
    if words[0] in ("UPDATE", "DELETE"):
        for number, word in _top(words):
            if word == "LIMIT":
                yield number
                return


def _update_from(statement: Statement) -> Iterator[int]:
    """UPDATE … SET … FROM."""
    words = _texts(statement)
    if words[0] != "UPDATE":
        return
    setting = False
    for number, word in _top(words):
        setting |= word == "SET"
        if setting and word == "FROM" and words[number - 1] not in ("DISTINCT",):
            yield number
            return


def _if_function(statement: Statement) -> Iterator[int]:
    """IF( … ) as a function, which is no IF of a procedure."""
    words = _texts(statement)
    if words[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"):
        yield from (i for i in range(1, len(words) - 1) if words[i] == "IF" and words[i + 1] == "(")


def double_quoted(statement: Statement) -> tuple[list[int], list[int], bool]:
    """Numbers of tokens in double quotes that are strings for sure, of those that are strings unless they name columns,
    and whether others are names."""
    sure, likely, names = [], [], False
    texts = _texts(statement)
    opened: list[str] = []
    for number, token in enumerate(statement.tokens):
        word = texts[number]
        if statement.quote_of(token) != '"':
            if word == "(":
                before = texts[number - 1] if number else ""
                opened.append("VALUES" if before == "VALUES" or (before == "," and opened == []) else before)
            elif word == ")" and opened:
                opened.pop()
            continue
        before = texts[number - 1] if number else ""
        value = before in _BEFORE_VALUE and (statement.quote_of(statement.tokens[number - 1]) not in ('"', "'", "`"))
        in_values = bool(opened) and opened[-1] == "VALUES" and before in ("(", ",")
        in_list = bool(opened) and opened[-1] == "IN" and before in ("(", ",")
        if (
            in_values
            or ((value or in_list) and not _NAME.fullmatch(token.text))
            or (value and before in ("LIKE", "COMMENT"))
        ):
            sure.append(number)
        elif (value or in_list) and (number + 1 >= len(texts) or texts[number + 1] not in (".", "(")):
            likely.append(number)
        else:
            names = True
    return sure, likely, names


#: Name in rules -> numbers of tokens at which it is.
_LONG = re.compile(r"(?:TINY|MEDIUM|LONG)?(?:TEXT|BLOB)$")


def _text_key(statement: Statement) -> Iterator[int]:
    """A key on a column of long texts that says no length: the column, or its name in the list of the key."""
    words = _texts(statement)
    if words[0] != "CREATE" or "TABLE" not in words[:4]:
        return
    long = {column.token for column in columns(statement) if _LONG.match(column.type)}
    names = {words[token] for token in long}
    depth, key, part = 0, "", -1
    for number, word in enumerate(words):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if number in long:
            part = number
        elif depth == 1 and word in (",", "("):
            key, part = "", -1
        elif depth == 1 and re.search(r"\b(?:KEY|UNIQUE|INDEX|REFERENCES|FULLTEXT|SPATIAL)$", word):
            key = key if key in ("FULLTEXT", "SPATIAL", "REFERENCES") else word
            if part >= 0 and key not in ("FULLTEXT", "SPATIAL", "REFERENCES"):
                yield part
                part = -1
        elif depth == 2 and key not in ("", "FULLTEXT", "SPATIAL", "REFERENCES") and word in names:
            alone = words[number - 1] in ("(", ",") and words[number + 1 : number + 2] != ["("]
            yield from [number] if alone else []


SHAPES: dict[str, Callable[[Statement], Iterator[int]]] = {
    "update-join": _update_join,
    "delete-join": _delete_join,
    "change-limit": _change_limit,
    "update-from": _update_from,
    "if-function": _if_function,
    "inline-key": inline_keys,
    "text-key": _text_key,
}
