"""The commands. JSON goes to standard output alone, everything for people to standard error (lists to output)."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from harness import campaigns
from harness.campaigns import Finished, Progress, RunOptions
from harness.cli import doctor
from harness.definitions import Catalogue, parse
from harness.errors import UsageError
from harness.evidence import Workspace
from harness.machines import Engine
from harness.model.definitions import Cpu, Database, Os, Suite
from harness.model.plan import Cell, Plan
from harness.model.results import EXIT_CODES, Result, Verdict
from harness.provision import clean_scratch

VERDICTS = {
    Verdict.CONFORMANT: ("通过", "green"), Verdict.CONDITIONAL: ("带条件通过", "yellow"),
    Verdict.NONCONFORMANT: ("不通过", "red"), Verdict.INCONCLUSIVE: ("阻塞", "magenta"),
    Verdict.NOT_TESTED: ("未执行", "dim"),
}  # fmt: skip

TABLE_WIDTH = 118

workspace_option = click.option(
    "--workspace", type=click.Path(path_type=Path, file_okay=False), default=Path(".harness"), show_default=True,
    help="where runs are recorded",
)  # fmt: skip
format_option = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
folder_argument = click.argument("folder", type=click.Path(path_type=Path))


def _json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=1))


def _console() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _label(cell: Cell) -> str:
    return " · ".join(cell.axes[axis] for axis in ("cpu", "os", "database")) + "".join(
        f" · {key}={value}" for key, value in cell.axes.items() if key not in ("cpu", "os", "database")
    )


@click.command("plan")
@folder_argument
@workspace_option
@format_option
@click.option("--lock", "write", is_flag=True, help="write matrix.lock beside the matrix: campaigns then run its cells")
@click.option("--check", is_flag=True, help="fail if matrix.lock is missing or stale")
def plan_command(folder: Path, workspace: Path, form: str, write: bool, check: bool) -> None:
    """Show every cell of the matrix in FOLDER with its reason, what is covered, and what cannot be."""
    definitions, plan = campaigns.plan_of(folder, locked=False)
    if write and check:
        raise UsageError("--lock and --check contradict each other", advice="choose one of them")
    if write:
        campaigns.write_lock(definitions, plan)
    if check or campaigns.lock_path(definitions).exists():
        campaigns.check_lock(definitions, plan)
    expected = campaigns.expected_seconds(_existing(workspace).journal, plan.cells) if workspace.is_dir() else {}
    shown: list[dict[str, Any]] = [
        {"id": c.id, "axes": c.axes, "reason": c.reason, "target": campaigns.expected_target(definitions, c),
         "fidelity": campaigns.expected_fidelity(definitions, c), "suites": list(c.suites), "notes": list(c.notes),
         "seconds": expected.get(c.id)}
        for c in plan.cells
    ]  # fmt: skip
    cover = plan.coverage
    coverage = {
        "declared": plan.valid + sum(rule.count for rule in plan.excluded), "valid": plan.valid,
        "planned": len(plan.cells), "excluded": sum(rule.count for rule in plan.excluded), "strength": cover.strength,
        "tuples": cover.tuples, "covered": cover.covered, "impossible": cover.never,
        "because": [{"axes": one.axes, "because": list(one.because), "one_rule": one.alone} for one in cover.explained],
    }  # fmt: skip
    total = campaigns.makespan(list(expected.values()), os.cpu_count() or 1) if len(expected) == len(shown) else None
    if form == "json":
        excluded = [{"rule": e.told, "because": e.because, "count": e.count} for e in plan.excluded]
        _json({"digest": plan.digest, "cells": shown, "excluded": excluded, "coverage": coverage, "seconds": total})
        return
    _plan(plan, shown, total, Console(highlight=False))
    if write:
        click.echo(f"written: {campaigns.lock_path(definitions)}", err=True)


def _plan(plan: Plan, shown: list[dict[str, Any]], total: float | None, console: Console) -> None:
    further = [axis for axis in plan.cells[0].axes if axis not in ("cpu", "os", "database")]
    table = Table(box=None, pad_edge=False)
    for title in ("cell", "cpu", "os", "database", *further, "target", "why", "s"):
        table.add_column(title, overflow="fold", justify="right" if title == "s" else "left")
    for cell, one in zip(plan.cells, shown, strict=True):
        seconds = f"{one['seconds']:.0f}" if one["seconds"] is not None else "?"
        table.add_row(cell.short, *(cell.axes[axis] for axis in ("cpu", "os", "database", *further)), one["target"],
                      cell.reason, seconds)  # fmt: skip
    console.print(table)
    for rule in plan.excluded:
        console.print(f"{rule.count} excluded: {rule.told}: {rule.because}", style="dim")
    cover = plan.coverage
    word = {1: "values", 2: "pairs of values", 3: "triples of values"}.get(cover.strength, "quadruples of values")
    console.print(f"{word}: {cover.covered} of {cover.tuples} covered, {cover.never} that no cell can have")
    for uncovered in cover.explained:
        values = ", ".join(f"{axis}={value}" for axis, value in uncovered.axes.items())
        kind = "excluded" if uncovered.alone else "impossible, by rules together"
        console.print(f"  {values}: {kind}: {'; '.join(uncovered.because)}", style="dim")
    if cover.never > len(cover.explained):
        console.print(f"  and {cover.never - len(cover.explained)} more", style="dim")
    time_needed = (
        f"about {total / 60:.0f} min" if total is not None else "time unknown until each kind of cell ran once"
    )
    console.print(f"{len(plan.cells)} of {plan.valid} valid cells, {time_needed}, plan {plan.digest[:12]}")


@click.command("lint")
@folder_argument
@format_option
def lint_command(folder: Path, form: str) -> None:
    """Check the matrix in FOLDER and everything it names; all faults are told at once."""
    _, plan = campaigns.plan_of(folder)
    if form == "json":
        _json({"faults": []})
    else:
        click.echo(f"{folder}: no fault; {len(plan.cells)} cells", err=True)


@click.command("run")
@folder_argument
@workspace_option
@format_option
@click.option("--mirror", default="", envvar="HARNESS_MIRROR", help="Debian mirror instead of the one apt uses here")
@click.option("--allow-expired-release", "expired", multiple=True, metavar="OS",
              help="accept an expired release file of this system; recorded in the evidence")  # fmt: skip
@click.option("--no-cache", is_flag=True, help="make every environment anew")
@click.option("--jobs", type=click.IntRange(0, 256), default=0, help="cells at once; 0: what CPU and memory allow")
@click.option("--only", multiple=True, metavar="AXIS=VALUE",
              help="only cells with this value; the others count as not tested")  # fmt: skip
@click.option("--retry-failed", type=click.IntRange(0, 5), default=None,
              help="try a cell that failed so often again; a later pass is shown as unsteady")  # fmt: skip
@click.pass_context
def run_command(ctx: click.Context, folder: Path, workspace: Path, form: str, mirror: str, expired: tuple[str, ...],
                no_cache: bool, jobs: int, only: tuple[str, ...], retry_failed: int | None) -> None:  # fmt: skip
    """Run the matrix in FOLDER."""
    options = RunOptions(mirror=mirror, allow_expired=expired, no_cache=no_cache, jobs=jobs, only=_pairs(only),
                         retry_failed=retry_failed)  # fmt: skip
    campaigns.plan_of(folder)  # a wrong definition must not leave an empty workspace behind
    finished = campaigns.run_campaign(folder, Workspace(workspace), options, _progress())
    _end(ctx, finished, form)


@click.command("resume")
@click.argument("campaign", required=False)
@workspace_option
@format_option
@click.option("--mirror", default="", envvar="HARNESS_MIRROR", help="Debian mirror instead of the one apt uses here")
@click.option("--jobs", type=click.IntRange(0, 256), default=0, help="cells at once; 0: as the campaign began")
@click.pass_context
def resume_command(
    ctx: click.Context, campaign: str | None, workspace: Path, form: str, mirror: str, jobs: int
) -> None:
    """Go on with CAMPAIGN (the newest where none is named): cells that were not finished are run."""
    place = _existing(workspace)
    identity = campaign or campaigns.latest(place)
    finished = campaigns.resume_campaign(identity, place, RunOptions(mirror=mirror, jobs=jobs), _progress())
    _end(ctx, finished, form)


@click.command("list")
@workspace_option
@format_option
def list_command(workspace: Path, form: str) -> None:
    """List the campaigns of the workspace, the newest first."""
    place = _existing(workspace)
    rows = place.journal.campaigns()
    shown = [{"campaign": r.id, "matrix": r.matrix, "created": r.created, "verdict": r.verdict,
              "running": place.alive(r.id)} for r in rows]  # fmt: skip
    if form == "json":
        _json({"campaigns": shown})
        return
    for one in shown:
        state = one["verdict"] or ("running" if one["running"] else "cut off: harness resume " + str(one["campaign"]))
        click.echo(f"{one['campaign']}  {str(one['created'])[:19]}  {one['matrix']}  {state}")


@click.command("show")
@click.argument("campaign", required=False)
@workspace_option
@format_option
def show_command(campaign: str | None, workspace: Path, form: str) -> None:
    """Show the verdicts of CAMPAIGN (the newest where none is named)."""
    place = _existing(workspace)
    identity = campaign or campaigns.latest(place)
    view = campaigns.view_of(identity, place)
    files = {p.stem: str(p) for p in sorted(place.folder(identity).iterdir()) if p.suffix}
    finished = Finished(view=view, outputs=files, interrupted=False)
    if form == "json":
        _json(finished.summary())
    else:
        _table(finished, Console(highlight=False))


@click.command("report")
@click.argument("campaign", required=False)
@workspace_option
@format_option
def report_command(campaign: str | None, workspace: Path, form: str) -> None:
    """Render the reports of CAMPAIGN again from its records."""
    place = _existing(workspace)
    identity = campaign or campaigns.latest(place)
    finished = campaigns.finish(identity, place, _progress(), close=False)
    if form == "json":
        _json(finished.summary())
    else:
        _outputs(finished, _console())


@click.command("gc")
@workspace_option
@format_option
@click.option("--all", "everywhere", is_flag=True, help="also what belongs to other workspaces; do not use it while "
              "another harness runs on this machine")  # fmt: skip
def gc_command(workspace: Path, form: str, everywhere: bool) -> None:
    """Find and remove containers, networks and scratch files that no running campaign owns."""
    place = Workspace(workspace)
    removed = campaigns.sweep(Engine(place.id), place, everywhere=everywhere)
    removed += [f"file {name}" for name in clean_scratch(campaigns.cache_folder())]
    if form == "json":
        _json({"removed": removed})
        return
    for name in removed:
        click.echo(f"removed {name}")
    click.echo(f"{len(removed)} removed")


@click.command("doctor")
@format_option
@click.pass_context
def doctor_command(ctx: click.Context, form: str) -> None:
    """Check what this machine has and lacks; exit 3 where something is missing."""
    checks = doctor.check()
    if form == "json":
        _json({"checks": [vars(one) for one in checks]})
    else:
        for one in checks:
            click.echo(f"{'ok     ' if one.ok else 'MISSING'} {one.name}: {one.found}")
            if not one.ok:
                click.echo(f"        next: {one.advice}")
    ctx.exit(0 if all(one.ok for one in checks) else 3)


@click.command("targets")
@format_option
def targets_command(form: str) -> None:
    """List the catalogue: CPUs, operating systems, databases."""
    catalogue = Catalogue.standard()
    found: list[dict[str, str]] = []
    models: list[tuple[str, type[Cpu] | type[Os] | type[Database]]] = [("cpu", Cpu), ("os", Os), ("database", Database)]
    for kind, model in models:
        for name in catalogue.names(f"targets/{kind}"):
            path = catalogue.find("targets", kind, f"{name}.yaml")
            if path is not None:
                value = parse(path, model)
                found.append({"kind": kind, "name": name, "zh": value.name.zh, "en": value.name.en,
                              "certainty": value.certainty})  # fmt: skip
    if form == "json":
        _json({"targets": found})
        return
    for one in found:
        click.echo(f"{one['kind']:9} {one['name']:20} {one['zh']} / {one['en']}  ({one['certainty']})")


@click.command("suites")
@format_option
def suites_command(form: str) -> None:
    """List the suites and their cases."""
    catalogue = Catalogue.standard()
    found = []
    for name in catalogue.suites():
        path = catalogue.find("suites", name, "suite.yaml")
        if path is not None:
            found.append(parse(path, Suite))
    if form == "json":
        _json({"suites": [suite.model_dump(mode="json") for suite in found]})
        return
    for suite in found:
        click.echo(f"{suite.suite} {suite.version}: {suite.title.zh} / {suite.title.en}")
        for case in suite.cases:
            click.echo(f"  {case.id:8} {case.title.zh} / {case.title.en}  "
                       f"[{case.characteristic}, {case.clause}{', blocker' if case.blocker else ''}]")  # fmt: skip


# --- pieces ---


def _existing(folder: Path) -> Workspace:
    if not (folder / "journal.sqlite").is_file():
        raise UsageError(f"no workspace at {folder}", advice="name one with --workspace, or begin with: harness run")
    return Workspace(folder)


def _pairs(only: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in only:
        axis, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--only {text}: expected AXIS=VALUE", advice="for example: --only cpu=x86-64")
        pairs[axis] = value
    return pairs


def _progress() -> Progress:
    console = _console()
    began = time.monotonic()

    def line(text: str, style: str = "") -> None:
        console.print(f"[dim]{time.monotonic() - began:7.1f} s[/dim]  {text}", style=style or None)

    def done(cell: Cell, verdict: Verdict, message: str) -> None:
        zh, colour = VERDICTS[verdict]
        line(f"{_label(cell)}  [{colour}]{verdict.value} {zh}[/{colour}]{'  ' + _escape(message) if message else ''}")

    return Progress(
        step=lambda cell, words: line(f"{_label(cell)}  {words}"), done=done, note=lambda words: line(_escape(words))
    )


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


def _end(ctx: click.Context, finished: Finished, form: str) -> None:
    console = _console()
    if form == "json":
        _json(finished.summary())
    else:
        _table(finished, console)
    _outputs(finished, console)
    ctx.exit(130 if finished.interrupted else EXIT_CODES[finished.view.verdict])


def _table(finished: Finished, console: Console) -> None:
    view = finished.view
    table = Table(title=f"{view.title.zh} {view.title.en} · {view.id}", title_justify="left", box=SIMPLE_HEAD,
                  pad_edge=False)  # fmt: skip
    for title in ("CPU", "OS", "database", "fidelity", "结论 verdict", "p/f/e/s/m", "deployed", "total"):
        table.add_column(title, justify="right" if title in ("deployed", "total") else "left", no_wrap=True)
    for cell in view.cells:
        zh, colour = VERDICTS[cell.verdict]
        deployed, total = cell.seconds.get("deployed"), cell.seconds.get("total")
        fidelity = cell.fidelity.value if cell.fidelity is not None else "-"
        table.add_row(
            cell.axes["cpu"], cell.axes["os"], cell.axes["database"], fidelity,
            f"[{colour}]{zh} {cell.verdict.value}[/{colour}]",
            "/".join(str(cell.count(result)) for result in Result),
            f"{deployed:.1f} s" if deployed is not None else "-", f"{total:.1f} s" if total is not None else "-",
        )  # fmt: skip
    # Wide enough for every column: a folded table cannot be read, a long line can.
    wide = console if console.width >= TABLE_WIDTH else Console(file=console.file, width=TABLE_WIDTH, highlight=False)
    wide.print(table)
    console.print("p/f/e/s/m: pass 通过 / fail 不通过 / error 未完成 / skip 跳过 / miss 未执行", style="dim")
    for cell in view.cells:
        if cell.message:
            label = " · ".join(cell.axes[axis] for axis in ("cpu", "os", "database"))
            console.print(f"{label}: {_escape(cell.message)}", style=VERDICTS[cell.verdict][1])


def _outputs(finished: Finished, console: Console) -> None:
    zh, colour = VERDICTS[finished.view.verdict]
    console.print(f"结论 verdict: [{colour}]{zh} {finished.view.verdict.value}[/{colour}]")
    for kind, words in (
        ("html", "报告 report"),
        ("certificate", "证书 certificate"),
        ("junit", "JUnit"),
        ("json", "记录 record"),
    ):
        if kind in finished.outputs:
            console.print(f"{words}: {finished.outputs[kind]}")
    if finished.uncertified:
        console.print(f"无证书 no certificate: {_escape(finished.uncertified)}")
    if finished.interrupted:
        console.print(f"已中断 interrupted; go on with: harness resume {finished.view.id}")
