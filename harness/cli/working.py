"""Commands that put cells into the queue of a center, and run them: submit, worker."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import click
from rich.markup import escape

from harness.campaigns.options import RunOptions, inventory_at
from harness.center import submitting
from harness.center.granting import worker_role
from harness.center.worker import Worker, WorkerOptions
from harness.cli.center import center_at, log_of, log_option
from harness.cli.output import error_console, print_json, say
from harness.cli.shared import (
    catalogue_here,
    databases_of,
    databases_option,
    databases_path,
    folder_argument,
    format_option,
    hosts_option,
    inventory_path,
    pairs,
    profile_option,
    trust_code_option,
    workspace_option,
)
from harness.errors import UsageError
from harness.model.definitions import Profile


@click.command("submit")
@folder_argument
@workspace_option
@format_option
@click.option("--customer", default="", metavar="NAME", help="for whom; shown in the queue")
@click.option(
    "--priority", type=click.IntRange(-1000, 1000), default=0, show_default=True, help="higher ones come first"
)
@click.option(
    "--only", multiple=True, metavar="AXIS=VALUE", help="only cells with this value; the others count as not tested"
)
@click.option("--suite", "suites", multiple=True, metavar="NAME", help="only this suite (repeatable)")
@click.option("--case", "cases", multiple=True, metavar="ID", help="only this case (repeatable)")
@click.option("--retry-failed", type=click.IntRange(0, 5), default=None, help="try a cell that failed so often again")
@profile_option
def submit_command(
    folder: Path,
    workspace: Path,
    form: str,
    customer: str,
    priority: int,
    only: tuple[str, ...],
    suites: tuple[str, ...],
    cases: tuple[str, ...],
    retry_failed: int | None,
    profile: Profile | None,
) -> None:
    """Put the matrix in FOLDER into the queue of a center, whose workers run its cells."""
    options = RunOptions(only=pairs(only), suites=suites, cases=cases, retry_failed=retry_failed, profile=profile)
    identity = submitting.submit(
        folder, center_at(workspace), options, catalogue_here(), customer=customer, priority=priority
    )
    if form == "json":
        print_json({"campaign": identity})
        return
    say(identity)
    error_console().print("next / 下一步: harness queue, harness status " + escape(identity))


@click.command("worker")
@workspace_option
@click.option("--name", default="", metavar="NAME", help="of this worker; by default the machine's and the process's")
@click.option("--slots", type=click.IntRange(1, 64), default=None, help="cells at once; by default half the CPUs")
@click.option("--until-empty", is_flag=True, help="end when nothing is left that this worker can serve")
@click.option("--mirror", default="", envvar="HARNESS_MIRROR", help="Debian mirror instead of the one apt uses here")
@hosts_option
@databases_option
@trust_code_option
@log_option
def worker_command(
    workspace: Path,
    name: str,
    slots: int | None,
    until_empty: bool,
    mirror: str,
    hosts: Path | None,
    databases: Path | None,
    trust_code: bool,
    log_format: str,
) -> None:
    """Take cells from the queue of a center and run them here. Ctrl-C once: what runs comes to its end."""
    databases_of(databases)
    options = RunOptions(
        mirror=mirror, hosts=inventory_path(hosts), databases=databases_path(databases), trust_code=trust_code
    )
    inventory_at(options.hosts)
    place = center_at(workspace)
    role = worker_role(place)
    if role and name not in ("", role):
        raise UsageError(f"--name {name}: the role {role} of the database is its only name", advice=f"--name {role}")
    name = name or role or f"{socket.gethostname()}-{os.getpid()}"
    worker = Worker(
        place,
        WorkerOptions(
            name=name,
            slots=slots or max(1, (os.cpu_count() or 2) // 2),
            options=options,
            until_empty=until_empty,
        ),
        say=log_of(log_format, name),
    )
    worker.say(
        f"worker {worker.wanted.name}: {worker.wanted.slots} cells at once / 同时执行 {worker.wanted.slots} 个单元"
    )
    asyncio.run(worker.run())
