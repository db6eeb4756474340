"""``shell``: a look into a machine of a cell."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from harness import campaigns
from harness.cli.shared import campaign_in, workspace_option
from harness.errors import UsageError

#: Clients of an engine that start a program in a container, with the same words.
CLIENTS = ("docker", "podman")


@click.command("shell", context_settings={"ignore_unknown_options": True})
@click.argument("cell")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--role", default="application", show_default=True, help="the machine: application, database, middleware")
@click.option("--campaign", default="", help="the newest where none is named")
@workspace_option
def shell_command(cell: str, command: tuple[str, ...], role: str, campaign: str, workspace: Path) -> None:
    """Open a shell, or run COMMAND (behind --), in a container of CELL (the beginning of its short id)."""
    place, identity = campaign_in(workspace, campaign)
    container = campaigns.container_of(identity, cell, role, place)
    client = next((path for name in CLIENTS if (path := shutil.which(name)) is not None), None)
    if client is None:
        raise UsageError(
            f"neither of {' and '.join(CLIENTS)} is installed, and a shell needs its client",
            advice=f"install one, then enter the container {container}",
        )
    terminal = ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    words = [client, "exec", "--interactive", *terminal, "--", container, *(command or ("sh",))]
    os.execv(client, words)  # noqa: S606  # the operator's own program, in a container
