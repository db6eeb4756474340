"""Profiles: how long and how often suites test is data, chosen by the matrix or the command line, and stays chosen."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness.campaigns.choosing import plan_of
from harness.campaigns.options import RunOptions
from harness.certify.certificate import conclusion
from harness.certify.policy import decide
from harness.certify.statement import Issue, adaptation
from harness.cli.entry import cli
from harness.errors import DefinitionError, UsageError
from harness.model.definitions import CENTER, PROFILES, SELF_TEST, Amount, Commission, Suite, Text
from harness.model.definitions.profile import filled, number
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse
from harness.reading.read import read
from harness.report.summary import full_record
from tests.products import WEB, product
from tests.suite_runs import ROOT
from tests.unit.test_report import SELF_TEST as ISSUER
from tests.unit.test_report import TEMPLATES, view

KILLS: dict[str, Any] = {"title": "kills", "of": {"self-test": 2, "center": 10}, "emulated": {"self-test": 1}}


def suite(**change: Any) -> dict[str, Any]:
    case = {
        "id": "OWN-1",
        "test": "test_it",
        "title": {"zh": "终止：{kills}", "en": "kills: {kills}, {other}"},
        "characteristic": "reliability/maturity",
        "clause": "5.3.5",
        "blocker": True,
        "seconds": 30,
        "center_seconds": 300,
    }
    return {"suite": "checks", "version": "1", "title": "own", "runner": "pytest", "cases": [case], **change}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = product(tmp_path / "p", WEB, check="def test_it(amount):\n    assert amount('kills')\n")
    write(root, suite(amounts={"kills": KILLS, "other": KILLS}))
    return root


def write(root: Path, value: dict[str, Any]) -> None:
    (root / "checks" / "suite.yaml").write_text(yaml.safe_dump(value, allow_unicode=True))


@pytest.mark.parametrize(
    ("profile", "zh", "seconds"),
    [(None, "终止：2（模拟目标 1）", 30), (SELF_TEST, "终止：2（模拟目标 1）", 30), (CENTER, "终止：10", 300)],
)
def test_texts_and_limits_are_those_of_the_profile(folder: Path, profile: Any, zh: str, seconds: float) -> None:
    definitions = read(folder, None, profile)
    (case,) = definitions.suites["checks"].definition.cases
    assert definitions.matrix.profile == (profile or SELF_TEST)
    assert case.title.zh == zh
    assert case.seconds == seconds


def test_the_command_line_wins_over_the_matrix_and_makes_another_plan(folder: Path) -> None:
    matrix = yaml.safe_load((folder / "matrix.yaml").read_text())
    (folder / "matrix.yaml").write_text(yaml.safe_dump({**matrix, "profile": "center"}))
    assert read(folder).matrix.profile == CENTER
    digests = {profile: plan_of(folder, profile=profile)[1].digest for profile in (None, *PROFILES)}
    assert digests[None] == digests[CENTER] != digests[SELF_TEST]


def test_an_unknown_profile_is_a_fault_with_its_place(folder: Path) -> None:
    with (folder / "matrix.yaml").open("a") as file:
        file.write("profile: centre\n")
    with pytest.raises(DefinitionError) as refusal:
        read(folder)
    (fault,) = refusal.value.faults
    assert fault.line == len((folder / "matrix.yaml").read_text().splitlines())
    assert "center" in f"{fault.expected} {fault.hint}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"amounts": {"other": KILLS}}, "no amount kills"),
        ({"amounts": {"kills": {**KILLS, "of": {"center": 3}}, "other": KILLS}}, "no value for profile self-test"),
        ({"amounts": {"kills": {**KILLS, "of": {"center": 3, "self-test": -1}}, "other": KILLS}}, "greater than"),
        ({"amounts": {"kills": {**KILLS, "emulated": {"short": 1}}, "other": KILLS}}, "self-test"),
    ],
)
def test_wrong_amounts_are_faults_of_the_suite(folder: Path, change: dict[str, Any], words: str) -> None:
    write(folder, suite(**change))
    with pytest.raises(DefinitionError) as refusal:
        read(folder)
    assert any(words in f"{fault.message} {fault.expected}" for fault in refusal.value.faults), refusal.value.faults
    assert all(fault.file.endswith("suite.yaml") for fault in refusal.value.faults)


def test_braces_of_a_suite_without_amounts_are_its_own() -> None:
    definition = Suite.model_validate(suite(amounts={}))
    assert definition.under(CENTER).cases[0].title.en == "kills: {kills}, {other}"


def load(**change: Any) -> Suite:
    plain = yaml.safe_load((ROOT / "suites" / "load" / "http" / "suite.yaml").read_text())
    return Suite.model_validate({**plain, **change})


def test_an_amount_of_a_load_replaces_a_key_of_its_profile() -> None:
    amounts = {name: {"title": name, "of": {"self-test": 3, "center": 900}} for name in ("hold", "users")}
    definition = load(amounts=amounts)
    short, long = definition.under(SELF_TEST).profile, definition.under(CENTER).profile
    assert short is not None
    assert long is not None
    assert (short.hold, long.hold, long.users, long.rate) == (3, 900, 900, short.rate)


@pytest.mark.parametrize("wrong", [{"length": KILLS}, {"hold": KILLS}])
def test_a_load_has_no_other_amounts(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a load has"):
        load(amounts=wrong)


def test_options_keep_the_profile() -> None:
    kept = RunOptions.kept(json.loads(json.dumps(RunOptions(profile=CENTER).plain())))
    assert kept.profile == CENTER
    assert kept.with_named(RunOptions(jobs=1)).profile == CENTER
    assert RunOptions.kept({}).profile is None
    with pytest.raises(UsageError):
        RunOptions.kept({"profile": "long"})


def test_a_lock_is_of_one_profile(folder: Path) -> None:
    assert CliRunner().invoke(cli, ["plan", str(folder), "--lock", "--profile", "center"]).exit_code == 0
    plan_of(folder, profile=CENTER)
    with pytest.raises(UsageError, match="is a plan of profile center, and profile self-test is asked for"):
        plan_of(folder)


def shortened(profile: str, **change: Any) -> Any:
    shown = view(**change)
    suites = tuple({**each, "amounts": {"kills": KILLS}} for each in shown.suites)
    return dataclasses.replace(shown, profile=profile, suites=suites)


def test_a_certificate_of_short_durations_says_so() -> None:
    words = TEMPLATES.wording()
    sentences = {}
    for profile in PROFILES:
        shown = shortened(profile)
        kind = decide(shown, ISSUER).kind
        assert kind is not None
        sentences[profile] = conclusion(shown, words, ISSUER, kind, Commission())
        assert full_record(shown)["profile"] == profile
        issue = Issue(number="1", report_number="1", issuer="i", issued="2026-01-01", valid_until=None, type="t")
        assert adaptation(shown, issue, ISSUER, Commission(), signers=(), verifier="")["profile"] == profile
    assert "those of the self-test, shorter than" in sentences[SELF_TEST]["en"]
    assert "取自测档案" in sentences[SELF_TEST]["zh"]
    assert "self-test" not in sentences[CENTER]["en"]


def test_suites_without_amounts_have_no_short_durations() -> None:
    shown = dataclasses.replace(shortened(SELF_TEST), suites=tuple({**each, "amounts": {}} for each in view().suites))
    assert not shown.shortened


@pytest.mark.parametrize(("profile", "shown"), [("self-test", "5 (emulated: 3)"), ("center", "so often: 10")])
def test_suites_show_says_how_much(profile: str, shown: str) -> None:
    arguments = ["suites", "show", "compat/lifecycle", "LC-06", "--profile", profile]
    output = CliRunner().invoke(cli, arguments).output
    assert (
        "kills: 整个产品强制终止的次数 / forced ends of the whole product: self-test 5 (emulated: 3), center 10"
        in output
    )
    assert shown in output


@pytest.mark.parametrize("name", Catalogue.standard().suites())
def test_no_shipped_text_names_an_amount_that_is_not_filled_in(name: str) -> None:
    path = Catalogue.standard().find("suites", name, "suite.yaml")
    assert path is not None
    definition = parse(path, Suite)
    for profile in PROFILES if definition.amounts else ():
        for case in definition.under(profile).cases:
            assert "{" not in "".join(text.zh + text.en for text in case.texts.values())


@given(
    value=st.floats(min_value=0, max_value=1e9),
    other=st.floats(min_value=0, max_value=1e9),
    text=st.text(min_size=1),
    name=st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
)
def test_every_text_and_amount_is_filled_in(value: float, other: float, text: str, name: str) -> None:
    amount = Amount(title=Text(zh="量", en="amount"), of={SELF_TEST: value, CENTER: other})
    shown = filled(Text(zh=f"{{{name}}}", en=text), {name: amount}, CENTER)
    assert shown.zh == number(other)
    if "{" not in text:
        assert shown.en == text
