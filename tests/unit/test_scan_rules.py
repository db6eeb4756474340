"""Every shipped rule finds its example, and not the one much like it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from harness.model.definitions import Cpu, Database, Features, Os, Rule, Text
from harness.model.definitions.rule import Detector
from harness.model.finding import Targets
from harness.reading.catalogue import Catalogue
from harness.reading.entries import entries
from harness.reading.suites import cases_of_rules, rules_of
from harness.scan import DETECTORS, scan
from tests.inputs import lay_out

SUITE = Catalogue.standard().find("suites", "static", "porting")
assert SUITE is not None
RULES = rules_of(SUITE)


def catalogue() -> Targets:
    """All targets that are known, and a LoongArch CPU without vectors, which no shipped entry is."""
    cpus = {name: one for name, (_, one) in entries("cpu").items() if isinstance(one, Cpu) and not one.obstacle}
    bare = Text(zh="龙芯 2K", en="Loongson 2K")
    cpus["loongson-2k"] = Cpu(
        cpu="loongson-2k",
        name=bare,
        vendor=bare,
        architecture="loongarch64",
        certainty="general",
        source="tests",
        features=Features(absent=("lsx", "lasx")),
    )
    return Targets(
        cpus=cpus,
        systems={name: one for name, (_, one) in entries("os").items() if isinstance(one, Os)},
        databases={name: one for name, (_, one) in entries("database").items() if isinstance(one, Database)},
    )


TARGETS = catalogue()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_finds_its_example_and_not_the_other(rule: Rule, tmp_path: Path) -> None:
    bad, good = lay_out(rule.triggers, tmp_path / "bad"), lay_out(rule.passes, tmp_path / "good")
    found = [one for one in scan([bad], RULES, TARGETS).findings if one.rule == rule.id]
    assert found, f"{rule.id} does not find its example"
    assert all(one.targets and one.message and one.advice == rule.advice.en for one in found)
    assert all(str(bad) in one.file for one in found)
    assert any(one.severity == rule.severity for one in found)
    wrong = [one for one in scan([good], RULES, TARGETS).findings if one.rule == rule.id]
    assert not wrong, wrong


def test_detectors_and_rules_meet() -> None:
    assert set(DETECTORS) == set(get_args(Detector))
    assert {rule.detect for rule in RULES} == set(DETECTORS), "a detector that no rule uses"


def test_modes_name_what_rules_look_for() -> None:
    """A word that no rule has would be taken, or refused, in vain."""
    words = {
        word
        for rule in RULES
        if rule.detect == "sql"
        for key in ("words", "types", "shapes", "lines")
        for word in rule.parameters.get(key, ())
    } | {'"', "`", "[", "double-quoted"}
    named = {
        f"{database.database}:{name}: {word}"
        for database in TARGETS.databases.values()
        for name, mode in database.modes.items()
        for word in (*mode.takes, *mode.refuses)
        if word not in words
    }
    assert named == set()
    exceptions = [
        (rule.id, word)
        for rule in RULES
        for key in ("taken_by", "refused_by")
        for every in rule.parameters.get(key, {}).values()
        for word in every
        if word not in words
    ]
    assert exceptions == []


def test_each_rule_is_a_case() -> None:
    cases = cases_of_rules(RULES)
    assert [case.id for case in cases] == [rule.id for rule in RULES]
    assert {case.id for case in cases if case.blocker} == {
        rule.id for rule in RULES if rule.severity == "blocker" or rule.detect == "unread"
    }


def test_a_new_cpu_needs_no_new_code(tmp_path: Path) -> None:
    """Rules concern what the catalogue says: a class that lacks nothing is concerned by no extension."""
    name = Text(zh="新", en="New")
    whole = Cpu(
        cpu="new",
        name=name,
        vendor=name,
        architecture="aarch64",
        certainty="general",
        source="tests",
        features=Features(present=("atomics",)),
    )
    lacking = whole.model_copy(update={"cpu": "old", "features": Features(absent=("atomics",))})
    rule = next(one for one in RULES if one.id == "ISA-3")
    root = lay_out(rule.triggers, tmp_path)
    (found,) = [
        one for one in scan([root], RULES, Targets(cpus={"new": whole, "old": lacking})).findings if one.rule == "ISA-3"
    ]
    assert [str(one) for one in found.targets] == ["cpu:old"]


def test_every_shipped_rule_names_what_is_checked_and_not_the_defect() -> None:
    """In a report a rule that found nothing passes: a green title of a defect says the opposite of what was seen."""
    rules = rules_of(SUITE)
    assert [rule.id for rule in rules if rule.checks is None] == []
    cases = cases_of_rules(rules)
    assert [case.title for case in cases] == [rule.checks for rule in rules]
    assert [rule.id for rule in rules if rule.checks == rule.title] == []
    bare = rules[0].model_copy(update={"checks": None})
    (case,) = cases_of_rules((bare,))
    assert (case.title.zh, case.title.en) == (f"检查：{bare.title.zh}", f"Looked for: {bare.title.en}")
