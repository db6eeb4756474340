"""A verdict is made against the plan: what was not seen is not known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.judging import Judgement, judge, overall
from harness.model.definitions import Case, Waiver
from harness.model.results import Cause, Observation, Result, SkipReason, Verdict


def case(number: int, *, blocker: bool = True, certifies_emulated: bool = True) -> Case:
    return Case.model_validate(
        {
            "id": f"C-{number}",
            "test": f"t{number}",
            "title": "t",
            "characteristic": "reliability",
            "clause": "5.3.5",
            "blocker": blocker,
            "certifies_emulated": certifies_emulated,
        }
    )


def seen(number: int, result: Result, *, cause: Cause | None = None, reason: SkipReason | None = None) -> Observation:
    if result in (Result.ERROR, Result.MISS) and cause is None:
        cause = Cause.INFRA
    if result is Result.SKIP and reason is None:
        reason = SkipReason.OPERATOR
    return Observation(case=f"C-{number}", suite="s", result=result, cause=cause, skip_reason=reason, detail="why")


def verdict(cases: list[Case], *observations: Observation, emulated: bool = False) -> Verdict:
    return judge([("s", c) for c in cases], {("s", o.case): o for o in observations}, emulated=emulated).verdict


def test_all_passed_is_conformant() -> None:
    assert verdict([case(1), case(2)], seen(1, Result.PASS), seen(2, Result.PASS)) is Verdict.CONFORMANT


def test_a_failed_blocker_always_wins() -> None:
    assert verdict([case(1), case(2)], seen(1, Result.ERROR), seen(2, Result.FAIL)) is Verdict.NONCONFORMANT


def test_a_case_that_was_never_recorded_is_not_passed() -> None:
    assert verdict([case(1), case(2)], seen(1, Result.PASS)) is Verdict.INCONCLUSIVE


def test_error_and_miss_are_inconclusive_and_name_who_acts() -> None:
    for result in (Result.ERROR, Result.MISS):
        told = judge([("s", case(1))], {("s", "C-1"): seen(1, result, cause=Cause.INFRA)}, emulated=False)
        assert told.verdict is Verdict.INCONCLUSIVE
        assert told.cause is Cause.INFRA
        assert "why" in told.message


def test_what_the_operator_left_out_is_no_fault_of_the_suite() -> None:
    for reason, cause in ((SkipReason.OPERATOR, Cause.CANCELED), (SkipReason.CAPABILITY, Cause.TEST)):
        answer = judge([("s", case(1))], {("s", "C-1"): seen(1, Result.SKIP, reason=reason)}, emulated=False)
        assert (answer.verdict, answer.cause) == (Verdict.INCONCLUSIVE, cause)


def test_a_skip_counts_unless_the_case_does_not_apply() -> None:
    for reason in SkipReason:
        found = verdict([case(1), case(2)], seen(1, Result.PASS), seen(2, Result.SKIP, reason=reason))
        applies = reason is not SkipReason.NOT_APPLICABLE
        assert found is (Verdict.INCONCLUSIVE if applies else Verdict.CONFORMANT)


def performance(number: int) -> Case:
    return case(number).model_copy(update={"characteristic": "performance_efficiency/time_behaviour"})


def test_what_a_busy_laboratory_hid_is_said_and_decides_nothing() -> None:
    cases = [("s", case(1)), ("s", performance(2))]
    hidden = seen(2, Result.SKIP, reason=SkipReason.LABORATORY)
    judgement = judge(cases, {("s", "C-1"): seen(1, Result.PASS), ("s", "C-2"): hidden}, emulated=False)
    assert judgement.verdict is Verdict.CONFORMANT
    assert judgement.message == "performance was not judged: C-2 t: why"
    required = judge(
        cases, {("s", "C-1"): seen(1, Result.PASS), ("s", "C-2"): hidden}, emulated=False, requires_performance=True
    )
    assert (required.verdict, required.cause) == (Verdict.INCONCLUSIVE, Cause.INFRA)
    failed = judge(cases, {("s", "C-1"): seen(1, Result.FAIL), ("s", "C-2"): hidden}, emulated=False)
    assert failed.verdict is Verdict.NONCONFORMANT


def test_a_cell_of_which_nothing_but_that_is_known_is_inconclusive() -> None:
    hidden = seen(2, Result.SKIP, reason=SkipReason.LABORATORY)
    judgement = judge([("s", performance(2))], {("s", "C-2"): hidden}, emulated=False)
    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_what_certifies_nothing_on_emulation_decides_nothing_there() -> None:
    cases = [case(1), case(2, certifies_emulated=False)]
    assert verdict(cases, seen(1, Result.PASS), seen(2, Result.FAIL), emulated=True) is Verdict.CONFORMANT
    assert verdict(cases, seen(1, Result.PASS), seen(2, Result.FAIL), emulated=False) is Verdict.NONCONFORMANT


def test_no_deciding_case_at_all_is_not_conformant() -> None:
    assert verdict([case(1, blocker=False)], seen(1, Result.PASS)) is Verdict.INCONCLUSIVE
    assert verdict([]) is Verdict.INCONCLUSIVE


@given(st.lists(st.sampled_from(list(Result)), min_size=1, max_size=8))
def test_conformant_only_if_every_blocker_that_is_judged_passed(results: list[Result]) -> None:
    cases = [case(n) for n in range(len(results))]
    found = verdict(cases, *(seen(n, r) for n, r in enumerate(results)))
    judged = [r for r in results if r is not Result.RECORDED]
    assert (found is Verdict.CONFORMANT) == (bool(judged) and all(r is Result.PASS for r in judged))
    assert (found is Verdict.NONCONFORMANT) == any(r is Result.FAIL for r in results)


@given(st.lists(st.sampled_from(list(Verdict)), max_size=8))
def test_a_campaign_is_conformant_only_if_every_cell_is(verdicts: list[Verdict]) -> None:
    found = overall(verdicts)
    good = {Verdict.CONFORMANT, Verdict.CONDITIONAL}
    assert (found in good) == (bool(verdicts) and all(v in good for v in verdicts))
    if Verdict.NONCONFORMANT in verdicts:
        assert found is Verdict.NONCONFORMANT


def of_suites(asked: list[str], *observations: Observation, waivers: tuple[Waiver, ...] = ()) -> Judgement:
    cases = [(one.suite, case(int(one.case.removeprefix("C-")))) for one in observations]
    return judge(
        cases, {(one.suite, one.case): one for one in observations}, emulated=False, asked=asked, waivers=waivers
    )


def not_applicable(number: int, suite: str, why: str = "the application declares no http.resource") -> Observation:
    return Observation(
        case=f"C-{number}",
        suite=suite,
        result=Result.SKIP,
        skip_reason=SkipReason.NOT_APPLICABLE,
        detail=f"not-applicable: {why}",
    )


def test_a_suite_that_was_asked_for_and_of_which_nothing_applies_leaves_the_cell_inconclusive() -> None:
    judgement = of_suites(
        ["s", "http", "database"],
        seen(1, Result.PASS),
        not_applicable(2, "http"),
        not_applicable(3, "http"),
        not_applicable(4, "database"),
    )
    assert (judgement.verdict, judgement.cause) == (Verdict.INCONCLUSIVE, Cause.CONFIG)
    assert judgement.message == (
        "suite http was asked for, and none of its cases applies: the application declares no http.resource"
    )


def test_one_case_that_applies_is_enough_and_a_suite_that_nobody_asked_for_is_not_missed() -> None:
    passed = Observation(case="C-3", suite="http", result=Result.PASS)
    assert of_suites(["s", "http"], seen(1, Result.PASS), not_applicable(2, "http"), passed).verdict is (
        Verdict.CONFORMANT
    )
    assert of_suites(["s"], seen(1, Result.PASS), not_applicable(2, "http")).verdict is Verdict.CONFORMANT


def test_a_failure_is_the_verdict_whatever_did_not_apply() -> None:
    judgement = of_suites(["s", "http"], seen(1, Result.FAIL), not_applicable(2, "http"))
    assert judgement.verdict is Verdict.NONCONFORMANT


def test_a_waiver_of_every_case_of_such_a_suite_makes_the_cell_conditional() -> None:
    waiver = Waiver.model_validate(
        {"case": "*", "because": "no such API", "approved_by": "QA", "evidence": "17", "expires": "2999-12-31"}
    )
    judgement = of_suites(["s", "http"], seen(1, Result.PASS), not_applicable(2, "http"), waivers=(waiver,))
    assert judgement.verdict is Verdict.CONDITIONAL
    assert [(suite, identity) for suite, identity, _ in judgement.waived] == [("http", "C-2")]
