"""``shell``: a look into a machine of a cell."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from harness.campaigns import watching
from harness.cli.shared import campaign_in, workspace_option
from harness.errors import UsageError
from harness.system.shell import join
from harness.virtual.machine import login_words

#: Clients of an engine that start a program in a container, with the same words.
CLIENTS = ("docker", "podman")


@click.command("shell", context_settings={"ignore_unknown_options": True})
@click.argument("cell")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--role", default="application", show_default=True, help="the machine: application, database, middleware")
@click.option("--campaign", default="", help="the newest where none is named")
@workspace_option
def shell_command(cell: str, command: tuple[str, ...], role: str, campaign: str, workspace: Path) -> None:
    """Open a shell, or run COMMAND (behind --), in a machine of CELL (the beginning of its short id): in its container,
    or in the virtual machine that run --keep left standing."""
    place, identity = campaign_in(workspace, campaign)
    machine = watching.machine_of(identity, cell, role, place)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if machine.state:
        client, what = _client(("ssh",)), f"the virtual machine of {machine.folder.name}"
        words = login_words(machine.folder, machine.state, join(command or ("sh",)), terminal=terminal)
    else:
        client, what = _client(CLIENTS), f"the container {machine.container}"
        words = ["", "exec", "--interactive", *(["--tty"] if terminal else []), "--", machine.container]
        words += command or ("sh",)
    if client is None:
        raise UsageError(
            f"neither of {' and '.join(CLIENTS)} is installed, and a shell needs its client"
            if machine.container
            else "ssh is not installed, and a shell in a virtual machine needs it",
            advice=f"install one, then enter {what}",
        )
    os.execv(client, [client, *words[1:]])  # noqa: S606  # the operator's own program, in the machine


def _client(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name)) is not None), None)
