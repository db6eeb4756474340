"""What the target's database makes of standard SQL and of the habits of other databases, feature by feature.

A feature that is missing is no failure of the product, unless the product's own SQL uses it.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from harness.clients.features import try_features, used
from harness.control.capturing import captured
from harness.model.definitions import SqlFeatures
from harness.reading.parsing import parse

#: Characters of a captured statement that are shown.
MOST_SHOWN = 300

numbers = itertools.count(1)


def note_others(results, note):
    """Say of each feature that is not simply there how it is not."""
    words = {"differs": "differs 不同", "no": "not offered 不支持", "unknown": "not asked 未测"}
    for result in results:
        if result.state in words:
            note(f"{result.zh} {result.en}: {words[result.state]}: {result.words}")


@pytest.fixture(scope="module")
def features():
    return parse(Path(__file__).with_name("features.yaml"), SqlFeatures)


@pytest.fixture
def own(target, installation):
    """The product's SQL for this database, by file."""
    texts = {}
    for number, step in enumerate(target.application.schema_steps.get(target.database.database, ()), 1):
        if step.sql is not None:
            texts[f"schema step {number}"] = step.sql
        if step.file is not None:
            texts[step.file] = installation.machine.get(step.file).decode("utf-8", "replace")
    return texts


@pytest.fixture
def tried(features, database, own, keep, measure, note):
    """Try all features of a case; keep the table, and fail for what the product uses and the database has not."""

    def work(case):
        results = try_features(database, features, case, numbers)
        mine = [each for feature in features.features if feature.case == case for each in feature.at_levels()]
        needed = used(mine, own, database.definition.sql)
        rows = [{**result.record(), "used": needed.get(result.feature, "")} for result in results]
        for row in rows:
            if row["used"] and row["state"] == "differs":
                note(f"used by the product, and different / 产品使用且有差异: {row['zh']} {row['en']} ({row['used']})")
        keep("features.json", json.dumps(rows, ensure_ascii=False, indent=1), "application/json")
        for state in ("yes", "differs", "no", "unknown"):
            measure(state, sum(result.state == state for result in results), "1")
        note_others(results, note)
        missing = [row for row in rows if row["state"] == "no" and row["used"]]
        assert not missing, "the product's SQL uses what the database does not offer:\n" + "\n".join(
            f"{row['en']} ({row['used']}): {row['words']}" for row in missing
        )
        unknown = [row for row in rows if row["state"] == "unknown"]
        if lacking := [f"{row['en']} ({row['used']})" for row in unknown if row["used"]]:
            pytest.skip(
                f"capability: could not check what the product uses / 无法检查产品所用的特性: {'; '.join(lacking)}"
            )
        if len(unknown) == len(rows):
            reasons = "; ".join(dict.fromkeys(row["words"] for row in unknown))
            pytest.skip(f"not-applicable: no feature could be asked for: {reasons} / 无可检查的特性")

    return work


def test_numbers(tried):
    tried("DBC-01")


def test_dates_and_times(tried):
    tried("DBC-02")


def test_texts_and_names(tried):
    tried("DBC-03")


def test_constraints_and_defaults(tried):
    tried("DBC-04")


def test_transactions(tried):
    tried("DBC-05")


def test_queries(tried):
    tried("DBC-06")


def test_writing(tried):
    tried("DBC-07")


def test_json(tried):
    tried("DBC-08")


def test_programs_of_the_database(tried):
    tried("DBC-09")


def test_large_values_and_batches(tried):
    tried("DBC-10")


def test_chinese(tried):
    tried("DBC-11")


def test_isolation(tried):
    tried("DBC-12")


def test_locks(tried):
    tried("DBC-13")


def test_connections(tried):
    tried("DBC-14")


def test_backup(tried):
    tried("DBC-15")


def test_captured(features, database, keep, measure, note):
    """Runs after the other suites: what they had the product send is in the log by then."""
    seen = captured(database)
    if seen is None:
        pytest.skip(
            "not-applicable: what a product sends to this database is not captured: its entry does not say how, or the "
            "server is the laboratory's / 未收录该数据库记录语句的方法，或数据库由实验室提供"
        )
    statements = seen.statements
    measure("statements captured", len(statements), "1")
    if not statements and not seen.cut:
        pytest.skip(
            "not-applicable: could not check: no statement of the product stands in the database's log / "
            "无法检查：数据库日志中没有产品的语句"
        )
    every = [each for feature in features.features for each in feature.at_levels()]
    needed = used(every, {str(number): text for number, text in enumerate(statements)}, database.definition.sql)
    mine = SqlFeatures(begin=features.begin, features=tuple(each for each in every if each.feature in needed))
    results = [
        result
        for case in dict.fromkeys(each.case for each in mine.features)
        for result in try_features(database, mine, case, numbers)
    ]
    rows = [
        {**result.record(), "used": statements[int(needed[result.feature].partition(":")[0])][:MOST_SHOWN]}
        for result in results
    ]
    keep("used.json", json.dumps(rows, ensure_ascii=False, indent=1), "application/json")
    note_others(results, note)
    note(f"{len(statements)} statements were captured, {len(rows)} features are used / 捕获的语句数与所用特性数")
    missing = [row for row in rows if row["state"] == "no"]
    assert not missing, "the product sends what the database does not offer:\n" + "\n".join(
        f"{row['en']}: {row['words']}: {row['used']}" for row in missing
    )
    if seen.cut:
        pytest.skip(
            "capability: could not check wholly: the log is too long to be read whole, statements of its middle are "
            "not judged / 无法完全检查：日志过长，中间部分未读取"
        )
    if unknown := [row["en"] for row in rows if row["state"] == "unknown"]:
        pytest.skip(f"capability: could not check wholly / 无法完全检查: {'; '.join(unknown[:10])}")
