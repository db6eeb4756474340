"""Derives from the reports of a test whose failure it shows: the product's, the suite's, or not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.results import Cause, Result, SkipReason
from harness.runners.pytest.session import Report, TestRun

#: From bad to good; a case with several tests (parameters), and a test with several reports, take the worst.
ORDER = (Result.FAIL, Result.ERROR, Result.MISS, Result.SKIP, Result.RECORDED, Result.PASS)


@dataclass(frozen=True)
class Meaning:
    """Result of a test with cause, reason of a skip, and a text for people."""

    result: Result
    cause: Cause | None = None
    reason: SkipReason | None = None
    text: str = ""


def fold(run: TestRun) -> Meaning:
    """What one test that ended has shown.

    It passed only if pytest reported its setup, its call and its teardown as passed, and no subtest otherwise.
    """
    meanings = [meaning for report in run.reports if (meaning := _meaning(report, run.reports)) is not None]
    phases = {report.when for report in run.reports if not report.subtest}
    if not meanings and not phases >= {"setup", "call", "teardown"}:
        reported = ", ".join(sorted(phases)) or "nothing"
        return Meaning(Result.ERROR, Cause.TEST, None, f"the test did not run to its end: pytest reported {reported}")
    if run.expired and not meanings:
        words = f"it went on after its limit of {run.limit:.0f} s: the test catches what ends it (a bare `except:`)"
        meanings = [Meaning(Result.ERROR, Cause.TIMEOUT, None, words)]
    if run.lab and meanings:
        worst = min(meanings, key=lambda meaning: ORDER.index(meaning.result))
        text = f"{run.lab}; before that: {worst.text}"
        doubtful = worst.result is Result.FAIL or worst.cause is Cause.TIMEOUT
        if run.blame in ("infra", "config") and doubtful:
            return Meaning(Result.ERROR, Cause(run.blame), None, text)
        if run.blame == "product" and (doubtful or worst.cause is Cause.INFRA):
            return Meaning(Result.FAIL, text=text)  # a machine that the product has filled up answers nobody
        if not run.blame and worst.result is Result.FAIL:
            return Meaning(Result.FAIL, text=f"{worst.text}\n{run.lab}")
    passed = [f"passed although it is expected to fail ({r.xfail})" for r in run.reports if _xpassed(r)]
    return worst_of([*meanings, Meaning(Result.PASS, text="; ".join(passed))])


def worst_of(meanings: Sequence[Meaning]) -> Meaning:
    """The worst of some meanings; the texts of all that are as bad, one after the other."""
    first = min(meanings, key=lambda meaning: ORDER.index(meaning.result))
    texts = dict.fromkeys(m.text for m in meanings if m.result is first.result and m.text)
    return Meaning(first.result, first.cause, first.reason, "\n".join(texts))


def _xpassed(report: Report) -> bool:
    return report.xfail is not None and report.outcome == "passed" and report.when == "call"


def _meaning(report: Report, every: Sequence[Report]) -> Meaning | None:
    """What is wrong by one report; None where nothing is."""
    where = f"[{report.subtest}] " if report.subtest else ""
    text = f"{where}{report.text}"
    if report.xfail is not None and report.outcome == "skipped":
        return _expected_failure(report, text)
    match report.kind:
        case "product":
            return Meaning(Result.FAIL, text=text)
        case "timeout":
            return Meaning(Result.ERROR, Cause.TIMEOUT, None, text)
        case "skip":
            return _skip(text, report.text)
        case "harness-error":
            return Meaning(Result.ERROR, Cause(report.cause or "harness"), None, text)
        case "harness":
            return Meaning(Result.ERROR, Cause.HARNESS, None, f"unexpected {report.exception}: {text}")
        case "suite":
            where = "" if report.when == "call" else f" in its {report.when}"
            return Meaning(Result.ERROR, Cause.TEST, None, f"{report.exception}{where}: {text}")
    if report.outcome == "passed":
        return None
    if any(other.subtest and other.outcome not in ("passed", "skipped") for other in every):
        return None  # pytest fails a test for its subtests, which have reports of their own
    return Meaning(Result.ERROR, Cause.TEST, None, f"pytest says {report.outcome}: {text}")


def _expected_failure(report: Report, text: str) -> Meaning:
    reason = report.xfail or "no reason given"
    if reason.startswith("[NOTRUN]"):
        return Meaning(Result.MISS, Cause.TEST, None, f"marked xfail with run=False, so not run: {reason}")
    if report.kind == "product":
        return Meaning(Result.FAIL, text=f"it failed; that xfail expects it ({reason}) does not make it a pass: {text}")
    if report.kind in ("timeout", "harness-error", "harness"):
        cause = {"timeout": "timeout", "harness": "harness"}.get(report.kind, report.cause or "harness")
        return Meaning(Result.ERROR, Cause(cause), None, text)
    return Meaning(Result.ERROR, Cause.TEST, None, f"{report.exception} (xfail: {reason}): {text}")


def _skip(text: str, reason: str) -> Meaning:
    word = reason.partition(":")[0].removeprefix("Skipped").strip()
    known = [each.value for each in SkipReason if each is not SkipReason.LABORATORY]
    if word in known:
        return Meaning(Result.SKIP, None, SkipReason(word), text)
    words = f"skip without a known reason code ({', '.join(known)}): {text}"
    return Meaning(Result.ERROR, Cause.TEST, None, words)
