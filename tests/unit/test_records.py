"""Rows of a record: facts of an attempt have a form; a waiver is recorded for the case it was applied to."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.model.definitions import Waiver
from harness.model.recipe import PackageFact
from harness.model.records import AppliedWaiver, AttemptFacts, EnvironmentFacts
from harness.model.results import Fidelity


def test_facts_are_read_back_as_they_were_written() -> None:
    package = PackageFact(name="库 lib", version="1:2.0", architecture="arm64")
    facts = AttemptFacts(
        fidelity=Fidelity.USER_EMULATED,
        seconds={"total": 1.5},
        environment=EnvironmentFacts(packages=(package,), foundation_packages=(package,), database_packages=()),
    )
    assert AttemptFacts.model_validate(facts.plain()) == facts
    assert set(facts.plain()["environment"]) == {"packages", "foundation packages", "database packages"}


def test_what_was_not_learnt_is_not_written() -> None:
    assert AttemptFacts().plain() == {}


def test_a_fact_that_no_reader_knows_is_refused() -> None:
    with pytest.raises(ValidationError):
        AttemptFacts.model_validate({"fidelty": "native"})


@pytest.mark.parametrize("suite", [None, "compat/lifecycle"])
def test_a_waiver_for_every_case_is_recorded_for_the_case_it_was_applied_to(suite: str | None) -> None:
    waiver = Waiver.model_validate(
        {
            "case": "*",
            "suite": suite,
            "because": "known",
            "approved_by": "QA",
            "evidence": "ticket 17",
            "expires": "2027-01-31",
        }
    )
    applied = AppliedWaiver.of("compat/lifecycle", "LC-02", waiver)
    assert (applied.suite, applied.case, applied.expires) == ("compat/lifecycle", "LC-02", "2027-01-31")
