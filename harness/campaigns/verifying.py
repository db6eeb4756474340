"""Whether what a workspace holds is what was recorded, when it was recorded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from harness.campaigns.rendering import OUTPUTS
from harness.errors import InfrastructureError
from harness.evidence import Workspace, broken_at, differences


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that was looked at; ``detail`` says what is wrong, or how much was seen."""

    name: str
    ok: bool
    detail: str


def verify(workspace: Workspace) -> list[Step]:
    """Look at the chain of events, at the tables that follow from it, at evidence and outputs.

    The chain shows an event that was changed, removed or put elsewhere. It is no signature: who can write the file
    can make another chain. Its last digest, which every report carries, ties it to what was handed out.
    """
    journal = workspace.journal
    steps = []
    wrong = broken_at(journal)
    count = len(journal.events())
    told = f"{count} events" if wrong is None else f"event {wrong} does not follow from the one before it"
    steps.append(Step(name="chain of events", ok=wrong is None, detail=told))
    unlike = differences(journal)
    steps.append(Step(name="tables follow from events", ok=not unlike,
                      detail="; ".join(unlike[:5]) or "attempts, observations and files agree"))  # fmt: skip
    bad = []
    seen = set()
    for row in journal.campaigns():
        for file in journal.files(row.id):
            if file["sha256"] in seen:
                continue
            seen.add(file["sha256"])
            try:
                workspace.store.get(file["sha256"])
            except InfrastructureError as error:
                bad.append(f"{file['name']}: {error.message}")
    steps.append(Step(name="evidence", ok=not bad, detail="; ".join(bad[:5]) or f"{len(seen)} files"))
    bad, looked = [], 0
    for identity, outputs in journal.outputs().items():
        for kind, digest in outputs.items():
            looked += 1
            path = workspace.root / "campaigns" / identity / OUTPUTS.get(kind, kind)
            if not path.is_file():
                bad.append(f"{path.name} of {identity} is missing")
            elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                bad.append(f"{path.name} of {identity} is not what was rendered")
    steps.append(Step(name="reports", ok=not bad, detail="; ".join(bad[:5]) or f"{looked} files"))
    return steps
