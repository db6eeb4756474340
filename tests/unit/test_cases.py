"""Cases are data: whoever reads a report sees what each was for, what was done, and what was expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.entry import cli
from harness.model.definitions import Case, Suite
from harness.model.definitions.runners import RUNNER_KINDS
from harness.model.results import DefectSeverity, Fidelity
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse
from harness.reading.suites import cases_of_rules, rules_of
from tests.products import WEB, product

TEXTS = ("purpose", "preconditions", "steps", "expected", "evidence")


def shipped() -> list[tuple[Suite, Case]]:
    catalogue, cases = Catalogue.standard(), []
    for name in catalogue.suites():
        path = catalogue.find("suites", name, "suite.yaml")
        assert path is not None
        suite = parse(path, Suite)
        own = cases_of_rules(rules_of(path.parent)) if RUNNER_KINDS[suite.runner].reads_files else suite.cases
        cases += [(suite, case) for case in own]
    return cases


def test_no_text_of_a_shipped_case_is_empty() -> None:
    cases = shipped()
    assert len(cases) > 60  # the catalogue was looked at
    empty = []
    for suite, case in cases:
        for key in ("title", *TEXTS):
            text = getattr(case, key)
            if text is None or not text.zh.strip() or not text.en.strip():
                empty.append(f"{suite.suite} {case.id} {key}")
        if case.severity is None:
            empty.append(f"{suite.suite} {case.id} severity")
    assert not empty


def test_only_the_life_cycle_ends_with_the_product() -> None:
    """It removes the product; a case of another suite after that would find none, and blame the product for it."""
    assert {suite.suite for suite, case in shipped() if case.when == "end"} == {"compat/lifecycle"}
    assert any(case.when == "late" for _, case in shipped())


@pytest.mark.parametrize(("blocker", "expected"), [(True, DefectSeverity.SERIOUS), (False, DefectSeverity.MINOR)])
def test_a_case_without_a_severity_goes_by_whether_it_blocks(blocker: bool, expected: DefectSeverity) -> None:
    raw = {"id": "A-1", "test": "t", "title": "t", "characteristic": "reliability", "clause": "5", "blocker": blocker}
    assert Case.model_validate(raw).defect is expected
    assert Case.model_validate({**raw, "severity": "fatal"}).defect is DefectSeverity.FATAL


def test_what_emulation_cannot_show_certifies_on_real_processors_alone() -> None:
    raw = {"id": "A-1", "test": "t", "title": "t", "characteristic": "reliability", "clause": "5", "blocker": True}
    case = Case.model_validate({**raw, "certifies_emulated": False})
    assert set(case.certifies_on(reads_files=False)) == {Fidelity.PHYSICAL, Fidelity.KVM, Fidelity.CONTAINER}
    assert Fidelity.USER_EMULATED in Case.model_validate(raw).certifies_on(reads_files=False)
    assert case.certifies_on(reads_files=True) == (Fidelity.STATIC,)


def test_suites_are_listed_and_shown() -> None:
    listed = CliRunner().invoke(cli, ["suites"])
    assert listed.exit_code == 0
    assert listed.output == CliRunner().invoke(cli, ["suites", "list"]).output
    assert "LC-06" in listed.output
    assert "ARCH-1" in listed.output  # rules are cases of the scan
    shown = CliRunner().invoke(cli, ["suites", "show", "load/http", "LOAD-01"])
    assert shown.exit_code == 0
    for words in ("目的 purpose", "步骤 steps", "严重 serious", "原生容器 native container", "仅记录 recorded only"):
        assert words in shown.output
    assert "LOAD-02" not in shown.output
    record = json.loads(CliRunner().invoke(cli, ["suites", "show", "load/http", "--format", "json"]).output)
    assert record["cases"][0]["certifies_on"] == ["physical", "kvm", "container"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compat/htp"], "no suite 'compat/htp'; known: "),
        (["compat/http", "HTTP-99"], "no case HTTP-99 in compat/http"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(arguments: list[str], words: str) -> None:
    answer = CliRunner().invoke(cli, ["suites", "show", *arguments])
    assert answer.exit_code != 0
    assert words in str(answer.exception) + answer.output


def test_the_suites_of_a_matrix_are_shown_with_its_own(tmp_path: Path) -> None:
    own = "def test_own_words(target):\n    pass\n"
    folder = product(tmp_path / "p", WEB, suites=["checks", "compat/http"], check=own)
    listed = CliRunner().invoke(cli, ["suites", "list", "--matrix", str(folder)])
    assert listed.exit_code == 0, listed.output + str(listed.exception)
    assert "compat/http" in listed.output
    assert "compat/tasks" not in listed.output
    shown = CliRunner().invoke(cli, ["suites", "show", "checks", "--matrix", str(folder)])
    assert shown.exit_code == 0, shown.output + str(shown.exception)
    assert shown.output.startswith("checks ")
