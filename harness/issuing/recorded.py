"""Whether journal and evidence are what was recorded, when it was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import InfrastructureError
from harness.evidence import Workspace, broken_at, differences


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that was looked at; ``detail`` says what is wrong, or how much was seen."""

    name: str
    ok: bool
    detail: str


def recorded(workspace: Workspace, campaigns: Sequence[str]) -> list[Step]:
    """Steps over the chain of events, the tables that follow from it, and the evidence of these campaigns."""
    journal = workspace.journal
    wrong = broken_at(journal)
    count = len(journal.events())
    told = f"{count} events" if wrong is None else f"event {wrong} does not follow from the one before it"
    unlike = differences(journal)
    bad = []
    seen = set()
    for campaign in campaigns:
        for file in journal.files(campaign):
            if file.sha256 in seen:
                continue
            seen.add(file.sha256)
            try:
                workspace.store.get(file.sha256)
            except InfrastructureError as error:
                bad.append(f"{file.name}: {error.message}")
    return [
        Step(name="chain of events", ok=wrong is None, detail=told),
        Step(
            name="tables follow from events",
            ok=not unlike,
            detail="; ".join(unlike[:5]) or "attempts, observations and files agree",
        ),
        Step(name="evidence", ok=not bad, detail="; ".join(bad[:5]) or f"{len(seen)} files"),
    ]
