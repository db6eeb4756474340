"""How far values of quantities are from what is expected, as a picture: an SVG with a row of columns a quantity.

Colours carry no meaning alone: what is beyond a tolerance is hatched, and counted in words.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import escape

from harness.numerics.comparing import NO_NUMBER, SAME, Difference

#: Quantities that are drawn.
MOST_ROWS = 24
_LEFT, _WIDE, _HIGH, _TOP, _LEAST_WIDE = 250, 46, 64, 40, 600
_FONT = "font-family='Noto Sans CJK SC, Noto Sans, sans-serif'"


def histogram(differences: Sequence[Difference]) -> str:
    """SVG of the numbers of values by the power of ten of their difference, as a part of the largest expected value."""
    shown = [difference for difference in differences if difference.decades][:MOST_ROWS]
    columns = _columns(shown)
    wide, high = max(_LEAST_WIDE, _LEFT + _WIDE * len(columns) + 20), _TOP + _HIGH * len(shown) + 62
    parts = [
        f"<svg viewBox='0 0 {wide} {high}' width='{wide}' height='{high}' xmlns='http://www.w3.org/2000/svg' {_FONT}>",
        "<defs><pattern id='b' width='5' height='5' patternUnits='userSpaceOnUse' patternTransform='rotate(45)'>"
        "<rect width='5' height='5' fill='#b3261e'/><rect width='2' height='5' fill='#f3c9c6'/></pattern></defs>",
        f"<rect width='{wide}' height='{high}' fill='#fff'/>",
        _text(
            10,
            18,
            "差值的数量级（与该量最大值之比） size of the difference, as a part of the largest value",
            12.5,
            weight=600,
        ),
    ]
    for row, difference in enumerate(shown):
        parts += _row(difference, columns, _TOP + row * _HIGH)
    base = _TOP + len(shown) * _HIGH
    for index, column in enumerate(columns):
        label = {SAME: "= 相同", NO_NUMBER: "NaN"}.get(column, f"1e{column}")
        parts.append(_text(_LEFT + (index + 0.5) * _WIDE, base + 14, label, 10, anchor="middle"))
    parts.append(f"<rect x='10' y='{base + 32}' width='12' height='12' fill='#3b6ea5'/>")
    parts.append(_text(28, base + 42, "容差内 within the tolerance", 11))
    parts.append(f"<rect x='220' y='{base + 32}' width='12' height='12' fill='url(#b)'/>")
    parts.append(_text(238, base + 42, "超出容差 beyond it", 11))
    return "".join([*parts, "</svg>"])


def _columns(differences: Sequence[Difference]) -> list[str]:
    """Decades from the smallest to the largest that occurs, none left out; equal ones first, what is no number last."""
    known = {decade for difference in differences for decade in difference.decades}
    numbers = [int(decade) for decade in known if decade not in (SAME, NO_NUMBER)]
    between = [str(decade) for decade in range(min(numbers), max(numbers) + 1)] if numbers else []
    return [SAME, *between, *([NO_NUMBER] if NO_NUMBER in known else [])]


def _row(difference: Difference, columns: Sequence[str], top: float) -> list[str]:
    base, room = top + _HIGH - 8, _HIGH - 24
    most = max(sum(counts.values()) for counts in difference.decades.values())
    verdict = "" if difference.good else f", {difference.beyond} 超出 beyond"
    parts = [
        _text(10, top + 28, difference.name[:34], 12, weight=600),
        _text(10, top + 45, f"{difference.compared} 个值 values{verdict}", 10.5, colour="#59606b"),
        f"<line x1='{_LEFT}' y1='{base}' x2='{_LEFT + _WIDE * len(columns)}' y2='{base}' stroke='#c9ced6'/>",
    ]
    for index, column in enumerate(columns):
        counts = difference.decades.get(column)
        if counts is None:
            continue
        x, y = _LEFT + index * _WIDE + 5, float(base)
        for kind, fill in (("within", "#3b6ea5"), ("beyond", "url(#b)")):
            if counts[kind]:
                height = max(2.0, room * counts[kind] / most)
                y -= height
                parts.append(f"<rect x='{x}' y='{y:.1f}' width='{_WIDE - 10}' height='{height:.1f}' fill='{fill}'/>")
        parts.append(_text(x + _WIDE / 2 - 5, y - 3, str(sum(counts.values())), 9.5, anchor="middle"))
    return parts


def _text(
    x: float, y: float, text: str, size: float, *, anchor: str = "start", weight: int = 400, colour: str = "#1c2430"
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' font-weight='{weight}' text-anchor='{anchor}' "
        f"fill='{colour}'>{escape(text)}</text>"
    )
