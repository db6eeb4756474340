"""The cases of a campaign as a report shows them: one table a case, in the form that centers file (openEuler, ISV).

A case is described once; beneath it stand the results, and cells that ended alike share a line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.model.definitions import Text
from harness.model.definitions.runners import RUNNER_KINDS
from harness.model.results import Fidelity, Result
from harness.model.view import DEPLOYMENT_SUITE, CampaignView, CaseView
from harness.presentation import Wording
from harness.presentation.numbers import ranges
from harness.system.printable import number_text

NOTHING = Text(zh="—", en="—")
DEPLOYMENT = Text(zh="部署", en="Deployment")
#: Characters of a row from which on it may be torn by the end of a page: it could be longer than one.
LONG = 1200
#: Characters of an observed text that a report shows; the evidence holds it whole.
SHOWN = 600
#: Names of files that a line of results shows.
_FILES = 6


def case_tables(view: CampaignView, words: Wording, runners: Mapping[str, str]) -> list[dict[str, Any]]:
    """Suites in their order, with a table for each case that ran or was to run; rules of static scans are not in it.

    Each has ``title``, ``name`` and ``cases``; a case its texts and ``groups``: ``cells`` (their numbers), ``result``,
    ``actual``, ``remarks``, ``files``.
    """
    titles = {suite["suite"]: suite["title"] for suite in view.suites}
    suites: dict[str, dict[str, list[tuple[int, CaseView]]]] = {}
    for number, cell in enumerate(view.cells, 1):
        for case in cell.ran:
            suites.setdefault(case.suite, {}).setdefault(case.id, []).append((number, case))
    return [
        {
            "name": name,
            "title": titles.get(
                name, DEPLOYMENT.model_dump() if name == DEPLOYMENT_SUITE else {"zh": name, "en": name}
            ),
            "cases": [_table(runs, words, runners) for runs in cases.values()],
        }
        for name, cases in suites.items()
    ]


def _table(runs: Sequence[tuple[int, CaseView]], words: Wording, runners: Mapping[str, str]) -> dict[str, Any]:
    case = runs[0][1]
    groups: dict[str, list[tuple[int, CaseView]]] = {}
    for number, each in runs:
        groups.setdefault(repr((each.result, actual(each, words), _remarks(each, words))), []).append((number, each))
    row = described(case, words, runners)
    return {
        **row,
        "part": characteristic(case.characteristic, words),
        "severity": words.pair("severity", case.severity),
        "blocker": case.blocker,
        "long": _length(row) > LONG,
        "groups": [_group(group, words) for group in groups.values()],
    }


def _group(group: Sequence[tuple[int, CaseView]], words: Wording) -> dict[str, Any]:
    case = group[0][1]
    files = list(dict.fromkeys(file.name for _, each in group for file in each.evidence))
    seconds = [each.seconds for _, each in group]
    spread = _spread(min(seconds), max(seconds))
    shown = actual(case, words)
    return {
        "cells": ranges([number for number, _ in group]),
        "result": {"word": case.result.value, **words.pair("result", case.result)},
        "actual": shown,
        "remarks": [*_remarks(case, words), *([{"zh": spread, "en": spread}] if spread else [])],
        "files": files[:_FILES] + [f"… {len(files)}"] * (len(files) > _FILES),
        "long": sum(map(len, shown)) > LONG,
    }


def described(case: CaseView, words: Wording, runners: Mapping[str, str]) -> dict[str, Any]:
    """What a case is for, what is done and what is expected, in both languages."""
    kind = RUNNER_KINDS[runners.get(case.suite, "deployment")]  # the view lists the others only
    return {
        "id": case.id,
        "title": case.title.model_dump(),
        "purpose": (case.purpose or NOTHING).model_dump(),
        "preconditions": (case.preconditions or kind.before).model_dump(),
        "steps": (case.steps or NOTHING).model_dump(),
        "step": f"{case.suite}::{case.test}",
        "expected": (case.expected or NOTHING).model_dump(),
        "leaves": (case.leaves or NOTHING).model_dump(),
        "clause": case.clause,
    }


def case_row(case: CaseView, words: Wording) -> dict[str, Any]:
    """What became of a case in one cell: ``id``, ``title``, ``actual``, ``result``, ``remarks``, ``static``."""
    remarks = _remarks(case, words)
    if spread := _spread(case.seconds, case.seconds):
        remarks.append({"zh": spread, "en": spread})
    shown = actual(case, words)
    return {
        "id": case.id,
        "title": case.title.model_dump(),
        "actual": shown,
        "result": {"word": case.result.value, **words.pair("result", case.result)},
        "remarks": remarks,
        "static": case.static,
        "long": sum(map(len, shown)) > LONG,
    }


def actual(case: CaseView, words: Wording) -> list[str]:
    """What was measured and observed. A figure that the text names already is not named again."""
    detail = case.detail.strip()[:SHOWN]
    shown = [_measured(m.name, m.value, m.unit) for m in case.measurements if not _names(detail, m.name, m.value)]
    shown += [detail] if detail else []
    if not shown:
        return [f"测试套仅记录了结论 the suite recorded the result alone: {words.both('result', case.result)}"]
    return shown


def _names(detail: str, name: str, value: float | None) -> bool:
    """Whether a text gives the figure after its name, to whatever digit: ``p95 6.9 ms`` names 6.87 of p95."""
    match = re.search(rf"(?<!\w){re.escape(name)}[ =:]+(-?[0-9]+(?:\.([0-9]+))?)(?![0-9.]*%)", detail)
    return match is not None and value is not None and f"{value:.{len(match[2] or '')}f}" == match[1]


def _measured(name: str, value: float | None, unit: str) -> str:
    if value is None:
        return f"{name} = —"
    number = number_text(value)
    if unit == "1":
        return f"{name} = {number}"
    return f"{name} = {number}{unit.removeprefix('1')}" if unit.startswith("1/") else f"{name} = {number} {unit}"


def _remarks(case: CaseView, words: Wording) -> list[dict[str, str]]:
    remarks = []
    if case.fidelity is Fidelity.STATIC:
        remarks.append(words.pair("fidelity", case.fidelity))
    if case.result is Result.FAIL:
        remarks.append(words.pair("severity", case.severity))
    if case.blocker and case.decides:
        remarks.append({"zh": "否决项", "en": "blocker"})
    elif case.blocker:
        remarks.append({"zh": "此目标上仅记录，不否决", "en": "recorded only on this target, blocks nothing"})
    if case.cause is not None:
        remarks.append(words.pair("cause", case.cause))
    if case.skip_reason is not None:
        remarks.append(words.pair("skip", case.skip_reason))
    return remarks


def _spread(least: float, most: float) -> str:
    """How long a case took; empty below what a reader can use: a case of a load is judged in no time, after it."""
    if most < 0.05:
        return ""
    first, last = f"{least:.1f}", f"{most:.1f}"
    return f"{last} s" if first == last else f"{first}–{last} s"


def static_rules(view: CampaignView, words: Wording) -> list[dict[str, Any]]:
    """Rules of static scans: counts over the cells, and what was found, by cells that have the same."""
    rules: dict[tuple[str, str], list[tuple[int, CaseView]]] = {}
    for number, cell in enumerate(view.cells, 1):
        for case in cell.scanned:
            rules.setdefault((case.suite, case.id), []).append((number, case))
    rows = []
    for runs in rules.values():
        texts: dict[str, list[int]] = {}
        for number, case in runs:
            if case.detail.strip() and cell_tried(view, number):
                texts.setdefault(case.detail.strip()[:SHOWN], []).append(number)
        case = runs[0][1]
        rows.append(
            {
                "id": case.id,
                "title": case.title.model_dump(),
                "severity": words.pair("severity", case.severity),
                "counts": [sum(1 for _, each in runs if each.result is result) for result in Result],
                "findings": [{"cells": ranges(numbers), "detail": text} for text, numbers in texts.items()],
                "long": sum(map(len, texts)) > LONG,
            }
        )
    return rows


def cell_tried(view: CampaignView, number: int) -> bool:
    """Whether the cell with this number (from 1) was tried at all."""
    return bool(view.cells[number - 1].attempts)


def characteristic(name: str, words: Wording) -> dict[str, str]:
    """A quality characteristic with its sub-characteristic, in both languages."""
    parts = [words.pair("characteristic", part) for part in name.split("/")]
    return {"zh": "/".join(part["zh"] for part in parts), "en": " / ".join(part["en"] for part in parts)}


def _length(row: Mapping[str, Any]) -> int:
    return max(len(text["zh"]) + len(text["en"]) for text in row.values() if isinstance(text, dict))
