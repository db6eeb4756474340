"""What an issuer's policy makes of results: which certificate, or every reason why none."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from pydantic import ValidationError

from harness.certify.certificate import conclusion
from harness.certify.policy import Kind, decide, uncertified
from harness.issuing.papers import amended
from harness.model.definitions import Commission, IssuerProfile
from harness.model.results import Fidelity, Result, Verdict
from harness.model.view import CampaignView
from harness.report import render_campaign_sarif
from tests.unit.test_report import SELF_TEST, TEMPLATES, view


def profile(**change: Any) -> IssuerProfile:
    return SELF_TEST.model_copy(update=change)


def waived(shown: CampaignView) -> CampaignView:
    first = dataclasses.replace(shown.cells[0], verdict=Verdict.CONDITIONAL)
    return dataclasses.replace(shown, cells=(first, *shown.cells[1:]))


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: view({3: Result.FAIL}), "1 of 12 planned cells are nonconformant"),
        (lambda: view({3: Result.ERROR}), "inconclusive"),
        (lambda: view(tested=11), "not-tested"),
        (lambda: dataclasses.replace(view(), interrupted=True), "the campaign was interrupted"),
        (lambda: dataclasses.replace(view(), cells=()), "the plan has no cell"),
    ],
)
def test_no_certificate_unless_every_planned_cell_passed(made: Any, told: str) -> None:
    decision = decide(made(), SELF_TEST)
    assert decision.kind is None
    assert told in decision.reasons


def test_a_refusal_names_the_cells_and_why() -> None:
    refused = view({3: Result.FAIL})
    bad = dataclasses.replace(refused.cells[3], message="LC-02 a library is missing")
    told = decide(dataclasses.replace(refused, cells=(*refused.cells[:3], bad, *refused.cells[4:])), SELF_TEST).reasons
    assert " × ".join(bad.axes.values()) in told
    assert "LC-02 a library is missing" in told


@pytest.mark.parametrize(
    ("fidelity", "pre"),
    [
        (Fidelity.USER_EMULATED, True),
        (Fidelity.CONTAINER, True),
        (Fidelity.PHYSICAL, False),
        (Fidelity.KVM, False),
        (Fidelity.SYSTEM_EMULATED, True),
        (Fidelity.STATIC, True),
    ],
)
def test_the_certificate_is_called_what_the_fidelity_allows(fidelity: Fidelity, pre: bool) -> None:
    kind = decide(view(fidelity=fidelity.value), SELF_TEST).kind
    assert kind is not None
    assert kind.pre is pre
    assert kind.zh == ("预适配证书" if pre else "适配证书")


def test_one_weak_cell_makes_all_of_it_a_pre_adaptation() -> None:
    shown = view(fidelity="physical")
    weak = dataclasses.replace(shown.cells[5], fidelity=None)
    kind = decide(dataclasses.replace(shown, cells=(*shown.cells[:5], weak, *shown.cells[6:])), SELF_TEST).kind
    assert kind is not None
    assert kind.pre


@pytest.mark.parametrize(
    ("change", "shown", "told"),
    [
        ({"pre_adaptation": False}, lambda: view(), "issues nothing for targets that are user-emulated: 12 cells"),
        ({"conditional": False}, lambda: waived(view()), "issues nothing for results with waivers"),
        ({"signed": True}, lambda: view(), "names no tester, reviewer and approver"),
    ],
)
def test_a_policy_refuses_and_says_why(change: dict[str, Any], shown: Any, told: str) -> None:
    decision = decide(shown(), profile(**change))
    assert decision.kind is None
    assert told in decision.reasons
    assert all(one.zh and one.en for one in decision.refusals)


def test_every_reason_is_told_not_the_first_alone() -> None:
    told = decide(waived(view()), profile(pre_adaptation=False, conditional=False, signed=True)).refusals
    assert len(told) == 3


INHERITED = {
    "platform": "x",
    "certificate": "XC-0",
    "report": "XR-0",
    "report_sha256": "a" * 64,
    "because": "same",
    "reviewed_by": "Li",
}


def test_results_are_inherited_only_where_the_policy_says_so() -> None:
    commission = Commission.model_validate({"inherits": [INHERITED]})
    assert "takes no results over" in decide(view(), SELF_TEST, commission).reasons
    assert decide(view(), profile(inheritance=True), commission).kind is not None


def test_what_a_fidelity_does_not_certify_is_named() -> None:
    shown = view(fidelity="container").cells[0]
    assert uncertified(shown, SELF_TEST) == ("performance_efficiency",)
    assert uncertified(dataclasses.replace(shown, fidelity=Fidelity.PHYSICAL), SELF_TEST) == ()


def test_what_is_not_certified_stands_on_the_face() -> None:
    kind = Kind(zh="x", en="x", pre=False, conditional=False)
    for fidelity, there in (("kvm", True), ("physical", False)):
        told = conclusion(view(fidelity=fidelity), TEMPLATES.wording(), SELF_TEST, kind, Commission())
        assert ("不予认证：性能效率" in told["zh"]) is there
        assert ("not certified: performance efficiency" in told["en"]) is there


def test_tester_reviewer_and_approver_are_different_people() -> None:
    with pytest.raises(ValidationError, match="different people"):
        Commission.model_validate({"tester": "Li", "reviewer": "Wang", "approver": "Li"})


@pytest.mark.parametrize(("number", "next_"), [("XC-1", "XC-1-A1"), ("XC-1-A1", "XC-1-A2"), ("XC-1-A9", "XC-1-A10")])
def test_an_amendment_has_a_number_of_its_own(number: str, next_: str) -> None:
    assert amended(number) == next_


@pytest.mark.parametrize("mark", [{"mark": "CNAS"}, {"mark": "CNAS", "number": ""}, {"mark": "own", "number": "1"}])
def test_no_mark_of_accreditation_without_its_number(mark: dict[str, str]) -> None:
    whole = SELF_TEST.model_dump(mode="json")
    assert IssuerProfile.model_validate_json(json.dumps({**whole, "accreditation": [{"mark": "CNAS", "number": "L1"}]}))
    with pytest.raises(ValidationError):
        IssuerProfile.model_validate_json(json.dumps({**whole, "accreditation": [mark]}))


def test_failures_of_a_campaign_as_sarif() -> None:
    shown = view({1: Result.FAIL, 2: Result.ERROR, 3: Result.SKIP})
    (run,) = json.loads(render_campaign_sarif(shown))["runs"]
    told = [(one["locations"][0]["logicalLocations"][0]["fullyQualifiedName"], one["level"]) for one in run["results"]]
    assert told == [(shown.cells[1].id, "error"), (shown.cells[2].id, "warning")]
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {one["ruleId"] for one in run["results"]}


@pytest.mark.parametrize(
    ("pattern", "good"),
    [
        ("XC-{year}-{campaign}", True),
        ("适配〔{year}〕{campaign}号", True),
        ("XC/{campaign}", True),
        ("XC-1", False),
        ("XC-{campaign}[1]", False),
        ('XC-"{campaign}', False),
        ("XC {campaign}", False),
        ("XC-{other}-{campaign}", False),
        ("XC-{campaign}*", False),
    ],
)
def test_numbers_are_of_one_campaign_and_plain(pattern: str, good: bool) -> None:
    whole = {**SELF_TEST.model_dump(mode="json"), "number": pattern}
    with contextlib.nullcontext() if good else pytest.raises(ValidationError):
        IssuerProfile.model_validate_json(json.dumps(whole))
