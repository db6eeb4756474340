"""Which dialect SQL is written in: by the name of its file, by what a program wrote at its head, or by its words."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Family, or another database that files are named for -> what sqlglot calls its dialect.
DIALECTS = {
    "mysql": "mysql",
    "postgresql": "postgres",
    "oracle": "oracle",
    "sqlite": "sqlite",
    "mssql": "tsql",
}
HEAD = 4000  #: characters at the beginning in which programs say who wrote it
#: What programs write at the head of what they export -> dialect.
_HEADS = (
    (
        re.compile(
            r"^-- (?:MySQL|MariaDB) dump |^-- Dump of table|^/\*!\d{5} SET |Source Server Type\s*:\s*(?:MySQL|MariaDB)"
            r"|^-- phpMyAdmin SQL Dump|^-- Server version\s+\d.*(?:MySQL|MariaDB)",
            re.M,
        ),
        "mysql",
    ),
    (
        re.compile(
            r"^-- PostgreSQL database (?:cluster )?dump|^\\echo Use \"(?:CREATE|ALTER) EXTENSION"
            r"|^-- Dumped from database version|^\\connect "
            r"|Source Server Type\s*:\s*PostgreSQL",
            re.M,
        ),
        "postgres",
    ),
    (
        re.compile(
            r"^--  ?DDL for (?:Table|Index|Sequence|View)|^REM +INSERTING into|^SET DEFINE OFF|^prompt PL/SQL Developer"
            r"|^prompt Importing table|Source Server Type\s*:\s*Oracle",
            re.M | re.I,
        ),
        "oracle",
    ),
    (re.compile(r"^PRAGMA foreign_keys ?= ?OFF;|Source Server Type\s*:\s*SQLite", re.M | re.I), "sqlite"),
    (re.compile(r"^/\*+ Object: +|^SET ANSI_NULLS ON|^USE \[|Source Server Type\s*:\s*SQL Server", re.M), "tsql"),
    (
        re.compile(
            r"^-- This CLP file was created using DB2LOOK|^CONNECT TO \w+( USER \w+)?;|Source Server Type\s*:\s*DB2",
            re.M,
        ),
        "db2",
    ),
)
#: Words of a text that nothing else tells the dialect of.
_HINTS = (
    ("mysql", re.compile(r"`|AUTO_INCREMENT|\bENGINE\s*=|ON\s+DUPLICATE\s+KEY", re.IGNORECASE)),
    (
        "oracle",
        re.compile(
            r"\(\+\)|VARCHAR2|\bNUMBER\s*\(|\bFROM\s+DUAL\b|\bNVL2?\s*\(|CONNECT\s+BY|\bSYSDATE\b|\.NEXTVAL\b"
            r"|^/[ \t]*$",
            re.IGNORECASE | re.MULTILINE,
        ),
    ),
    ("postgres", re.compile(r"::\w|\$\$|\b(?:BIG)?SERIAL\b|\bILIKE\b|\bTEXT\[\]|\bBYTEA\b|\bJSONB\b", re.IGNORECASE)),
    ("sqlite", re.compile(r"\bAUTOINCREMENT\b|\bPRAGMA\b|WITHOUT\s+ROWID", re.IGNORECASE)),
    (
        "tsql",
        re.compile(
            r"^\s*GO[ \t\r]*$|\bGETDATE\s*\(|\bNVARCHAR\s*\(\s*MAX|\bIDENTITY\s*\(\s*\d|\bSELECT\s+TOP\b"
            r"|\[dbo\]|\[\w+\]\s+\[",
            re.IGNORECASE | re.MULTILINE,
        ),
    ),
)


@dataclass(frozen=True)
class Dialect:
    """What sqlglot calls a dialect, empty where it has none, and how it is known: ``named`` by the file, ``recognised``
    by its head, ``declared`` by the application, ``guessed`` by words, ``unknown``."""

    name: str
    basis: str

    @property
    def tokenized_as(self) -> str:
        """The dialect that it is tokenised in; empty where nothing tells."""
        return "" if self.name == "db2" else self.name


def guessed(text: str) -> str:
    """What sqlglot calls the dialect that a text is likely of; empty for standard SQL."""
    return next((dialect for dialect, hint in _HINTS if hint.search(text)), "")


def dialect_of(text: str, family: str, declared: str = "") -> Dialect:
    """The dialect of a text. ``family``: of the database that its file is named for; ``declared``: dialect that the
    application says its SQL is in."""
    if family in DIALECTS:
        return Dialect(DIALECTS[family], "named")
    if family == "db2":
        return Dialect("db2", "named")
    head = text[:HEAD]
    for pattern, dialect in _HEADS:
        if pattern.search(head):
            return Dialect(dialect, "recognised")
    if declared:
        return Dialect(DIALECTS.get(declared, declared), "declared")
    dialect = guessed(text)
    return Dialect(dialect, "guessed" if dialect else "unknown")
