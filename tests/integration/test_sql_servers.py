"""Statements of a product given to real PostgreSQL and MariaDB, beside what the scan says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.entry import cli
from harness.endpoints.holding import left_at
from harness.errors import UsageError
from harness.execution.proving import prove
from harness.model.finding import Targets
from harness.scan import scan
from tests.endpoints import Standing, entry, inventory, mariadb, postgresql
from tests.unit.test_scan_rules import RULES


@pytest.fixture(scope="module")
def postgres() -> Iterator[Standing]:
    with postgresql() as standing:
        yield standing


@pytest.fixture(scope="module")
def maria() -> Iterator[Standing]:
    with mariadb() as standing:
        yield standing


TEXT = (
    "CREATE TABLE t (id INT PRIMARY KEY, note VARCHAR(20));\n"
    "INSERT INTO t (id, note) VALUES (1, '适配 x');\n"
    "INSERT INTO t VALUES (1, 'b') ON DUPLICATE KEY UPDATE note = 'c';\n"
    "SELECT IFNULL(note, '%s') FROM t;\n"
    "SELECT note FROM missing;\n"
    "CREATE TABLE big (a MEDIUMINT);\n"
    "SELECT pg_sleep(100000);\n"
    "UPDATE t SET note = 'd' FROM t u WHERE u.id = t.id;\n"
    "CREATE TABLE t (id INT);\n"
    "CREATE USER intruder;\n"
)
#: What each answers, line by line.
POSTGRES = ["accepted", "accepted", "refused", "refused", "open", "refused", "accepted", "accepted", "open", "open"]
MARIA = ["accepted", "accepted", "accepted", "accepted", "open", "accepted", "refused", "refused", "open", "open"]


def test_answers_of_servers_stand_beside_what_the_scan_says(
    tmp_path: Path, postgres: Standing, maria: Standing
) -> None:
    (tmp_path / "a b's.sql").write_text(TEXT)
    targets = Targets(databases={name: entry(name) for name in ("postgresql", "mariadb")})
    rows = scan([tmp_path], RULES, targets, statements=True).sql
    proven, proofs = prove(rows, [postgres.server(), maria.server()])
    answers = [{answer.database: answer for answer in row.answers} for row in proven]
    assert [row["postgresql"].proof for row in answers] == POSTGRES
    assert [row["mariadb"].proof for row in answers] == MARIA
    assert [(each.database, each.accepted, each.refused, each.open, each.not_sent) for each in proofs] == [
        ("postgresql", 4, 3, 3, 0),
        ("mariadb", 5, 2, 3, 0),
    ]
    # Nothing that the scan calls clear is refused but the function of the other one, which no rule names.
    missed = [
        (row.statement.line, answer.database)
        for row in proven
        for answer in row.answers
        if answer.outcome == "clear" and answer.proof == "refused"
    ]
    assert missed == [(7, "mariadb")]
    wrong = [
        row.statement.line for row in proven for a in row.answers if a.outcome == "refused" and a.proof == "accepted"
    ]
    assert wrong == []
    assert answers[2]["postgresql"].said.startswith("syntax error")
    assert (answers[3]["mariadb"].said, answers[0]["mariadb"].said) == ("planned", "run")
    for standing in (postgres, maria):
        assert left_at(standing.server()) == []


def test_what_is_no_statement_as_it_stands_is_not_sent(tmp_path: Path, maria: Standing) -> None:
    (tmp_path / "Dao.java").write_text(
        'String q = "SELECT a FROM t WHERE b = " + b + " LIMIT 1";\nString r = "SELECT 1 + 1";\n'
    )
    (tmp_path / "a.sql").write_text("-- x\nDELIMITER ;\nSELECT 2;\n")
    targets = Targets(databases={"mariadb": entry("mariadb")})
    rows, (proof,) = prove(scan([tmp_path], RULES, targets, statements=True).sql, [maria.server()])
    told = {row.statement.text: row.answers[0].proof for row in rows}
    assert (proof.accepted, proof.not_sent) == (2, 2)
    assert told["SELECT 2"] == told["SELECT 1 + 1"] == "accepted"


def test_a_server_that_cannot_be_asked_is_no_pass(tmp_path: Path, maria: Standing, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "a.sql").write_text("SELECT 1;\n")
    target = ("--target", "database=mariadb")

    def run(*words: str) -> Any:
        return CliRunner().invoke(cli, ["scan", str(tmp_path / "sql"), "--prove", "--format", "json", *words])

    assert isinstance(run(*target).exception, UsageError)
    inventory(tmp_path, maria.plain())
    good = run(*target)
    assert good.exit_code == 0, json.loads(good.stdout)["findings"]
    assert json.loads(good.stdout)["sql"][0]["databases"][0]["proof"] == "accepted"
    assert isinstance(run("--target", "database=tidb").exception, UsageError)
    inventory(tmp_path, {**maria.plain(), "user": "nobody"})
    bad = run(*target)
    assert bad.exit_code == 3
    assert json.loads(bad.stdout)["sql"][0]["databases"][0]["proof"] == "not-sent"


def test_a_server_in_another_mode_is_not_asked(tmp_path: Path, postgres: Standing) -> None:
    """PostgreSQL stands for openGauss: it has no such setting, so it is in no mode that is declared."""
    from harness.endpoints.inventory import resolved

    (tmp_path / "a.sql").write_text("SELECT 1;\n")
    gauss = entry("opengauss").in_mode("b")
    recipe = entry("postgresql").endpoint
    assert recipe is not None
    stand_in = gauss.model_copy(
        update={"endpoint": recipe.model_copy(update={"observe": {"datcompatibility": "SELECT 'A'"}})}
    )
    server = resolved(postgres.server().endpoint, stand_in)
    rows, (proof,) = prove(
        scan([tmp_path], RULES, Targets(databases={"opengauss": gauss}), statements=True).sql, [server]
    )
    assert "datcompatibility is 'A', and 'B' is declared (b)" in proof.trouble
    assert (proof.accepted, proof.not_sent) == (0, 1)
    assert rows[0].answers[0].proof == "not-sent"
