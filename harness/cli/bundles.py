"""Commands about bundles: bundle, replay."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from harness import campaigns
from harness.campaigns import RunOptions
from harness.cli.gates import print_difference
from harness.cli.output import print_json
from harness.cli.progress import progress
from harness.cli.shared import campaign_in, format_option, hosts_option, inventory_path, workspace_option
from harness.evidence import Workspace


@click.command("bundle")
@click.argument("campaign", required=False)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="default: CAMPAIGN.bundle.tar")
@click.option("--with-images", "images", is_flag=True, help="also the environments, so that no network is needed")
@workspace_option
def bundle_command(campaign: str | None, out: Path | None, images: bool, workspace: Path) -> None:
    """Pack CAMPAIGN (the newest where none is named) into one file: definitions, lock, suites, evidence, journal."""
    place, identity = campaign_in(workspace, campaign)
    path = campaigns.bundle(identity, place, out or Path(f"{identity}.bundle.tar"), images=images)
    click.echo(f"written: {path} ({path.stat().st_size / 2**20:.1f} MiB)", err=True)


@click.command("replay")
@click.argument("bundle", type=click.Path(path_type=Path))
@workspace_option
@format_option
@hosts_option
@click.option("--mirror", default="", envvar="HARNESS_MIRROR", help="Debian mirror instead of the one apt uses here")
@click.option("--jobs", type=click.IntRange(0, 256), default=0, help="cells at once; 0: as the bundle says")
@click.pass_context
def replay_command(
    ctx: click.Context, bundle: Path, workspace: Path, form: str, hosts: Path | None, mirror: str, jobs: int
) -> None:
    """Run the plan of BUNDLE here, and compare with what it holds.

    Exit codes: 0 the same cells and verdicts, 1 not, 130 interrupted.
    """
    place = Workspace(workspace)
    with progress() as shown:
        options = RunOptions(mirror=mirror, jobs=jobs, hosts=inventory_path(hosts))
        outcome = campaigns.replay(bundle.resolve(), place, options, shown)
    same = outcome.difference.same_verdicts
    if form == "json":
        print_json(
            {
                **outcome.finished.summary(),
                "same_verdicts": same,
                "changes": [vars(change) for change in outcome.difference.changes],
            }
        )
    else:
        print_difference(outcome.difference, Console(highlight=False, soft_wrap=True))
    click.echo(f"replay 重放: {'结论一致 the same verdicts' if same else '结论不同 other verdicts'}", err=True)
    ctx.exit(130 if outcome.finished.interrupted else 0 if same else 1)
