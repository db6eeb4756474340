"""Pictures as SVG text: the matrix, the steps of a cell, latency and resources of a load.

All text is escaped; colours carry no meaning alone, each is named beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from harness.model.results import Fidelity, Verdict
from harness.model.timeline import Timeline
from harness.model.view import CampaignView, CellView
from harness.presentation import Wording
from harness.system.printable import visible

COLOURS = {
    Verdict.CONFORMANT: "#2e7d4f",
    Verdict.CONDITIONAL: "#b7791f",
    Verdict.NONCONFORMANT: "#b3261e",
    Verdict.INCONCLUSIVE: "#6b4fa0",
    Verdict.NOT_TESTED: "#8a8f98",
}
_FONT = "font-family='Noto Sans CJK SC, Noto Sans, sans-serif'"


#: Rows and columns of one picture: with more its words would be too small to be read on a page.
_MOST_ROWS, _MOST_COLUMNS = 14, 5
_HATCH = (
    "<defs><pattern id='hatch' width='7' height='7' patternUnits='userSpaceOnUse' patternTransform='rotate(45)'>"
    "<rect width='2.2' height='7' fill='#fff' fill-opacity='.3'/></pattern></defs>"
)
_EMULATED = (Fidelity.USER_EMULATED, Fidelity.SYSTEM_EMULATED)


def matrices(view: CampaignView, words: Wording) -> list[Markup]:
    """The planned cells: a row per CPU and system, a column per database, each with verdict and fidelity.

    What is emulated is hatched. Large matrices are cut into several pictures.
    """
    rows = list(dict.fromkeys((c.axes["cpu"], c.axes["os"]) for c in view.cells))
    columns = list(dict.fromkeys(c.axes["database"] for c in view.cells))
    return [
        _matrix(view, words, rows[y : y + _MOST_ROWS], columns[x : x + _MOST_COLUMNS])
        for y in range(0, len(rows), _MOST_ROWS)
        for x in range(0, len(columns), _MOST_COLUMNS)
    ]


def _matrix(view: CampaignView, words: Wording, rows: Sequence[tuple[str, str]], columns: Sequence[str]) -> Markup:
    left, top, width, height = 230, 34, 150, 52
    parts: list[str] = [_HATCH]
    for x, column in enumerate(columns):
        name = next(c.names["database"] for c in view.cells if c.axes["database"] == column)
        parts.append(_text(left + x * width + width / 2, 22, name.zh, 13, anchor="middle", weight=600))
    for y, row in enumerate(rows):
        first = next(c for c in view.cells if (c.axes["cpu"], c.axes["os"]) == row)
        base = top + y * height
        parts.append(_text(0, base + 22, first.names["cpu"].zh, 13, weight=600))
        parts.append(_text(0, base + 39, f"{row[1]} · {first.architecture}", 11, colour="#59606b"))
        for x, column in enumerate(columns):
            here = [c for c in view.cells if (c.axes["cpu"], c.axes["os"], c.axes["database"]) == (*row, column)]
            x0 = left + x * width
            if not here:
                parts.append(
                    f"<rect x='{x0}' y='{base}' width='{width - 6}' height='{height - 6}' rx='5' fill='none' "
                    "stroke='#c9ced6' stroke-dasharray='4 3'/>"
                )
                parts.append(_text(x0 + width / 2 - 3, base + 28, "—", 12, anchor="middle", colour="#8a8f98"))
                continue
            parts.append(_field(worst(here), words, x0, base, width - 6, height - 6))
    return _svg(left + max(3, len(columns)) * width, top + len(rows) * height, parts)


def worst(cells: Sequence[CellView]) -> CellView:
    """The cell with the gravest verdict: it stands for all that share a place in the picture (further axes)."""
    order = [Verdict.NONCONFORMANT, Verdict.INCONCLUSIVE, Verdict.NOT_TESTED, Verdict.CONDITIONAL, Verdict.CONFORMANT]
    return min(cells, key=lambda c: order.index(c.verdict))


def _field(cell: CellView, words: Wording, x: float, y: float, width: float, height: float) -> str:
    fidelity = words.both("fidelity", cell.fidelity) if cell.fidelity is not None else "—"
    box = f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='5' fill="
    middle = x + width / 2
    hatch = f"{box}'url(#hatch)'/>" if cell.fidelity in _EMULATED else ""
    verdict = words.both("verdict", cell.verdict)
    return (
        f"{box}'{COLOURS[cell.verdict]}'/>{hatch}"
        + _text(middle, y + 20, verdict, 12, anchor="middle", colour="#fff", weight=600)
        + _text(middle, y + 36, fidelity, 10.5, anchor="middle", colour="#fff")
    )


def steps(cell: CellView, words: Wording) -> Markup:
    """Where the time of a cell went; seconds."""
    shown = [(k, v) for k, v in cell.seconds.items() if k not in ("total", "deployed") and v > 0]
    longest = max((v for _, v in shown), default=1.0)
    parts = []
    for y, (name, value) in enumerate(shown):
        base = y * 22
        parts.append(_text(170, base + 15, words.both("step", name), 11.5, anchor="end"))
        parts.append(
            f"<rect x='178' y='{base + 4}' width='{max(1.5, 310 * value / longest):.1f}' height='14' rx='2' "
            "fill='#3b6ea5'/>"
        )
        parts.append(_text(184 + 310 * value / longest, base + 15, f"{value:.1f} s", 11, colour="#59606b"))
    return _svg(560, max(22, len(shown) * 22), parts)


def latency(load: dict[str, Any], threshold: float | None) -> Markup:
    """Latency of each request from its intended start (ms) over time (s)."""
    points = [(s[0], s[1], s[3]) for s in load["samples"] if s[0] is not None and s[1] is not None]
    if not points:
        return _svg(560, 40, [_text(50, 24, "没有请求得到应答 no request was answered", 11, colour="#b3261e")])
    span = load["ramp"] + load["hold"]
    high = max(*(p[1] for p in points), 1.0)
    if threshold is not None and threshold < high * 3:
        high = max(high, threshold)
    high = _rounded(high * 1.05)
    parts = _axes(span, high, "延迟 latency, ms")
    parts += [
        f"<circle cx='{_x(t, span):.1f}' cy='{_y(v, high):.1f}' r='1.8' fill='{'#3b6ea5' if good else '#b3261e'}'/>"
        for t, v, good in points
    ]
    ramp_x = _x(load["ramp"], span)
    parts.append(
        f"<line x1='{ramp_x:.1f}' y1='22' x2='{ramp_x:.1f}' y2='172' stroke='#8a8f98' stroke-dasharray='3 3'/>"
    )
    parts.append(_on_white(ramp_x + 4, 34, "保持负载 hold", 10.5, colour="#59606b"))
    if threshold is not None and threshold <= high:
        y = _y(threshold, high)
        parts.append(f"<line x1='50' y1='{y:.1f}' x2='540' y2='{y:.1f}' stroke='#b3261e' stroke-dasharray='5 3'/>")
        parts.append(_on_white(538, y - 4, f"p95 ≤ {threshold:.0f} ms", 10.5, anchor="end", colour="#b3261e"))
    return _svg(560, 200, parts)


def resources(load: dict[str, Any]) -> list[Markup]:
    """CPU (percent of one core) and resident memory (MiB) of the product's processes over time (s)."""
    samples = [s for s in load.get("resources") or [] if None not in s]
    if len(samples) < 2:
        return []
    span = samples[-1][0] or 1.0
    charts = []
    for index, title, colour in (
        (1, "产品占用的 CPU：单核的百分比 CPU of the product, % of one core", "#3b6ea5"),
        (2, "产品占用的内存 memory of the product, MiB", "#2e7d4f"),
    ):
        high = _rounded(max(*(s[index] for s in samples), 1.0) * 1.05)
        line = " ".join(f"{_x(s[0], span):.1f},{_y(s[index], high):.1f}" for s in samples)
        parts = _axes(span, high, title)
        parts.append(f"<polyline points='{line}' fill='none' stroke='{colour}' stroke-width='1.8'/>")
        charts.append(_svg(560, 200, parts))
    return charts


#: States of a time line, with the colours of their time.
_SERVED, _OUTAGE, _FAULT = "#2e7d4f", "#b3261e", "#b7791f"


def availability(lines: Sequence[Timeline]) -> Markup:
    """When a product served under each fault (green), and when it did not (red); the fault is the bar above (amber)."""
    parts: list[str] = []
    for number, line in enumerate(lines):
        base, span = number * 58, line.span or 1.0
        parts.append(_text(0, base + 13, line.zh, 11.5, weight=600))
        recovery = "未恢复 not recovered" if line.recovery is None else f"恢复 recovery {line.recovery:.1f} s"
        said = f"可用 available {line.availability:.1%}　中断 outage {line.outage:.1f} s　{recovery}"
        parts.append(_text(540, base + 13, said, 10.5, anchor="end", colour="#59606b"))
        if line.fault is not None:
            parts.append(_span(line.fault, span, base + 18, 5, _FAULT))
        parts.append(_span((0.0, line.span), span, base + 25, 12, _SERVED))
        parts += [_span(outage, span, base + 25, 12, _OUTAGE) for outage in line.outages]
        parts.append(_text(50, base + 49, "0", 9.5, colour="#59606b"))
        parts.append(_text(540, base + 49, f"{line.span:.1f} s", 9.5, anchor="end", colour="#59606b"))
    return _svg(560, max(20, len(lines) * 58), parts)


def _span(part: tuple[float, float], span: float, y: float, height: float, colour: str) -> str:
    wide = max(1.0, _x(part[1], span) - _x(part[0], span))
    return f"<rect x='{_x(part[0], span):.1f}' y='{y}' width='{wide:.1f}' height='{height}' fill='{colour}'/>"


def _axes(span: float, high: float, title: str) -> list[str]:
    """Both axes, with a title above and numbers that are round; ``span`` in seconds."""
    parts = [
        "<line x1='50' y1='172' x2='540' y2='172' stroke='#59606b'/><line x1='50' y1='22' x2='50' y2='172' "
        "stroke='#59606b'/>",
        _text(50, 13, title, 11.5, weight=600),
    ]
    for share in (0.0, 0.5, 1.0):
        y = _y(high * share, high)
        parts.append(_text(44, y + 4, f"{high * share:.4g}", 10.5, anchor="end", colour="#59606b"))
    step = _rounded(span / 5) if span > 0 else 1.0
    for number in range(int(span / step + 1e-9) + 1):
        at = number * step
        parts.append(_text(_x(at, span), 188, f"{at:.3g} s", 10.5, anchor="middle", colour="#59606b"))
    return parts


def _rounded(value: float) -> float:
    """The least number of 1, 2, 4, 5, 6, 8 times a power of ten that is no less: half of it is short too."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 and math.isfinite(value) else 1.0
    return next((factor * power for factor in (1, 2, 4, 5, 6, 8) if factor * power >= value), 10 * power)


def _on_white(x: float, y: float, text: str, size: float, *, colour: str, anchor: str = "start") -> str:
    """A text that dots beneath it do not hide."""
    wide = sum(size if ord(c) > 0x2E7F else size * 0.56 for c in text)
    left = x - wide if anchor == "end" else x
    back = f"<rect x='{left - 1:.1f}' y='{y - size:.1f}' width='{wide + 2:.1f}' height='{size + 3:.1f}' fill='#fff'/>"
    return back + _text(x, y, text, size, anchor=anchor, colour=colour)


def _x(value: float, span: float) -> float:
    return 50 + 490 * value / span if span else 50


def _y(value: float, high: float) -> float:
    return 172 - 150 * min(value / high, 1.0)


def _svg(width: float, height: float, parts: Sequence[str]) -> Markup:
    return Markup(  # noqa: S704
        f"<svg viewBox='0 0 {width} {height}' width='{width}' height='{height}' role='img' "
        f"xmlns='http://www.w3.org/2000/svg' {_FONT}>{''.join(parts)}</svg>"
    )


def _text(
    x: float, y: float, text: str, size: float, *, anchor: str = "start", colour: str = "#1d2330", weight: int = 400
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' fill='{colour}' "
        f"font-weight='{weight}'>{escape(visible(text))}</text>"
    )
