"""The network picture of a cell (测试组网图): its machines, what ran on each, and how they reach each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from harness.model.definitions.matrix import NO_DATABASE
from harness.model.plan import ROLES, SAME
from harness.model.results import Fidelity
from harness.model.view import CellView
from harness.presentation import Wording
from harness.presentation.conditions import condition, of_worker
from harness.system.printable import visible

#: How the controller reaches a machine of this fidelity.
_WAYS = {
    Fidelity.PHYSICAL: "实验室网络，SSH lab network",
    Fidelity.KVM: "虚拟机网络 virtual network",
    Fidelity.SYSTEM_EMULATED: "虚拟机网络 virtual network",
    Fidelity.CONTAINER: "容器网络 container network",
    Fidelity.USER_EMULATED: "容器网络 container network",
}
_WIDTH, _GAP, _LINE = 210, 70, 17
_FONT = "font-family='Noto Sans CJK SC, Noto Sans, sans-serif'"


def topology(cell: CellView, product: str, controller: Mapping[str, Any], words: Wording) -> Markup:
    """Boxes from left to right: controller with load generator, the product's machine, machines of its servers."""
    boxes = [_controller(controller, cell.worker), _application(cell, product, words), *_others(cell)]
    height = 34 + _LINE * max(len(lines) for _, lines in boxes)
    parts: list[str] = []
    for number, (title, lines) in enumerate(boxes):
        x = number * (_WIDTH + _GAP)
        parts.append(
            f"<rect x='{x + 1}' y='1' width='{_WIDTH - 2}' height='{height - 2}' rx='6' fill='#f7f9fb' "
            "stroke='#143a66'/>"
        )
        parts.append(_text(x + _WIDTH / 2, 20, title, 12, weight=600))
        parts += [_text(x + _WIDTH / 2, 40 + _LINE * row, line, 10.5) for row, line in enumerate(lines)]
        if number:
            way = _way(cell) if number == 1 else "数据连接 data"
            parts += _arrow(x - _GAP, height / 2, way)
    wide = len(boxes) * _WIDTH + (len(boxes) - 1) * _GAP
    return Markup(  # noqa: S704
        f"<svg viewBox='0 0 {wide} {height}' width='{wide}' height='{height}' role='img' "
        f"xmlns='http://www.w3.org/2000/svg' {_FONT}>{''.join(parts)}</svg>"
    )


def machines(cell: CellView) -> int:
    """How many boxes the picture has."""
    return 2 + len(_others(cell))


def _controller(at: Mapping[str, Any], worker: str) -> tuple[str, list[str]]:
    own = of_worker(at, worker)
    return f"控制机 controller {worker}".rstrip(), [
        condition(own, "system") or "—",
        f"{condition(own, 'machine')}，{condition(own, 'cpus', '?')} CPU，{condition(own, 'memory', '?')}",
        "负载发生端 load generator",
        f"harness {condition(own, 'harness')}",
    ]


def _application(cell: CellView, product: str, words: Wording) -> tuple[str, list[str]]:
    fidelity = words.both("fidelity", cell.fidelity) if cell.fidelity is not None else "—"
    lines = [cell.names["cpu"].zh, cell.names["os"].zh, fidelity, f"{product} {cell.version}".rstrip()]
    if memory := cell.fact("memory"):
        lines.append(f"内存 memory {memory}")
    lines += [f"{k}: {cell.axes[k]}" for k in ("runtime", "middleware") if k in cell.axes and not _apart(cell, k)]
    if not _apart(cell, "database") and cell.axes["database"] != NO_DATABASE:
        lines.append(cell.database)
    return "被测系统 system under test", lines


def _others(cell: CellView) -> list[tuple[str, list[str]]]:
    """Machines that a server has for itself; where the laboratory runs it, the address that the facts name."""
    boxes = []
    for role in ROLES:
        if not _apart(cell, role):
            continue
        name = cell.database if role == "database" else cell.axes.get(role, "")
        where = [axis for kind in ("cpu", "os") if (axis := cell.axes.get(f"{role}_{kind}", SAME)) != SAME]
        server = cell.fact(f"{role} server")
        title = "数据库机器 database" if role == "database" else "中间件机器 middleware"
        boxes.append((title, [name, *where, *([server] if server else [])]))
    return boxes


def _apart(cell: CellView, role: str) -> bool:
    own = any(cell.axes.get(f"{role}_{kind}", SAME) != SAME for kind in ("cpu", "os"))
    return own or bool(cell.fact(f"{role} server"))


def _way(cell: CellView) -> str:
    return _WAYS.get(cell.fidelity, "—") if cell.fidelity is not None else "—"


def _arrow(x: float, y: float, label: str) -> list[str]:
    right = x + _GAP
    words = label.split(" ", 1)
    return [
        f"<line x1='{x + 3}' y1='{y}' x2='{right - 3}' y2='{y}' stroke='#143a66' stroke-width='1.4'/>",
        f"<path d='M{x + 3},{y} l7,-4 v8 z M{right - 3},{y} l-7,-4 v8 z' fill='#143a66'/>",
        *(_text(x + _GAP / 2, y - 8 - 11 * (len(words) - 1 - n), word, 8) for n, word in enumerate(words[:1])),
        *(_text(x + _GAP / 2, y + 14, word, 8) for word in words[1:]),
    ]


def _text(x: float, y: float, text: str, size: float, *, weight: int = 400) -> str:
    most = int((_WIDTH - 12) / size / 0.56)
    shown = _cut(visible(text), most)
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='middle' fill='#1d2330' "
        f"font-weight='{weight}'>{escape(shown)}</text>"
    )


def _cut(text: str, most: int) -> str:
    """No more of a text than fits: a Chinese character takes the room of almost two others."""
    room = 0.0
    for number, character in enumerate(text):
        room += 1.8 if ord(character) > 0x2E7F else 1.0
        if room > most:
            return text[:number] + "…"
    return text


def pictured(cells: Sequence[CellView]) -> list[CellView]:
    """Cells that were tried: of the others no machine is known."""
    return [cell for cell in cells if cell.attempts]
