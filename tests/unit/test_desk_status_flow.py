"""Changes of a certificate's status: two people, whatever is tried; reasons that the register can publish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.desk.flow import ROLES
from harness.desk.status_flow import CHANGES, DECISIONS, REASONS, change_of, decision_refusal, possible
from harness.register.register import STATES, fits
from harness.register.status import StatusList


def test_every_status_is_reached_and_revoked_is_never_left() -> None:
    assert {change.target for change in CHANGES} == set(STATES)
    assert {source for change in CHANGES for source in change.sources} == set(STATES) - {"revoked"}
    assert {change.kind for change in CHANGES} == set(REASONS)
    assert all(change.target not in change.sources for change in CHANGES)
    assert change_of("none") is None


@given(st.data())
def test_what_is_let_through_was_decided_by_two_people(data: st.DataObject) -> None:
    decision = data.draw(st.sampled_from(["none", *DECISIONS]))
    person, proposer = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    roles, tested = data.draw(st.frozensets(st.sampled_from(ROLES))), data.draw(st.booleans())
    why = decision_refusal(decision, person=person, roles=roles, proposer=proposer, tested=tested)
    if decision == "withdrawn":
        assert (why is None) == (person == proposer)
    else:
        allowed = decision in DECISIONS and person != proposer and "approver" in roles and not tested
        assert (why is None) == allowed


@pytest.mark.parametrize("status", [*STATES, "unknown"])
def test_only_reviewers_and_approvers_propose(status: str) -> None:
    for role in ROLES:
        kinds = [change.kind for change in possible(status, {role})]
        wanted = [change.kind for change in CHANGES if status in change.sources]
        assert kinds == (wanted if role in ("reviewer", "approver") else [])


@given(st.text(max_size=40))
def test_a_reason_that_fits_is_one_line_of_the_list(reason: str) -> None:
    if fits(reason):
        entry = {"number": "X", "status": "revoked", "reason": reason, "by": "", "time": "2026-01-01T00:00:00Z"}
        lines = StatusList(entries=(entry,)).lines().decode().split("\n")
        assert lines[4] == f"certificate revoked 2026-01-01T00:00:00Z X - {reason}"
        assert len(lines) == 7
