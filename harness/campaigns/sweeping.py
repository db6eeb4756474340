"""Removes what no running campaign owns."""

from __future__ import annotations

from harness.evidence import Workspace
from harness.machines import Engine
from harness.machines.engine import LABEL_CAMPAIGN


def sweep(engine: Engine, workspace: Workspace, *, campaign: str | None = None, everywhere: bool = False) -> list[str]:
    """Remove containers and networks that no running campaign owns; gives what was removed.

    ``everywhere`` takes those of other workspaces too, whose campaigns cannot be seen from here.
    """
    removed = []
    for kind, name, labels in engine.ours(everywhere=everywhere):
        owner = labels.get(LABEL_CAMPAIGN, "")
        if campaign is not None and owner != campaign:
            continue
        if campaign is None and workspace.alive(owner):
            continue
        remove = engine.remove_container if kind == "container" else engine.remove_network
        if remove(name):
            removed.append(f"{kind} {name}")
            workspace.journal.resource(owner, kind, name, "removed")
    return removed
