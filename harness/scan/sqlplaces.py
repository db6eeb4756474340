"""What stands around a statement in a program: whether it is one at all, and which database it is for."""

from __future__ import annotations

import re

from harness.scan.variants import sql_named

#: A program that opens SQLite itself, and words of what opens a server.
_SQLITE = re.compile(
    r"\bsqlite3_(?:open|prepare|exec)\w*\s*\(|^[ \t]*(?:import|from)[ \t]+sqlite3\b|\brusqlite::|better-sqlite3"
    r"|\bSQLiteDatabase\b",
    re.MULTILINE,
)
_SERVERS = re.compile(r"(?i)mysql|mariadb|postgres|psycopg|\bPQexec|oracle|\bodbc|jdbc:(?!sqlite)|sqlalchemy|SQLServer")
_QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"")
_ARTICLE = re.compile(r"(?<![\w.])(?:the|this|that|your|an|these|which|will)\s+\w")
#: What a statement that begins with a word must have.
_NEEDED = {
    "update": re.compile(r"\bset\b", re.IGNORECASE),
    "delete": re.compile(
        r"\bfrom\s+[\w.`\[\]%${}]+\s*(?:$|;|\b(?:where|using|limit|order|join|as|returning)\b|\w+\s+where\b)",
        re.IGNORECASE,
    ),
    "insert": re.compile(r"\(|\b(?:select|values|set|default)\b", re.IGNORECASE),
    "select": re.compile(r"\bfrom\b|\(|\*|^\s*select\s+(?:\d|[\w.@]+\s*$)|@@|,", re.IGNORECASE),
    "create": re.compile(r"\(|\bas\b|\blike\b", re.IGNORECASE),
}
ABOVE = 200  #: lines above a statement in which a condition or a class is looked for
_CONDITION = re.compile(r"\}?\s*(?:if|elif|else\s+if|case|when|(?:[a-z]+\s+){0,3}class)\b")
_NEGATED = re.compile(r"\bnot\b|!")
#: Names of databases as they stand in conditions: is_postgres, isMySQL(), DbType.ORACLE.
_DATABASE = re.compile(
    r"(?<![a-z])(?i:mysql|mariadb|postgres(?:ql)?|pgsql|oracle|sqlite3?|mssql|sqlserver|db2)(?![a-z])"
    r"|(?:MySQL|MySql|Mysql|Postgre(?:s|SQL|Sql|sql)|Oracle|SQLite|Sqlite)"
)


def is_prose(sql: str) -> bool:
    """Whether what begins like a statement is a sentence: one in small letters that lacks what it must have, or in
    which an article stands."""
    bare = _QUOTED.sub(" ", sql)
    word = bare.split(None, 1)[0] if bare.strip() else ""
    if not word.islower():
        return False
    needed = _NEEDED.get(word)
    return bool(_ARTICLE.search(bare)) or (needed is not None and not needed.search(bare))


def opens_sqlite(text: str) -> bool:
    """Whether a program opens a database of SQLite itself, and names no other."""
    return bool(_SQLITE.search(text)) and not _SERVERS.search(text)


def asked(text: str, at: int) -> tuple[str, str]:
    """Word and family of the one database that a condition around a place asks for, or that a class is named for: a
    line above it that is indented less, as people write them in Python and in languages with braces. Empty where none
    does."""
    *above, own = text[max(0, at - 8000) : at].split("\n")
    depth = len(own) - len(own.lstrip())
    for line in reversed(above[-ABOVE:]):
        bare = line.lstrip()
        if not bare or len(line) - len(bare) >= depth:
            continue
        depth = len(line) - len(bare)
        names = {name.lower() for name in _DATABASE.findall(bare)} if _CONDITION.match(bare) else set()
        if len(names) == 1 and not _NEGATED.search(bare):
            return sql_named({"postgre": "postgresql"}.get(name := names.pop(), name))
    return "", ""


#: A class for one database among several, by the name of its file.
_DIALECT = re.compile(r"(?:[a-z0-9]Dialect|_dialect|[dD]ialects?/\w+)\.\w+$")


def named_for(place: str) -> tuple[str, str, str]:
    """Word and family of the database that a program is for by the name of its file or its folder, also of one that is
    written together (``MySQLDialect.java``); and why no other gets its SQL, where it is a dialect among others."""
    why = "a dialect for one database" if _DIALECT.search(place) else ""
    word, family = sql_named("/".join(place.split("/")[-2:]))
    names = {name.lower() for name in _DATABASE.findall(place.rpartition("/")[2])}
    if not word and len(names) == 1:
        name = names.pop()
        word, family = sql_named({"postgre": "postgresql", "postgres": "postgresql"}.get(name, name))
    return word, family, why
