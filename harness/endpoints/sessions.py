"""Several sessions at a database server at once, each a connection of a driver, given their steps in turn."""

from __future__ import annotations

import contextlib
import functools
from concurrent.futures import Future

from harness.endpoints.asking import Account, Refused, Session, connect
from harness.model.definitions import Endpoint
from harness.model.sessions import SessionPlan, SessionStep, StepAnswer
from harness.system.abandoning import begin

_Answer = Future[StepAnswer]


def conduct(endpoint: Endpoint, account: Account, plan: SessionPlan) -> list[StepAnswer]:
    """Give the steps to their sessions; what came of each, in their order.

    Raises:
        InfrastructureError: the server does not answer, or takes no connection of the account.
        UsageError: the driver is missing.
    """
    sessions: dict[str, Session] = {}
    last: dict[str, _Answer] = {}
    begun: list[tuple[_Answer, bool]] = []
    try:
        for step in plan.steps:
            if step.session not in sessions:
                sessions[step.session] = connect(endpoint, account)
            elif not _settled(last[step.session], plan.bound):
                break
            answer = begin(functools.partial(_give, sessions[step.session], step))
            last[step.session] = answer
            begun.append((answer, not step.at_once and not _settled(answer, plan.look)))
        for answer in last.values():
            _settled(answer, plan.patience)
        answers = [
            answer.result().model_copy(update={"waited": waited})
            if answer.done()
            else StepAnswer(answered=False, waited=waited)
            for answer, waited in begun
        ]
    finally:
        _end(sessions, last)
    rest = len(plan.steps) - len(answers)
    return answers + [StepAnswer(given=False, answered=False)] * rest


def _give(session: Session, step: SessionStep) -> StepAnswer:
    try:
        return StepAnswer(rows=tuple(tuple(row) for row in session.script(step.sql)))
    except Refused as refusal:
        return StepAnswer(refusal=str(refusal) or "refused")


def _settled(answer: _Answer, seconds: float) -> bool:
    """Whether a step is over in time."""
    with contextlib.suppress(TimeoutError):
        answer.exception(timeout=seconds)
    return answer.done()


def _end(sessions: dict[str, Session], last: dict[str, _Answer]) -> None:
    """End those first that wait for nothing: what they held is free then, and the others come to their end."""
    for waiting in (False, True):
        for name, session in sessions.items():
            if (name in last and not last[name].done()) == waiting:
                if waiting:
                    _settled(last[name], 5)
                session.close()
