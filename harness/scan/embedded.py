"""SQL inside programs and mappers."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass

#: A string in a program that is a statement.
_EMBEDDED = re.compile(
    r"""(?P<quote>\"\"\"|'''|"|'|`)(?P<sql>\s*(?:SELECT\s|INSERT\s+(?:IGNORE\s+)?INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|"""
    r"""CREATE\s+TABLE\s|ALTER\s+TABLE\s|REPLACE\s+INTO\s|MERGE\s+INTO\s)(?:(?!(?P=quote)).){4,8000})(?P=quote)""",
    re.IGNORECASE | re.DOTALL,
)
#: Statements of MyBatis mappers and the like.
_OPENING = re.compile(r"<(select|insert|update|delete|sql)\b[^<>]*>", re.IGNORECASE)
_CLOSING = re.compile(r"</(select|insert|update|delete|sql)>", re.IGNORECASE)


@dataclass(frozen=True)
class Embedded:
    """SQL in another text: its text with values for parameters, and the lines above it."""

    text: str
    above: int
    whole: bool = True  #: whether it is a statement as it is sent, and not pieced together when it runs


def embedded(text: str, languages: tuple[str, ...]) -> Iterator[Embedded]:
    """The SQL in a program or a mapper."""
    if "xml" in languages and "<mapper" not in text and "<sqlMap" not in text:
        return
    spans = _mapped(text) if "xml" in languages else (match.span("sql") for match in _EMBEDDED.finditer(text))
    lines = at = 0
    for start, end in spans:
        lines, at = lines + text.count("\n", at, start), start
        sql = text[start:end]
        if "xml" in languages:
            sql = re.sub(r"<!\[CDATA\[|\]\]>|<[^<>]+>", " ", sql)
        yield Embedded(_filled(sql), lines, whole="<" not in text[start:end])


def _filled(sql: str) -> str:
    """SQL with a value where parameters and templates stand."""
    return re.sub(r"[#$%]\{[^{}]*\}|%\(\w+\)s|%s|(?<=[\s(=,])\?", "1", sql)


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
