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
    # What a killed run removed, or never made, and could not write down any more.
    stands = {(kind, name) for kind, name, _ in engine.ours()}
    for row in workspace.journal.resources():
        owner = row["campaign"]
        wanted = owner == campaign if campaign is not None else not workspace.alive(owner)
        known = (row["kind"], row["name"])
        if wanted and row["kind"] in ("container", "network") and row["state"] != "removed" and known not in stands:
            workspace.journal.resource(owner, *known, "removed")
    return removed
