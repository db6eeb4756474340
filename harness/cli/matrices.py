"""Commands about matrices: init, schema, lint, plan."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.campaigns import choosing, estimating, options
from harness.cli.checking import Checked, check
from harness.cli.copies import lost_copies
from harness.cli.output import output_console, print_json, say
from harness.cli.shared import (
    catalogue_here,
    databases_of,
    databases_option,
    existing,
    folder_argument,
    format_option,
    hosts_option,
    inventory_path,
    print_whole,
    profile_option,
    workspace_option,
)
from harness.cli.starting import USUAL, begin_product, kinds
from harness.errors import DefinitionError, Fault, InfrastructureError, UsageError
from harness.evidence import Workspace
from harness.model.definitions import Profile
from harness.model.plan import Definitions, Plan
from harness.planning import lockfile
from harness.planning.expansion import REACHES
from harness.reading.kinds import KINDS, schema_of, write_schemas
from harness.reading.origins import replaced
from harness.report import record_schema, render_sarif


@click.command("plan")
@folder_argument
@workspace_option
@format_option
@click.option("--lock", "write", is_flag=True, help="write matrix.lock beside the matrix: campaigns then run its cells")
@click.option("--check", is_flag=True, help="fail if matrix.lock is missing or stale")
@profile_option
@hosts_option
@databases_option
def plan_command(
    folder: Path,
    workspace: Path,
    form: str,
    write: bool,
    check: bool,
    profile: Profile | None,
    hosts: Path | None,
    databases: Path | None,
) -> None:
    """Show every cell of the matrix in FOLDER with its reason, what is covered, and what cannot be."""
    definitions, plan = choosing.plan_of(folder, catalogue_here(), locked=False, profile=profile)
    _lock(definitions, plan, write=write, check=check)
    expected: dict[str, float] = {}
    if Workspace.is_at(workspace):
        try:
            expected = estimating.expected_seconds(existing(workspace).journal, plan.cells)
        except InfrastructureError as error:  # a plan can be shown without
            say(f"no times from earlier runs: {error}", err=True)
    _warn_of_lost(definitions)
    inventory = options.inventory_at(inventory_path(hosts))
    servers = databases_of(databases)
    served = {c.id: choosing.expected_target(definitions, c, inventory, servers) for c in plan.cells}
    shown: list[dict[str, Any]] = [
        {
            "id": c.id,
            "axes": c.axes,
            "reason": c.reason,
            "target": served[c.id].by,
            "fidelity": served[c.id].fidelity,
            "suites": list(c.suites),
            "notes": list(c.notes),
            "seconds": expected.get(c.id),
        }
        for c in plan.cells
    ]
    total = estimating.makespan(list(expected.values()), os.cpu_count() or 1) if len(expected) == len(shown) else None
    if form == "json":
        excluded = [{"rule": e.text, "because": e.because, "count": e.count} for e in plan.excluded]
        print_json(
            {
                "digest": plan.digest,
                "profile": definitions.matrix.profile,
                "cells": shown,
                "excluded": excluded,
                "coverage": _coverage(plan),
                "seconds": total,
                "basis": [entry.recorded for entry in definitions.basis],
            }
        )
        return
    console = output_console()
    _plan(plan, shown, total, console)
    for entry in replaced(definitions.basis):
        console.print(escape(f"warning 警告: {entry.warning}"), style="magenta", soft_wrap=True)
    if write:
        say(f"written: {lockfile.lock_path(definitions)}", err=True)


def _lock(definitions: Definitions, plan: Plan, *, write: bool, check: bool) -> None:
    """Write the lock where that is asked for; hold the plan against it where there is one.

    Raises:
        UsageError: it is stale, or missing where it is to be checked.
    """
    if write and check:
        raise UsageError("--lock and --check contradict each other", advice="choose one of them")
    if write:
        lockfile.write_lock(definitions, plan)
    if check or lockfile.lock_path(definitions).exists():
        lockfile.check_lock(definitions, plan)


def _warn_of_lost(definitions: Definitions) -> None:
    """Say what was imported and is gone: on another machine the plan may be run still."""
    for system in definitions.systems.values():
        for words in lost_copies(system).values():
            say(f"warning 警告: {system.os}: {words}", err=True)


def _coverage(plan: Plan) -> dict[str, Any]:
    """What the plan covers, in the stable shape of ``plan --format json``: numbers of combinations and of tuples."""
    cover = plan.coverage
    return {
        "declared": plan.valid + sum(rule.count for rule in plan.excluded),
        "valid": plan.valid,
        "planned": len(plan.cells),
        "excluded": sum(rule.count for rule in plan.excluded),
        "strength": cover.strength,
        "tuples": cover.tuples,
        "covered": cover.covered,
        "impossible": cover.never,
        "because": [
            {"axes": uncovered.axes, "because": list(uncovered.because), "one_rule": uncovered.alone}
            for uncovered in cover.explained
        ],
    }


def _plan(plan: Plan, shown: list[dict[str, Any]], total: float | None, console: Console) -> None:
    further = [axis for axis in plan.cells[0].axes if axis not in ("cpu", "os", "database")]
    table = Table(box=None, pad_edge=False)
    for title in ("cell", "cpu", "os", "database", *further, "fidelity", "target", "why", "s"):
        table.add_column(title, overflow="fold", justify="right" if title == "s" else "left")
    for cell, row in zip(plan.cells, shown, strict=True):
        seconds = f"{row['seconds']:.0f}" if row["seconds"] is not None else "?"
        axes = (escape(cell.axes[axis]) for axis in ("cpu", "os", "database", *further))
        fidelity = row["fidelity"].value if row["fidelity"] is not None else "[magenta]none[/]"
        table.add_row(cell.short, *axes, fidelity, escape(row["target"]), escape(cell.reason), seconds)
    print_whole(table, console)
    if none := sum(row["fidelity"] is None for row in shown):
        console.print(
            f"{none} of {len(shown)} cells cannot be served here: a run records them as blocked / "
            f"{none} 个单元在此无法提供目标，运行时记为阻塞",
            style="magenta",
        )
    for note in dict.fromkeys(note for cell in plan.cells for note in cell.notes if note.startswith(REACHES)):
        console.print(escape(note), style="magenta")
    for rule in plan.excluded:
        console.print(escape(f"{rule.count} excluded: {rule.text}: {rule.because}"), style="dim")
    cover = plan.coverage
    word = {1: "values", 2: "pairs of values", 3: "triples of values"}.get(cover.strength, "quadruples of values")
    console.print(f"{word}: {cover.covered} of {cover.tuples} covered, {cover.never} that no cell can have")
    for uncovered in cover.explained:
        values = ", ".join(f"{axis}={value}" for axis, value in uncovered.axes.items())
        kind = "excluded" if uncovered.alone else "impossible, by rules together"
        console.print(escape(f"  {values}: {kind}: {'; '.join(uncovered.because)}"), style="dim")
    if cover.never > len(cover.explained):
        console.print(f"  and {cover.never - len(cover.explained)} more", style="dim")
    time_needed = (
        f"about {total / 60:.0f} min" if total is not None else "time unknown until each kind of cell ran once"
    )
    console.print(f"{len(plan.cells)} of {plan.valid} valid cells, {time_needed}, plan {plan.digest[:12]}")


@click.command("lint")
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True)
@click.pass_context
def lint_command(ctx: click.Context, place: Path, form: str) -> None:
    """Check PLACE, the folder of a matrix with everything it names, or any one definition; shows all faults at once.

    What a single file is follows from its keys, then from its name.
    """
    faults: list[Fault] = []
    checked = Checked(summary="")
    try:
        checked = check(place, datetime.datetime.now(datetime.UTC).date())
    except DefinitionError as error:
        if form == "text":
            raise
        faults = error.faults
    if form == "json":
        warnings = [vars(warning) for warning in checked.warnings]
        print_json({"faults": [vars(fault) for fault in faults], "warnings": warnings})
    elif form == "sarif":
        say(render_sarif(faults, Path.cwd()), nl=False)
    else:
        for warning in checked.warnings:
            say(f"warning 警告: {warning}", err=True)
        say(f"{place}: no fault; {checked.summary}", err=True)
    ctx.exit(2 if faults else 0)


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--name", default="", help="name of the product; the folder's where none is given")
@click.option("--kind", default=USUAL, show_default=True, metavar="KIND", help="kind of the product; list shows all")
def init_command(folder: Path | None, name: str, kind: str) -> None:
    """Make FOLDER for a new product: application, matrix, schemas for editors. It runs as it is.

    With --kind the example of that kind is copied: c, go, java-war, deb … README.md says how it is built.
    """
    if kind == "list":
        width = max(map(len, kinds()))
        for known, title in kinds().items():
            say(f"{known:{width}}  {title}")
        return
    if folder is None:
        raise UsageError("no folder is named", advice="harness init FOLDER --kind KIND, or harness init --kind list")
    for path in begin_product(folder, name or folder.resolve().name, kind):
        say(f"written: {path}", err=True)
    scripts = [folder / name for name in ("build.sh", "system.sh", "host.sh") if (folder / name).exists()]
    build = "".join(f"sh {script} && " for script in scripts)
    say(f"next: {build}harness run {folder}   (then put your product into {folder / 'application.yaml'})", err=True)


@click.command("schema")
@click.argument("kind", required=False, type=click.Choice(list(KINDS)))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="write one file a kind into this folder")
def schema_command(kind: str | None, out: Path | None) -> None:
    """Print the JSON Schema of KIND, or write those of all kinds with --out."""
    if out is not None:
        paths = write_schemas(out, (kind,) if kind else tuple(KINDS))
        if not kind:  # and of what is given out; those that no model makes are shipped as they are
            paths.append(out / "outputs" / "campaign.schema.json")
            paths[-1].parent.mkdir(exist_ok=True)
            text = json.dumps(record_schema(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
            paths[-1].write_text(text, encoding="utf-8")
        for path in paths:
            say(f"written: {path}", err=True)
    else:
        print_json(schema_of(kind) if kind else {name: schema_of(name) for name in KINDS})
