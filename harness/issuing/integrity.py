"""Checks that a record is as it was written: the chains of events, the tables, and the files of evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import InfrastructureError
from harness.evidence import EvidenceStore, JournalReader, Workspace
from harness.evidence.chain import WORKSPACE
from harness.evidence.checking import chain_faults, differences, unknown_chains
from harness.system.canonical import read_json


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that was looked at; ``detail`` says what is wrong, or how much was seen."""

    name: str
    ok: bool
    detail: str


def check_campaigns(workspace: Workspace, campaigns: Sequence[str]) -> list[Step]:
    """Look at these campaigns, each alone and as it stood at one moment.

    Raises:
        InfrastructureError: the database does not answer.
    """
    with workspace.journal.snapshot() as reader:
        return look(reader, workspace.store, campaigns)


def check_workspace(workspace: Workspace) -> list[Step]:
    """Look at everything that the workspace recorded, as it stood at one moment. Raises as ``check_campaigns``."""
    with workspace.journal.snapshot() as reader:
        return look(reader, workspace.store, sorted(reader.chains()), unknown_chains(reader))


def look(reader: JournalReader, store: EvidenceStore, chains: Iterable[str], faults: Sequence[str] = ()) -> list[Step]:
    """Look at these chains; ``faults`` were seen before."""
    count, unlike, bad = 0, [], []
    looked: set[str] = set()
    for campaign in chains:
        events = reader.events(campaign)
        count += len(events)
        faults = [*faults, *chain_faults(reader, campaign, events)]
        if campaign != WORKSPACE:
            unlike += differences(reader, campaign, events)
        kept = [(file.name, file.sha256) for file in reader.files(campaign)]
        for name, sha256 in [*kept, *_inputs(reader, store, campaign)]:
            if sha256 in looked:
                continue
            looked.add(sha256)
            try:
                store.check(sha256)
            except InfrastructureError as error:
                bad.append(f"{name}: {error.message}")
    return [
        Step(name="chain of events", ok=not faults, detail="; ".join(faults[:5]) or f"{count} events"),
        Step(
            name="tables follow from events",
            ok=not unlike,
            detail="; ".join(unlike[:5]) or "attempts, observations and files agree",
        ),
        Step(name="evidence", ok=not bad, detail="; ".join(bad[:5]) or f"{len(looked)} files"),
    ]


def _inputs(reader: JournalReader, store: EvidenceStore, campaign: str) -> list[tuple[str, str]]:
    """Name and SHA-256 of what a campaign was submitted with: its list, and what the list names."""
    row = reader.campaign(campaign)
    digest = str(row.plan.get("inputs", "")) if row is not None else ""
    if not digest:
        return []
    try:
        files = read_json(store.get(digest))["files"]
    except InfrastructureError:
        files = {}  # the list itself is looked at, and named
    return [("list of inputs", digest), *((f"input {place}", file["sha256"]) for place, file in files.items())]
