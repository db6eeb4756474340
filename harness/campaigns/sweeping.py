"""Removes containers, networks, machines and rules of a firewall that no running campaign and no process owns."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from pathlib import Path

from harness.containers import firewall
from harness.containers.engine import LABEL_CAMPAIGN, LABEL_MAKER, Engine
from harness.evidence import Workspace
from harness.system.makers import runs
from harness.virtual import qemu

#: Kinds of resources that a sweep can look for.
KINDS = ("container", "network", "vm", "rule")


def sweep(
    engine: Engine,
    workspace: Workspace,
    *,
    campaign: str | None = None,
    everywhere: bool = False,
    spared: Collection[str] = (),
    alone: bool = False,
) -> list[str]:
    """Remove containers, networks and virtual machines that no running campaign owns; gives what was removed.

    With ``campaign``, which the caller holds, all that belongs to that campaign goes. Else what a running process made
    stays, whatever it is for: an image or a disk that is being built belongs to no campaign. ``everywhere`` takes those
    of other workspaces too, whose campaigns cannot be seen from here. ``spared``: names of what stays. ``alone``:
    nothing runs in this workspace, so all that is left in it goes, also of campaigns that others run elsewhere. Rules
    of the firewall go with their networks.
    """
    alive = functools.cache(workspace.alive)

    def unowned(owner: str, maker: str) -> bool:
        if alone:
            return True
        return owner == campaign if campaign is not None else not alive(owner) and not runs(maker)

    removed = []
    for kind, name, labels in engine.ours(everywhere=everywhere):
        owner = labels.get(LABEL_CAMPAIGN, "")
        if name in spared or not unowned(owner, labels.get(LABEL_MAKER, "")):
            continue
        remove = engine.remove_container if kind == "container" else engine.remove_network
        if remove(name):
            removed.append(f"{kind} {name}")
            workspace.journal.resource(owner, kind, name, "removed")
    for folder, state in qemu.standing(workspace.machines):
        owner = state.get("campaign", "")
        # One that belongs to no campaign was booted to make a snapshot; whoever looks at one campaign leaves it.
        if folder.name in spared:
            continue
        if unowned(owner, _maker(folder)) and (owner or campaign is None):
            qemu.remove(folder)
            removed.append(f"vm {folder.name}")
            workspace.journal.resource(owner, "vm", folder.name, "removed")
    removed += [f"rule {bridge}" for bridge in firewall.sweep()]
    _note_what_is_gone(engine, workspace, campaign, alive)
    return removed


def _note_what_is_gone(
    engine: Engine, workspace: Workspace, campaign: str | None, alive: Callable[[str], bool]
) -> None:
    """Complete the notes of a killed run: things that it removed or never made, and did not note."""
    stands = {(kind, name) for kind, name, _ in engine.ours()}
    stands |= {("vm", folder.name) for folder, _ in qemu.standing(workspace.machines)}
    rules = firewall.closed()
    stands |= {("rule", bridge) for bridge in rules or ()}
    for row in workspace.journal.resources(campaign=campaign):
        if row.state == "removed" or row.kind not in KINDS or (row.kind, row.name) in stands:
            continue
        if row.kind == "rule" and rules is None:  # whoever may not look does not know
            continue
        if campaign is not None or not alive(row.campaign):
            workspace.journal.resource(row.campaign, row.kind, row.name, "removed")


def _maker(folder: Path) -> str:
    """Name of the process that booted a machine for itself, empty for a machine of a cell."""
    named = re.match(r"(?:boot|proof)-([0-9a-f]+)-", folder.name)
    return named[1] if named is not None else ""
