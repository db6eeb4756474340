"""SQL of a product against databases in their modes: what is found, and what is right there and must not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DefinitionError, UsageError
from harness.model.finding import Finding, Targets
from harness.scan import sql
from harness.scan.gathering import Facts
from harness.scan.languages import languages_of
from harness.scan.sqldialects import dialect_of
from harness.scan.sqltokens import statements
from tests.unit.test_scan_command import run
from tests.unit.test_scan_rules import RULES, TARGETS


def found(text: str, *databases: str, name: str = "a.sql", declared: str = "") -> list[Finding]:
    """Findings about one text, for databases as NAME or NAME:MODE."""
    named = {}
    for each in databases:
        entry, _, mode = each.partition(":")
        named[entry] = TARGETS.databases[entry].in_mode(mode) if mode else TARGETS.databases[entry]
    targets, facts = Targets(databases=named, dialect=declared), Facts()
    reader = sql.Reader(RULES, named.values(), declared)
    reader.families, reader.words = facts.families, facts.words
    facts.sqls += reader.read(name, text, languages_of(name, text))
    return [
        each
        for rule in RULES
        if rule.detect == "sql"
        for each in sql.findings(rule, [fact for fact in facts.sqls if fact.rule == rule.id], targets, facts)
    ]


def rules(text: str, *databases: str, name: str = "a.sql", declared: str = "") -> set[tuple[str, int]]:
    """Rule and line of each finding that warns."""
    return {(each.rule, each.line) for each in found(text, *databases, name=name, declared=declared) if warns(each)}


def warns(finding: Finding) -> bool:
    return finding.severity != "info"


# --- modes ---

MYSQL = "INSERT INTO `job` (id) VALUES (1) ON DUPLICATE KEY UPDATE n = IFNULL(n, 0) + 1;\n"
ORACLE = "SELECT NVL(a, 0) FROM t, u WHERE t.id = u.id (+) AND ROWNUM < 3;\n"


@pytest.mark.parametrize(
    ("text", "database", "names"),
    [
        (MYSQL, "kingbase-v8:mysql", set()),
        (MYSQL, "kingbase-v8:oracle", {"SQL-1", "SQL-5", "SQL-9"}),
        (MYSQL, "kingbase-v8:pg", {"SQL-1", "SQL-5", "SQL-9"}),
        (MYSQL, "opengauss:b", set()),
        (MYSQL, "opengauss", {"SQL-1", "SQL-9"}),
        (MYSQL, "dameng-dm8", {"SQL-1", "SQL-5"}),
        (ORACLE, "kingbase-v8", set()),
        (ORACLE, "kingbase-v8:pg", {"SQL-6", "SQL-10"}),
        (ORACLE, "opengauss", set()),
        (ORACLE, "opengauss:pg", {"SQL-6"}),
        (ORACLE, "oceanbase:oracle", set()),
        (ORACLE, "oceanbase", {"SQL-6", "SQL-10"}),
        ("SELECT a || b FROM t;\n", "kingbase-v8:mysql", {"SQL-26"}),
        ("SELECT a || b FROM t;\n", "kingbase-v8", set()),
        ("CREATE SEQUENCE s;\nSELECT s.NEXTVAL FROM dual;\n", "mariadb", {"SQL-23"}),
        ("SELECT a FROM t WHERE b = '';\n", "dameng-dm8", set()),
        ("SELECT a FROM t WHERE b = '';\n", "dameng-dm8:oracle", {"SQL-7"}),
        ("SELECT a FROM t WHERE b = '';\n", "opengauss:pg", set()),
    ],
)
def test_a_statement_is_held_against_a_database_in_its_mode(text: str, database: str, names: set[str]) -> None:
    assert {rule for rule, _ in rules(text, database)} == names


def test_the_same_length_counts_bytes_in_one_mode_and_characters_in_another() -> None:
    text = "CREATE TABLE t (a VARCHAR(20), b VARCHAR(20 CHAR));\n"
    for database, lines in (("opengauss", 1), ("opengauss:b", 0), ("kingbase-v8", 0), ("dameng-dm8", 1)):
        assert len([each for each in found(text, database) if each.rule == "SQL-14"]) == lines, database


def test_a_finding_about_a_type_says_what_the_target_calls_it() -> None:
    (finding,) = found("CREATE TABLE t (a MEDIUMINT);\n", "dameng-dm8", "opengauss")
    assert finding.message == "a MEDIUMINT; MEDIUMINT: INT (dameng-dm8); MEDIUMINT: INTEGER (opengauss)"


def test_a_mode_is_named_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(MYSQL)
    for target, codes in (("kingbase-v8:mysql", False), ("kingbase-v8", True)):
        assert ("SQL-1" in run(tmp_path, "--target", f"database={target}").stdout) is codes
    wrong = run(tmp_path, "--target", "database=kingbase-v8:mysq")
    assert isinstance(wrong.exception, UsageError)
    assert "no mode 'mysq'; its modes: oracle, mysql, pg, sqlserver" in str(wrong.exception)
    assert isinstance(run(tmp_path, "--target", "database=sqlite:x").exception, UsageError)


def test_a_matrix_names_the_mode(folder: Any) -> None:
    (folder.root / "a.sql").write_text(MYSQL)
    folder.change("application", scan=["a.sql"])
    axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["kingbase-v8", "mariadb"]}
    folder.change("matrix", suites=["compat/lifecycle", "static/porting"], axes=axes)
    assert "SQL-1" in run("--matrix", folder.root).stdout
    folder.change("matrix", modes={"kingbase-v8": "mysql"})
    assert "SQL-1" not in run("--matrix", folder.root).stdout
    folder.change("matrix", modes={"kingbase-v8": "mysqll", "mariadb": "x", "tidb": "y"})
    told = run("--matrix", folder.root)
    assert isinstance(told.exception, DefinitionError)
    for words in ("kingbase-v8 has no such mode", "mariadb has no such mode", "no axis names the database tidb"):
        assert words in str(told.exception)


# --- dialects ---


@pytest.mark.parametrize(
    ("text", "name", "declared", "dialect", "basis"),
    [
        ("-- MySQL dump 10.13  Distrib 8.0.33\nSELECT 1;\n", "a.sql", "", "mysql", "recognised"),
        (
            "/*\n Navicat Premium Data Transfer\n Source Server Type    : MySQL\n*/\n",
            "a.sql",
            "oracle",
            "mysql",
            "recognised",
        ),
        ("--\n-- PostgreSQL database dump\n--\n", "a.sql", "", "postgres", "recognised"),
        ('-- DDL for Table T\nCREATE TABLE "S"."T" ("A" NUMBER);\n', "a.sql", "", "oracle", "recognised"),
        ("REM INSERTING into T\nSET DEFINE OFF;\n", "a.sql", "", "oracle", "recognised"),
        ("/****** Object:  Table [dbo].[T] ******/\nSET ANSI_NULLS ON\nGO\n", "a.sql", "", "tsql", "recognised"),
        ("-- This CLP file was created using DB2LOOK Version 11\nCONNECT TO S;\n", "a.sql", "", "db2", "recognised"),
        ("SELECT 1;\n", "mysql/a.sql", "oracle", "mysql", "named"),
        ("SELECT `a` FROM t;\n", "a.sql", "oracle", "oracle", "declared"),
        ("SELECT `a` FROM t;\n", "a.sql", "", "mysql", "guessed"),
        ("SELECT 1\nGO\n", "a.sql", "", "tsql", "guessed"),
        ("SELECT a FROM t;\n", "a.sql", "", "", "unknown"),
    ],
)
def test_how_the_dialect_of_a_text_is_known(text: str, name: str, declared: str, dialect: str, basis: str) -> None:
    from harness.scan.variants import sql_named

    told = dialect_of(text, sql_named(name)[1], declared)
    assert (told.name, told.basis) == (dialect, basis)


def test_blocks_and_batches_are_statements() -> None:
    oracle = (
        "CREATE OR REPLACE PACKAGE BODY p IS\n PROCEDURE q IS v t.a%TYPE;\n BEGIN\n  IF a = 1 THEN NULL; END IF;\n"
        "  FOR r IN (SELECT a FROM t) LOOP NULL; END LOOP;\n END;\nEND p;\n/\nSELECT 1 FROM dual;\n"
        "BEGIN\n CASE WHEN a THEN b; END CASE;\nEND;\n/\nDECLARE x INT; BEGIN NULL; END;\n/\n"
    )
    assert [(each.line, each.text[:6]) for each in statements(oracle, "oracle")] == [
        (1, "CREATE"),
        (9, "SELECT"),
        (10, "BEGIN\n"),
        (14, "DECLAR"),
    ]
    mysql = (
        "DELIMITER $$\n"
        "CREATE PROCEDURE p() BEGIN DECLARE a INT; IF (a = 1) THEN SELECT IF(a, 1, 2); END IF; SELECT 2; END $$\n"
        "DELIMITER ;\nSELECT 3;\nCREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1;\nSELECT 4;\n"
    )
    assert [(each.line, each.text[:6]) for each in statements(mysql, "mysql")] == [
        (2, "CREATE"),
        (4, "SELECT"),
        (5, "CREATE"),
        (6, "SELECT"),
    ]
    tsql = "CREATE TABLE [a] ([b] int)\nGO\nSELECT [b] FROM [a]\nGO\n"
    assert [each.line for each in statements(tsql, "tsql")] == [1, 3]


# --- what is found ---

WRONG = {
    "SQL-8": [
        ("SELECT c.remarks AS comment FROM t c;\n", "dameng-dm8"),
        ("INSERT INTO t (id, comment, x) VALUES (1, 'x', 2);\n", "dameng-dm8"),
        ("SELECT id, index, domain FROM menu;\n", "dameng-dm8"),
        ("UPDATE menu SET id = 1, index = 3 WHERE id = 1;\n", "dameng-dm8"),
        ("CREATE TABLE t (id INT, index INT, percent INT);\n", "dameng-dm8"),
        ("ALTER TABLE t ADD COLUMN comment VARCHAR(9);\n", "dameng-dm8"),
        ("CREATE TABLE t (key VARCHAR(8), values INT);\n", "mariadb"),
        ("CREATE TABLE t (user VARCHAR(8), offset INT);\n", "postgresql"),
    ],
    "SQL-19": [
        ('UPDATE job SET state = "done" WHERE state = "running";\n', "postgresql"),
        ('SELECT id FROM job WHERE name LIKE "%年报%" AND a IN ("x y", "b");\n', "dameng-dm8"),
        ('SELECT "id" FROM "job" WHERE "name" LIKE "%x%";\n', "postgresql"),
        ('INSERT INTO job (id, name) VALUES (7, "nightly"), (8, "x");\n', "opengauss"),
    ],
    "SQL-20": [
        ("UPDATE a, b SET a.x = b.y WHERE a.i = b.i;\n", "postgresql"),
        ("UPDATE a LEFT JOIN b ON a.i = b.i SET a.x = 1;\n", "dameng-dm8"),
        ("DELETE a FROM a JOIN b ON a.i = b.i;\n", "kingbase-v8"),
        ("DELETE FROM t ORDER BY i LIMIT 9;\n", "sqlite"),
    ],
    "SQL-3": [
        ("CREATE TABLE t (a INT COMMENT '编号', KEY k (a));\n", "postgresql"),
        ("CREATE TABLE t (a INT, INDEX (a));\n", "dameng-dm8"),
        ("CREATE INDEX i USING BTREE ON t (a);\n", "postgresql"),
        ("ALTER TABLE t MODIFY a BIGINT;\n", "postgresql"),
        ("CREATE FULLTEXT INDEX i ON t (a);\n", "opengauss"),
    ],
    "SQL-9": [("SELECT IF(a > 1, 'p', 'q') FROM t WHERE d > NOW() - INTERVAL 1 DAY;\n", "postgresql")],
    "SQL-21": [
        ("-- x\n/*!40101 SET NAMES utf8mb4 */;\n", "opengauss"),
        ("SELECT 1\nGO\n", "mariadb"),
        ("SET sql_mode = 'ANSI';\n", "postgresql"),
    ],
    "SQL-11": [("CREATE UNIQUE INDEX i ON t USING btree (a);\n", "mariadb")],
    "SQL-27": [("UPDATE a SET x = b.y FROM b WHERE a.i = b.i;\n", "mariadb")],
}


@pytest.mark.parametrize(
    ("rule", "text", "database"), [(rule, *each) for rule, every in WRONG.items() for each in every]
)
def test_what_a_database_refuses_is_found(rule: str, text: str, database: str) -> None:
    assert rule in {name for name, _ in rules(text, database)}


def test_types_are_those_that_are_written() -> None:
    ddl = (
        "CREATE TABLE t (a MEDIUMINT,\n b DATETIME,\n c YEAR,\n d TINYINT,\n e VARCHAR(9),\n f MEDIUMTEXT,\n"
        " g DOUBLE PRECISION);\n"
    )
    for name in ("a.sql", "dameng/a.sql", "kingbase/a.sql"):
        told = [each.message for each in found(ddl, "postgresql", name=name) if each.rule == "SQL-12"]
        assert told == ["a MEDIUMINT", "b DATETIME", "c YEAR", "d TINYINT", "f MEDIUMTEXT"], name


# --- what is right ---

RIGHT = {
    "postgresql": [
        "INSERT INTO t (a, comment, index) VALUES (1, 'x', 2) ON CONFLICT (a) DO UPDATE SET a = 1 RETURNING a;\n",
        "UPDATE a SET x = b.y FROM b WHERE a.i = b.i;\nDELETE FROM a USING b WHERE a.i = b.i;\n",
        'SELECT "a"."b" AS user, count(*) AS "count" FROM "t" WHERE "a" = "b" ORDER BY 1 LIMIT 5 OFFSET 2;\n',
        "CREATE TABLE t (id serial PRIMARY KEY, key text, value jsonb DEFAULT '', at timestamptz, money money);\n",
        "SELECT a::text || '-' || b, to_char(c, 'YYYY') FROM t WHERE d ILIKE 'x%' AND e > now() - interval '1 day';\n",
        "COMMENT ON TABLE t IS 'ENGINE = x; `a` ON DUPLICATE KEY';\nSET NAMES 'UTF8';\nLOCK TABLE t IN SHARE MODE;\n",
    ],
    "mariadb": [
        "INSERT INTO `t` (`key`, `values`) VALUES ('a', \"b\") ON DUPLICATE KEY UPDATE `key` = VALUES(`key`);\n",
        "SELECT SYSDATE(), IFNULL(a, 0), INSTR(a, 'x') FROM DUAL;\n"
        "UPDATE a JOIN b ON a.i = b.i SET a.x = IF(b.y, 1, 2);\n",
        "CREATE TABLE t (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, e ENUM('a','b'), KEY k (e)) ENGINE=InnoDB "
        "DEFAULT CHARSET=utf8mb4 COMMENT='表';\n/*!40101 SET NAMES utf8mb4 */;\n",
        "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END //\nDELIMITER ;\n",
    ],
    "dameng-dm8": [
        "SELECT NVL(a, 0), DECODE(b, 1, 'x', 'y'), LEVEL, USER FROM t WHERE ROWNUM < 9 CONNECT BY PRIOR id = pid;\n",
        'CREATE TABLE t (id INT IDENTITY(1, 1) PRIMARY KEY, "COMMENT" VARCHAR(20 CHAR), n NUMBER(10, 2), '
        "c CLOB, d DATETIME);\n",
        "MERGE INTO t USING s ON (t.id = s.id) WHEN MATCHED THEN UPDATE SET t.a = s.a;\nSELECT TOP 3 a FROM t;\n",
        "ALTER TABLE t MODIFY a BIGINT;\nCREATE SEQUENCE s START WITH 1;\n"
        "INSERT INTO t (id, name) VALUES (s.NEXTVAL, 'x');\n"
        "SELECT a FROM t LIMIT 2, 3;\n",
        "CREATE OR REPLACE PROCEDURE p IS v t.a%TYPE; BEGIN SELECT a INTO v FROM t; END;\n/\n",
    ],
    "kingbase-v8": [
        "SELECT NVL(a, 0) AS comment, b::text FROM t, u WHERE t.i = u.i(+) AND ROWNUM < 3 LIMIT 3 OFFSET 1;\n",
        "CREATE TABLE t (id SERIAL, n NUMBER(9), c VARCHAR2(20), index INT, comment TEXT, d DATE DEFAULT SYSDATE);\n",
    ],
    "kingbase-v8:mysql": [MYSQL, 'UPDATE t SET a = "x" WHERE b LIKE "%y%";\nREPLACE INTO t VALUES (1);\n'],
    "opengauss": [ORACLE, "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 2;\nSELECT s.NEXTVAL FROM dual;\n"],
    "opengauss:b": [MYSQL, "DELETE a FROM a JOIN b ON a.i = b.i;\n"],
    "sqlite": [
        "REPLACE INTO t VALUES (1);\nSELECT IFNULL(a, 0), a || b FROM [t] WHERE `x` = 1 LIMIT 2, 3;\n",
        "INSERT INTO t VALUES (1) ON CONFLICT (a) DO NOTHING;\n",
    ],
}


@pytest.mark.parametrize(("database", "text"), [(name, text) for name, every in RIGHT.items() for text in every])
def test_what_a_database_takes_is_not_found(database: str, text: str) -> None:
    assert rules(text, database) == set()


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.sampled_from(
            "BEGIN END IF LOOP CASE CREATE PROCEDURE PACKAGE IS AS DECLARE ; / GO DELIMITER // $$ \n ( ) , \" ' ` [ ] "
            "UPDATE SET JOIN DELETE FROM AS x 1 . NEXTVAL INSERT INTO ALTER TABLE ADD KEY INT".split(" ")
        ),
        max_size=60,
    )
)
def test_words_of_any_order_are_taken_apart(words: list[str]) -> None:
    text = " ".join(words)
    assert {each.line for each in found(text, "postgresql", "dameng-dm8")} <= set(range(1, text.count("\n") + 2))
