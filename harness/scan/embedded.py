"""SQL inside other texts: strings of programs, annotations of JPA and MyBatis, mappers, changes of Liquibase."""

from __future__ import annotations

import bisect
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from harness.scan.languages import remarks
from harness.scan.sqlplaces import asked, is_prose, named_for, opens_sqlite
from harness.scan.variants import sql_named

LONGEST = 8000  #: characters of a statement in a program
PARTS = 300  #: strings that one statement is put together of
#: What begins a statement, behind a quote. A word in capitals and small letters begins a sentence.
_BEGINS = re.compile(
    r"""(?<![\\\w])["'`]\s*(?P<word>SELECT\s|INSERT\s+(?:IGNORE\s+)?INTO\s|UPDATE\s+[\w.`"\[]|DELETE\s+(?:[\w.]+\s+)?FROM\s|"""
    r"""CREATE\s+TABLE\s|ALTER\s+TABLE\s|REPLACE\s+INTO\s|MERGE\s+INTO\s|WITH\s+\w+\s+AS\s*\()""",
    re.IGNORECASE,
)
_PLAIN = {quote: re.compile(rf"(?:[^\\\n{quote}]|\\.){{0,{LONGEST}}}", re.DOTALL) for quote in "\"'`"}
_VERBATIM = re.compile(rf'(?:[^"]|""){{0,{LONGEST}}}')
#: What stands between strings of one statement, up to the quote of the next one: with a value in between, or without.
_BETWEEN = re.compile(
    r"""(?P<gap>\s*(?:(?:\\\n)?\s*(?:[+.]\s*(?P<value>[\w.()\[\]?:$>\s-]{1,80}?)\s*[+.]\s*|[+.]\s*)|\)\s*(?:;\s*\w+\s*)?\.\s*append\s*\(\s*)?)"""
    r"""(?:[fFrRuUbB]{0,2}|\$?@?)?(?=["'`])"""
)
_JPQL = re.compile(r"(?:@(?:Named)?Query\s*\((?:[^()\"]|\"[^\"\n]*\"\s*,)*|create(?:Named)?Query\s*\(\s*)$")
_NATIVE = re.compile(r"nativeQuery\s*=\s*true", re.IGNORECASE)
#: Names of tables and columns in annotations.
_NAMED = re.compile(
    r"@(?:Table|Column|JoinColumn|TableField|TableName|TableId)\s*\(\s*(?:(?:value|name)\s*=\s*)?\"(?P<name>\w+)\"|"
    r"@(?:Column|Table|JoinColumn)\s*\([^()\"]*\bname\s*=\s*\"(?P<other>\w+)\""
)
#: Statements of MyBatis mappers and the like.
_OPENING = re.compile(r"<(select|insert|update|delete|sql)\b[^<>]*>", re.IGNORECASE)
_CLOSING = re.compile(r"</(select|insert|update|delete|sql)>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"\b(?:databaseId|dbms)\s*=\s*[\"']([\w, -]*)[\"']")
_YAML_SQL = re.compile(r"^(?P<indent>[ \t]*)(?:- )?(?P<key>sql|dbms):[ \t]*(?P<rest>[^\n]*)$", re.MULTILINE)
_CHANGESET = re.compile(r"^--[ \t]*changeset[ \t][^\n]*", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Embedded:
    """SQL in another text: with values for its parameters, and the lines above it. ``word`` and ``family``: of the
    database that it is for, as ``sql_named`` has them."""

    text: str
    above: int
    whole: bool = True  #: whether it is a statement as it is sent, and not pieced together when the program runs
    word: str = ""
    family: str = ""
    name: str = ""  #: of a table or a column; there is no statement then
    why: str = ""  #: why no other database gets it
    program: bool = False  #: whether it is a string of a program

    @property
    def is_cut(self) -> bool:
        """Whether it is a string that ends within quotes: the program puts the rest behind it."""
        return self.program and any(self.text.count(quote) % 2 for quote in "'\"`")


def embedded(text: str, languages: tuple[str, ...], place: str = "") -> Iterator[Embedded]:
    """The SQL in a program, a mapper or a list of changes. ``place``: of a program, whose name may say a database."""
    if "xml" in languages:
        if "<mapper" in text or "<sqlMap" in text or "<databaseChangeLog" in text:
            yield from _of_xml(text)
    elif "yaml" in languages:
        if "databaseChangeLog" in text:
            yield from _of_yaml(text)
    else:
        yield from _of_program(text, languages, place)
        if "java" in languages and "@" in text:
            yield from _names(text)


def changesets(text: str) -> list[Embedded]:
    """The parts of an SQL file; those of Liquibase that are for one database (``dbms:``) say so."""
    if "--liquibase formatted sql" not in text[:400].lower():
        return [Embedded(text, 0)]
    starts = [0, *(match.start() for match in _CHANGESET.finditer(text))]
    parts = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        named = re.search(r"\bdbms:([\w,]+)", text[start:end].partition("\n")[0])
        word, family = sql_named(named[1]) if named is not None and "," not in named[1] else ("", "")
        parts.append(Embedded(text[start:end], text.count("\n", 0, start), word=word, family=family))
    return parts


def _of_program(text: str, languages: tuple[str, ...], place: str) -> Iterator[Embedded]:
    lines = at = past = 0
    spans = remarks(place, text, languages)
    local = opens_sqlite(text)
    *named, dialect = named_for(place)
    for match in _BEGINS.finditer(text):
        first = match["word"].split()[0]
        if match.start() < past or not (first.isupper() or first.islower()):
            continue
        sql, past, whole = _joined(text, match.start())
        if _JPQL.search(text[max(0, match.start() - 200) : match.start()]) and not _NATIVE.search(
            text[past : past + 300]
        ):
            continue
        lines, at = lines + text.count("\n", at, match.start()), match.start()
        spot = bisect.bisect_right(spans, (match.start(), len(text))) - 1
        if (spot >= 0 and match.start() < spans[spot][1]) or is_prose(sql):
            continue
        if len(sql) > len(match["word"]) + 4:
            word, family = asked(text, match.start())
            why = "the program opens SQLite itself" if local else f"where the database is {word}" if word else dialect
            yield Embedded(_filled(sql), lines, whole, word or named[0], family or named[1], why=why, program=True)


def _joined(text: str, start: int) -> tuple[str, int, bool]:
    """A statement from the quote of its first string on, where it ends, and whether no value is put in between."""
    parts: list[str] = []
    whole, at = True, start
    for _ in range(PARTS):
        content, at = _string(text, at)
        parts.append(content)
        between = _BETWEEN.match(text, at)
        if between is None or sum(map(len, parts)) > LONGEST:
            break
        value = between["value"]
        if value is not None:
            whole = False
            parts.append("1" if parts[-1].rstrip().endswith(("=", "(", ",", ">", "<")) else "x1")
        parts.append("\n" * between["gap"].count("\n") or " ")
        at = between.end()
    return "".join(parts), at, whole


def _string(text: str, at: int) -> tuple[str, int]:
    """Content of a string from its quote on, without its escapes, and where it ends."""
    quote = text[at]
    triple = text[at - 2 : at + 1] == quote * 3 or text[at : at + 3] == quote * 3
    if triple or (quote == "`" and "\\" not in text[at : at + 200]):
        mark = quote * 3 if triple else quote
        begin = at + 1 if text[at - 2 : at + 1] == quote * 3 or not triple else at + 3
        end = text.find(mark, begin, begin + LONGEST)
        end = min(len(text), begin + LONGEST) if end < 0 else end
        return text[begin:end], end + len(mark)
    if quote == '"' and text[max(0, at - 2) : at].endswith("@"):
        match = _VERBATIM.match(text, at + 1)
        assert match is not None
        return match[0].replace('""', '"'), match.end() + 1
    match = _PLAIN[quote].match(text, at + 1)
    assert match is not None
    return re.sub(r"\\(.)", _unescaped, match[0], flags=re.DOTALL), match.end() + 1


def _unescaped(match: re.Match[str]) -> str:
    return {"n": " ", "t": " ", "r": " "}.get(match[1], match[1])


def _names(text: str) -> Iterator[Embedded]:
    """Names in annotations that no quote is written in."""
    for match in _NAMED.finditer(text):
        yield Embedded(match[0][:120], text.count("\n", 0, match.start()), name=match["name"] or match["other"])


def _of_xml(text: str) -> Iterator[Embedded]:
    text = re.sub(r"<!--.*?-->", lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)
    lines = at = 0
    for opening, start, end in _mapped(text):
        lines, at = lines + text.count("\n", at, start), start
        sql = text[start:end]
        whole = "<" not in sql.replace("<![CDATA[", "")
        sql = re.sub(r"</?selectKey\b[^<>]*>", _semicolon, re.sub(r"<!\[CDATA\[|\]\]>", " ", sql))
        named = _ATTRIBUTE.search(opening)
        word, family = sql_named(named[1]) if named is not None and "," not in named[1] else ("", "")
        plain = html.unescape(re.sub(r"</?[A-Za-z][^<>]*>", _blank, sql))
        yield Embedded(_filled(plain), lines, whole, word, family)


def _semicolon(match: re.Match[str]) -> str:
    return ";" + "\n" * match[0].count("\n")


def _blank(match: re.Match[str]) -> str:
    return " " + "\n" * match[0].count("\n")


def _of_yaml(text: str) -> Iterator[Embedded]:
    """Values of ``sql`` in a list of changes, plain or as a block."""
    for match in _YAML_SQL.finditer(text):
        if match["key"] != "sql":
            continue
        above, rest = text.count("\n", 0, match.start()), match["rest"].strip()
        if rest and rest[0] not in "|>":
            yield Embedded(_filled(rest.strip("\"'")), above)
        elif rest:
            block = []
            for line in text[match.end() + 1 :].split("\n"):
                if line.strip() and len(line) - len(line.lstrip()) <= len(match["indent"]):
                    break
                block.append(line)
            yield Embedded(_filled("\n".join(block)), above + 1)


def _filled(sql: str) -> str:
    """SQL with a value where parameters and templates stand."""
    sql = re.sub(r"'?[#$%]\{[^{}]*\}'?|'?%\(\w+\)s'?|'?%s'?|(?<=[\s(=,])\?\d*|\{\d+\}", "1", sql)
    return re.sub(r"(?<=[\s(=,]):(?=[A-Za-z])(\w+)", "1", sql)


def _mapped(text: str) -> Iterator[tuple[str, int, int]]:
    """Start tag of each statement of a mapper, and where its content begins and ends, up to the next end tag.

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
            yield opening[0], opening.end(), after[next_one].start()
