"""Campaigns in a journal, for tests of what it keeps."""

from __future__ import annotations

from harness.evidence import Workspace
from harness.evidence.database import DatabaseJournal
from harness.issuing.integrity import check_workspace
from harness.model.records import AttemptFacts, CampaignRow
from harness.model.results import Cause, Measurement, Observation, Result, Verdict


def campaign(journal: DatabaseJournal, identity: str = "c1") -> None:
    """Open a campaign."""
    row = CampaignRow(
        id=identity,
        created="2026-01-01",
        finished=None,
        matrix="m",
        folder="/m",
        plan_digest="d",
        plan={"cells": [], "名": "试"},
        options={},
        conditions={},
        verdict=None,
    )
    journal.open_campaign(row)


def whole(journal: DatabaseJournal, identity: str, token: int = 0) -> None:
    """A campaign with two cells, from its opening to its end."""
    campaign(journal, identity)
    for cell in ("a", "b"):
        number = journal.begin(identity, cell, token=token)
        journal.observe(identity, cell, number, [PASS, FAIL], token=token)
        journal.file(identity, cell, number, "log", "ab" * 32, 3, "text/plain", token=token)
        close(journal, identity, cell, number, token)
    journal.close_campaign(identity, Verdict.NONCONFORMANT, {"json": "x"}, token=token)


def close(journal: DatabaseJournal, identity: str, cell: str, number: int, token: int = 0) -> None:
    """Close an attempt, with a verdict and a fact."""
    facts = AttemptFacts(seconds={"total": 1.25})
    journal.finish(identity, cell, number, verdict=Verdict.CONFORMANT, cause=None, message="", facts=facts, token=token)


PASS = Observation(case="C-1", suite="s", result=Result.PASS)
FAIL = Observation(case="C-2", suite="s", result=Result.FAIL, detail="it's 5% 坏")
STRANGE = Observation(
    case="C-3",
    suite="s",
    result=Result.ERROR,
    cause=Cause.INFRA,
    detail="生僻字 𬱖 \\u0000 %s {} '\" \u2028",
    seconds=1.1,
    measurements=(Measurement(name="p95", value=1e-300, unit="ms"), Measurement(name="n", value=1e300, unit="")),
    evidence=("ab",),
)


def wrong(workspace: Workspace) -> set[str]:
    """The checks of the workspace that say that something was changed."""
    return {step.name for step in check_workspace(workspace) if not step.ok and step.name != "evidence"}
