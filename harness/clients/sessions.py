"""Tries what several sessions show at once: isolation, locks, deadlocks, connections that break.

What a level forbids must not happen: which way a database keeps that (it waits, it refuses, it gives an older
version) is its own choice, so a step demands only what its definition says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.control.servers import BOUND_SECONDS, CellDatabase
from harness.model.definitions import SqlFeature, SqlStep
from harness.model.sessions import SessionStep, StepAnswer


@dataclass(frozen=True)
class Held:
    """What sessions showed: whether all was as demanded, what was not, and whether a statement was refused that
    should not be; ``transcript``: the statements of all sessions as they were run."""

    fault: str
    refused: bool
    transcript: str


def hold(database: CellDatabase, feature: SqlFeature, steps: Sequence[SqlStep], filled: Sequence[str]) -> Held:
    """Give the steps to their sessions. ``filled``: their statements as they are sent.

    Raises:
        InfrastructureError: the database does not answer.
    """
    several = [(each, sql) for step, sql in zip(steps, filled, strict=True) for each in _each(step)]
    given = [SessionStep(session=step.session, sql=sql, at_once=step.times > 1) for step, sql in several]
    answers = database.sessions(given)
    steps = [step for step, _ in several]
    fault, refused = judged(feature, steps, answers)
    return Held(fault, refused, "\n".join(_line(s, a) for s, a in zip(steps, answers, strict=True)))


def _each(step: SqlStep) -> list[SqlStep]:
    """The step for each of the sessions that are given it."""
    if step.times == 1:
        return [step]
    return [step.model_copy(update={"session": f"{step.session}{n}"}) for n in range(1, step.times + 1)]


def judged(feature: SqlFeature, steps: Sequence[SqlStep], answers: Sequence[StepAnswer]) -> tuple[str, bool]:
    """What is not as the steps demand, empty where nothing is; and whether that is a refusal."""
    for step, answer in zip(steps, answers, strict=True):
        if not answer.answered:
            return f"{step.session} had no answer within {BOUND_SECONDS:.0f} s / 未应答: {step.sql}", False
        if answer.refusal and step.refused is False:
            return f"{step.session}: {said(answer.refusal)}", True
        if not answer.refusal and step.refused is True:
            return f"{step.session} was not refused / 未被拒绝: {step.sql}", False
        if step.waits is not None and answer.waited != step.waits:
            words = "waited / 发生等待" if answer.waited else "did not wait / 未等待"
            return f"{step.session} {words}: {step.sql}", False
        rows = ["|".join(row) for row in answer.rows]
        if step.answer is not None and not answer.refusal and rows != list(step.answer):
            got, due = "; ".join(rows) or "no row", "; ".join(step.answer) or "no row"
            return f"{step.session}: {step.sql} gave {got}, expected {due} / 得到 {got}，应为 {due}", False
    refusals = sum(bool(answer.refusal) for answer in answers)
    if refusals < feature.refusals:
        return f"{refusals} statements were refused, expected {feature.refusals} / 被拒绝的语句数不足", False
    return "", False


def said(words: str) -> str:
    """The line of a client's words that names the error."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return next(
        (line for line in lines if "error" in line.lower() or "fatal" in line.lower()), (lines or ["refused"])[0]
    )


def _line(step: SqlStep, answer: StepAnswer) -> str:
    """A step as it was run, for a reader who repeats it."""
    words = " (waited 等待)" if answer.waited else ""
    if not answer.given:
        words += " → not run 未执行"
    elif not answer.answered:
        words += " → no answer 无应答"
    elif answer.refusal:
        words += f" → {said(answer.refusal)}"
    elif answer.rows:
        words += " → " + "; ".join("|".join(row) for row in answer.rows)
    return f"{step.session}: {' '.join(step.sql.split())}{words}"
