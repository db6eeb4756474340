"""The command that packs what is handed over."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.output import print_json, say
from harness.cli.shared import campaign_in, format_option, workspace_option
from harness.issuing import delivering


@click.command("package")
@click.argument("campaign", required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="folder to write the archives to; the current one where none is named",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    metavar="MIB",
    help="no archive is larger; what does not fit goes into further parts",
)
@click.option("--no-evidence", is_flag=True, help="leave the evidence of the cells out; the list says so")
@click.option(
    "--also",
    "further",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="lay this file in too, as a scan of the signed page (repeatable)",
)
@workspace_option
@format_option
def package_command(
    campaign: str | None,
    out: Path,
    limit: int,
    no_evidence: bool,
    further: tuple[Path, ...],
    workspace: Path,
    form: str,
) -> None:
    """Pack CAMPAIGN (the newest where none is named) for delivery: report, certificate, record, evidence, and the list
    of their digests.

    The same campaign gives the same bytes. The recipient checks it with: harness verify FILE.zip
    """
    place, identity = campaign_in(workspace, campaign)
    paths = delivering.deliver(identity, place, out, limit=limit * 2**20, evidence=not no_evidence, further=further)
    if form == "json":
        print_json({"campaign": identity, "files": [str(path) for path in paths]})
        return
    for path in paths:
        say(f"written: {path} ({path.stat().st_size / 2**20:.1f} MiB)", err=True)
