"""Commands about lab hosts: hosts list, trust, check."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from harness.cli.output import output_console, print_facts, print_json, say
from harness.cli.shared import catalogue_here, format_option
from harness.errors import UsageError
from harness.hosts.cleaning import clean
from harness.hosts.inventory import Inventory, fingerprint
from harness.hosts.looking import HostReport, look_at
from harness.model.definitions import Hosts
from harness.reading.parsing import parse

#: The address of a host that is the machine of the harness itself, and what is said of host keys.
LOCAL = "local"
KEY_WORDS = {True: "[green]known 已确认[/]", False: "[magenta]unknown 未确认[/]", None: "-"}
#: Hosts that are looked at side by side.
AT_ONCE = 16

inventory_option = click.option(
    "--hosts",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("hosts.yaml"),
    show_default=True,
    help="the inventory; keys that were confirmed lie beside it, in known_hosts",
)


def inventory_of(path: Path) -> Inventory:
    """Read an inventory; known_hosts lies beside it.

    Raises:
        UsageError: there is no such file.
        DefinitionError: the file is not valid.
    """
    if not path.is_file():
        raise UsageError(f"no inventory at {path}", advice="name one with --hosts; its keys: docs/reference")
    return Inventory(parse(path, Hosts), path.with_name("known_hosts"))


@click.group("hosts")
def hosts_command() -> None:
    """Lab hosts over SSH."""


@hosts_command.command("list")
@inventory_option
@format_option
def list_hosts(path: Path, form: str) -> None:
    """List the hosts of the inventory, and whether their keys are known. Nothing is connected to."""
    inventory = inventory_of(path)
    shown: list[dict[str, Any]] = [
        {
            "host": host.host,
            "address": LOCAL if host.connection == "local" else f"{host.user}@{host.address}:{host.port}",
            "jump": host.jump,
            "labels": host.labels,
            "key_known": None if host.connection == "local" else inventory.is_known(host),
        }
        for host in inventory.hosts.hosts
    ]
    if form == "json":
        print_json({"hosts": shown})
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("host", "address", "by way of", "labels", "key 密钥"):
        table.add_column(title, overflow="fold")
    for host, row in zip(inventory.hosts.hosts, shown, strict=True):
        known = KEY_WORDS[row["key_known"]]
        labels = ", ".join(f"{key}={value}" for key, value in host.labels.items())
        table.add_row(host.host, str(row["address"]), host.jump or "-", escape(labels), known)
    output_console().print(table)


@hosts_command.command("trust")
@click.argument("name")
@click.option(
    "--fingerprint", "expected", default="", help="SHA256:… as read on the host's console; asked where none is given"
)
@click.option("--replace", is_flag=True, help="take another key than the one that is known")
@inventory_option
def trust_host(name: str, expected: str, replace: bool, path: Path) -> None:
    """Confirm the key that host NAME shows: without that it is not talked to."""
    inventory = inventory_of(path)
    host = inventory.host(name)
    if host.connection == "local":
        raise UsageError(f"{name} is this machine: it has no host key", advice="nothing is to be done")
    if host.host_key is not None:
        raise UsageError(f"the inventory itself holds the key of {name}", advice=f"change host_key in {path}")
    key = inventory.offered_key(name)
    shown = fingerprint(key)
    known = dict(inventory.known(host).lookup(inventory.name_of(host)) or {})
    if key in known.values():
        say(f"{name}: {key.get_name()} {shown} is trusted already / 已确认")
        return
    if known and not replace:
        raise UsageError(
            f"{name} shows another key, {shown}, than the one that was confirmed: someone may be in between",
            advice="find out why; if it was installed anew, add --replace",
        )
    if expected and expected != shown:
        raise UsageError(f"{name} shows {shown}, not {expected}", advice="do not trust it; compare on its console")
    say(f"{name} ({host.address}:{host.port}) shows {key.get_name()} {shown}", err=True)
    if not expected and not click.confirm(
        "Is that what its own console says (ssh-keygen -l)? 与主机控制台显示的一致？", err=True
    ):
        raise UsageError(f"the key of {name} was not confirmed: nothing was changed", advice="compare, and repeat")
    inventory.trust(name, key)
    say(f"{name}: trusted 已确认 ({inventory.known_hosts})")


@hosts_command.command("clean")
@click.argument("name")
@click.option("--accept", is_flag=True, help="take the host as it is: somebody has restored it by hand")
@inventory_option
@click.pass_context
def clean_host(ctx: click.Context, name: str, accept: bool, path: Path) -> None:
    """Undo on host NAME what a cell could not undo, or was killed before it did, and take the mark off it.

    Exit codes: 0 the host is as it was before that cell; 3 not: what differs is listed, and the mark stays.
    """
    inventory = inventory_of(path)
    cleaned = clean(inventory, name, accept=accept)
    say(f"{name}: {'was not marked / 未标记' if not cleaned.reason else 'was marked dirty, because 曾被标记，原因:'}")
    for line in cleaned.reason.splitlines():
        say(f"  {line}")
    if cleaned.differences:
        say(f"{name}: is not as before, the mark stays / 尚未复原，标记保留:")
        for line in cleaned.differences:
            say(f"  {line}")
        say(
            f"next: remove that by hand, then repeat; or: harness hosts clean {name} --accept / "
            "请手工清除后重试，或以 --accept 接受现状"
        )
        ctx.exit(3)
    if cleaned.reason:
        how = "taken as it is 已接受现状" if not cleaned.restored else "as it was before 已复原"
        say(f"{name}: {how}; the mark is gone 已清除标记")


@hosts_command.command("check")
@click.argument("names", nargs=-1)
@inventory_option
@format_option
@click.pass_context
def check_hosts(ctx: click.Context, names: tuple[str, ...], path: Path, form: str) -> None:
    """Log into each host (all where none is named) and compare it with its labels.

    Exit codes: 0 every host is up, idle and what its labels say; 3 not.
    """
    inventory = inventory_of(path)
    wanted = [inventory.host(name).host for name in names] or [host.host for host in inventory.hosts.hosts]
    with ThreadPoolExecutor(min(AT_ONCE, len(wanted))) as pool:
        reports = list(pool.map(lambda name: look_at(inventory, name, catalogue_here()), wanted))
    good = all(report.good for report in reports)
    if form == "json":
        print_json(
            {
                "hosts": [
                    {
                        "host": r.host,
                        "good": r.good,
                        "trouble": r.trouble,
                        "round_trip_ms": r.round_trip_ms,
                        "facts": [vars(fact) for fact in r.facts],
                    }
                    for r in reports
                ]
            }
        )
    else:
        for report in reports:
            _print(report)
    ctx.exit(0 if good else 3)


def _print(report: HostReport) -> None:
    console = output_console(soft_wrap=True)
    word = "[green]as labelled 与标签一致[/]" if report.good else "[red]not as labelled 与标签不符[/]"
    if report.trouble:
        word = "[magenta]not known 无法判定[/]"
    trip = f", round trip {report.round_trip_ms:.0f} ms" if report.round_trip_ms is not None else ""
    console.print(f"[bold]{escape(report.host)}[/bold]: {word}{trip}")
    if report.trouble:
        console.print(f"  {escape(report.trouble)}\n  next: {escape(report.advice)}")
    print_facts(console, report.facts)
