"""The state machine of an application: who may take which step, whatever was done before."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.desk.flow import (
    ENDS,
    REASONS,
    ROLES,
    STATES,
    TRANSITIONS,
    Taken,
    possible,
    refusal,
    transition,
    waits_for,
)

PEOPLE = st.integers(1, 4)


def test_every_state_is_reached_and_only_ends_are_never_left() -> None:
    assert {step.source for step in TRANSITIONS} | set(ENDS) == set(STATES)
    assert {step.target for step in TRANSITIONS} | {"draft"} == set(STATES)
    assert not {step.source for step in TRANSITIONS} & set(ENDS)
    assert {step.role for step in TRANSITIONS} <= {*ROLES, "machine"}
    assert len({(step.action, step.source) for step in TRANSITIONS}) == len(TRANSITIONS)
    assert set(REASONS) == {step.action for step in TRANSITIONS if step.back}


def test_every_gate_can_pass_back() -> None:
    gates = ("plan_review", "testing", "machine_review", "first_review", "second_review", "drafting", "confirmation")
    for state in (*gates, "issuing"):
        assert any(step.back for step in TRANSITIONS if step.source == state), state


def test_a_role_has_one_duty() -> None:
    duties = {(step.role, step.duty) for step in TRANSITIONS}
    assert len(duties) == len({role for role, _ in duties}), "who has one role does one duty by it"


@given(st.data())
def test_a_walk_of_people_with_every_role_never_has_one_person_for_two_duties(data: st.DataObject) -> None:
    """Whatever is tried in whatever order: what is let through keeps tester, reviewer and approver apart."""
    state, history = "draft", []
    for _ in range(data.draw(st.integers(0, 40))):
        person = data.draw(PEOPLE)
        action = data.draw(st.sampled_from(sorted({step.action for step in TRANSITIONS})))
        step = transition(action, state)
        why = refusal(
            action,
            state,
            person=person,
            roles=ROLES,
            history=history,
            reason=REASONS.get(action, ("",))[0],
            opinion="x",
        )
        if step is not None and step.role == "machine":
            assert why == "role", "nobody is the machine"
            history.append(Taken(person=None, duty="machine"))
            state = step.target
        elif why is None:
            assert step in possible(state, person=person, roles=ROLES, history=history)
            history.append(Taken(person=person, duty=step.duty))
            state = step.target
    for person in range(1, 5):
        assert len({taken.duty for taken in history if taken.person == person}) <= 1
    if state == "issued":
        assert len({taken.person for taken in history if taken.duty in ("test", "review", "approve")}) >= 3


@given(st.sampled_from(TRANSITIONS), st.sampled_from(ROLES), PEOPLE)
def test_what_is_possible_is_what_is_not_refused(step, role, person) -> None:  # type: ignore[no-untyped-def]
    reason = REASONS[step.action][0] if step.back else ""
    why = refusal(step.action, step.source, person=person, roles=[role], history=[], reason=reason, opinion="x")
    offered = possible(step.source, person=person, roles=[role], history=[])
    assert (why is None) == (step in offered)
    assert (role in waits_for(step.source)) == bool(offered)


@pytest.mark.parametrize(
    ("reason", "opinion", "why"),
    [
        ("", "x", "reason"),
        ("of another gate", "x", "reason"),
        ("results", "", "opinion"),
        ("results", " \n", "opinion"),
    ],
)
def test_what_is_passed_back_has_a_reason_of_its_list_and_an_opinion(reason: str, opinion: str, why: str) -> None:
    given_ = {"person": 1, "roles": ["reviewer"], "history": [], "reason": reason, "opinion": opinion}
    assert refusal("return_report", "first_review", **given_) == why


def test_the_way_without_a_return_leads_from_draft_to_issue() -> None:
    forward = ["submit", "accept_plan", "finish_testing", "machine_pass", "submit_report", "pass_first", "pass_second"]
    forward += ["make_draft", "confirm", "issue"]
    steps = [next(step for step in TRANSITIONS if step.action == action) for action in forward]
    assert steps[0].source == "draft"
    assert steps[-1].target == "issued"
    assert all(before.target == after.source for before, after in pairwise(steps))
