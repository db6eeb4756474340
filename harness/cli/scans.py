"""The command ``scan``: what in a product's files will break on which target."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from harness.cli.output import output_console, print_json, say
from harness.cli.proofs import proven
from harness.cli.shared import catalogue_here, databases_option
from harness.errors import UsageError
from harness.model.definitions import Database, Rule, Waiver, Waivers
from harness.model.finding import Concern, Finding, ScanResult, Targets
from harness.model.plan import Definitions
from harness.planning import expand
from harness.presentation import Presentation
from harness.reading.entries import entries
from harness.reading.parsing import parse
from harness.reading.read import read
from harness.reading.suites import rules_of
from harness.report.porting import efforts_of, plan_of, render_plan_html, render_plan_xlsx
from harness.report.scan import by_rule, render_sbom, render_scan_html, render_scan_sarif, scan_record
from harness.report.sqltable import render_sql_xlsx
from harness.scan import contents, scan
from harness.scan.cases import split
from harness.scan.inputs import files_of_cells, targets_of
from harness.scan.merging import merged

COLOURS = {"blocker": "red", "warning": "yellow", "info": "dim"}
WORDS = {"blocker": "阻断 blocker", "warning": "警告 warning", "info": "提示 info"}
PLACES = 5  #: of a rule that are shown on a terminal
KINDS = ("cpu", "os", "database")


@click.command("scan")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--matrix",
    "folder",
    type=click.Path(path_type=Path),
    help="the targets of this matrix, its waivers, and, where no PATH is given, the files of its product",
)
@click.option(
    "--target",
    "named",
    multiple=True,
    metavar="KIND=NAME",
    help="only such targets: cpu=…, os=…, database=… (database=NAME:MODE in one of its modes); may be repeated. "
    "Without: all that are known",
)
@click.option("--waivers", "waivers_file", type=click.Path(path_type=Path), help="accepted findings, with expiry")
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="also write the report as one HTML file")
@click.option(
    "--sbom",
    type=click.Path(path_type=Path, dir_okay=False),
    help="also write a bill of materials (CycloneDX 1.6 JSON)",
)
@click.option(
    "--sql",
    type=click.Path(path_type=Path, dir_okay=False),
    help="also write the compatibility table of its SQL, each statement by database (XLSX)",
)
@click.option(
    "--prove",
    is_flag=True,
    help="also give its statements to servers of databases.yaml, in a throw-away database, and say what they answer",
)
@databases_option
@click.option(
    "--plan",
    "plans",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="also write a plan to port, by what to do, effort and target: FILE.html or FILE.xlsx; may be repeated",
)
@click.option("--all", "every", is_flag=True, help="show every place, and what is for information only")
@click.option("--explain", metavar="RULE", help="say what a rule looks for and why, and scan nothing")
@click.pass_context
def scan_command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    folder: Path | None,
    named: tuple[str, ...],
    waivers_file: Path | None,
    form: str,
    html: Path | None,
    sbom: Path | None,
    sql: Path | None,
    prove: bool,
    databases: Path | None,
    plans: tuple[Path, ...],
    every: bool,
    explain: str | None,
) -> None:
    """Read PATH… (packages, archives, trees) for what will break on the declared targets. Nothing is run.

    Exit codes: 0 nothing blocks, 1 something does, 3 nothing blocks but something could not be read.
    """
    rules = shipped_rules()
    _check_plans(plans)
    if explain is not None:
        _explain(rules, explain)
        return
    listed = sql is not None or html is not None or prove
    kept = {"hashes": sbom is not None, "statements": listed}
    result, holding, expired = _scan(paths, folder, named, waivers_file, rules, **kept)
    troubled = False
    if prove:
        result, troubled = proven(result, databases, _targets(folder, named))
    findings, waived = split(result.findings, holding)
    for waiver in expired:
        say(f"waiver for {waiver.case} expired on {waiver.expires}: it accepts nothing", err=True)
    scanned = [str(path) for path in paths] or [str(folder)]
    if html is not None:
        _write(html, render_scan_html(result, findings, waived, scanned, Presentation.standard(catalogue_here())))
    if sbom is not None:
        _write(sbom, render_sbom(result.components).encode())
    if sql is not None:
        _write(sql, render_sql_xlsx(result))
    if plans:
        _write_plans(plans, result, findings, scanned)
    if form == "json":
        print_json(scan_record(result, findings, waived))
    elif form == "sarif":
        say(render_scan_sarif(result, findings, waived, Path.cwd()), nl=False)
    else:
        show(result, findings, len(waived), output_console(soft_wrap=True), every=every)
    blocked = any(finding.severity == "blocker" for finding in findings)
    unread = any(finding.rule == "READ-1" for finding in findings)
    ctx.exit(1 if blocked else 3 if unread or troubled else 0)


def _scan(
    paths: Sequence[Path],
    folder: Path | None,
    named: Sequence[str],
    waivers_file: Path | None,
    rules: tuple[Rule, ...],
    *,
    hashes: bool,
    statements: bool,
) -> tuple[ScanResult, list[Waiver], list[Waiver]]:
    """The result, and the waivers that hold today and that do not."""
    definitions = read(folder, catalogue_here()) if folder is not None else None
    targets = narrowed(targets_of(definitions) if definitions is not None else None, named)
    waivers = definitions.waivers if definitions is not None else ()
    if waivers_file is not None:
        waivers += parse(waivers_file, Waivers).waivers
    if missing := [str(path) for path in paths if not path.exists()]:
        raise UsageError(f"no such file or folder: {', '.join(missing)}", advice="name packages, archives or folders")
    if paths:
        result = scan(paths, rules, targets, hashes=hashes, statements=statements)
    elif definitions is not None:
        result = _of_product(definitions, rules, targets, hashes=hashes, statements=statements)
    else:
        raise UsageError("nothing to scan", advice="name packages, archives or folders, or --matrix FOLDER")
    today = datetime.datetime.now(datetime.UTC).date()
    return (
        result,
        [waiver for waiver in waivers if waiver.holds(today)],
        [waiver for waiver in waivers if not waiver.holds(today)],
    )


def _targets(folder: Path | None, named: Sequence[str]) -> Targets:
    """The targets that are declared."""
    matrix = targets_of(read(folder, catalogue_here())) if folder is not None else None
    return narrowed(matrix, named)


def _of_product(
    definitions: Definitions, rules: tuple[Rule, ...], targets: Targets, *, hashes: bool, statements: bool
) -> ScanResult:
    """The files beside application.yaml, those of each variant held against the targets of its cells."""
    parts: list[ScanResult] = []
    for files, axes in files_of_cells(definitions, expand(definitions).cells).items():
        concerned = Targets(
            cpus={name: cpu for name, cpu in targets.cpus.items() if name in axes["cpu"]},
            systems={name: system for name, system in targets.systems.items() if name in axes["os"]},
            databases={name: database for name, database in targets.databases.items() if name in axes["database"]},
            dialect=targets.dialect,
        )
        if concerned.cpus or concerned.systems or concerned.databases:
            parts.append(scan(files, rules, concerned, hashes=hashes, statements=statements))
    if not parts:
        raise UsageError(
            "the product has no files beside its application.yaml: its packages come with the target",
            advice="name packages as PATH, or run the matrix: its cells scan what is installed",
        )
    return merged(parts)


def shipped_rules() -> tuple[Rule, ...]:
    """The rules of ``suites/static/porting``, the user's own before the built-in ones."""
    suite = catalogue_here().find("suites", "static", "porting")
    if suite is None:
        raise UsageError("the catalogue lacks suites/static/porting", advice="install the package again")
    return rules_of(suite)


def narrowed(matrix: Targets | None, named: Sequence[str]) -> Targets:
    """The targets of a matrix, else every CPU class that images are built for, every system and database that is known.

    With names only these, and no target of a kind that is not named.

    Raises:
        UsageError: a word is not KIND=NAME, or there is no such target.
    """
    if matrix is not None:
        every: dict[str, dict[str, Any]] = {
            "cpu": dict(matrix.cpus),
            "os": dict(matrix.systems),
            "database": dict(matrix.databases),
        }
    else:
        every = {kind: {name: value for name, (_, value) in entries(kind, catalogue_here()).items()} for kind in KINDS}
    kept: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for text in named:
        kind, equals, name = text.partition("=")
        if kind == "database":
            name, _, mode = name.partition(":")
        else:
            mode = ""
        if not equals or kind not in KINDS:
            raise UsageError(
                f"--target {text}: expected cpu=NAME, os=NAME or database=NAME",
                advice="for example: --target cpu=kunpeng-920",
            )
        if name not in every[kind]:
            raise UsageError(
                f"--target {text}: no such {kind}; known: {', '.join(every[kind])}",
                advice="see: harness targets list, or the matrix",
            )
        kept[kind][name] = in_mode(every[kind][name], mode) if mode else every[kind][name]
    if not named:
        kept = every
        kept["cpu"] = {name: cpu for name, cpu in every["cpu"].items() if not cpu.obstacle}
    dialect = matrix.dialect if matrix is not None else ""
    return Targets(cpus=kept["cpu"], systems=kept["os"], databases=kept["database"], dialect=dialect)


def in_mode(database: Database, mode: str) -> Database:
    """A database in a mode that it has.

    Raises:
        UsageError: it has no such mode.
    """
    if mode not in database.modes:
        known = ", ".join(database.modes) or "none is known"
        raise UsageError(
            f"database {database.database} has no mode {mode!r}; its modes: {known}",
            advice=f"see: harness targets show {database.database}",
        )
    return database.in_mode(mode)


def _check_plans(plans: Sequence[Path]) -> None:
    """Before the scan, which may take long."""
    for path in plans:
        if path.suffix.lower() not in (".html", ".xlsx"):
            raise UsageError(
                f"--plan {path}: expected a name that ends with .html or .xlsx, got {path.suffix or 'no ending'}",
                advice="for example: --plan plan.html --plan plan.xlsx",
            )


def _write_plans(plans: Sequence[Path], result: ScanResult, findings: Sequence[Finding], scanned: list[str]) -> None:
    presentation = Presentation.standard(catalogue_here())
    plan = plan_of(result, findings, efforts_of(presentation))
    for path in plans:
        if path.suffix.lower() == ".html":
            _write(path, render_plan_html(plan, scanned, presentation))
        else:
            _write(path, render_plan_xlsx(plan, scanned, presentation.wording()))


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", advice="name another file") from error
    say(f"written: {path}", err=True)


def told_targets(targets: Sequence[Concern]) -> str:
    """Targets by kind, in one line."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for target in targets:
        kinds[target.kind].append(f"{target.name} ({target.architecture})" if target.architecture else target.name)
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items())


def show(result: ScanResult, findings: Sequence[Finding], waived: int, console: Console, *, every: bool) -> None:
    """For people: each rule once, with why, on which targets, where, and what to do."""
    hidden = 0
    for rule, severity, group in by_rule(result, findings):
        if severity == "info" and not every:
            hidden += len(group)
            continue
        colour = COLOURS[severity]
        console.print(
            f"[{colour}]{WORDS[severity]}[/{colour}] [bold]{rule.id}[/bold] {escape(rule.title.zh)} "
            f"{escape(rule.title.en)}"
        )
        console.print(f"  {escape(rule.why.zh)}\n  {escape(rule.why.en)}", style="dim")
        console.print(
            f"  目标 targets: {escape(told_targets(sorted({t for finding in group for t in finding.targets})))}"
        )
        for finding in group if every else group[:PLACES]:
            place = f" [cyan]{escape(finding.place)}[/cyan]" if finding.place else ""
            console.print(f"  - {escape(finding.file)}{place}: {escape(finding.message)}")
        if len(group) > PLACES and not every:
            console.print(f"    另有 {len(group) - PLACES} 处 and {len(group) - PLACES} more: --all")
        console.print(f"  → {escape(rule.advice.zh)}\n    {escape(rule.advice.en)}\n", style="green")
    counts = ", ".join(f"{WORDS[s]} {sum(finding.severity == s for finding in findings)}" for s in COLOURS)
    console.print(
        f"{counts}, 已豁免 waived {waived}; {result.files} 个文件 files, {result.bytes / 2**20:.1f} MiB, "
        f"{result.seconds:.1f} s" + (f"; 提示未列出 info not shown: {hidden} (--all)" if hidden else "")
    )
    if result.skipped:
        reasons = ", ".join(f"{contents.REASONS[reason]} {reason} {n}" for reason, n in sorted(result.skipped.items()))
        console.print(f"已识别而未查 recognised and not searched: {escape(reasons)}", style="dim")
    if result.unread:
        console.print(
            f"{result.unread} 处内容未能读取，对其一无所知 could not be read: nothing is known of them", style="magenta"
        )
    console.print(
        "只读文件，未运行：没有发现不等于可以运行 files were read, nothing was run: no finding is no proof", style="dim"
    )


def _explain(rules: Sequence[Rule], name: str) -> None:
    rules_by_id = {rule.id: rule for rule in rules}
    rule = rules_by_id.get(name.upper())
    if rule is None:
        raise UsageError(f"no rule {name!r}; there is: {', '.join(rules_by_id)}", advice="name one of them")
    console = output_console(soft_wrap=True)
    console.print(f"[bold]{rule.id}[/bold] {escape(rule.title.zh)} {escape(rule.title.en)}")
    for label, text in (("为什么 why", rule.why), ("处理 what to do", rule.advice)):
        console.print(f"{label}: {escape(text.zh)}\n  {escape(text.en)}")
    console.print(f"级别 severity: {WORDS[rule.severity]}")
    about = rule.concerns.model_dump(exclude_defaults=True, mode="json")
    content = (
        "; ".join(f"{key}: {', '.join(values)}" for key, values in about.items()) or "what the finding itself tells"
    )
    console.print(f"目标 targets: {escape(content)}")
    console.print(f"特性 characteristic: {rule.characteristic}, GB/T 25000.51-2016 {rule.clause}")
    console.print(f"依据 source: {escape(rule.source)} ({rule.certainty})")
    for label, example in (("触发 found in", rule.triggers), ("不触发 not found in", rule.passes)):
        console.print(f"{label}:")
        for file in example:
            content = file.text if file.text is not None else f"ELF {file.elf}"
            console.print(f"  {escape(file.file)}: {escape(content.strip())}", style="dim")
