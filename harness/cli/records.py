"""Commands that say where campaigns stand and what they left: list, status, logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from harness.campaigns import watching
from harness.cli.output import output_console, print_json, say
from harness.cli.shared import (
    VERDICTS,
    campaign_in,
    existing,
    format_option,
    workspace_option,
)
from harness.errors import UsageError
from harness.model.results import Verdict
from harness.system.printable import strict_json

#: Between two looks at a campaign that is watched.
WATCH_SECONDS = 2.0


@click.command("list")
@workspace_option
@format_option
def list_command(workspace: Path, form: str) -> None:
    """List the campaigns of the workspace, the newest first."""
    place = existing(workspace)
    rows = place.journal.campaigns()
    shown = [
        {"campaign": r.id, "matrix": r.matrix, "created": r.created, "verdict": r.verdict, "running": place.alive(r.id)}
        for r in rows
    ]
    if form == "json":
        print_json({"campaigns": shown})
        return
    for row in shown:
        cut_off = f"cut off: harness resume {row['campaign']}"
        state = "running" if row["running"] else row["verdict"] or cut_off
        say(f"{row['campaign']}  {str(row['created'])[:19]}  {row['matrix']}  {state}")


@click.command("status")
@click.argument("campaign", required=False)
@click.option("--watch", is_flag=True, help="go on, and print what changes, until the campaign has ended")
@workspace_option
@format_option
def status_command(campaign: str | None, watch: bool, workspace: Path, form: str) -> None:
    """Show where CAMPAIGN (the newest where none is named) stands, whether it runs or not.

    With --watch each change is a line; as JSON, a document in a line.
    """
    place, identity = campaign_in(workspace, campaign)
    status = watching.status_of(identity, place)
    if not watch:
        if form == "json":
            print_json(status)
        else:
            _print_cells(status["cells"])
            _print_state(status)
        return
    shown: dict[str, Any] = {}
    while True:
        if form == "json" and status != shown:
            say(strict_json(status))
        elif form != "json":
            before = {cell["id"]: cell for cell in shown.get("cells", ())}
            _print_cells([cell for cell in status["cells"] if cell != before.get(cell["id"])])
            if status != shown:
                _print_state(status)
        shown = status
        if status["state"] in ("finished", "cut off"):
            return
        time.sleep(WATCH_SECONDS)
        status = watching.status_of(identity, place)


def _print_cells(cells: Iterable[dict[str, Any]]) -> None:
    console = output_console()
    for cell in cells:
        verdict = cell["verdict"]
        state = f"{verdict}" if verdict else cell["state"] + (f" since {cell['since'][11:19]}" if cell["since"] else "")
        style = VERDICTS[Verdict(verdict)][1] if verdict else "cyan" if cell["state"] != "queued" else "dim"
        console.print(
            f"{cell['short']}  {escape(' · '.join(cell['axes'].values()))}  [{style}]{state}[/]"
            f"{'  attempt ' + str(cell['attempt']) if cell['attempt'] > 1 else ''}",
            soft_wrap=True,
        )
        for reason in cell["reasons"]:
            console.print(f"          {escape(reason)}", style="dim", soft_wrap=True)


def _print_state(status: dict[str, Any]) -> None:
    console = output_console()
    counts = ", ".join(f"{count} {word}" for word, count in status["counts"].items())
    console.print(f"{status['campaign']}: {status['state']}; {counts}")
    if status["state"] == "cut off":
        console.print(f"go on with: harness resume {status['campaign']}")


@click.command("logs")
@click.argument("cell")
@click.argument("name", required=False)
@click.option("--campaign", default="", help="the newest where none is named")
@click.option("--attempt", type=click.IntRange(1), default=None, help="the last where none is named")
@workspace_option
@format_option
def logs_command(cell: str, name: str | None, campaign: str, attempt: int | None, workspace: Path, form: str) -> None:
    """List the evidence of CELL (the beginning of its short id), or write one file of it, NAME, to standard output."""
    place, identity = campaign_in(workspace, campaign)
    files = watching.evidence_of(identity, cell, attempt, place)
    if name is None:
        if form == "json":
            print_json({"files": [vars(file) for file in files]})
            return
        for file in files:
            say(f"{file.size:>9}  {file.name}  attempt {file.number}  sha256:{file.sha256[:16]}")
        return
    chosen = [file for file in files if file.name == name]
    if not chosen:
        raise UsageError(
            f"no evidence named {name!r}; there is: {', '.join(f.name for f in files) or 'none'}",
            advice=f"see: harness logs {cell}",
        )
    content = place.store.get(chosen[-1].sha256)
    if sys.stdout.isatty():
        say(content.decode(errors="replace"), nl=False)
    else:
        sys.stdout.buffer.write(content)
