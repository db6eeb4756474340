"""Commands that render what was recorded: show, report, export."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.output import error_console, output_console, print_json, say
from harness.cli.progress import progress
from harness.cli.shared import (
    campaign_in,
    catalogue_here,
    commission_option,
    format_option,
    issuer_option,
    print_outputs,
    print_table,
    workspace_option,
)
from harness.errors import UsageError
from harness.issuing import exporting, rendering
from harness.issuing.outcome import Finished
from harness.issuing.papers import Office
from harness.presentation import Presentation
from harness.report import render_campaign_sarif
from harness.report.features import render_features
from harness.report.spreadsheet import compatibility_list, render_xlsx
from harness.system.printable import strict_json


@click.command("show")
@click.argument("campaign", required=False)
@workspace_option
@format_option
def show_command(campaign: str | None, workspace: Path, form: str) -> None:
    """Show the verdicts of CAMPAIGN (the newest where none is named)."""
    place, identity = campaign_in(workspace, campaign)
    view = rendering.view_of(identity, place)
    finished = Finished(view=view, outputs=rendering.outputs_in(place.folder(identity)), interrupted=False)
    if form == "json":
        print_json(finished.summary())
    else:
        print_table(finished, output_console())


@click.command("report")
@click.argument("campaign", required=False)
@issuer_option
@commission_option
@workspace_option
@format_option
def report_command(campaign: str | None, issuer: str, commission: Path | None, workspace: Path, form: str) -> None:
    """Render the reports of CAMPAIGN again from its records, unsigned: a draft of what an issuer would sign."""
    place, identity = campaign_in(workspace, campaign)
    rendering.verified_view(identity, place)
    with progress() as shown:
        finished = rendering.finish(
            identity,
            place,
            shown,
            close=False,
            office=Office.of(issuer, commission),
            presentation=Presentation.standard(catalogue_here()),
        )
    if form == "json":
        print_json(finished.summary())
    else:
        print_outputs(finished, error_console())


@click.command("export")
@click.argument("what", type=click.Choice(["docx", "xlsx", "compatibility", "sarif", "features"]))
@click.argument("campaign", required=False)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="file to write")
@issuer_option
@commission_option
@workspace_option
def export_command(
    what: str, campaign: str | None, out: Path, issuer: str, commission: Path | None, workspace: Path
) -> None:
    """Write what centers file: the report for Word (docx; with --issuer and --commission as of report), cells and cases
    as a workbook (xlsx), rows of a compatibility list (JSON), what failed as SARIF, or the features of the databases
    side by side (Markdown)."""
    place, identity = campaign_in(workspace, campaign)
    view = rendering.verified_view(identity, place)
    if what == "docx":
        presentation = Presentation.standard(catalogue_here())
        data = exporting.word_report(view, place, presentation, Office.of(issuer, commission))
    elif what == "xlsx":
        data = render_xlsx(view, Presentation.standard(catalogue_here()).wording())
    elif what == "sarif":
        data = render_campaign_sarif(view).encode()
    elif what == "features":
        data = render_features(view, place.store.get).encode()
    else:
        data = (strict_json(compatibility_list(view), indent=1) + "\n").encode()
    try:
        out.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}", advice="name another file") from error
    say(f"written: {out}", err=True)
