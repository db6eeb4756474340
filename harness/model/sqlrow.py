"""Statements of a product, and what each declared database makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

#: What is known of a statement on a database. ``refused``: rules say that it is refused or means something else there;
#: ``noted``: rules have something for information; ``clear``: it was understood whole and no rule is about it;
#: ``unknown``: no rule is about it, but it was not understood whole; ``other``: its file is for another database.
Outcome = Literal["refused", "noted", "clear", "unknown", "other"]
#: How a statement was read: by a parser, whole; word by word; as a line for a client; without its quotes.
Reading = Literal["parsed", "words", "line", "damaged"]


#: What a real server answered. ``open``: it says something of the place, and not of the statement (a table is missing).
Proof = Literal["accepted", "refused", "open", "not-sent"]


@dataclass(frozen=True, kw_only=True)
class SqlHit:
    """A rule that is about a statement; ``what`` and ``role`` as the rule finds it."""

    rule: str
    what: str
    role: str = ""


@dataclass(frozen=True, kw_only=True)
class Rewriting:
    """A statement as sqlglot writes it for another dialect, and the rules that are about it then."""

    text: str
    hits: tuple[SqlHit, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SqlStatement:
    """A statement as it was read, before it is known which databases are declared."""

    place: str
    line: int
    text: str
    dialect: str
    basis: str  #: how the dialect is known: named, recognised, declared, guessed, unknown
    reading: Reading
    whole: bool = True  #: whether this is the statement as it is sent, all of it
    word: str = ""
    family: str = ""
    hits: tuple[SqlHit, ...] = ()
    rewritings: dict[str, Rewriting] = field(default_factory=dict)  #: by what sqlglot calls the dialect


@dataclass(frozen=True, kw_only=True)
class SqlAnswer:
    """What is known of a statement on a database; ``rewriting``: as it may be written there, by sqlglot, never run."""

    database: str
    mode: str
    outcome: Outcome
    rules: tuple[str, ...] = ()
    whats: tuple[str, ...] = ()
    rewriting: str = ""
    proof: Proof | None = None  #: what a server answered, where one was asked
    said: str = ""  #: its words; ``planned`` where it planned the statement only, ``run`` where it ran it


@dataclass(frozen=True, kw_only=True)
class SqlRow:
    """A statement and the databases."""

    statement: SqlStatement
    answers: tuple[SqlAnswer, ...]


def sql_record(row: SqlRow) -> dict[str, Any]:
    """The stable shape of a row in JSON."""
    statement = row.statement
    return {
        "file": statement.place,
        "line": statement.line,
        "statement": statement.text,
        "dialect": statement.dialect,
        "basis": statement.basis,
        "reading": statement.reading,
        "databases": [
            {
                "database": answer.database,
                "mode": answer.mode,
                "outcome": answer.outcome,
                "rules": list(answer.rules),
                "words": list(answer.whats),
                "rewriting": answer.rewriting,
                **({"proof": answer.proof, "said": answer.said} if answer.proof is not None else {}),
            }
            for answer in row.answers
        ],
    }
