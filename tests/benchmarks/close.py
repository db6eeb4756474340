"""Closing a campaign: what journal and verification take at its end, in an empty workspace and beside many events."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from harness.evidence import Workspace
from harness.issuing.integrity import check_campaigns
from harness.issuing.rendering import view_of
from harness.model.records import AttemptFacts, CampaignRow
from harness.model.results import Observation, Result, State, Verdict

OTHERS = 60_000  #: events of other campaigns
CELLS, CASES = 12, 20
ROUNDS = 5
GOAL_SECONDS, GOAL_RATIO = 0.3, 1.5


def main() -> None:
    """Print seconds and their ratio; goals: 0.3 s beside 60,000 events, 1.5 times an empty workspace; and one event."""
    with tempfile.TemporaryDirectory() as scratch:
        empty, full = Workspace(Path(scratch) / "empty"), Workspace(Path(scratch) / "full")
        _fill(full)
        alone, beside = [], []
        for number in range(ROUNDS):  # by turns, so that both see the same load of the machine
            alone.append(_close(empty, f"c{number}"))
            beside.append(_close(full, f"c{number}"))
        first, second = statistics.median(alone), statistics.median(beside)
        print(
            f"closing {CELLS} cells of {CASES} cases: {first:.3f} s in an empty workspace, {second:.3f} s beside "
            f"{OTHERS} events of others (goal {GOAL_SECONDS}); ratio {second / first:.2f} (goal {GOAL_RATIO})"
        )
        _writes(full)


def _campaign(workspace: Workspace, identity: str) -> None:
    row = CampaignRow(
        id=identity,
        created="2026-01-01",
        finished=None,
        matrix="m",
        folder="/m",
        plan_digest="d",
        plan={
            "cells": [],
            "matrix": {"strategy": {"kind": "full"}},
            "application": {},
            "excluded": [],
            "valid": CELLS,
            "pairs": {},
            "suites": {},
        },
        options={},
        conditions={},
        verdict=None,
    )
    workspace.journal.open_campaign(row)


def _results(start: int, count: int) -> list[Observation]:
    numbers = range(start, start + count)
    return [Observation(case=f"C-{n}", suite="s", result=Result.PASS, detail="as it should be") for n in numbers]


def _fill(workspace: Workspace) -> None:
    """Twenty campaigns of others, of sixty cells each."""
    campaigns, cells = 20, 60
    each = OTHERS // (campaigns * cells)
    for campaign in range(campaigns):
        identity = f"other-{campaign}"
        _campaign(workspace, identity)
        for cell in range(cells):
            number = workspace.journal.begin(identity, f"cpu=x,os=o#{cell}")
            workspace.journal.observe(identity, f"cpu=x,os=o#{cell}", number, _results(0, each))


def _close(workspace: Workspace, identity: str) -> float:
    """Seconds that the end of a campaign takes: its view, its verification, its closing."""
    journal = workspace.journal
    _campaign(workspace, identity)
    for cell in range(CELLS):
        number = journal.begin(identity, f"cell-{cell}")
        journal.state(identity, f"cell-{cell}", number, State.RUNNING)
        journal.observe(identity, f"cell-{cell}", number, _results(0, CASES))
        digest = workspace.store.put(f"{identity} {cell}".encode())
        journal.file(identity, f"cell-{cell}", number, "log", digest, 10, "text/plain")
        end = {"verdict": Verdict.CONFORMANT, "cause": None, "message": "", "facts": AttemptFacts()}
        journal.finish(identity, f"cell-{cell}", number, **end)
    began = time.perf_counter()
    view_of(identity, workspace)
    assert all(step.ok for step in check_campaigns(workspace, [identity]))
    journal.close_campaign(identity, Verdict.CONFORMANT, {"json": "x"})
    return time.perf_counter() - began


def _writes(workspace: Workspace) -> None:
    """Milliseconds of a durable event, of one in a unit of fifty, and of what the disk itself takes."""
    journal, times, units, disk = workspace.journal, [], [], []
    number = journal.begin("c0", "writes")
    with (workspace.root / "probe").open("ab") as file:
        for n in range(60):
            began = time.perf_counter()
            journal.event("note", {"n": n}, "c0")
            times.append(time.perf_counter() - began)
            began = time.perf_counter()
            journal.observe("c0", "writes", number, _results(n * 50, 50))
            units.append(time.perf_counter() - began)
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            disk.append(time.perf_counter() - began)
    single, unit, sync = (1000 * statistics.median(values) for values in (times, units, disk))
    print(
        f"a durable event: {single:.2f} ms; fifty in one unit: {unit / 50:.3f} ms each; "
        f"fsync of 4 KiB alone: {sync:.2f} ms"
    )
