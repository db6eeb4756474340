"""Features of the databases of a campaign, side by side, from what the suite ``database/conformance`` kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.errors import UsageError
from harness.model.view import CampaignView, CellView
from harness.system.canonical import read_json

#: Names of the evidence that holds a table of features begin with the case's id, and end so.
_KEPT = "-features.json"
_STATES = {"yes": "✓", "differs": "≠", "no": "✗", "unknown": "?"}


def features_of(view: CampaignView, read: Callable[[str], bytes]) -> dict[str, dict[str, dict[str, Any]]]:
    """Feature by name -> cell by its heading -> what its database made of it, as ``clients.features.Tried`` records it.

    ``read`` gives evidence by its SHA-256.

    Raises:
        UsageError: no cell of the campaign has such evidence.
    """
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for cell in view.cells:
        for case in cell.cases:
            for file in case.evidence:
                if file.name.endswith(_KEPT) and case.suite == "database/conformance":
                    for row in read_json(read(file.sha256)):
                        table.setdefault(row["feature"], {})[_heading(view, cell)] = row
    if not table:
        raise UsageError(
            "no cell of this campaign has tried the features of its database",
            advice="put database/conformance into suites of the matrix, then: harness run",
        )
    return table


def render_features(view: CampaignView, read: Callable[[str], bytes]) -> str:
    """The table as Markdown, in both languages: first the features, then how a database differs, with its statement.

    Raises:
        UsageError: as ``features_of``.
    """
    table = features_of(view, read)
    headings = list(dict.fromkeys(heading for cells in table.values() for heading in cells))
    lines = [
        f"| 特性 feature | 依据 standard | {' | '.join(headings)} |",
        "|---|---|" + "---|" * len(headings),
    ]
    details: list[str] = []
    for name, cells in table.items():
        known = next(iter(cells.values()))
        marks = [_mark(cells.get(heading)) for heading in headings]
        lines.append(
            f"| `{name}` {_cell(known['zh'])} {_cell(known['en'])} | {_cell(known['standard'])} | {' | '.join(marks)} |"
        )
        if any(row["state"] != "yes" for row in cells.values()):
            details += _details(name, cells)
    legend = (
        "✓ 支持 as its standard demands　≠ 不同 differs　✗ 不支持 refused　? 未测 not asked　"
        "* 产品的 SQL 用到 used by the product's SQL"
    )
    return "\n".join([legend, "", *lines, "", *details]) + "\n"


def _heading(view: CampaignView, cell: CellView) -> str:
    """By what a cell is told from the others: its database, and the axes that differ."""
    version = cell.database_version.split()[0] if cell.database_version else ""
    others = [
        value
        for axis, value in cell.axes.items()
        if axis != "database" and len({c.axes.get(axis) for c in view.cells}) > 1
    ]
    return " ".join([cell.axes["database"], *([version] if version else []), *others])


def _mark(row: dict[str, Any] | None) -> str:
    if row is None:
        return "—"
    return _STATES[row["state"]] + ("*" if row["used"] else "")


def _details(name: str, cells: dict[str, dict[str, Any]]) -> list[str]:
    lines = [f"### {name}", ""]
    statements: dict[str, list[str]] = {}
    for heading, row in cells.items():
        if row["state"] != "yes":
            words = row["words"] or "it answers otherwise / 结果不同"
            lines.append(f"- {heading} {_STATES[row['state']]}: {_cell(words)}")
            if row["statement"]:
                statements.setdefault(row["statement"], []).append(heading)
    for statement, headings in statements.items():
        whose = [f"{', '.join(headings)}:", ""] if len(statements) > 1 else []
        lines += ["", *whose, "```sql", statement.replace("```", "'''"), "```"]
    return [*lines, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
