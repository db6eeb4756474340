"""Features of databases: what each answer means, and which of them a product's SQL uses."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable
from importlib import util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.clients.features import Tried, try_features, used
from harness.control.servers import QueryFailed
from harness.errors import InfrastructureError
from harness.model.definitions import Limits, SqlFamily, SqlFeature, SqlFeatures, Suite
from harness.reading.parsing import parse
from harness.system.process import Completed, run

FOLDER = Path(__file__).parents[2] / "suites" / "database" / "conformance"
ALL = parse(FOLDER / "features.yaml", SqlFeatures)
FEATURES = [each for feature in ALL.features for each in feature.at_levels()]


class Sqlite:
    """A real database in this process, with the words of a client."""

    def __init__(self) -> None:
        self.definition = SimpleNamespace(sql="sqlite")
        self.name, self.by_driver, self.has_sessions = "sqlite", False, False
        self.connection = sqlite3.connect(":memory:", isolation_level=None)

    def query(self, sql: str) -> list[list[str]]:
        rows: list[list[str]] = []
        try:
            for statement in sql.split(";\n"):
                rows += [[str(value) for value in row] for row in self.connection.execute(statement)]
        except sqlite3.Error as error:
            raise QueryFailed(f"sqlite: {error}") from error
        return rows


def feature(sql: str, **more: Any) -> SqlFeature:
    raw = {"feature": "f", "case": "DBC-01", "title": "t", "standard": "s", "sql": {"any": sql}, **more}
    return SqlFeature.model_validate(raw)


def try_feature(database: Any, feature: SqlFeature, number: int) -> Tried:
    (tried,) = try_features(database, SqlFeatures(features=(feature,)), feature.case, itertools.count(number))
    return tried


def tables(database: Sqlite) -> list[list[str]]:
    return database.query("SELECT name FROM sqlite_master")


@pytest.mark.parametrize(
    ("sql", "more", "state", "words"),
    [
        ("SELECT 1 + 1;", {"answer": ["2"]}, "yes", ""),
        ("SELECT 1, 'x' UNION ALL SELECT 2, 'y';", {"answer": ["1|x", "2|y"]}, "yes", ""),
        ("SELECT 1 + 1;", {"answer": ["3"]}, "differs", "it gave 2, expected 3"),
        ("SELECT 1 WHERE 1 = 0;", {"answer": ["3"]}, "differs", "it gave no row"),
        ("SELEKT 1;", {"answer": ["1"]}, "no", 'near "SELEKT": syntax error'),
        (
            "CREATE TABLE {t} (a UNIQUE);\nINSERT INTO {t} VALUES (1);\nINSERT INTO {t} VALUES (1);",
            {"refused": True},
            "yes",
            "",
        ),
        ("CREATE TABLE {t} (a);\nINSERT INTO {t} VALUES (1);", {"refused": True}, "differs", "it was not refused"),
        # What comes before must be taken: otherwise something else is refused.
        ("CREATE TABEL {t} (a);\nINSERT INTO {t} VALUES (1);", {"refused": True}, "no", "syntax error"),
        (
            "CREATE TABLE {t} (a);\nINSERT INTO {t} VALUES ('{text}');\nSELECT LENGTH(a) FROM {t};",
            {"answer": ["{size}"], "size": 70_000},
            "yes",
            "",
        ),
        (
            "CREATE TABLE {t} (a, b);\nINSERT INTO {t} VALUES {values};\nSELECT COUNT(*) FROM {t};",
            {"answer": ["300"], "rows": 300},
            "yes",
            "",
        ),
    ],
)
def test_an_answer_is_yes_differs_or_no(sql: str, more: dict[str, Any], state: str, words: str) -> None:
    database: Any = Sqlite()
    tried = try_feature(database, feature(sql, **more), 1)
    assert (tried.state, words in tried.words) == (state, True), tried.words
    assert "xct1" not in tried.statement  # a reader gets what can be run elsewhere
    assert tables(database) == []


def test_a_family_without_a_statement_is_no_answer_of_the_database() -> None:
    database: Any = Sqlite()
    raw = {"feature": "f", "case": "C-1", "title": "t", "standard": "s", "sql": {"oracle": "SELECT 1"}, "answer": ["1"]}
    tried = try_feature(database, SqlFeature.model_validate(raw), 1)
    assert (tried.state, "no statement is known" in tried.words) == ("unknown", True)


def test_a_database_that_is_away_is_the_laboratorys() -> None:
    def away(_: str) -> list[list[str]]:
        raise InfrastructureError("the machine does not answer", advice="see to it")

    database: Any = SimpleNamespace(
        definition=SimpleNamespace(sql="sqlite"), name="sqlite", by_driver=False, query=away
    )
    with pytest.raises(InfrastructureError):
        try_feature(database, feature("SELECT 1;", answer=["1"]), 1)


@pytest.mark.parametrize("killed", [0, 3])
@pytest.mark.parametrize("more", [{"answer": ["1"]}, {"refused": True}])
def test_a_client_that_fails_for_all_says_nothing_of_a_feature(more: dict[str, Any], killed: int) -> None:
    """psql and mariadb end with an error for a server that is away, as they do for a statement that is refused.
    Where the kernel ended programs there for lack of memory, the words say which limit to raise."""
    counts = Completed(rc=0, out=f"oom_kill_disable 0\nunder_oom 0\noom_kill {killed}\n")

    def gone(_: str) -> list[list[str]]:
        raise QueryFailed("postgresql: could not connect to server")

    database: Any = SimpleNamespace(
        definition=SimpleNamespace(sql="postgresql", limits=Limits()),
        name="postgresql",
        by_driver=False,
        query=gone,
        machine=SimpleNamespace(run=lambda *_, **__: counts),
    )
    with pytest.raises(InfrastructureError, match="does not answer any more: could not connect") as error:
        try_feature(database, feature("SELECT 1;", **more), 1)
    assert ("limits.memory of postgresql is 1g" in error.value.message) == bool(killed)


@pytest.mark.parametrize("raw", [{"answer": ["1"], "refused": True}, {}])
def test_a_feature_has_an_answer_or_a_refusal(raw: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give either"):
        feature("SELECT 1;", **raw)


def test_each_feature_has_a_case_a_name_and_a_statement() -> None:
    suite = parse(FOLDER / "suite.yaml", Suite)
    assert {each.case for each in FEATURES} == {case.id for case in suite.cases if case.when == "main"}
    names = [each.feature for each in FEATURES]
    assert len(names) == len(set(names)) >= 80
    for each in FEATURES:
        known = {*(each.steps or each.sql), *each.without}
        assert "any" in known or {"postgresql", "mysql", "sqlite"} <= known, each.feature
        assert not each.levels or {"postgresql", "mysql", "sqlite"} <= ALL.begin.keys()


def test_each_range_of_characters_goes_over_whole() -> None:
    """GB 18030-2022 has 20,976 + 6,582 Han in these blocks of the BMP, and 60,317 beyond."""
    database = Sqlite()
    counts = {}
    for each in FEATURES:
        if each.characters:
            assert try_feature(database, each, 1).state == "yes"
            counts[each.feature] = sum(
                int(r[-5:].strip("-"), 16) - int(r.split("-")[0], 16) + 1 for r in each.characters
            )
    assert counts == {"gb18030-level-1": 27_558, "gb18030-level-3": 60_317}


def test_a_family_whose_client_cuts_statements_is_given_its_words_and_a_driver_is_not() -> None:
    cursor = next(each for each in FEATURES if each.feature == "cursor")
    sent: list[str] = []
    for by_driver in (False, True):
        database: Any = SimpleNamespace(
            definition=SimpleNamespace(sql="mysql"),
            name="m",
            by_driver=by_driver,
            query=lambda sql: sent.append(sql) or [["2"]],
        )
        assert try_feature(database, cursor, 1).state == "yes"
    client, _, driver, _ = sent
    assert "DELIMITER //" in client
    assert "DELIMITER" not in driver
    assert "SELECT x; END;\n" in driver


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO a VALUES (1)\n ON CONFLICT (x) DO NOTHING;", {"on-conflict": "a.sql:2"}),
        ("-- on conflict\nSELECT 1;", {}),
        (
            "create table t (id INT AUTO_INCREMENT, primary key (id));",
            {"auto-increment": "a.sql:1", "primary-key": "a.sql:1"},
        ),
        ("CREATE TABLE t (设备 INT);", {"chinese-identifier": "a.sql:1"}),
        ("WITH RECURSIVE c AS (SELECT 1) SELECT * FROM c;", {"recursive-cte": "a.sql:1"}),
    ],
)
def test_what_a_product_uses_is_found_with_its_place(sql: str, expected: dict[str, str]) -> None:
    assert used(FEATURES, {"a.sql": sql}) == expected


@pytest.fixture(scope="module")
def suite() -> ModuleType:
    spec = util.spec_from_file_location("conformance", FOLDER / "test_conformance.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def work(suite: ModuleType, own: dict[str, str]) -> tuple[Callable[[str], None], dict[str, Any], list[str]]:
    kept: dict[str, Any] = {}
    notes: list[str] = []
    tried: Any = suite.tried.__wrapped__ if hasattr(suite.tried, "__wrapped__") else suite.tried._get_wrapped_function()
    run = tried(
        ALL,
        Sqlite(),
        own,
        lambda name, data, media: kept.update({name: json.loads(data)}),
        lambda name, value, unit: kept.update({f"{name} {unit}": value}),
        notes.append,
    )
    return run, kept, notes


def test_a_type_alone_does_not_show_that_its_largest_values_are_needed() -> None:
    """TEXT of MariaDB ends at 64 KiB and TIMESTAMP in 2038: a product that declares them may store neither."""
    schema = "CREATE TABLE domains (a TEXT, b TIMESTAMP, c MEDIUMTEXT, d BLOB, e DECIMAL(10, 2));"
    assert used(ALL.features, {"s.sql": schema}).keys() & {"text-64k", "timestamp-2038", "lob-64m"} == set()


def test_what_is_missing_informs(suite: ModuleType) -> None:
    run, kept, notes = work(suite, {})
    run("DBC-07")
    assert kept["no 1"] == sum(row["state"] == "no" for row in kept["features.json"]) > 0
    assert any("ON DUPLICATE KEY" in note and "not offered" in note for note in notes)


@pytest.mark.parametrize(
    ("family", "sql", "features"),
    [
        ("postgresql", "INSERT INTO log VALUES ('unsigned; it''s on conflict, `x`')", set()),
        ("postgresql", "INSERT INTO t VALUES ('a--b') ON CONFLICT (a) DO NOTHING", {"on-conflict"}),
        ("postgresql", "INSERT INTO t VALUES ('C:\\') ON CONFLICT (a) DO NOTHING", {"on-conflict"}),
        ("mysql", "INSERT INTO t VALUES ('it\\'s on conflict')", set()),
        ("mysql", "CREATE TABLE t (a INT /* unsigned */)", set()),
        ("mysql", "CREATE TABLE t (a INT /*!40101 unsigned */)", {"integer-unsigned"}),
    ],
)
def test_texts_and_comments_are_no_sql(family: SqlFamily, sql: str, features: set[str]) -> None:
    asked = {"integer-unsigned", "on-conflict", "backquoted-identifier", "regular-expression"}
    assert used(ALL.features, {"1": sql}, family).keys() & asked == features


def test_what_is_missing_and_used_fails_with_its_place(suite: ModuleType) -> None:
    run, kept, _ = work(suite, {"schema.sql": "SELECT 1;\nINSERT INTO a VALUES (1) ON DUPLICATE KEY UPDATE b = 1;"})
    with pytest.raises(AssertionError, match=r"uses what the database does not offer:\n.*schema.sql:2.*syntax error"):
        run("DBC-07")
    assert [row["used"] for row in kept["features.json"] if row["feature"] == "on-duplicate-key"] == ["schema.sql:2"]


class Restored(Sqlite):
    """A database whose tools, of a shell, answer as they are said to; the outer edge."""

    def __init__(self, dump: str = "true", restore: str = "true", family: str = "sqlite") -> None:
        super().__init__()
        recipe = SimpleNamespace(dump=dump, restore=restore, remove="true")
        self.definition = SimpleNamespace(sql=family, backup=recipe)
        self.access = SimpleNamespace(path="", model_copy=lambda update: None)
        self.done: list[str] = []
        self.machine = SimpleNamespace(run=lambda command: None)

    def operate(self, command: str, seconds: float, **values: Any) -> Completed:
        self.done.append(command)
        return run(["sh", "-c", command], timeout=30)


def backup(monkeypatch: pytest.MonkeyPatch, database: Any, second: Any, **more: Any) -> Tried:
    monkeypatch.setattr("harness.control.backups.dataclasses.replace", lambda _, access: second)
    raw = {"sql": {"any": "CREATE TABLE {t} (a UNIQUE);\nINSERT INTO {t} VALUES (1);"}, **more}
    whole = SqlFeature.model_validate({"feature": "f", "case": "C-1", "title": "t", "standard": "s", **raw})
    return try_feature(database, whole, 1)


ASKED = {"restored": {"any": "SELECT a FROM {t};"}, "answer": ["1"]}
REFUSED = {"restored": {"any": "INSERT INTO {t} VALUES (1);"}, "refused": True}


@pytest.mark.parametrize(
    ("second", "more", "state", "words"),
    [
        ("CREATE TABLE xct1 (a);\nINSERT INTO xct1 VALUES (1)", ASKED, "yes", ""),
        (
            "CREATE TABLE xct1 (a);\nINSERT INTO xct1 VALUES ('1 ')",
            ASKED,
            "differs",
            "restored / 恢复后: 1 , expected 1",
        ),
        ("CREATE TABLE other (a)", ASKED, "no", "no such table"),
        ("CREATE TABLE xct1 (a UNIQUE);\nINSERT INTO xct1 VALUES (1)", REFUSED, "yes", ""),
        ("CREATE TABLE xct1 (a)", REFUSED, "differs", "did not refuse it"),
        # A table that is not there refuses everything.
        ("CREATE TABLE other (a)", REFUSED, "no", "no such table"),
    ],
)
def test_what_was_restored_is_compared(
    monkeypatch: pytest.MonkeyPatch, second: str, more: dict[str, Any], state: str, words: str
) -> None:
    restored = Sqlite()
    restored.query(second)
    tried = backup(monkeypatch, Restored(), restored, **more)
    assert (tried.state, words in tried.words) == (state, True), tried.words
    assert "dump, restore" in tried.statement


@pytest.mark.parametrize(
    ("tools", "state", "words"),
    [
        ({"dump": "echo no right >&2; exit 1"}, "no", "dump: no right"),
        ({"dump": "exit 3"}, "no", "dump: exit 3"),
        ({"restore": "echo ERROR at line 2 >&2; exit 1"}, "no", "restore: ERROR at line 2"),
        ({"dump": "no-such-tool-of-a-database"}, "unknown", "a tool is not there"),
    ],
)
def test_tools_that_fail_are_named_and_a_tool_that_is_not_there_says_nothing(
    monkeypatch: pytest.MonkeyPatch, tools: dict[str, str], state: str, words: str
) -> None:
    database = Restored(**tools)
    tried = backup(monkeypatch, database, Sqlite(), **ASKED)
    assert (tried.state, words in tried.words) == (state, True), tried.words
    assert database.done[-1] == "true"  # what was made is removed
    assert tables(database) == []


def test_a_database_whose_tools_do_not_run_here_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    database: Any = Sqlite()
    database.definition.backup = None
    assert backup(monkeypatch, database, Sqlite(), **ASKED).state == "unknown"


def test_a_client_that_its_machine_killed_says_nothing_of_the_database() -> None:
    def killed(sql: str) -> list[list[str]]:
        if "LENGTH" in sql:
            raise QueryFailed("sqlite: Killed")
        return []

    database: Any = SimpleNamespace(
        definition=SimpleNamespace(sql="sqlite"), name="sqlite", by_driver=False, query=killed
    )
    tried = try_feature(database, feature("SELECT LENGTH(x);", answer=["1"]), 1)
    assert (tried.state, "too little memory" in tried.words) == ("unknown", True)
