"""Names and types of columns as they are written, by tokens: databases have clauses that no parser knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.scan.sqltokens import Statement

#: What begins a part of a CREATE TABLE that is no column.
_NO_COLUMN = frozenset(
    "CONSTRAINT PRIMARY UNIQUE FOREIGN CHECK KEY INDEX FULLTEXT SPATIAL LIKE PERIOD EXCLUDE CLUSTER NOT DEFAULT "
    "PARTITION".split()
)
#: Of these also columns are named: by what stands behind them it is known.
_EITHER = frozenset(("KEY", "INDEX", "PERIOD", "CHECK", "CLUSTER", "LIKE", "DEFAULT", "PARTITION"))
_TYPES = frozenset(
    "INT INTEGER TINYINT SMALLINT MEDIUMINT BIGINT NUMBER NUMERIC DECIMAL DEC FLOAT REAL DOUBLE BIT BOOL BOOLEAN CHAR "
    "VARCHAR VARCHAR2 NVARCHAR NVARCHAR2 NCHAR TEXT TINYTEXT MEDIUMTEXT LONGTEXT CLOB NCLOB BLOB DATE DATETIME TIME "
    "TIMESTAMP JSON JSONB UUID SERIAL BIGSERIAL BINARY VARBINARY BYTEA".split()
)
#: Words that stand for a value.
_VALUES = frozenset(
    "NULL TRUE FALSE DEFAULT USER UID LEVEL ROWNUM ROWID SYSDATE SYSTIMESTAMP CURRENT_DATE CURRENT_TIME CURRENT_USER "
    "CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP SESSION_USER SYSTEM_USER CURRENT_ROLE UTC_DATE UTC_TIME UTC_TIMESTAMP "
    "DUAL ALL DISTINCT".split()
)
#: Second words of types of two.
_SECOND = {
    ("DOUBLE", "PRECISION"),
    ("LONG", "RAW"),
    ("CHARACTER", "VARYING"),
    ("CHAR", "VARYING"),
    ("NATIONAL", "CHAR"),
}


@dataclass(frozen=True)
class Column:
    """A column that a statement defines: its name, and its type as it is written."""

    name: str
    quoted: bool
    kind: str
    token: int  #: number of the token of its name
    line: int

    @property
    def type(self) -> str:
        """The type in upper case, without its length."""
        return re.sub(r"\(.*", "", self.kind).strip().upper()


@dataclass(frozen=True)
class Naming:
    """A word without quotes that stands where a name stands. ``role``: column (of a definition), inserted (of the list
    of an INSERT), assigned (of an UPDATE), selected, alias."""

    word: str
    role: str
    token: int


def columns(statement: Statement) -> list[Column]:
    """Columns that a CREATE TABLE or ALTER TABLE defines."""
    words = [token.text.upper() for token in statement.tokens[:7]]
    if words[0] not in ("CREATE", "ALTER") or "TABLE" not in words:
        return []
    return list(_created(statement) if words[0] == "CREATE" else _altered(statement))


def _created(statement: Statement) -> Iterator[Column]:
    """Of each part in the parentheses the first words."""
    tokens = statement.tokens
    opening = next((i for i, token in enumerate(tokens) if token.text == "("), len(tokens))
    depth, begins = 0, True
    for number in range(opening, len(tokens)):
        text = tokens[number].text
        depth += {"(": 1, ")": -1}.get(text, 0)
        if depth == 0:
            return
        if begins and text not in ("(", ","):
            begins = False
            if (column := _column_at(statement, number)) is not None:
                yield column
        elif depth == 1 and text in ("(", ","):
            begins = True


def inline_keys(statement: Statement) -> Iterator[int]:
    """KEY and INDEX among the columns of a CREATE TABLE: numbers of their tokens."""
    words = [token.text.upper() for token in statement.tokens]
    if words[0] != "CREATE" or "TABLE" not in words[:7]:
        return
    named = {column.token for column in columns(statement)}
    depth = 0
    for number, word in enumerate(words[:-1]):
        depth += {"(": 1, ")": -1}.get(word, 0)
        begins = depth == 1 and words[number - 1] in ("(", ",")
        if word in ("KEY", "INDEX") and number not in named and (begins or words[number - 1] == "UNIQUE"):
            yield number


def _altered(statement: Statement) -> Iterator[Column]:
    """Behind ADD, MODIFY, ALTER COLUMN and CHANGE COLUMN OLD."""
    tokens = statement.tokens
    for number in range(2, len(tokens) - 2):
        word = tokens[number].text.upper()
        at = number + 1
        if word in ("ADD", "MODIFY", "CHANGE"):
            while at < len(tokens) - 1 and tokens[at].text.upper() in ("COLUMN", "(", "IF", "NOT", "EXISTS"):
                at += 1
            if word == "CHANGE":
                at += 1
            if at < len(tokens) - 1 and (column := _column_at(statement, at)) is not None:
                yield column


def _column_at(statement: Statement, number: int) -> Column | None:
    """The column that is defined from a token on; None where something else is."""
    tokens = statement.tokens
    if number + 1 >= len(tokens):
        return None
    token = tokens[number]
    quoted = statement.quote_of(token) in ("`", '"', "[")
    word = token.text.upper()
    if not quoted and word in _NO_COLUMN and not (word in _EITHER and _is_type(statement, number + 1)):
        return None
    if tokens[number + 1].text in (",", ")", "("):
        return None
    return Column(token.text, quoted, _kind(tokens, number + 1), number, token.line)


def _is_type(statement: Statement, number: int) -> bool:
    """Whether a type stands there, and not the name of an index: that has columns in its parentheses."""
    tokens = statement.tokens
    if tokens[number].text.upper() not in _TYPES or not _plain(statement, number):
        return False
    behind = [token.text for token in tokens[number + 1 : number + 3]]
    return len(behind) < 2 or behind[0] != "(" or behind[1].isdigit() or behind[1].upper() == "MAX"


def _kind(tokens: list[Any], number: int) -> str:
    """The type that stands there, with its length."""
    kind = str(tokens[number].text)
    at = number + 1
    if at < len(tokens) and (kind.upper(), tokens[at].text.upper()) in _SECOND:
        kind += f" {tokens[at].text}"
        at += 1
    if at < len(tokens) and tokens[at].text == "(":
        inside = next((i for i in range(at, min(len(tokens), at + 400)) if tokens[i].text == ")"), at)
        kind += " ".join(token.text for token in tokens[at : inside + 1]).replace("( ", "(").replace(" )", ")")
    return kind[:80]


def namings(statement: Statement) -> Iterator[Naming]:
    """Words without quotes that are names by their place, whatever they mean elsewhere."""
    for column in columns(statement):
        if not column.quoted:
            yield Naming(column.name.upper(), "column", column.token)
    first = statement.tokens[0].text.upper()
    if first in ("INSERT", "REPLACE", "MERGE"):
        yield from _inserted(statement)
    if first == "UPDATE":
        yield from _assigned(statement)
    if first in ("SELECT", "WITH", "INSERT"):
        yield from _selected(statement)
    yield from _aliases(statement)


def _plain(statement: Statement, number: int) -> bool:
    """Whether a token is a word without quotes."""
    token = statement.tokens[number]
    return statement.quote_of(token).isalpha() and token.text.replace("_", "a").isalnum()


def _inserted(statement: Statement) -> Iterator[Naming]:
    """The list of columns behind INSERT INTO and a name."""
    tokens = statement.tokens
    into = next((i for i, token in enumerate(tokens[:6]) if token.text.upper().endswith("INTO")), None)
    if into is None:
        return
    at = into + 2
    while at + 1 < len(tokens) and tokens[at].text == ".":
        at += 2
    if at >= len(tokens) or tokens[at].text != "(":
        return
    for number in range(at + 1, len(tokens)):
        if tokens[number].text in (")", "("):
            return
        between = tokens[number - 1].text in ("(", ",") and number + 1 < len(tokens)
        if between and tokens[number + 1].text in (",", ")") and _plain(statement, number):
            yield Naming(tokens[number].text.upper(), "inserted", number)


def _assigned(statement: Statement) -> Iterator[Naming]:
    """What stands between SET or a comma and =, before WHERE."""
    tokens = statement.tokens
    depth, setting = 0, False
    for number in range(1, len(tokens) - 1):
        word = tokens[number].text.upper()
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth == 0 and word == "SET":
            setting = True
        elif depth == 0 and word in ("WHERE", "FROM"):
            return
        elif (
            setting
            and depth == 0
            and tokens[number + 1].text == "="
            and tokens[number - 1].text.upper() in ("SET", ",")
        ) and _plain(statement, number):
            yield Naming(word, "assigned", number)


def _selected(statement: Statement) -> Iterator[Naming]:
    """Words that are an item of a list of a SELECT by themselves. Those that are values too are left out."""
    texts = [token.text.upper() for token in statement.tokens]
    for number in range(1, len(texts) - 1):
        alone = texts[number - 1] in ("SELECT", "DISTINCT", ",") and texts[number + 1] in (",", "FROM")
        if alone and texts[number] not in _VALUES and _plain(statement, number):
            yield Naming(texts[number], "selected", number)


def _aliases(statement: Statement) -> Iterator[Naming]:
    """What stands behind AS where an item of a list ends with it. A type in CAST does not: it is left out."""
    tokens = statement.tokens
    opened: list[str] = []
    for number, token in enumerate(tokens[:-1]):
        word = token.text.upper()
        if word == "(":
            opened.append(tokens[number - 1].text.upper() if number else "")
        elif word == ")" and opened:
            opened.pop()
        elif (
            word == "AS" and number and (not opened or opened[-1] not in ("CAST", "TRY_CAST", "XMLTABLE", "JSON_TABLE"))
        ):
            behind = tokens[number + 2].text.upper() if number + 2 < len(tokens) else ""
            ends = behind in ("", ",", ")", "FROM") and tokens[0].text.upper() not in ("CREATE", "ALTER")
            if ends and _plain(statement, number + 1):
                yield Naming(tokens[number + 1].text.upper(), "alias", number + 1)
