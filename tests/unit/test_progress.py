"""What a person sees while a campaign runs."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console

from harness.campaigns.estimating import makespan
from harness.cli import progress as module
from harness.model.plan import Cell
from harness.model.results import Verdict

CELLS = [
    Cell(axes={"cpu": "x86-64", "os": "debian-12", "database": "sqlite", "n": str(n)}, suites=(), reason="axes")
    for n in range(4)
]


def shown(view: Any) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(view)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def view() -> Any:
    return module._View(module._Lines(Console(file=io.StringIO(), width=120)))


def test_cells_steps_counts_and_time_left(view: Any) -> None:
    view.begin(CELLS, {cell.id: 100.0 for cell in CELLS}, 2)
    view.step(CELLS[0], "deploy / 部署")
    text = shown(view)
    assert "0/4" in text
    assert "n=0" in text
    assert "deploy / 部署" in text
    assert "about 3.3 min" in text
    view.verdict(CELLS[0], Verdict.CONFORMANT, "")
    text = shown(view)
    assert "1/4" in text
    assert "通过 1" in text
    assert "n=0" not in text
    assert "conformant 通过" in view.lines.console.file.getvalue()


def test_what_a_running_cell_had_is_taken_off(view: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    view.begin(CELLS[:1], {CELLS[0].id: 50.0}, 1)
    view.step(CELLS[0], "x")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 20)
    assert "about 30 s" in view.time_left()


def test_unknown_times_are_said_to_be_unknown(view: Any) -> None:
    view.begin(CELLS, {CELLS[0].id: 100.0}, 2)
    assert "unknown" in shown(view)
    view.begin([], {}, 2)
    assert view.time_left() == ""


def test_messages_of_a_product_are_no_markup(view: Any) -> None:
    view.begin(CELLS, {}, 1)
    view.verdict(CELLS[0], Verdict.NONCONFORMANT, "[red]no[/red] [link=x]")
    assert "[red]no[/red] [link=x]" in view.lines.console.file.getvalue()


def test_it_degrades_to_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with module.progress() as told:
        told.begin(CELLS, {}, 1)
        told.step(CELLS[0], "deploy")
        told.verdict(CELLS[0], Verdict.CONFORMANT, "")
        told.note("a [note]")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" s  ")[2] for line in lines] == [
        "x86-64 · debian-12 · sqlite · n=0  deploy",
        "x86-64 · debian-12 · sqlite · n=0  conformant 通过",
        "a [note]",
    ]


@pytest.mark.parametrize(
    ("seconds", "lanes", "expected"),
    [([], 2, 0.0), ([5, 5, 5], 1, 15), ([5, 5, 5], 2, 10), ([9, 1, 1, 1, 1, 1, 1, 1, 1, 1], 2, 9), ([1, 2], 8, 2)],
)
def test_the_longest_first_makes_the_whole_short(seconds: list[float], lanes: int, expected: float) -> None:
    assert makespan(seconds, lanes) == expected
