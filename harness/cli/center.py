"""Commands of a center: workers, queue, sweeper, fetch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from harness import __version__
from harness.center import fetching, limiting, queueing, sweeping, watching
from harness.center.logs import LOG_FORMAT, Log
from harness.center.metrics import served
from harness.cli.output import error_console, output_console, print_json, say
from harness.cli.shared import (
    format_option,
    workspace_option,
)
from harness.errors import HarnessError, UsageError
from harness.evidence import Workspace
from harness.evidence.claims import EXPIRES_SECONDS
from harness.evidence.workspace import patience


def center_at(workspace: Path) -> queueing.Center:
    """The center whose database the environment names."""
    return queueing.Center(Workspace(workspace))


log_option = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar=LOG_FORMAT,
    help="json: an object in each line, with campaign, cell and attempt",
)


def log_of(form: str, who: str) -> Log:
    """Where ``who`` writes what it does: on standard error, as words or as JSON."""
    console = error_console()
    if form == "json":
        return Log(who=who, as_json=True, write=lambda line: say(line, err=True))
    return Log(who=who, write=lambda words: console.print(escape(words), highlight=False))


@click.command("workers")
@workspace_option
@format_option
def workers_command(workspace: Path, form: str) -> None:
    """List the workers of a center, and what each can serve."""
    rows = watching.workers_of(center_at(workspace))
    if form == "json":
        print_json({"workers": rows})
        return
    if not rows:
        say("no worker has registered / 没有已登记的执行节点")
        return
    _print_table(
        ("worker 执行节点", "state 状态", "heard 心跳", "runs 正在执行"),
        [
            (
                row["name"],
                row["state"],
                f"{row['age']:.0f} s",
                f"{len(row['says']['running'])} / {row['says']['slots']}",
            )
            for row in rows
        ],
    )
    for row in rows:
        say(f"{row['name']}: {_serves(row['says'])}")


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0)
    for row in rows:
        table.add_row(*map(escape, row))
    output_console().print(table)


def _serves(says: dict[str, Any]) -> str:
    parts = [f"{says['architecture']}, {says['cpus']} CPU, {says['memory'] / 2**30:.0f} GiB"]
    parts.append(
        f"containers ({', '.join([says['architecture'], *says['emulated']])})" if says["engine"] else "no engine"
    )
    if says["vm"]:
        parts.append(f"vm ({', '.join(says['vm'])}{', /dev/kvm' if says['kvm'] else ''})")
    parts += [f"hosts {', '.join(says['hosts'])}"] if says["hosts"] else []
    parts += [f"databases {', '.join(says['databases'])}"] if says["databases"] else []
    return "; ".join(parts)


@click.command("queue")
@click.argument("action", type=click.Choice(["show", "pause", "continue", "cancel", "adopt", "limit"]), default="show")
@click.argument("campaign", required=False, metavar="[CAMPAIGN | CUSTOMER]")
@click.argument("cells", required=False, type=click.IntRange(0, 1_000_000))
@workspace_option
@format_option
@click.option("--now", is_flag=True, help="with cancel: end what runs at once")
def queue_command(action: str, campaign: str | None, cells: int | None, workspace: Path, form: str, now: bool) -> None:
    """Show the queue of a center, or pause, continue or cancel CAMPAIGN.

    With adopt, workers of this version of the harness go on with CAMPAIGN of another version; without a name, with all
    that are not closed.

    With limit, at most so many CELLS of CUSTOMER run at once; without a number, as many as there are.
    """
    place = center_at(workspace)
    if cells is not None and action != "limit":
        raise UsageError(f"{action} takes no number", advice="only limit does: harness queue limit CUSTOMER CELLS")
    if action == "show":
        _show_queue(watching.queue_of(place), form)
        return
    if action == "adopt":
        _adopt(place, campaign)
        return
    if campaign is None:
        what = "customer" if action == "limit" else "campaign"
        raise UsageError(
            f"{action}: no {what} is named", advice=f"harness queue {action} {what.upper()}; see: harness queue"
        )
    if action == "limit":
        limiting.limit(place, campaign, cells)
        most = "no limit / 不限" if cells is None else f"at most {cells} cells at once / 同时最多 {cells} 个单元"
        say(f"{campaign}: {most}")
    elif action == "pause":
        watching.pause(place, campaign)
    elif action == "continue":
        watching.go_on(place, campaign)
    else:
        running = watching.cancel(place, campaign, now=now)
        say(f"{campaign}: cancelled; cells asked to stop: {running} / 已取消，正在停止的单元：{running}")


def _adopt(place: queueing.Center, campaign: str | None) -> None:
    """Adopt each that can be, of all where none is named; then the first that cannot is the error."""
    from harness.center import adopting  # it reads definitions, which the other commands do not

    campaigns = adopting.adoptable(place) if campaign is None else [campaign]
    refused: list[HarnessError] = []
    for campaign in campaigns:
        try:
            former = adopting.adopt(place, campaign)
        except UsageError as error:
            refused.append(error)
        else:
            say(f"{campaign}: harness {former} -> {__version__} / 由本版本继续执行")
    if not campaigns:
        say(f"every campaign is for harness {__version__} already / 所有任务均已属于本版本")
    for each in refused[1:]:
        say(str(each), err=True)
    if refused:
        raise refused[0]


def _show_queue(rows: list[dict[str, Any]], form: str) -> None:
    if form == "json":
        print_json({"campaigns": rows})
        return
    if not rows:
        say("the queue is empty / 队列为空")
        return
    _print_table(
        (
            "campaign 任务",
            "customer 委托方",
            "priority 优先级",
            "state 状态",
            "waiting 等待",
            "running 执行",
            "ended 完成",
        ),
        [
            (
                row["campaign"],
                row["customer"],
                str(row["priority"]),
                row["state"],
                *(str(row["cells"].get(state, 0)) for state in ("waiting", "running", "ended")),
            )
            for row in rows
        ],
    )
    for customer, cells in {row["customer"]: row["limit"] for row in rows if row["limit"] is not None}.items():
        say(f"{customer}: at most {cells} cells at once / 同时最多 {cells} 个单元")
    for row in rows:
        for queue, reasons in row["unserved"].items():
            say(f"no worker serves {queue} / 没有执行节点可承接")
            for name, reason in reasons.items():
                say(f"  {name}: {reason}")
            if not reasons:
                say("  no worker is there: harness worker / 没有在线的执行节点")


@click.command("sweeper")
@workspace_option
@click.option("--once", is_flag=True, help="sweep once and end")
@click.option(
    "--metrics", default="", metavar="HOST:PORT", help="serve /metrics for Prometheus and /healthz there; no password"
)
@log_option
def sweeper_command(workspace: Path, once: bool, metrics: str, log_format: str) -> None:
    """Put cells of workers that are gone back into the queue, and close campaigns that have ended, until Ctrl-C."""
    place, silence = center_at(workspace), patience() or EXPIRES_SECONDS
    if once:
        for words in sweeping.sweep_once(place, silence):
            say(words)
        return
    log = log_of(log_format, "sweeper")
    with contextlib.ExitStack() as stack:
        if metrics:
            at = stack.enter_context(served(place, metrics))
            log(f"metrics / 指标: http://{at}/metrics")
        sweeping.sweep_forever(place, silence, log)


@click.command("fetch")
@click.argument("campaign")
@click.argument("into", type=click.Path(path_type=Path, file_okay=False))
@workspace_option
@format_option
def fetch_command(campaign: str, into: Path, workspace: Path, form: str) -> None:
    """Write what was rendered of CAMPAIGN into the folder INTO, from the evidence of a center."""
    written = fetching.fetch(campaign, center_at(workspace), into)
    if form == "json":
        print_json({"campaign": campaign, "outputs": written})
        return
    for kind, path in written.items():
        say(f"{kind}: {path}")
