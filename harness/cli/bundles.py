"""Commands about bundles: bundle, replay."""

from __future__ import annotations

from pathlib import Path

import click

from harness.campaigns import bundling
from harness.campaigns.options import RunOptions
from harness.certify.envelopes import Signing
from harness.cli.gates import print_difference
from harness.cli.keys import keys_option, passphrase_option, read_passphrase, standard_folder
from harness.cli.output import output_console, print_json, say
from harness.cli.progress import progress
from harness.cli.shared import (
    campaign_in,
    databases_option,
    databases_path,
    format_option,
    hosts_option,
    inventory_path,
    trust_code_option,
    workspace_option,
)
from harness.evidence import Workspace
from harness.signing.keys import KeyStore, trusted


@click.command("bundle")
@click.argument("campaign", required=False)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="default: CAMPAIGN.bundle.tar")
@click.option("--with-images", "images", is_flag=True, help="also the environments, so that no network is needed")
@click.option("--sign", "names", multiple=True, metavar="KEY", help="name of a key; several sign side by side")
@keys_option
@passphrase_option
@workspace_option
def bundle_command(
    campaign: str | None,
    out: Path | None,
    images: bool,
    names: tuple[str, ...],
    folder: Path | None,
    passphrase: str,
    workspace: Path,
) -> None:
    """Pack CAMPAIGN (the newest where none is named) into one file: definitions, lock, suites, evidence, journal."""
    place, identity = campaign_in(workspace, campaign)
    signing = None
    if names:
        signing = Signing(
            store=KeyStore(folder or standard_folder()), names=names, passphrase=read_passphrase(passphrase)
        )
        signing.check()
    path = bundling.bundle(identity, place, out or Path(f"{identity}.bundle.tar"), images=images, signing=signing)
    say(f"written: {path} ({path.stat().st_size / 2**20:.1f} MiB)", err=True)


@click.command("replay")
@click.argument("bundle", type=click.Path(path_type=Path))
@workspace_option
@format_option
@hosts_option
@databases_option
@click.option("--mirror", default="", envvar="HARNESS_MIRROR", help="Debian mirror instead of the one apt uses here")
@click.option("--jobs", type=click.IntRange(0, 256), default=0, help="cells at once; 0: as the bundle says")
@click.option(
    "--signer",
    "signers",
    multiple=True,
    type=click.Path(path_type=Path),
    help="public key, or a folder of *.pub.pem, of those who may have signed the bundle",
)
@click.option("--require-signature", "signed", is_flag=True, help="refuse a bundle that none of these keys signed")
@trust_code_option
@click.pass_context
def replay_command(
    ctx: click.Context,
    bundle: Path,
    workspace: Path,
    form: str,
    hosts: Path | None,
    databases: Path | None,
    mirror: str,
    jobs: int,
    signers: tuple[Path, ...],
    signed: bool,
    trust_code: bool,
) -> None:
    """Run the plan of BUNDLE here, and compare with what it holds.

    Exit codes: 0 the same cells and verdicts, 1 not, 130 interrupted.
    """
    keys = tuple(trusted(list(signers)))
    place = Workspace(workspace)
    with progress() as shown:
        options = RunOptions(
            mirror=mirror,
            jobs=jobs,
            hosts=inventory_path(hosts),
            databases=databases_path(databases),
            trust_code=trust_code,
        )
        outcome = bundling.replay(bundle.resolve(), place, options, shown, trust=keys, signed=signed)
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
        print_difference(outcome.difference, output_console(soft_wrap=True))
    say(f"replay 重放: {'结论一致 the same verdicts' if same else '结论不同 other verdicts'}", err=True)
    ctx.exit(130 if outcome.finished.interrupted else 0 if same else 1)
