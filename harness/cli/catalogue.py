"""Commands about the catalogue: targets list, show, check, build, import."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from harness.attest.serving import serving
from harness.campaigns import preparing
from harness.cli.copies import lost_copies
from harness.cli.importing import import_command
from harness.cli.importing_rpm import from_packages
from harness.cli.output import output_console, print_json, say
from harness.cli.shared import catalogue_here, databases_of, format_option, print_whole
from harness.errors import UsageError
from harness.evidence import Workspace
from harness.machines.placing import by_container, by_vm
from harness.model.definitions import Cpu, Database, Entry, Os
from harness.model.definitions.recipes import DATABASE_RECIPES
from harness.model.results import Fidelity
from harness.reading.entries import TARGET_KINDS, entries, entry
from harness.virtual.qemu import BOARDS

#: How sure a fact is -> its words.
CERTAINTY = {
    "measured": ("实测", "green"),
    "source": ("有据", "cyan"),
    "likely": ("推断", "yellow"),
    "general": ("待核实", "magenta"),
}


@click.group("targets", invoke_without_command=True)
@click.pass_context
def targets_command(ctx: click.Context) -> None:
    """The catalogue of CPUs, operating systems, databases, middleware, runtimes and accelerators."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_entries, form="text")


import_command.add_command(from_packages)
targets_command.add_command(import_command)


@targets_command.command("list")
@format_option
def list_entries(form: str) -> None:
    """List every entry, with how sure its facts are: measured, source, likely, general."""
    listed = [
        (kind, name, value) for kind in TARGET_KINDS for name, (_, value) in entries(kind, catalogue_here()).items()
    ]
    if form == "json":
        print_json(
            {
                "targets": [
                    {
                        "kind": kind,
                        "name": name,
                        "zh": value.name.zh,
                        "en": value.name.en,
                        "certainty": value.certainty,
                        "obstacle": obstacle_of(value),
                    }
                    for kind, name, value in listed
                ]
            }
        )
        return
    console = output_console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("kind", "name", "名称", "called", "certainty"):
        table.add_column(title, no_wrap=title != "called")
    for kind, name, value in listed:
        zh, colour = CERTAINTY[value.certainty]
        table.add_row(
            kind, escape(name), escape(value.name.zh), escape(value.name.en), f"[{colour}]{value.certainty} {zh}[/]"
        )
    print_whole(table, console)


@targets_command.command("show")
@click.argument("name")
@format_option
def show_entry(name: str, form: str) -> None:
    """Show what is known of NAME (or KIND/NAME), each fact with its certainty and source."""
    kind, path, value = entry(name, catalogue_here())
    facts = facts_of(value)
    obstacle = obstacle_of(value)
    if form == "json":
        listed = [{"key": k, "value": v, "certainty": c, "source": s} for k, v, c, s in facts]
        print_json({"kind": kind, "file": str(path), "obstacle": obstacle, "facts": listed})
        return
    console = output_console()
    table = Table(
        title=escape(f"{value.name.zh} / {value.name.en}"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False
    )
    for column in ("fact", "value", "certainty", "source"):
        table.add_column(column, overflow="fold")
    for key, shown, certainty, source in facts:
        zh, colour = CERTAINTY[certainty]
        # The source of the whole file stands once, below the table.
        table.add_row(
            key, escape(shown), f"[{colour}]{certainty} {zh}[/]", escape(source) if key in value.provenance else ""
        )
    console.print(table)
    console = output_console(soft_wrap=True)
    console.print(f"vendor 厂商: {escape(value.vendor.zh)} / {escape(value.vendor.en)}")
    console.print(f"source 来源: {escape(value.source)}")
    for note in value.notes:
        console.print(f"note 说明: {escape(note.zh)} / {escape(note.en)}")
    if isinstance(value, Cpu):
        for limit in value.emulation.limits:
            console.print(f"limit 仿真局限: {escape(limit.zh)} / {escape(limit.en)}")
        console.print(f"here 本机: {escape(serving(value).by)}")
    elif obstacle:
        console.print(f"here 本机: {escape(obstacle)}")
    console.print(f"file 文件: {escape(str(path))}")


@targets_command.command("check")
@click.argument("name", required=False)
@format_option
@click.pass_context
def check_entries(ctx: click.Context, name: str | None, form: str) -> None:
    """Tell which combinations can be served here and now, and why not the others; of NAME alone where one is named.

    Exit codes: 0 NAME can be served here (or none was named), 3 it cannot.
    """
    cpus, systems = entries("cpu", catalogue_here()), entries("os", catalogue_here())
    lost = {o: lost_copies(system) for o, (_, system) in systems.items() if isinstance(system, Os)}
    rows: list[dict[str, Any]] = []
    for kind in TARGET_KINDS:
        for entry_name, (_, value) in entries(kind, catalogue_here()).items():
            served = _served(value, lost.get(entry_name, {}) if kind == "os" else {})
            rows.append({"kind": kind, "name": entry_name, **served})
    pairs = [
        {"cpu": c, "os": o, **_unless_lost(pair_of(cpu, system), lost[o].get(cpu.architecture, ""))}
        for c, (_, cpu) in cpus.items()
        for o, (_, system) in systems.items()
        if isinstance(cpu, Cpu) and isinstance(system, Os)
    ]
    if name is not None:
        kind, _, _ = entry(name, catalogue_here())
        word = name.rpartition("/")[2]
        rows = [row for row in rows if (row["kind"], row["name"]) == (kind, word)]
        pairs = [pair for pair in pairs if pair.get(kind) == word]
    good = name is None or rows[0]["served"]
    if form == "json":
        print_json({"targets": rows, "pairs": pairs})
        ctx.exit(0 if good else 3)
    _show_served(rows)
    _show_pairs(pairs)
    ctx.exit(0 if good else 3)


def _show_served(rows: list[dict[str, Any]]) -> None:
    """A table of the targets, with what serves each here, or why nothing does."""
    console = output_console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("kind", "name", "here 本机", "by, or why not"):
        table.add_column(title, no_wrap=title != "by, or why not")
    for row in rows:
        mark = (
            f"[green]yes 可[/] {row['fidelity'].value if row['fidelity'] is not None else ''}"
            if row["served"]
            else "[magenta]no 否[/]"
        )
        table.add_row(row["kind"], row["name"], mark, escape(row["by"]))
    print_whole(table, console)


def _show_pairs(pairs: list[dict[str, Any]]) -> None:
    """A table of the CPU classes and systems that can be served here together; nothing where no pair can."""
    console = output_console()
    grid = [pair for pair in pairs if pair["served"]]
    shown_systems = sorted({str(pair["os"]) for pair in grid})
    if shown_systems:
        table = Table(title="cpu × os", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for title in ("cpu", *shown_systems):
            table.add_column(title, no_wrap=True)
        for cpu_name in sorted({str(pair["cpu"]) for pair in grid}):
            by_os = {pair["os"]: pair for pair in pairs if pair["cpu"] == cpu_name}
            table.add_row(
                cpu_name,
                *(
                    f"[green]{by_os[o]['fidelity'].value}[/]" if by_os[o]["served"] else "[dim]-[/]"
                    for o in shown_systems
                ),
            )
        print_whole(table, console)
        console.print(
            f"{len(grid)} of {len(pairs)} pairs can be served here; why not the others: --format json", style="dim"
        )


@targets_command.command("build")
@click.argument("os")
@click.option("--cpu", multiple=True, help="a CPU class; all that can be served here where none is named")
@click.option("--mirror", default="", envvar="HARNESS_MIRROR", help="Debian mirror instead of the one apt uses here")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".harness"),
    show_default=True,
    help="where what was done is recorded",
)
def build_images(os: str, cpu: tuple[str, ...], mirror: str, workspace: Path) -> None:
    """Build the base images of OS now, so that no campaign waits for them."""
    _, _, system = entry(f"os/{os}", catalogue_here())
    assert isinstance(system, Os)
    if system.obstacle:
        raise UsageError(f"{os} cannot be built: {system.obstacle}", advice="see: harness targets check")
    known = {name: value for name, (_, value) in entries("cpu", catalogue_here()).items() if isinstance(value, Cpu)}
    for cpu_name in cpu:
        if cpu_name not in known:
            raise UsageError(f"no cpu named {cpu_name!r}", advice="see: harness targets list")
        pair = pair_of(known[cpu_name], system)
        if not pair["served"]:
            raise UsageError(f"{os} on {cpu_name}: {pair['by']}", advice="see: harness targets check")
    wanted = sorted(
        {
            value.architecture
            for name, value in known.items()
            if (name in cpu if cpu else pair_of(value, system)["served"])
        }
    )
    for architecture, image, seconds in preparing.build_base_images(system, wanted, Workspace(workspace), mirror):
        say(f"{os} {architecture}: {image} ({seconds:.1f} s)")


def obstacle_of(value: Entry) -> str:
    """Why no target can be made of an entry on any machine."""
    if hasattr(value, "obstacle"):
        return str(value.obstacle)
    return "it is a label of lab hosts"


def facts_of(value: Entry) -> list[tuple[str, str, str, str]]:
    """``(key, value, certainty, source)`` of everything that an entry states, but recipes and texts."""
    left_out = {
        *("name", "vendor", "certainty", "source", "provenance", "notes", "timeout_factor", "repositories"),
        *TARGET_KINDS,
    }
    if not isinstance(value, Cpu | Os):  # how to install and start it is no fact about it
        left_out |= {*DATABASE_RECIPES, "limits", "start_seconds"}
    facts: list[tuple[str, str, str, str]] = []

    def add(key: str, plain: Any) -> None:
        if isinstance(plain, dict) and not {"zh", "en"} <= plain.keys():
            for part, inner in plain.items():
                if part not in ("limits", "start", "environment"):
                    add(f"{key}.{part}", inner)
        elif plain not in (None, "", [], (), False):
            text = (
                f"{plain['zh']} / {plain['en']}"
                if isinstance(plain, dict)
                else (", ".join(map(str, plain)) if isinstance(plain, list) else str(plain))
            )
            above = itertools.accumulate(key.split("."), "{}.{}".format)
            apart = next((value.provenance[k] for k in reversed([*above]) if k in value.provenance), None)
            facts.append(
                (
                    key,
                    text,
                    *((apart.certainty, apart.source) if apart is not None else (value.certainty, value.source)),
                )
            )

    for key, plain in value.model_dump(mode="json").items():
        if key not in left_out:
            add(key, plain)
    for repository in value.repositories if isinstance(value, Os) else ():  # their keys are not for reading
        add(f"repositories.{repository.repository}", repository.baseurl)
    return facts


def pair_of(cpu: Cpu, system: Os) -> dict[str, Any]:
    """Whether a CPU with a system can be served here, as what, and by what or why not."""
    container, vm = by_container(system, cpu), by_vm(system, cpu)
    service = container if container.fidelity is not None or vm.fidelity is None else vm
    also = vm.by if container.fidelity is not None and vm.fidelity is not None else ""
    return {"served": service.fidelity is not None, "fidelity": service.fidelity, "by": service.by, "also": also}


def _unless_lost(pair: dict[str, Any], words: str) -> dict[str, Any]:
    """A pair that is served by what was imported, unless that is lost, in ``words``."""
    return {**pair, "served": False, "fidelity": None, "by": words, "also": ""} if pair["served"] and words else pair


def _served(value: Entry, lost: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(value, Cpu):
        service = serving(value)
        if service.fidelity is None and value.emulation.system and value.architecture in BOARDS:
            return {
                "served": True,
                "fidelity": Fidelity.SYSTEM_EMULATED,
                "by": f"a virtual machine, qemu-system {value.emulation.system}; no container: {service.by}",
            }
        return {"served": service.fidelity is not None, "fidelity": service.fidelity, "by": service.by}
    obstacle = obstacle_of(value)
    how = (
        "a server or an image of databases.yaml"
        if isinstance(value, Database) and value.external
        else "packages of the system"
    )
    if isinstance(value, Os):
        how = "; ".join(filter(None, [_of_images(value, lost), *lost.values()]))
        if lost and not _of_images(value, lost):
            obstacle = obstacle or how
    if isinstance(value, Database) and value.external and not _is_endpoint(value.database):
        obstacle = "it needs a server or an image of the laboratory, and databases.yaml here names none"
    return {"served": not obstacle, "fidelity": None, "by": obstacle or how}


def _is_endpoint(name: str) -> bool:
    """Whether a server or an image of databases.yaml, in the current folder, is such a database."""
    databases = databases_of(None)
    if databases is None:
        return False
    return name in [*(each.database for each in databases.databases), *(each.database for each in databases.images)]


def _of_images(value: Os, lost: Collection[str]) -> str:
    """What containers of a system are made of, but for the architectures whose imports are lost."""
    kinds = {
        "images built here": value.architectures if value.suite else (),
        "images of a registry": tuple(value.pulled),
        "what was imported": tuple(name for name in value.imported if name not in lost),
    }
    return ", ".join(f"{kind} for {', '.join(names)}" for kind, names in kinds.items() if names)
