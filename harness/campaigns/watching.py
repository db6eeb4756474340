"""Where a campaign stands, seen from another process; and how that process asks it to stop."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.containers.engine import LABEL_ATTEMPT, LABEL_CAMPAIGN, LABEL_ROLE, Engine
from harness.errors import InfrastructureError, UsageError
from harness.evidence import Workspace
from harness.evidence.lookup import row_of
from harness.model.reasons import reasons_of
from harness.model.records import AttemptRow, FileRow
from harness.model.results import Observation, State, Verdict
from harness.virtual import qemu


def status_of(identity: str, workspace: Workspace) -> dict[str, Any]:
    """Campaign, its state, and for each cell its state, since when, and its verdict.

    Its state is running, cut off or finished; in the queue of a center: queued, paused or cancelled where no cell runs.

    Raises:
        UsageError: there is no such campaign.
    """
    row = row_of(workspace.journal, identity)
    last = {attempt.cell: attempt for attempt in workspace.journal.attempts(identity)}
    since = workspace.journal.state_times(identity)
    observations = workspace.journal.observations(identity)
    cells = []
    for cell in row.plan["cells"]:
        attempt = last.get(cell["id"])
        closed = attempt is not None and attempt.state is State.DONE
        cells.append(
            {
                "id": cell["id"],
                "short": cell["short"],
                "axes": cell["axes"],
                "state": attempt.state.value if attempt is not None else State.QUEUED.value,
                "since": since.get(cell["id"]),
                "attempt": attempt.number if attempt is not None else 0,
                "verdict": attempt.verdict.value if closed and attempt and attempt.verdict is not None else None,
                "message": attempt.message if attempt is not None else "",
                "reasons": list(_reasons(attempt, observations)),
            }
        )
    running = workspace.alive(identity)
    queued = workspace.journal.submission(identity)
    state = "running" if running else "finished" if row.finished else queued or "cut off"
    counts = Counter(cell["verdict"] or cell["state"] for cell in cells)
    return {"campaign": identity, "matrix": row.matrix, "state": state, "counts": dict(counts), "cells": cells}


def _reasons(
    attempt: AttemptRow | None, observations: Mapping[tuple[str, int], Sequence[Observation]]
) -> tuple[str, ...]:
    """What did not pass so far in an attempt, of a cell that may still run."""
    if attempt is None or attempt.verdict is Verdict.CONFORMANT:
        return ()
    return reasons_of(observations.get((attempt.cell, attempt.number), ()))


def cancel(identity: str, workspace: Workspace, *, now: bool) -> str:
    """Ask the worker that runs the campaign to stop; gives its name. It sees the wish within a second.

    Raises:
        UsageError: there is no such campaign, or nobody runs it.
    """
    row_of(workspace.journal, identity)
    if workspace.journal.submission(identity) is not None:
        raise UsageError(
            f"campaign {identity} is in the queue of a center", advice=f"harness queue cancel {identity} [--now]"
        )
    return workspace.claims.cancel(identity, stop="now" if now else "drain").worker


def evidence_of(identity: str, cell: str, attempt: int | None, workspace: Workspace) -> list[FileRow]:
    """Files of the attempt (the last where none is named) at the one cell whose short id begins with ``cell``.

    Raises:
        UsageError: no cell, or several, begin so.
    """
    planned = _planned(identity, cell, workspace)
    files = [file for file in workspace.journal.files(identity) if file.cell == planned["id"]]
    number = attempt if attempt is not None else max((file.number for file in files), default=0)
    return [file for file in files if file.number == number]


@dataclass(frozen=True)
class Standing:
    """A machine that stands: the name of a container, or the folder of a virtual machine and what is known of it."""

    container: str = ""
    folder: Path = Path()
    state: Mapping[str, str] = field(default_factory=dict)


def machine_of(identity: str, cell: str, role: str, workspace: Workspace) -> Standing:
    """The machine of a role that stands for the one cell whose short id begins with ``cell``: of its last attempt.

    Raises:
        UsageError: no cell, or several, begin so; none stands, or none of the role; nobody may log in there.
        InfrastructureError: the engine does not answer.
    """
    planned = _planned(identity, cell, workspace)
    standing: dict[int, dict[str, Standing]] = {}

    def add(attempt: str, whose: str | None, of_role: str, machine: Standing) -> None:
        of_cell, _, number = attempt.rpartition("-")
        if whose == identity and of_cell == planned["short"]:
            standing.setdefault(int(number), {})[of_role] = machine

    for folder, state in qemu.standing(workspace.machines):
        add(state.get("cell", ""), state.get("campaign"), state.get("role", ""), Standing("", folder, state))
    with contextlib.suppress(*((InfrastructureError,) if standing else ())):
        for kind, name, labels in Engine(workspace.id).ours():
            if kind == "container":
                whose = labels.get(LABEL_CAMPAIGN)
                add(labels.get(LABEL_ATTEMPT, ""), whose, labels.get(LABEL_ROLE, ""), Standing(container=name))
    if not standing:
        raise UsageError(
            f"no machine stands for cell {planned['short']} of {identity}",
            advice="a cell that runs has containers, and a failed cell of: harness run --keep",
        )
    last = standing[max(standing)]
    if role not in last:
        raise UsageError(f"the cell has no machine {role}; it has: {', '.join(sorted(last))}", advice="see: --role")
    if last[role].state and "port" not in last[role].state:
        raise UsageError(
            f"cell {planned['short']} runs in a virtual machine that nobody else logs in to",
            advice="run it with: harness run --keep",
        )
    return last[role]


def _planned(identity: str, cell: str, workspace: Workspace) -> dict[str, Any]:
    """The one cell of the plan whose short id begins with ``cell``. Raises as ``evidence_of``."""
    row = row_of(workspace.journal, identity)
    cells: list[dict[str, Any]] = [each for each in row.plan["cells"] if each["short"].startswith(cell.lower())]
    if len(cells) != 1:
        known = ", ".join(each["short"] for each in cells or row.plan["cells"][:12])
        count = "no cell" if not cells else f"{len(cells)} cells"
        raise UsageError(
            f"{count} of {identity} with an id that begins with {cell!r}; there is: {known}",
            advice="see: harness status",
        )
    return cells[0]
