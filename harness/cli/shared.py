"""What the commands about campaigns share: options, workspaces, tables."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from harness.cli.output import error_console, output_console, print_json
from harness.errors import DefinitionError, UsageError
from harness.evidence import Workspace
from harness.evidence.lookup import latest
from harness.model.definitions import PROFILES, Databases
from harness.model.plan import Cell
from harness.model.results import EXIT_CODES, Verdict
from harness.reading.catalogue import Catalogue
from harness.reading.endpoints import read_databases

if TYPE_CHECKING:
    from harness.issuing.outcome import Finished

_COLOURS = {
    Verdict.CONFORMANT: "green",
    Verdict.CONDITIONAL: "yellow",
    Verdict.NONCONFORMANT: "red",
    Verdict.INCONCLUSIVE: "magenta",
    Verdict.NOT_TESTED: "dim",
}
#: Verdict -> its word in Chinese, and the colour in which a terminal shows it.
VERDICTS = {verdict: (verdict.zh, colour) for verdict, colour in _COLOURS.items()}

workspace_option = click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".harness"),
    show_default=True,
    help="where runs are recorded",
)
format_option = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
trust_code_option = click.option(
    "--trust-code",
    is_flag=True,
    help="run suites and playbooks that are not shipped as yourself, without a sandbox; recorded in the evidence",
)
profile_option = click.option(
    "--profile",
    type=click.Choice(PROFILES),
    default=None,
    help="how long and how often suites test: self-test (minutes) or center (hours), in place of what the matrix says",
)
hosts_option = click.option(
    "--hosts",
    "hosts",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="inventory of lab hosts; hosts.yaml here, where there is one",
)
databases_option = click.option(
    "--databases",
    "databases",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="database servers of the laboratory; databases.yaml here, where there is one",
)
issuer_option = click.option(
    "--issuer",
    default="self-test",
    show_default=True,
    metavar="NAME",
    help="profile of who issues: reports/issuers/NAME.yaml",
)
commission_option = click.option(
    "--commission",
    "commission",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="commission.yaml: applicant, people, deviations, what is amended or inherited",
)
folder_argument = click.argument("folder", type=click.Path(path_type=Path))


def label_of(cell: Cell) -> str:
    """The text that names a cell in lists."""
    return " · ".join(cell.axes[axis] for axis in ("cpu", "os", "database")) + "".join(
        f" · {key}={value}" for key, value in cell.axes.items() if key not in ("cpu", "os", "database")
    )


def catalogue_here() -> Catalogue:
    """What commands look definitions up in: ``targets``, ``suites`` and ``reports`` of the current directory, then
    what is shipped."""
    return Catalogue.standard(Path.cwd())


def inventory_path(given: Path | None) -> str:
    """The path of the inventory: the one given, else ``hosts.yaml`` here; empty where neither exists."""
    if given is not None:
        return str(given)
    return "hosts.yaml" if Path("hosts.yaml").is_file() else ""


def databases_path(given: Path | None) -> str:
    """The path of the laboratory's database servers: the one given, else ``databases.yaml`` here; empty where neither
    exists."""
    if given is not None:
        return str(given)
    return "databases.yaml" if Path("databases.yaml").is_file() else ""


def databases_of(given: Path | None) -> Databases | None:
    """The laboratory's database servers, held against the catalogue; None where there are none.

    Raises:
        UsageError: the file that was given does not exist.
        DefinitionError: it is wrong.
    """
    path = databases_path(given)
    if not path:
        return None
    if not Path(path).is_file():
        raise UsageError(
            f"no inventory of database servers at {path}", advice="name one with --databases; its keys: docs/reference"
        )
    return read_databases(Path(path), catalogue_here())


def existing(folder: Path) -> Workspace:
    """The workspace in a folder.

    Raises:
        UsageError: the folder holds no workspace.
    """
    if not Workspace.is_at(folder):
        raise UsageError(f"no workspace at {folder}", advice="name one with --workspace, or begin with: harness run")
    return Workspace(folder)


def campaign_in(folder: Path, named: str | None) -> tuple[Workspace, str]:
    """The workspace, and the campaign that is meant: the newest where none is named."""
    place = existing(folder)
    return place, named or latest(place)


def pairs(only: tuple[str, ...]) -> dict[str, str]:
    """The values of ``--only`` by axis; each text is ``AXIS=VALUE``.

    Raises:
        UsageError: a text has no equals sign.
    """
    pairs = {}
    for text in only:
        axis, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--only {text}: expected AXIS=VALUE", advice="for example: --only cpu=x86-64")
        pairs[axis] = value
    return pairs


def end(ctx: click.Context, finished: Finished, form: str) -> None:
    """Print the results of a campaign and leave with the exit code of its verdict, or with 130 after an interrupt."""
    console = error_console()
    if form == "json":
        print_json(finished.summary())
    else:
        print_table(finished, console)
    print_outputs(finished, console)
    ctx.exit(130 if finished.interrupted else EXIT_CODES[finished.view.verdict])


def print_table(finished: Finished, console: Console) -> None:
    """Print a table of the cells, with seconds, then the reasons for their verdicts."""
    view = finished.view
    table = Table(
        title=escape(f"{view.title.zh} {view.title.en} · {view.id}"),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    static = ["static"] if any(cell.scanned for cell in view.cells) else []  # counted apart: nothing ran for them
    for column in ("CPU", "OS", "database", "fidelity", "结论 verdict", "p/f/e/s/m/r", *static, "deployed", "total"):
        table.add_column(column, justify="right" if column in ("deployed", "total") else "left", no_wrap=True)
    for cell in view.cells:
        zh, colour = VERDICTS[cell.verdict]
        deployed, total = cell.seconds.get("deployed"), cell.seconds.get("total")
        fidelity = cell.fidelity.value if cell.fidelity is not None else "-"
        table.add_row(
            escape(cell.axes["cpu"]),
            escape(cell.axes["os"]),
            escape(" ".join(filter(None, (cell.axes["database"], cell.further)))),
            fidelity,
            f"[{colour}]{zh} {cell.verdict.value}[/{colour}]",
            "/".join(str(number) for number in cell.counts.values()),
            *([cell.silent or "-"] if static else []),
            f"{deployed:.1f} s" if deployed is not None else "-",
            f"{total:.1f} s" if total is not None else "-",
        )
    print_whole(table, console)
    console.print(
        "p/f/e/s/m/r: pass 通过 / fail 不通过 / error 未完成 / skip 跳过 / miss 未执行 / recorded 仅记录", style="dim"
    )
    if static:
        words = "static: rules that passed, of all; no program ran 静态规则：通过/全部，未运行程序"
        console.print(words, style="dim")
    for cell in view.cells:
        label = " · ".join(filter(None, (*(cell.axes[axis] for axis in ("cpu", "os", "database")), cell.further)))
        for reason in cell.reasons:
            console.print(f"{escape(label)}: {escape(reason)}", style=VERDICTS[cell.verdict][1], soft_wrap=True)


def print_whole(table: Table, console: Console) -> None:
    """Print a table as wide as it is, in a file too: a folded or cut table cannot be read, a long line can."""
    unbounded = output_console(file=io.StringIO(), width=10_000)
    width = max(console.width, Measurement.get(unbounded, unbounded.options, table).maximum)
    plain = output_console(file=console.file, width=width, force_terminal=console.is_terminal)
    plain.print(table, soft_wrap=False, no_wrap=True, crop=False)


def print_outputs(finished: Finished, console: Console) -> None:
    """Print the verdict of a campaign and the paths of its outputs."""
    zh, colour = VERDICTS[finished.view.verdict]
    console.print(f"结论 verdict: [{colour}]{zh} {finished.view.verdict.value}[/{colour}]")
    for kind, words in (
        ("report", "报告 report"),
        ("html", "网页报告 HTML report"),
        ("certificate", "证书 certificate"),
        ("junit", "JUnit"),
        ("json", "记录 record"),
    ):
        if kind in finished.outputs:
            console.print(f"{words}: {escape(str(finished.outputs[kind]))}")
    if finished.view.unverified:
        words = f"记录未通过核验 the record does not verify: {escape(finished.view.unverified)}"
        console.print(f"[red]{words}[/red]")
    if finished.uncertified:
        console.print(f"无证书 no certificate: {escape(finished.uncertified)}")
    if finished.interrupted:
        console.print(f"已中断 interrupted; go on with: harness resume {finished.view.id}")


#: A key in YAML whose value is a secret, and must not appear in a log.
_SECRET = re.compile(r"((?:password|passphrase|secret|token|key)\w*[\"']?\s*:\s*).+", re.IGNORECASE)


def _lines(path: Path) -> list[str]:
    """The lines of a definition; empty for a workbook, which is a binary file."""
    try:
        data = path.read_bytes()
    except OSError:
        return []
    return [] if b"\0" in data else data.decode(errors="replace").splitlines()


def print_faults(error: DefinitionError) -> None:
    """Every fault with the line that it is in, as a person wants to see it."""
    console = error_console()
    lines: dict[str, list[str]] = {}
    for fault in error.faults:
        if fault.file not in lines:
            lines[fault.file] = _lines(Path(fault.file))
        console.print(
            f"[bold]{escape(fault.file)}:{fault.line}:{fault.column}[/bold]: [red]{escape(fault.message)}[/red]"
        )
        if fault.line <= len(lines[fault.file]):
            line = _SECRET.sub(r"\1…", lines[fault.file][fault.line - 1].replace("\t", " "))[:160]
            # A Chinese character takes two columns of the terminal.
            before = cell_len(line[: fault.column - 1])
            console.print(f"  [dim]{fault.line:>4} |[/dim] {escape(line)}", soft_wrap=True)
            console.print(f"  [dim]     |[/dim] {' ' * before}[red]^[/red]")
        for label, text in (("expected", fault.expected), ("found", fault.found), ("hint", fault.hint)):
            if text:
                console.print(f"       {label}: {escape(text)}")
    count = len(error.faults)
    console.print(f"harness: {count} fault{'' if count == 1 else 's'} in the definitions / 定义中有 {count} 处错误")
    console.print(f"  next: {escape(error.advice)}")
