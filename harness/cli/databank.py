"""Commands about the database of a center: check, backup, restore; and to move a workspace into it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.center import collecting, granting, migrating, queueing
from harness.cli.output import print_json, say
from harness.cli.shared import format_option, workspace_option
from harness.errors import UsageError
from harness.evidence import Workspace

ACTIONS = ["check", "upgrade", "backup", "restore", "collect", "grant-worker", "revoke-worker"]


@click.command("db")
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("file", required=False, metavar="[FILE | WORKER]", type=click.Path(path_type=Path, dir_okay=False))
@workspace_option
@format_option
@click.option(
    "--grace",
    type=click.IntRange(collecting.SHORTEST_HOURS),
    default=collecting.GRACE_HOURS,
    show_default=True,
    metavar="HOURS",
    help="with collect: only what is older",
)
@click.option("--dry-run", is_flag=True, help="with collect: only count")
def db_command(action: str, file: Path | None, workspace: Path, form: str, grace: int, dry_run: bool) -> None:
    """Check the center's database, bring its tables up to date, write it into FILE, or fill an empty one from FILE.

    The evidence is copied apart; after the database when it is backed up. With collect, files of evidence that nothing
    names are removed. With grant-worker, WORKER gets a role of the database that may do a worker's work and no more.
    """
    if action in ("backup", "restore") and file is None:
        raise UsageError(f"{action}: no file is named", advice=f"for example: harness db {action} center.dump")
    if action in ("grant-worker", "revoke-worker") and file is None:
        raise UsageError(f"{action}: no worker is named", advice=f"for example: harness db {action} worker-1")
    if action == "restore":
        assert file is not None
        migrating.restore(Workspace(workspace), file)
    place = queueing.Center(Workspace(workspace))  # which brings the tables up to date
    granting.demand_owner(place)
    if action == "backup":
        assert file is not None
        digest = migrating.backup(place, file)
        if form == "json":
            print_json({"file": str(file), "sha256": digest})
        else:
            say(f"{file}  SHA-256 {digest}")
        return
    if action == "grant-worker":
        _show_granted(granting.grant_worker(place, str(file)), form)
        return
    if action == "revoke-worker":
        granting.revoke_worker(place, str(file))
        say(f"{file}: may do nothing in this database any more / 已收回其在本数据库的全部权限")
        return
    if action == "collect":
        _show_collected(collecting.collect(place, grace * 3600.0, dry=dry_run), form, dry=dry_run)
        return
    steps = migrating.check(place)
    if form == "json":
        print_json({"steps": [vars(step) for step in steps]})
    else:
        for step in steps:
            say(f"{'ok' if step.ok else 'WRONG'}  {step.name}: {step.detail}")
    if not all(step.ok for step in steps):
        sys.exit(1)


def _show_granted(granted: granting.Granted, form: str) -> None:
    if form == "json":
        print_json(vars(granted))
        return
    say(f"HARNESS_DATABASE_URL={granted.url}")
    say(
        f"for worker {granted.role} alone, and shown once / 仅供节点 {granted.role} 使用，仅显示一次"
        if granted.password
        else "the role was there, and keeps its password / 角色已存在，密码不变",
        err=True,
    )


def _show_collected(collected: collecting.Collected, form: str, *, dry: bool) -> None:
    if form == "json":
        print_json(vars(collected))
        return
    words = "would be removed / 将删除" if dry else "removed / 已删除"
    say(
        f"{collected.removed} files of evidence, {collected.size} bytes {words}; kept / 保留 {collected.kept}; "
        f"uploads that broke off / 中断的上传 {collected.broken}"
    )


@click.command("migrate")
@workspace_option
@format_option
def migrate_command(workspace: Path, form: str) -> None:
    """Move the record of a workspace of one machine into the empty database that HARNESS_DATABASE_URL names."""
    moved = migrating.migrate(workspace, queueing.Center(Workspace(workspace)))
    if form == "json":
        print_json({"campaigns": dict(moved.campaigns), "rows": dict(moved.rows), "files": moved.files})
        return
    say(f"{len(moved.campaigns)} campaigns, {moved.rows['events']} events, {moved.files} files of evidence")
    for campaign, digest in moved.campaigns.items():
        say(f"{campaign}  record SHA-256 {digest}  the same in both / 两处一致")
