"""The compatibility table of SQL: each statement by database, what is known of it, and how it may be written."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import pytest

from harness.model.finding import ScanResult, Targets
from harness.scan import scan
from harness.scan.merging import merged
from tests.unit.test_scan_command import run
from tests.unit.test_scan_rules import RULES, TARGETS


def result(path: Path, *databases: str) -> ScanResult:
    named = {}
    for each in databases:
        entry, _, mode = each.partition(":")
        named[entry] = TARGETS.databases[entry].in_mode(mode) if mode else TARGETS.databases[entry]
    return scan([path], RULES, Targets(databases=named), statements=True)


TEXT = (
    "SELECT IFNULL(a, 0) FROM `t` LIMIT 3, 4;\n"
    "CREATE TABLE odd (a INT) STORAGE(ON MAIN, CLUSTERBTR) WHATEVER;\n"
    "SELECT 1;\n"
    "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1;\n"
)


def test_each_statement_has_an_answer_for_each_database(tmp_path: Path) -> None:
    (tmp_path / "a b.sql").write_text(TEXT)
    rows = result(tmp_path, "postgresql", "kingbase-v8:mysql", "mariadb").sql
    assert [(row.statement.line, row.statement.reading, row.statement.basis) for row in rows] == [
        (1, "parsed", "guessed"),
        (2, "words", "guessed"),
        (3, "parsed", "guessed"),
        (4, "parsed", "guessed"),
    ]
    told = {(row.statement.line, answer.database): answer for row in rows for answer in row.answers}
    assert {place: answer.outcome for place, answer in told.items()} == {
        (1, "postgresql"): "refused",
        (1, "kingbase-v8"): "clear",
        (1, "mariadb"): "clear",
        (2, "postgresql"): "unknown",
        (2, "kingbase-v8"): "unknown",
        (2, "mariadb"): "unknown",
        (3, "postgresql"): "clear",
        (3, "kingbase-v8"): "clear",
        (3, "mariadb"): "clear",
        (4, "postgresql"): "refused",
        (4, "kingbase-v8"): "clear",
        (4, "mariadb"): "clear",
    }
    assert told[1, "kingbase-v8"].mode == "mysql"
    assert set(told[1, "postgresql"].rules) == {"SQL-1", "SQL-4", "SQL-9"}
    assert told[1, "postgresql"].rewriting == 'SELECT COALESCE(a, 0) FROM "t" LIMIT 4 OFFSET 3'
    assert told[4, "postgresql"].rewriting == "", "sqlglot leaves out what ON CONFLICT is about"


def test_a_rewriting_that_a_rule_still_warns_of_is_not_suggested(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT GROUP_CONCAT(a) AS b, FIND_IN_SET(1, c) FROM `t`;\n")
    ((answer,),) = (row.answers for row in result(tmp_path, "postgresql").sql)
    assert answer.outcome == "refused"
    assert answer.rewriting == ""


def test_strings_in_double_quotes_and_lines_for_clients_have_their_rows(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(
        'SELECT a FROM t WHERE b = "x";\nSELECT a\nFROM t\nWHERE c = "y";\nSELECT 1;\nDELIMITER ;\n'
    )
    rows = result(tmp_path, "postgresql", "mariadb").sql
    told = [(row.statement.line, row.statement.reading, [answer.outcome for answer in row.answers]) for row in rows]
    assert sorted(told) == [
        (1, "parsed", ["refused", "clear"]),
        (2, "parsed", ["refused", "clear"]),
        (5, "parsed", ["clear", "clear"]),
        (6, "line", ["refused", "unknown"]),
    ]
    assert not any(answer.rewriting for row in rows for answer in row.answers)


def test_a_file_for_another_database_says_nothing_of_this_one(tmp_path: Path) -> None:
    (tmp_path / "a.mysql.sql").write_text("SELECT `a` FROM t;\n")
    (tmp_path / "a.pgsql.sql").write_text("SELECT a FROM t;\n")
    rows = result(tmp_path, "postgresql", "mariadb").sql
    outcomes = [[answer.outcome for answer in row.answers] for row in rows]
    assert outcomes == [["other", "clear"], ["clear", "other"]]


def test_rows_of_several_parts_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1;\n")
    parts = [result(tmp_path, "postgresql"), result(tmp_path, "mariadb"), result(tmp_path, "mariadb")]
    (row,) = merged(parts).sql
    assert [answer.database for answer in row.answers] == ["postgresql", "mariadb"]


def test_what_is_too_much_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.scan import sql
    from harness.scan.gathering import Gatherer
    from harness.scan.listing import inputs_of

    monkeypatch.setattr(sql, "MOST", 2)
    (tmp_path / "a.sql").write_text("SELECT 1;\n" * 5)
    (given,), _ = inputs_of(tmp_path / "a.sql", "a.sql")
    facts = Gatherer(RULES, TARGETS, statements=True).gather(given)
    assert (len(facts.statements), facts.statements_left) == (2, 3)
    assert Gatherer(RULES, TARGETS).gather(given).statements == []


def test_the_table_is_written_as_workbook_page_and_json(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "=1+1.sql").write_text("SELECT IFNULL(a, '<b>') FROM t;\nSELECT 2;\n")
    book, page = tmp_path / "t.xlsx", tmp_path / "t.html"
    targets = ("--target", "database=postgresql", "--target", "database=opengauss:b")
    told = json.loads(run(tmp_path / "in", *targets, "--sql", book, "--html", page, "--format", "json").stdout)
    assert [(row["line"], [answer["outcome"] for answer in row["databases"]]) for row in told["sql"]] == [
        (1, ["refused", "clear"]),
        (2, ["clear", "clear"]),
    ]
    sheets = openpyxl.load_workbook(book)
    lines = list(sheets["语句 Statements"].iter_rows(values_only=True))
    assert len(lines) == 1 + 2 * 2
    assert lines[1][2] == "SELECT IFNULL(a, '<b>') FROM t"
    assert lines[1][11] == "SELECT COALESCE(a, '<b>') FROM t"
    assert list(sheets["数据库 Databases"].iter_rows(values_only=True))[2][:2] == ("opengauss", "b")
    html = page.read_text()
    assert "SELECT COALESCE(a, &#39;&lt;b&gt;&#39;) FROM t" in html
    assert "<b>'" not in html
    assert "sql" not in json.loads(run(tmp_path / "in", *targets, "--format", "json").stdout)
