"""Commands about the database servers of the laboratory: databases list, check, clean."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from harness.cli.output import output_console, print_facts, print_json, say
from harness.cli.shared import catalogue_here, databases_of, databases_option, format_option
from harness.endpoints.holding import clean
from harness.endpoints.images import PlacedImage
from harness.endpoints.inventory import Server, resolved
from harness.errors import HarnessError, UsageError
from harness.execution.looking import EndpointReport, look_at
from harness.model.definitions import Database, Databases
from harness.reading.parsing import parse

#: Servers that are looked at side by side.
AT_ONCE = 8


def _inventory(path: Path | None) -> Databases:
    databases = databases_of(path)
    if databases is None:
        raise UsageError("no databases.yaml here", advice="name one with --databases; its keys: docs/reference")
    return databases


def _entry(name: str) -> Database:
    file = catalogue_here().find("targets", "database", f"{name}.yaml")
    assert file is not None
    return parse(file, Database)


def images_of(path: Path | None) -> list[PlacedImage]:
    """The images of the inventory. Raises as ``servers_of``."""
    return [PlacedImage(image, _entry(image.database)) for image in _inventory(path).images]


def servers_of(path: Path | None, names: tuple[str, ...] = ()) -> list[Server]:
    """The servers of the inventory by name; all where none is named.

    Raises:
        UsageError: there is no inventory, or no server of a name.
        DefinitionError: the inventory is wrong.
    """
    known = {endpoint.endpoint: endpoint for endpoint in _inventory(path).databases}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"no database server {unknown[0]!r}; there is: {', '.join(known)}", advice="see: databases list"
        )
    return [resolved(known[name], _entry(known[name].database)) for name in names or known]


@click.group("databases")
def databases_command() -> None:
    """Database servers of the laboratory (databases.yaml)."""


@databases_command.command("list")
@databases_option
@format_option
def list_databases(databases: Path | None, form: str) -> None:
    """List the database servers and images of the inventory, and what they lack here. Nothing is connected to."""
    shown: list[dict[str, Any]] = [
        {
            "endpoint": server.endpoint.endpoint,
            "database": server.database.database,
            "address": f"{server.endpoint.address}:{server.endpoint.port}",
            "user": server.endpoint.user,
            "driver": server.endpoint.driver,
            "missing": server.obstacle,
            "tls": server.endpoint.tls is not None,
            "at_once": server.endpoint.at_once,
            "restart": server.endpoint.restart != "",
        }
        for server in servers_of(databases)
    ]
    images = [
        {
            "image": placed.image.image,
            "database": placed.database.database,
            "architecture": placed.image.architecture,
            "source": placed.image.archive or placed.image.reference,
            "licence": placed.image.licence or "",
            "driver": placed.driver or "",
            "missing": placed.obstacle,
        }
        for placed in images_of(databases)
    ]
    if form == "json":
        print_json({"databases": shown, "images": images})
        return
    if shown:
        _print_servers(shown)
    if images:
        _print_images(images)


def _print_images(images: list[dict[str, Any]]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("image 镜像", "database", "architecture", "source", "licence 许可", "asked by 查询方式"):
        table.add_column(title, overflow="fold")
    for row in images:
        how = f"[magenta]{escape(row['missing'])}[/]" if row["missing"] else row["driver"] or "the client in it"
        table.add_row(
            row["image"], row["database"], row["architecture"], escape(row["source"]), row["licence"] or "-", how
        )
    output_console().print(table)


def _print_servers(shown: list[dict[str, Any]]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("endpoint", "database", "address", "at once", "TLS", "restart", "driver 驱动"):
        table.add_column(title, overflow="fold")
    for row in shown:
        driver = f"[magenta]{escape(row['missing'])}[/]" if row["missing"] else str(row["driver"])
        tls, restart = ("yes" if row[key] else "-" for key in ("tls", "restart"))
        table.add_row(row["endpoint"], row["database"], row["address"], str(row["at_once"]), tls, restart, driver)
    output_console().print(table)


@databases_command.command("check")
@click.argument("names", nargs=-1)
@databases_option
@format_option
@click.pass_context
def check_databases(ctx: click.Context, names: tuple[str, ...], databases: Path | None, form: str) -> None:
    """Make a user and database on each server (all where none is named), compare it with what is declared, drop them.

    Exit codes: 0 every server serves and is what catalogue and inventory say; 3 not.
    """
    servers = servers_of(databases, names)
    if not servers:
        raise UsageError(
            "databases.yaml names no server that stands",
            advice="an image is tried by a cell: harness run; what it lacks: harness databases list",
        )
    with ThreadPoolExecutor(min(AT_ONCE, len(servers))) as pool:
        reports = list(pool.map(look_at, servers))
    if form == "json":
        rows = [
            {
                "endpoint": report.endpoint,
                "good": report.good,
                "trouble": report.trouble,
                "facts": [vars(fact) for fact in report.facts],
                "left": list(report.left),
            }
            for report in reports
        ]
        print_json({"databases": rows})
    else:
        for report in reports:
            _print(report)
    ctx.exit(0 if all(report.good for report in reports) else 3)


@databases_command.command("clean")
@click.argument("names", nargs=-1)
@databases_option
@click.pass_context
def clean_databases(ctx: click.Context, names: tuple[str, ...], databases: Path | None) -> None:
    """Drop users and databases that ended runs left on each server (all where none is named).

    What belongs to a run that goes on stays. Exit codes: 0; 3 a server could not be looked at.
    """
    trouble = False
    for server in servers_of(databases, names):
        try:
            gone = clean(server)
        except HarnessError as error:
            trouble = True
            say(f"{server.endpoint.endpoint}: {error}", err=True)
            continue
        for name in gone:
            say(f"{server.endpoint.endpoint}: dropped 已删除 {name}")
        say(f"{server.endpoint.endpoint}: {len(gone)} dropped")
    ctx.exit(3 if trouble else 0)


def _print(report: EndpointReport) -> None:
    console = output_console(soft_wrap=True)
    word = "[green]as declared 与声明一致[/]" if report.good else "[red]not as declared 与声明不符[/]"
    if report.trouble:
        word = "[magenta]cannot serve 无法使用[/]"
    console.print(f"[bold]{escape(report.endpoint)}[/bold]: {word}")
    if report.trouble:
        console.print(f"  {escape(report.trouble)}\n  next: {escape(report.advice)}")
    print_facts(console, report.facts)
    for name in report.left:
        console.print(f"  .. of a cell 属于某单元: {name}")
