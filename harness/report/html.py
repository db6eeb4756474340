"""The HTML report: one file, nothing loaded from elsewhere; its script draws what is asked for from the data in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

import harness.report.charts as charts
from harness.model.basis import basis_rows
from harness.model.definitions import Text
from harness.model.results import Fidelity, Result
from harness.model.view import CampaignView, CaseView, CellView, FileView
from harness.presentation import Presentation, Wording
from harness.presentation.conditions import condition, machine
from harness.system.printable import strict_json, visible

GROUPS = ("verdict", "result", "cause", "skip", "severity", "fidelity", "characteristic", "coverage")


def render_html(view: CampaignView, presentation: Presentation) -> bytes:
    """Render ``report.html.j2``.

    Raises:
        DefinitionError: a file of ``reports/`` is missing or faulty.
    """
    text = strict_json(visible(report_data(view, presentation.wording())), separators=(",", ":"))
    # Inside a script element no other text than "</script" and "<!--" means anything.
    data = Markup(text.replace("<", "\\u003c"))  # noqa: S704
    return presentation.render("report.html.j2", view=view, data=data).encode("utf-8", "replace")


def report_data(view: CampaignView, words: Wording) -> dict[str, Any]:
    """What the script draws. Cases stand once; a result is a list: index of its case, result, cause, reason of a skip,
    seconds, detail, measurements, indices of files of its cell, whether it is static, whether it decides."""
    known: dict[tuple[str, str], int] = {}
    cases: list[dict[str, Any]] = []
    cells = [_cell(cell, words, known, cases) for cell in view.cells]
    return {
        "id": view.id,
        "product": _pair(Text(**view.application["name"])),
        "vendor": _pair(Text(**view.application["vendor"])),
        "verdict": view.verdict.value,
        "created": view.created[:19].replace("T", " "),
        "finished": view.finished[:19].replace("T", " "),
        "plan": view.plan_digest,
        "journal": view.journal_head,
        "interrupted": view.interrupted,
        "accepted": list(view.accepted),
        "strategy": view.strategy,
        "profile": list(words("profile", view.profile)),
        "coverage": list(view.coverage.items()),
        "rule": list(words("statement", "decision_rule")),
        "axes": list(dict.fromkeys(a for c in view.cells for a in c.axes)),
        "excluded": [{"count": e["count"], "because": e["because"], "rule": e["rule"]} for e in view.excluded],
        "packages": [[p["name"], p["version"], p["architecture"], p.get("sha256") or ""] for p in view.packages],
        "suites": [_suite(suite) for suite in view.suites],
        "basis": [
            [row["kind"]["zh"], row["kind"]["en"], row["name"], row["version"], row["sha256"], row["origin"]]
            for row in basis_rows(view.basis)
        ],
        "conditions": _conditions(view.conditions),
        "results": [result.value for result in Result],
        "names": _names(view),
        "cases": cases,
        "cells": cells,
        "words": {group: {word: list(pair) for word, pair in words.words.get(group, {}).items()} for group in GROUPS},
    }


def _suite(suite: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "suite": suite["suite"],
        "title": [suite["title"]["zh"], suite["title"]["en"]],
        "version": suite["version"],
        "method": suite.get("method", ""),
        "cases": len(suite["cases"]),
        "digest": suite.get("digest", ""),
    }


def _conditions(at: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the controller: what it is in Chinese, in English, and the value (memory in GiB)."""
    return [
        *([["执行控制机", "workers", "、".join(at["workers"])]] if at.get("workers") else []),
        ["控制机", "controller", machine(at)],
        ["资源", "resources", f"{condition(at, 'cpus', '?')} CPU, {condition(at, 'memory', '?')}"],
        ["容器引擎", "container engine", f"{condition(at, 'engine')} ({condition(at, 'storage')})"],
        ["平台", "harness", f"{condition(at, 'harness')}, Python {condition(at, 'python')}"],
        ["工具", "tools", condition(at, "tools")],
    ]


def _names(view: CampaignView) -> dict[str, dict[str, list[str]]]:
    """Axis -> value -> its name in Chinese and English."""
    names: dict[str, dict[str, list[str]]] = {}
    for cell in view.cells:
        for axis, name in cell.names.items():
            names.setdefault(axis, {})[cell.axes[axis]] = _pair(name)
    return names


def _cell(
    cell: CellView, words: Wording, known: dict[tuple[str, str], int], cases: list[dict[str, Any]]
) -> dict[str, Any]:
    files = {file: number for number, file in enumerate(cell.files)}
    loads = [
        {
            "suite": name,
            "latency": str(charts.latency(load, load.get("threshold"))),
            "resources": [str(picture) for picture in charts.resources(load) if picture],
        }
        for name, load in cell.loads.items()
    ]
    emulator = f"{cell.emulator.get('kind', 'qemu-user')} {cell.emulator['version']}" if cell.emulator else ""
    return {
        "short": cell.short,
        "id": cell.id,
        "axes": cell.axes,
        "verdict": cell.verdict.value,
        "fidelity": cell.fidelity.value if cell.fidelity is not None else "",
        "cause": cell.cause.value if cell.cause is not None else "",
        "message": cell.message,
        "architecture": cell.isa,
        "version": cell.version,
        "cached": cell.cached,
        "emulator": emulator,
        "limits": [_pair(limit) for limit in cell.limits],
        "notes": [*dict.fromkeys((*cell.adjusted, *cell.notes))],
        "left_out": [[suite["suite"], suite["because"]] for suite in cell.left_out],
        "unsteady": cell.unsteady,
        "seconds": cell.seconds,
        "attempts": [[a.number, a.started[:19].replace("T", " "), a.verdict.value, a.message] for a in cell.attempts],
        "waived": [
            {key: str(waiver[key]) for key in ("case", "because", "approved_by", "evidence", "expires")}
            for waiver in cell.waived
        ],
        "attestation": [
            [str(f.get("machine", "")), f["name"], f["declared"], f["observed"], bool(f["holds"])]
            for f in cell.attestation
        ],
        "files": [[f.name, f.size, f.sha256, f.media] for f in cell.files],
        "images": list(cell.images),
        "logs": cell.logs,
        "steps": str(charts.steps(cell, words)),
        "loads": loads,
        "availability": str(charts.availability(cell.timelines)) if cell.timelines else "",
        "results": [_result(case, known, cases, files) for case in cell.cases],
    }


def _result(
    case: CaseView, known: dict[tuple[str, str], int], cases: list[dict[str, Any]], files: dict[FileView, int]
) -> list[Any]:
    index = known.get((case.suite, case.id))
    if index is None:
        index = known[case.suite, case.id] = len(cases)
        cases.append(
            {
                "suite": case.suite,
                "id": case.id,
                "title": _pair(case.title),
                "characteristic": case.characteristic,
                "clause": case.clause,
                "blocker": case.blocker,
                "severity": case.severity.value,
                "texts": [
                    None if text is None else _pair(text)
                    for text in (case.purpose, case.preconditions, case.steps, case.expected, case.leaves)
                ],
            }
        )
    return [
        index,
        case.result.value,
        case.cause.value if case.cause is not None else "",
        case.skip_reason.value if case.skip_reason is not None else "",
        round(case.seconds, 3),
        case.detail,
        [[m.name, m.value, m.unit] for m in case.measurements],
        [files[f] for f in case.evidence],
        int(case.fidelity is Fidelity.STATIC),
        int(case.decides),
    ]


def _pair(text: Text) -> list[str]:
    return [text.zh, text.en]
