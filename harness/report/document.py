"""The full report after ISO/IEC 17025:2017, 7.8.2.1: its content, and its PDF. The content is also that of ``word``."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import harness.report.charts as charts
from harness.model.basis import basis_rows
from harness.model.definitions import Text
from harness.model.results import Result, SkipReason
from harness.model.view import CampaignView, CaseView, CellView
from harness.presentation import Presentation, Wording
from harness.presentation.conditions import condition, machine
from harness.presentation.typesetting import Place, typeset
from harness.report.casetables import case_row, case_tables, characteristic, static_rules
from harness.report.front import TITLE, Issuing, face, general, overview, row, statements
from harness.report.incidents import defects, incidents
from harness.report.topology import machines, pictured, topology

__all__ = ["TITLE", "Issuing", "content", "pictures", "render_document"]

TEMPLATE = "report.typ"


def render_document(
    view: CampaignView, presentation: Presentation, issuing: Issuing, digests: Mapping[str, str]
) -> tuple[bytes, dict[str, Place]]:
    """The report, and where its seal goes. ``digests``: SHA-256 of ``json`` and ``html``.

    Raises:
        DefinitionError: a template, a picture or the wording is faulty.
        InfrastructureError: a font is missing.
    """
    words = presentation.wording()
    files = {name: picture.encode() for name, picture in pictures(view, words).items()}
    if issuing.profile.logo:
        files[issuing.profile.logo] = presentation.path(issuing.profile.logo).read_bytes()
    data = content(view, words, issuing, digests)
    moment = int(datetime.datetime.fromisoformat(issuing.issued).timestamp())
    return typeset(presentation, TEMPLATE, data, files, moment=moment)


def pictures(view: CampaignView, words: Wording) -> dict[str, str]:
    """Every picture of the report as SVG, by the name that the content gives it."""
    files = {f"matrix-{number}.svg": str(picture) for number, picture in enumerate(charts.matrices(view, words))}
    for cell in pictured(view.cells):
        product = str(view.application["name"]["zh"])
        files[f"network-{cell.short}.svg"] = str(topology(cell, product, view.conditions, words))
        files[f"steps-{cell.short}.svg"] = str(charts.steps(cell, words))
        for each, load in enumerate(cell.loads.values()):
            files[f"latency-{cell.short}-{each}.svg"] = str(charts.latency(load, load.get("threshold")))
            for number, picture in enumerate(charts.resources(load)):
                files[f"resources-{cell.short}-{each}-{number}.svg"] = str(picture)
        if cell.timelines:
            files[f"availability-{cell.short}.svg"] = str(charts.availability(cell.timelines))
    return files


def content(view: CampaignView, words: Wording, issuing: Issuing, digests: Mapping[str, str]) -> dict[str, Any]:
    """Everything that stands in the report, as the template reads it: a part of the mapping for each chapter."""
    runners = {suite["suite"]: suite["runner"] for suite in view.suites}
    return {
        **face(view, words, issuing),
        **_standing(view, words, issuing),
        "overview": overview(view, words, issuing),
        "general": general(view, words, issuing),
        "statements": statements(words, issuing),
        "packages": _packages(view),
        "suites": [_suite(suite) for suite in view.suites],
        "basis": basis_rows(view.basis),
        "controller": _controller(view),
        **_coverage(view, words),
        "matrices": len(charts.matrices(view, words)),
        "results": [words.pair("result", result) for result in Result],
        "totals": _totals(view),
        "characteristics": _characteristics(view, words),
        "defects": defects(view, words),
        "incidents": incidents(view, words),
        "tables": case_tables(view, words, runners),
        "rules": static_rules(view, words),
        "cells": [_cell(cell, words) for cell in view.cells],
        "trace": _trace(view, words),
        "records": _records(view, digests),
    }


def _standing(view: CampaignView, words: Wording, issuing: Issuing) -> dict[str, Any]:
    """What every page says of the report's worth."""
    word = "unverified" if view.unverified else issuing.state
    return {
        "state": issuing.state,
        "unverified": view.unverified,
        "standing": words.pair("standing", word),
        "standing-short": words.pair("stamp", word),
    }


def _coverage(view: CampaignView, words: Wording) -> dict[str, Any]:
    return {
        "sampled": view.strategy != "full",
        "strategy": view.strategy,
        "coverage": [{**words.pair("coverage", name), "count": count} for name, count in view.coverage.items()],
        "excluded": [{key: rule[key] for key in ("count", "because", "rule")} for rule in view.excluded],
    }


def _packages(view: CampaignView) -> list[dict[str, str]]:
    keys = ("name", "version", "architecture", "sha256")
    return [{key: package.get(key) or "" for key in keys} for package in view.packages]


def _suite(suite: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": suite["suite"],
        "title": suite["title"],
        "version": suite["version"],
        "method": suite.get("method") or "—",
        "cases": len(suite["cases"]),
        "digest": str(suite.get("digest", ""))[:16],
    }


def _records(view: CampaignView, digests: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        row("任务编号", "campaign", view.id),
        row("记录摘要", "record SHA-256", digests["json"]),
        row("网页报告摘要", "HTML report SHA-256", digests["html"]),
        row("计划摘要", "plan SHA-256", view.plan_digest),
        row("日志链", "journal head", view.journal_head),
    ]


def _controller(view: CampaignView) -> list[dict[str, Any]]:
    at = view.conditions
    tools = f"harness {condition(at, 'harness')}, Python {condition(at, 'python')}, {condition(at, 'tools')}"
    workers = [row("执行控制机", "workers", "、".join(at["workers"]))] if at.get("workers") else []
    return [
        *workers,
        row("控制机", "controller", machine(at)),
        row("资源", "resources", f"{condition(at, 'cpus', '?')} CPU, {condition(at, 'memory', '?')}"),
        row("容器引擎", "container engine", f"{condition(at, 'engine')} ({condition(at, 'storage')})"),
        row("工具", "tools", tools),
        row(
            "负载发生端",
            "load generator",
            Text(
                zh="与控制机同机，经 127.0.0.1 或单元自有网络",
                en="on the controller, over 127.0.0.1 or the cell's own network",
            ),
        ),
    ]


def _cell(cell: CellView, words: Wording) -> dict[str, Any]:
    quiet = set(map(id, cell.quiet))
    tried = bool(cell.attempts)
    return {
        "short": cell.short,
        "name": " × ".join(name.zh for name in cell.names.values()) + (f" · {cell.further}" if cell.further else ""),
        "cpu": cell.names["cpu"].model_dump(),
        "os": cell.names["os"].model_dump(),
        "isa": cell.isa,
        "database": cell.database,
        "further": [f"{k}: {v}" for k, v in cell.further_axes],
        "kernel": cell.fact("kernel"),
        "emulator": cell.fact("emulator"),
        "fidelity": words.pair("fidelity", "—" if cell.fidelity is None else cell.fidelity),
        "message": cell.message,
        "reasons": list(cell.reasons),
        "verdict": {"word": cell.verdict.value, **words.pair("verdict", cell.verdict)},
        "counts": _counts(cell.ran),
        "static": _counts(cell.scanned),
        "deployed": _seconds(cell.seconds.get("deployed")),
        "total": _seconds(cell.seconds.get("total")),
        "limits": [limit.model_dump() for limit in cell.limits],
        "notes": list(dict.fromkeys((*cell.adjusted, *cell.notes))),
        "left_out": list(cell.left_out),
        "loads": [{"suite": name, "resources": len(charts.resources(load))} for name, load in cell.loads.items()],
        "availability": bool(cell.timelines),
        "attestation": [_fact(fact, words) for fact in cell.attestation],
        "cases": [case_row(case, words) for case in cell.cases if id(case) not in quiet] if tried else [],
        "passed": [case.id for case in cell.ran if case.result is Result.PASS] if tried else [],
        "network": machines(cell) if tried else 0,
        "unrun": 0 if tried else len(cell.cases),
        "quiet": [case.id for case in cell.quiet] if tried else [],
        "waived": [
            {key: str(waiver[key]) for key in ("case", "because", "approved_by", "evidence", "expires")}
            for waiver in cell.waived
        ],
        "files": [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in cell.files],
    }


def _fact(fact: Mapping[str, Any], words: Wording) -> dict[str, Any]:
    """A row of what was declared and observed, in both languages as far as the wording knows it."""
    name = str(fact["name"])
    first, _, rest = name.partition(" ")
    known = words.words.get("fact", {})
    pair = words.pair("fact", name)
    if name not in known and rest and f"{first} …" in known:
        pair = {"zh": f"{words.zh('fact', f'{first} …')} {rest}", "en": name}
    return {
        "machine": words.both("machine", str(fact.get("machine", ""))),
        "name": pair,
        "declared": words.both("value", fact["declared"]) or "—",
        "observed": words.both("value", fact["observed"]) or "—",
        "mark": ("✓" if fact["declared"] else "") if fact["holds"] else "✗",
    }


def _totals(view: CampaignView) -> list[dict[str, Any]]:
    """What ran and what was only read, each counted for itself. The rate is of what applies and
    is judged, the unrun among it."""
    kinds = (
        ({"zh": "运行的测试项", "en": "cases that run"}, [case for cell in view.cells for case in cell.ran]),
        (
            {"zh": "静态规则（只读文件）", "en": "static rules (files are read)"},
            [case for cell in view.cells for case in cell.scanned],
        ),
    )
    rows = []
    for name, cases in kinds:
        applies = sum(
            1
            for case in cases
            if case.skip_reason is not SkipReason.NOT_APPLICABLE and case.result is not Result.RECORDED
        )
        passed = sum(1 for case in cases if case.result is Result.PASS)
        rate = f"{passed}/{applies} ({passed / applies:.1%})" if applies else "—"
        rows.append({"name": name, "cases": len(cases), "counts": _counts(cases), "rate": rate})
    return rows


def _characteristics(view: CampaignView, words: Wording) -> list[dict[str, Any]]:
    groups: dict[str, list[CaseView]] = {}
    for cell in view.cells:
        for case in cell.cases:
            groups.setdefault(case.characteristic, []).append(case)
    return [
        {
            "name": characteristic(name, words),
            "cases": sum(1 for case in cases if not case.static),
            "counts": _counts([case for case in cases if not case.static]),
            "static": _counts([case for case in cases if case.static]),
        }
        for name, cases in sorted(groups.items())
    ]


def _counts(cases: Sequence[CaseView]) -> list[int]:
    return [sum(1 for case in cases if case.result is result) for result in Result]


def _trace(view: CampaignView, words: Wording) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str, str], list[CaseView]] = {}
    for cell in view.cells:
        for case in cell.cases:
            groups.setdefault((case.clause, case.characteristic, case.suite, case.id), []).append(case)
    return [
        {
            "clause": clause,
            "characteristic": characteristic(name, words),
            "id": identity,
            "title": cases[0].title.model_dump(),
            "counts": _counts(cases),
            "static": cases[0].static,
        }
        for (clause, name, _, identity), cases in sorted(groups.items())
    ]


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.1f} s"
