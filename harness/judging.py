"""Makes a verdict of observations, against the plan: what was declared and not seen counts as not known.

Rules, in this order: a blocker that failed always wins; a blocker in error, miss or an unapproved skip leaves the
cell inconclusive, and so does a suite that was asked for and of which no case applies; failures and skips that a
waiver accepts make it conditional; everything else is conformant. What of performance could not be judged because the
laboratory was busy is said, and decides nothing unless the matrix requires it. What is recorded only decides nothing,
and cases that certify nothing on the target do not either. A waiver never changes what was seen, and none accepts an
error or a miss: nothing is known there that could be accepted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.model.definitions import Case, Waiver
from harness.model.results import Cause, Observation, Result, SkipReason, Verdict


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Verdict of a cell, who has to act where it is inconclusive, and the reason in one sentence."""

    verdict: Verdict
    cause: Cause | None = None
    message: str = ""
    #: The suite and the id of each case whose failure or skip a waiver accepted, with that waiver.
    waived: tuple[tuple[str, str, Waiver], ...] = ()


def counts(case: Case, *, emulated: bool) -> bool:
    """Whether a case may decide the verdict on a target that is emulated, or is not."""
    return case.blocker and (case.certifies_emulated or not emulated)


def judge(
    cases: Sequence[tuple[str, Case]],
    observations: Mapping[tuple[str, str], Observation],
    *,
    emulated: bool,
    waivers: Sequence[Waiver] = (),
    axes: Mapping[str, str] | None = None,
    asked: Collection[str] = (),
    requires_performance: bool = False,
) -> Judgement:
    """Judge one cell.

    Args:
        cases: The cell's cases, as pairs of suite and case.
        observations: What was observed of each case, by suite and id of the case.
        emulated: Whether the target is emulated; then only some cases may decide.
        waivers: The waivers that hold on the day of the test.
        axes: The values of the cell's axes, by axis.
        asked: The suites that the matrix asks for; each must have at least one observation of a case that applies.
        requires_performance: Whether the cell is inconclusive where its performance could not be judged.
    """
    waived: list[tuple[str, str, Waiver]] = []

    def accepted(suite: str, case: str) -> bool:
        waiver = next((waiver for waiver in waivers if waiver.concerns(dict(axes or {}), suite, case)), None)
        if waiver is not None:
            waived.append((suite, case, waiver))
        return waiver is not None

    deciding = [(suite, case) for suite, case in cases if counts(case, emulated=emulated)]
    failed: list[str] = []
    unknown: list[tuple[Cause, str]] = []
    unjudged: list[str] = []
    passed = 0
    for suite, case in deciding:
        observation = observations.get((suite, case.id))
        if observation is None:
            unknown.append((Cause.HARNESS, f"{case.id} was never recorded"))
        elif observation.result is Result.FAIL and accepted(suite, case.id):
            passed += 1
        elif observation.result is Result.FAIL:
            failed.append(f"{case.id} {case.title.en}: {_first_line(observation.detail)}")
        elif observation.result in (Result.ERROR, Result.MISS):
            unknown.append(_unknown(case, observation))
        elif observation.result is Result.RECORDED:
            continue
        elif observation.skip_reason is SkipReason.LABORATORY and case.measures_performance:
            unjudged.append(f"{case.id} {case.title.en}: {_first_line(observation.detail)}")
        elif observation.result is Result.SKIP and observation.skip_reason is not SkipReason.NOT_APPLICABLE:
            if accepted(suite, case.id):
                continue
            operator = observation.skip_reason is SkipReason.OPERATOR
            cause = Cause.CANCELED if operator else Cause.TEST
            unknown.append((cause, f"{case.id} was skipped: {_first_line(observation.detail)}"))
        elif observation.result is Result.PASS:
            passed += 1
    unknown += [
        (Cause.CONFIG, reason)
        for suite, ids, reason in unseen_suites(cases, observations, asked)
        if not ids or sum(accepted(suite, identity) for identity in ids) < len(ids)
    ]
    if unjudged and requires_performance:
        unknown.append((Cause.INFRA, f"{unjudged[0]}; the matrix requires it (require.performance)"))
    judgement = _judgement(failed, unknown, waived, passed=passed)
    if unjudged and judgement.verdict is Verdict.CONFORMANT:
        return dataclasses.replace(judgement, message=f"performance was not judged: {'; '.join(unjudged)}")
    return judgement


def _unknown(case: Case, observation: Observation) -> tuple[Cause, str]:
    """The cause and the reason why nothing is known of a case that ended in an error, or never ran."""
    reason = _first_line(observation.detail)
    # The detail of a case that never ran says what stopped the cell; it says nothing of the case.
    message = reason if observation.result is Result.MISS else f"{case.id} {case.title.en}: {reason}"
    return observation.cause if observation.cause is not None else Cause.HARNESS, message


def _judgement(
    failed: Sequence[str],
    unknown: Sequence[tuple[Cause, str]],
    waived: Sequence[tuple[str, str, Waiver]],
    *,
    passed: int,
) -> Judgement:
    """The judgement of a cell: a failure weighs most, then what is not known, then waivers."""
    if failed:
        return Judgement(verdict=Verdict.NONCONFORMANT, message="; ".join(failed[:3]))
    if unknown:
        cause, message = unknown[0]
        return Judgement(verdict=Verdict.INCONCLUSIVE, cause=cause, message=message)
    if passed == 0:
        return Judgement(verdict=Verdict.INCONCLUSIVE, cause=Cause.CONFIG, message="no case that could decide has run")
    if waived:
        message = "; ".join(f"{case} waived until {waiver.expires}: {waiver.because}" for _, case, waiver in waived[:3])
        return Judgement(verdict=Verdict.CONDITIONAL, message=message, waived=tuple(waived))
    return Judgement(verdict=Verdict.CONFORMANT)


def unseen_suites(
    cases: Sequence[tuple[str, Case]], results: Mapping[tuple[str, str], Observation], asked: Collection[str]
) -> list[tuple[str, tuple[str, ...], str]]:
    """Suites that were asked for and of which no case applies: name, ids of the cases, and what is missing."""
    unseen = []
    for suite in dict.fromkeys(asked):
        ids = tuple(case.id for name, case in cases if name == suite)
        observations = [results.get((suite, identity)) for identity in ids]
        if not all(
            observation is not None and observation.skip_reason is SkipReason.NOT_APPLICABLE
            for observation in observations
        ):
            continue
        details = dict.fromkeys(
            _first_line(observation.detail).removeprefix("not-applicable:").strip()
            for observation in observations
            if observation is not None
        )
        reason = "; ".join(list(details)[:3]) or "it has no cases"
        unseen.append((suite, ids, f"suite {suite} was asked for, and none of its cases applies: {reason}"))
    return unseen


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a campaign, from the verdicts of all its planned cells; not tested where there is no cell."""
    every = list(verdicts)
    if not every or all(v is Verdict.NOT_TESTED for v in every):
        return Verdict.NOT_TESTED
    if any(v is Verdict.NONCONFORMANT for v in every):
        return Verdict.NONCONFORMANT
    if any(v in (Verdict.INCONCLUSIVE, Verdict.NOT_TESTED) for v in every):
        return Verdict.INCONCLUSIVE
    if any(v is Verdict.CONDITIONAL for v in every):
        return Verdict.CONDITIONAL
    return Verdict.CONFORMANT


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0][:300]
