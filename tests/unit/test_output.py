"""What is printed is what was written: no word of a definition is taken for markup, and no column is cut."""

from __future__ import annotations

import io
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.table import Table

from harness.cli.entry import cli
from harness.cli.progress import _Lines
from harness.cli.shared import VERDICTS, print_whole
from harness.model.plan import Cell
from harness.model.results import Verdict
from harness.presentation import Presentation

NASTY = ["says [no] to it", "[/see]", "a \\[b] c", "[red]x[/red]"]


@pytest.mark.parametrize("text", NASTY)
def test_a_reason_in_a_plan_keeps_every_word(folder: Any, text: str) -> None:
    folder.change("matrix", exclude=[{"cpu": "kunpeng-920", "because": text}])
    result = CliRunner().invoke(cli, ["plan", str(folder.root)])
    assert result.exception is None, result.exception
    assert text in result.output.replace("\n", "")


@pytest.mark.parametrize("text", NASTY)
def test_a_value_of_an_axis_keeps_every_letter_in_the_progress(text: str) -> None:
    axes = {"cpu": "x86-64", "os": "debian-12", "database": "sqlite", "edition": text}
    cell = Cell(axes=axes, suites=(), reason="axes", timeout_factor=1.0, notes=(), prefer=())
    out = io.StringIO()
    lines = _Lines(Console(file=out, width=200, highlight=False))
    lines.step(cell, "deploy")
    lines.verdict(cell, Verdict.CONFORMANT, text)
    shown = out.getvalue().splitlines()
    assert all(f"edition={text}" in line for line in shown)
    assert shown[1].rstrip().endswith(text)


def test_a_table_is_never_cut_where_nobody_can_widen_it() -> None:
    table = Table()
    for index in range(12):
        table.add_column(f"column {index}", no_wrap=True)
    table.add_row(*[f"nonconformant {index}" for index in range(12)])
    out = io.StringIO()
    print_whole(table, Console(file=out, width=40))
    assert all(f"nonconformant {index}" in out.getvalue() for index in range(12))


def test_verdicts_have_one_word_each() -> None:
    words = Presentation.standard().wording()
    assert {verdict: words.zh("verdict", verdict) for verdict in Verdict} == {
        verdict: zh for verdict, (zh, _) in VERDICTS.items()
    }
