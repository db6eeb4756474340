"""The one state machine of an application: which step leads from where to where, and who may take it.

Pure: nothing here asks a database. The same table stands in the database (``desk.transitions``), where a trigger holds
every step against it; a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

Role = Literal["applicant", "tester", "reviewer", "approver", "administrator", "auditor"]
ROLES: tuple[Role, ...] = ("applicant", "tester", "reviewer", "approver", "administrator", "auditor")
#: Roles of people of a center; ``applicant`` is that of a vendor's people.
STAFF: tuple[Role, ...] = ROLES[1:]
#: What a person does for one application, and only one of these: nobody reviews or approves what they tested.
Duty = Literal["apply", "test", "review", "approve", "machine"]

STATES = (
    "draft",
    "plan_review",
    "testing",
    "machine_review",
    "reporting",
    "first_review",
    "second_review",
    "drafting",
    "confirmation",
    "issuing",
    "issued",
    "rejected",
    "withdrawn",
)
#: States that no step leaves.
ENDS = ("issued", "rejected", "withdrawn")

#: Reasons of which a step back takes one; what they mean to people is in ``reports/desk/wording.yaml``.
REASONS: dict[str, tuple[str, ...]] = {
    "return_application": ("incomplete", "platforms", "artifact", "materials"),
    "reject": ("out_of_scope", "no_rights", "untestable"),
    "return_from_testing": ("artifact", "environment", "materials"),
    "machine_return": ("machine",),
    "return_report": ("results", "evidence", "wording"),
    "return_review": ("results", "evidence", "opinion"),
    "return_for_report": ("results", "wording", "names"),
    "dispute": ("names", "platforms", "wording"),
    "return_draft": ("names", "wording", "policy"),
}


@dataclass(frozen=True, kw_only=True)
class Transition:
    """``action`` leads from ``source`` to ``target``; people of ``role`` take it, and do ``duty`` by it."""

    action: str
    source: str
    target: str
    role: str
    duty: Duty

    @property
    def back(self) -> bool:
        """Whether it passes the application back: then it takes a reason of the list, and an opinion."""
        return self.action in REASONS


def _steps(rows: Iterable[tuple[str, str, str, str, Duty]]) -> tuple[Transition, ...]:
    return tuple(Transition(action=a, source=s, target=t, role=r, duty=d) for a, s, t, r, d in rows)


TRANSITIONS = _steps(
    (
        ("submit", "draft", "plan_review", "applicant", "apply"),
        ("withdraw", "draft", "withdrawn", "applicant", "apply"),
        ("withdraw", "plan_review", "withdrawn", "applicant", "apply"),
        ("accept_plan", "plan_review", "testing", "reviewer", "review"),
        ("return_application", "plan_review", "draft", "reviewer", "review"),
        ("reject", "plan_review", "rejected", "reviewer", "review"),
        ("bind_campaign", "testing", "testing", "tester", "test"),
        ("return_from_testing", "testing", "draft", "tester", "test"),
        ("finish_testing", "testing", "machine_review", "tester", "test"),
        ("machine_pass", "machine_review", "reporting", "machine", "machine"),
        ("machine_return", "machine_review", "testing", "machine", "machine"),
        ("submit_report", "reporting", "first_review", "tester", "test"),
        ("pass_first", "first_review", "second_review", "reviewer", "review"),
        ("return_report", "first_review", "reporting", "reviewer", "review"),
        ("pass_second", "second_review", "drafting", "approver", "approve"),
        ("return_review", "second_review", "first_review", "approver", "approve"),
        ("make_draft", "drafting", "confirmation", "reviewer", "review"),
        ("return_for_report", "drafting", "reporting", "reviewer", "review"),
        ("confirm", "confirmation", "issuing", "applicant", "apply"),
        ("dispute", "confirmation", "drafting", "applicant", "apply"),
        ("issue", "issuing", "issued", "approver", "approve"),
        ("return_draft", "issuing", "drafting", "approver", "approve"),
    )
)
_BY = {(step.action, step.source): step for step in TRANSITIONS}


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A step that was taken, as far as the rules ask: who, and for which duty. ``person`` is None for the machine."""

    person: int | None
    duty: str


def transition(action: str, state: str) -> Transition | None:
    """The step ``action`` from ``state``; None where there is none."""
    return _BY.get((action, state))


def conflict(step: Transition, person: int, history: Iterable[Taken]) -> str | None:
    """The other duty that a person has done for this application already; None where there is none."""
    return next((taken.duty for taken in history if taken.person == person and taken.duty != step.duty), None)


def refusal(
    action: str,
    state: str,
    *,
    person: int,
    roles: Collection[str],
    history: Iterable[Taken],
    reason: str = "",
    opinion: str = "",
) -> str | None:
    """Why a person may not take a step: ``state``, ``role``, ``duty``, ``reason`` or ``opinion``; None: they may."""
    step = transition(action, state)
    if step is None:
        return "state"
    if step.role not in roles:
        return "role"
    if conflict(step, person, history) is not None:
        return "duty"
    if step.back:
        if reason not in REASONS[action]:
            return "reason"
        if not opinion.strip():
            return "opinion"
    return None


def possible(state: str, *, person: int, roles: Collection[str], history: Collection[Taken]) -> list[Transition]:
    """The steps that a person may take now, in the order of the table."""
    return [
        step
        for step in TRANSITIONS
        if step.source == state and step.role in roles and conflict(step, person, history) is None
    ]


def waits_for(state: str) -> tuple[str, ...]:
    """The roles that an application in this state waits for."""
    return tuple(dict.fromkeys(step.role for step in TRANSITIONS if step.source == state))
