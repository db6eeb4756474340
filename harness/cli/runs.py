"""Commands that work on campaigns: run, resume, cancel, gc."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from harness.campaigns import choosing, running, sweeping, watching
from harness.campaigns.options import RunOptions, cache_folder, inventory_at
from harness.cli.output import print_json, say
from harness.cli.progress import progress
from harness.cli.shared import (
    campaign_in,
    catalogue_here,
    databases_of,
    databases_option,
    databases_path,
    end,
    folder_argument,
    format_option,
    hosts_option,
    inventory_path,
    pairs,
    profile_option,
    trust_code_option,
    workspace_option,
)
from harness.containers.cache import remove_unused
from harness.containers.engine import Engine
from harness.containers.images import clean_scratch
from harness.evidence import Workspace
from harness.model.definitions import Profile
from harness.system.scratch import remove_abandoned


@click.command("run")
@folder_argument
@workspace_option
@format_option
@click.option("--mirror", default="", envvar="HARNESS_MIRROR", help="Debian mirror instead of the one apt uses here")
@click.option(
    "--allow-expired-release",
    "expired",
    multiple=True,
    metavar="OS",
    help="accept an expired release file of this system; recorded in the evidence",
)
@click.option("--no-cache", is_flag=True, help="make every environment anew")
@click.option("--jobs", type=click.IntRange(0, 256), default=0, help="cells at once; 0: what CPU and memory allow")
@click.option(
    "--only", multiple=True, metavar="AXIS=VALUE", help="only cells with this value; the others count as not tested"
)
@click.option(
    "--suite",
    "suites",
    multiple=True,
    metavar="NAME",
    help="only this suite (repeatable); the others are left out, so no cell is conformant",
)
@click.option(
    "--case",
    "cases",
    multiple=True,
    metavar="ID",
    help="only this case (repeatable); the others are left out, so no cell is conformant",
)
@click.option(
    "--retry-failed",
    type=click.IntRange(0, 5),
    default=None,
    help="try a cell that failed so often again; a later pass is shown as unsteady",
)
@click.option(
    "--keep", is_flag=True, help="leave containers of failed cells standing: harness shell; harness gc removes them"
)
@profile_option
@hosts_option
@databases_option
@trust_code_option
@click.pass_context
def run_command(
    ctx: click.Context,
    folder: Path,
    workspace: Path,
    form: str,
    mirror: str,
    expired: tuple[str, ...],
    no_cache: bool,
    jobs: int,
    only: tuple[str, ...],
    suites: tuple[str, ...],
    cases: tuple[str, ...],
    retry_failed: int | None,
    keep: bool,
    profile: Profile | None,
    hosts: Path | None,
    databases: Path | None,
    trust_code: bool,
) -> None:
    """Run the matrix in FOLDER."""
    options = RunOptions(
        mirror=mirror,
        allow_expired=expired,
        no_cache=no_cache,
        jobs=jobs,
        only=pairs(only),
        suites=suites,
        cases=cases,
        keep=keep,
        retry_failed=retry_failed,
        profile=profile,
        hosts=inventory_path(hosts),
        databases=databases_path(databases),
        trust_code=trust_code,
    )
    inventory_at(options.hosts)
    databases_of(databases)
    catalogue = dataclasses.replace(catalogue_here(), trusts_code=trust_code)
    # What is wrong must not leave an empty workspace behind.
    definitions, plan = choosing.plan_of(folder, catalogue, profile=profile)
    choosing.check_choice(definitions, choosing.chosen(plan, options.only), options)
    with progress() as shown:
        finished = running.run_campaign(folder, Workspace(workspace), options, shown, catalogue=catalogue)
    end(ctx, finished, form)


@click.command("resume")
@click.argument("campaign", required=False)
@workspace_option
@format_option
@click.option("--mirror", default="", envvar="HARNESS_MIRROR", help="Debian mirror instead of the one apt uses here")
@click.option("--jobs", type=click.IntRange(0, 256), default=0, help="cells at once; 0: as the campaign began")
@hosts_option
@databases_option
@click.pass_context
def resume_command(
    ctx: click.Context,
    campaign: str | None,
    workspace: Path,
    form: str,
    mirror: str,
    jobs: int,
    hosts: Path | None,
    databases: Path | None,
) -> None:
    """Go on with CAMPAIGN (the newest where none is named): cells that were not finished are run."""
    place, identity = campaign_in(workspace, campaign)
    with progress() as shown:
        options = RunOptions(mirror=mirror, jobs=jobs, hosts=str(hosts or ""), databases=str(databases or ""))
        finished = running.resume_campaign(identity, place, options, shown)
    end(ctx, finished, form)


@click.command("gc")
@workspace_option
@format_option
@click.option(
    "--all",
    "everywhere",
    is_flag=True,
    help="also what belongs to other workspaces; do not use it while another harness runs on this machine",
)
@click.option(
    "--unused",
    type=click.FloatRange(min=1),
    metavar="DAYS",
    help="also disks, snapshots and images of the cache that no run used for so many days",
)
def gc_command(workspace: Path, form: str, everywhere: bool, unused: float | None) -> None:
    """Find and remove containers, networks and scratch files that no running campaign owns."""
    place = Workspace(workspace)
    removed = sweeping.sweep(Engine(place.id), place, everywhere=everywhere)
    removed += [f"file {name}" for name in clean_scratch(cache_folder())]
    removed += [f"folder {name}" for name in remove_abandoned()]
    if unused is not None:
        removed += remove_unused(cache_folder(), Engine(place.id), unused)
    if form == "json":
        print_json({"removed": removed})
        return
    for name in removed:
        say(f"removed {name}")
    say(f"{len(removed)} removed")


@click.command("cancel")
@click.argument("campaign", required=False)
@workspace_option
@click.option("--now", is_flag=True, help="do not wait for the steps that run")
def cancel_command(campaign: str | None, workspace: Path, now: bool) -> None:
    """Stop CAMPAIGN (the newest where none is named), which another process runs: as Ctrl-C there would."""
    place, identity = campaign_in(workspace, campaign)
    worker = watching.cancel(identity, place, now=now)
    say(
        f"{identity}: {worker} was asked to stop{' now' if now else ' after the steps that run'}; "
        f"go on later with: harness resume {identity}",
        err=True,
    )
