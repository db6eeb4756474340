"""What a person sees while a campaign runs: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.campaigns.estimating import makespan
from harness.cli.output import error_console
from harness.cli.shared import VERDICTS, label_of
from harness.issuing.outcome import Progress
from harness.model.plan import Cell
from harness.model.results import Verdict


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """A ``Progress`` for the time of a campaign."""
    console = error_console()
    lines = _Lines(console)
    if not console.is_terminal:
        yield Progress(
            step=lines.step, verdict=lines.verdict, note=lines.note, begin=lambda _cells, _expected, _jobs: None
        )
        return
    view = _View(lines)
    with Live(view, console=console, refresh_per_second=2, transient=True):
        yield Progress(step=view.step, verdict=view.verdict, note=lines.note, begin=view.begin)


class _Lines:
    """One line for each thing that happens."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.began = time.monotonic()

    def line(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal was closed: the campaign stops, and records what it has
            self.console.print(f"[dim]{time.monotonic() - self.began:7.1f} s[/dim]  {text}")

    def note(self, words: str) -> None:
        self.line(escape(words))

    def step(self, cell: Cell, words: str) -> None:
        self.line(escape(f"{label_of(cell)}  {words}"))

    def verdict(self, cell: Cell, verdict: Verdict, message: str) -> None:
        zh, colour = VERDICTS[verdict]
        suffix = f"  {escape(message)}" if message else ""
        self.line(f"{escape(label_of(cell))}  [{colour}]{verdict.value} {zh}[/{colour}]{suffix}")


@dataclass
class _View:
    """The cells that run, with their step and time; how many ended how; time left where earlier runs tell it."""

    lines: _Lines
    running: dict[str, tuple[Cell, str, float]] = field(default_factory=dict)
    ended: dict[str, Verdict] = field(default_factory=dict)  #: by the cell's id; one that is tried again is taken out
    expected: dict[str, float] = field(default_factory=dict)
    left: dict[str, float | None] = field(default_factory=dict)
    jobs: int = 1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, cells: list[Cell], expected: dict[str, float], jobs: int) -> None:
        with self._lock:
            self.expected = expected
            self.left = {cell.id: expected.get(cell.id) for cell in cells}
            self.jobs = jobs

    def step(self, cell: Cell, words: str) -> None:
        with self._lock:
            if self.ended.pop(cell.id, None) is not None:
                self.left[cell.id] = self.expected.get(cell.id)
            began = self.running[cell.id][2] if cell.id in self.running else time.monotonic()
            self.running[cell.id] = (cell, words, began)

    def verdict(self, cell: Cell, verdict: Verdict, message: str) -> None:
        with self._lock:
            self.running.pop(cell.id, None)
            self.left.pop(cell.id, None)
            self.ended[cell.id] = verdict
        self.lines.verdict(cell, verdict, message)

    def time_left(self) -> str:
        """Words for the time that is left, by what cells took before, less what the running ones have had."""
        now = time.monotonic()
        if not self.left:
            return ""
        if any(seconds is None for seconds in self.left.values()):
            return "剩余时间未知 time left unknown"
        had = {identity: now - began for identity, (_, _, began) in self.running.items()}
        seconds = makespan([max(0.0, (s or 0.0) - had.get(i, 0.0)) for i, s in self.left.items()], self.jobs)
        return f"约剩 about {seconds / 60:.1f} min" if seconds >= 60 else f"约剩 about {seconds:.0f} s"

    def __rich__(self) -> Group:
        with self._lock:
            table = Table(box=None, pad_edge=False, show_header=False)
            for cell, words, began in self.running.values():
                table.add_row(
                    f"{time.monotonic() - began:7.1f} s", escape(label_of(cell)), f"[cyan]{escape(words)}[/cyan]"
                )
            total = len(self.ended) + len(self.left)
            every = Counter(self.ended.values())
            counts = "  ".join(f"[{VERDICTS[v][1]}]{VERDICTS[v][0]} {n}[/]" for v, n in every.items())
            head = f"{len(self.ended)}/{total} 单元 cells  {counts}  [dim]{self.time_left()}[/dim]"
            return Group(Text.from_markup(head), table)
