"""The gate weighs every deciding case without a pass, and opens nowhere where nothing ran."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from harness.gating import decide
from harness.model.definitions import Policy
from tests.unit.test_gating import FAILS, TODAY, campaign, case, cell, waiver, word

ANY = waiver(case="*")
SKIP = {"skip_reason": "capability"}


@pytest.mark.parametrize("verdict", ["conformant", "conditional", "nonconformant", "inconclusive"])
@pytest.mark.parametrize("result", ["error", "miss"])
def test_what_did_not_run_opens_no_gate_whatever_else_is_waived(verdict: str, result: str) -> None:
    """A cell whose failures are all waived and whose other cases never ran was let through before."""
    beside = campaign(cell(name="b"), cell(verdict, cases=[case("fail"), case(result, "C-2"), case(result, "C-3")]))
    decision = decide(beside, Policy(policy="p"), waivers=[ANY], today=TODAY)
    assert decision.word == "undecided"
    assert any("C-2, C-3" in finding.case for finding in decision.findings)
    worse = {"not_worse_than_baseline": True}
    assert word(beside, worse, waivers=[ANY], baseline=beside) == "undecided"


@pytest.mark.parametrize("verdict", ["conformant", "conditional", "nonconformant"])
@pytest.mark.parametrize(
    ("cases", "waived", "expected"),
    [
        ([], True, "undecided"),
        ([case("skip", skip_reason="not-applicable")], True, "undecided"),
        ([case(decides=False)], True, "undecided"),
        ([case("skip", **SKIP), case(identity="C-2")], False, "undecided"),
        ([case("skip", **SKIP), case(identity="C-2")], True, "open"),
        ([case("skip", skip_reason="not-applicable"), case(identity="C-2")], False, "open"),
        ([case("fail", decides=False), case(identity="C-2")], False, "open"),
    ],
)
def test_a_cell_needs_an_answer_of_each_case_that_decides(
    verdict: str, cases: list[dict[str, Any]], waived: bool, expected: str
) -> None:
    record = campaign(cell(verdict, cases=cases), cell(name="b"))
    found = word(record, waivers=[ANY] if waived else [])
    # A cell that is nonconformant by nothing that failed is closed whatever else is seen.
    assert found == ("closed" if verdict == "nonconformant" else expected)


@pytest.mark.parametrize(("performance", "expected"), [("noted", "open"), ("required", "undecided")])
@pytest.mark.parametrize(
    ("unjudged", "words"),
    [(case("skip", skip_reason="laboratory"), "was skipped"), (case("recorded"), "was recorded only")],
)
def test_performance_that_was_not_judged_is_noted_unless_the_policy_requires_it(
    unjudged: dict[str, Any], words: str, performance: str, expected: str
) -> None:
    record = campaign(cell(cases=[unjudged, case(identity="C-2")]))
    decision = decide(record, Policy(policy="p", performance=performance), today=TODAY)
    assert decision.word == expected
    assert any(words in finding.reason for finding in decision.findings)


def scanned(*files: str, **more: Any) -> dict[str, Any]:
    return cell("nonconformant", cases=[case("fail", against=list(files), **more), case(identity="C-2")])


@pytest.mark.parametrize(
    ("patterns", "files", "expected"),
    [
        (["*"], ["a.so"], "open"),
        (["lib/*"], ["lib/a.so", "lib/b.so"], "open"),
        (["lib/*"], ["lib/a.so", "bin/b"], "closed"),
        (["lib/*"], [], "closed"),
        ([], ["bin/b"], "open"),
    ],
)
def test_a_waiver_with_files_means_what_it_means_in_the_matrix(
    patterns: list[str], files: list[str], expected: str
) -> None:
    accepting = waiver(files=patterns)
    assert word(campaign(scanned(*files)), waivers=[accepting]) == expected
    assert word(campaign(scanned(*files)), waivers=[waiver(files=patterns, case="C-9")]) == "closed"


def test_the_files_that_a_waiver_leaves_out_are_named() -> None:
    (finding, *_) = decide(
        campaign(scanned("lib/a.so", "bin/b")), Policy(policy="p"), waivers=[waiver(files=["lib/*"])], today=TODAY
    ).findings
    assert "does not accept bin/b" in finding.reason
    (finding, *_) = decide(campaign(FAILS), Policy(policy="p"), waivers=[waiver(files=["*"])], today=TODAY).findings
    assert "render it again" in finding.reason


@pytest.mark.parametrize(("days", "expected"), [(0, "open"), (-1, "closed")])
def test_a_waiver_of_the_matrix_counts_until_its_day(days: int, expected: str) -> None:
    expires = (TODAY + datetime.timedelta(days=days)).isoformat()
    applied = {"suite": "s", "case": "C-1", "because": "b", "approved_by": "QA", "expires": expires}
    record = campaign(cell("conditional", cases=[case("fail"), case(identity="C-2")], waived=[applied]))
    assert word(record) == expected


def test_a_cell_that_the_policy_waits_for_and_that_is_not_there_opens_nothing() -> None:
    record = campaign(cell(), cell(name="b"))
    assert word(record, {"cells": ["n=a", "n=b"]}) == "open"
    assert word(record, {"cells": ["n=a", "n=c"]}) == "undecided"
