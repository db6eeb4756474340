"""Removes what no running campaign owns."""

from __future__ import annotations

import re
from pathlib import Path

from harness.containers.engine import LABEL_CAMPAIGN, Engine
from harness.evidence import Workspace
from harness.virtual import qemu


def sweep(engine: Engine, workspace: Workspace, *, campaign: str | None = None, everywhere: bool = False) -> list[str]:
    """Remove containers, networks and virtual machines that no running campaign owns; gives what was removed.

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
    for folder, state in qemu.standing(workspace.machines):
        owner = state.get("campaign", "")
        mine = owner == campaign if campaign is not None else not workspace.alive(owner)
        if (mine and owner) or (not owner and not _made_by_running(folder)):
            qemu.remove(folder)
            removed.append(f"vm {folder.name}")
            workspace.journal.resource(owner, "vm", folder.name, "removed")
    # What a killed run removed, or never made, and could not write down any more.
    stands = {(kind, name) for kind, name, _ in engine.ours()}
    stands |= {("vm", folder.name) for folder, _ in qemu.standing(workspace.machines)}
    for row in workspace.journal.resources():
        owner = row.campaign
        wanted = owner == campaign if campaign is not None else not workspace.alive(owner)
        known = (row.kind, row.name)
        if wanted and row.kind in ("container", "network", "vm") and row.state != "removed" and known not in stands:
            workspace.journal.resource(owner, *known, "removed")
    return removed


def _made_by_running(folder: Path) -> bool:
    """Whether a machine that belongs to no campaign, for making a snapshot, is a running process's."""
    maker = re.match(r"(?:boot|proof)-(\d+)-", folder.name)
    return maker is not None and Path(f"/proc/{maker[1]}").exists()
