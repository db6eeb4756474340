"""What did not go well in a campaign, for its report: cases that did not pass, and attempts that were made again."""

from __future__ import annotations

from typing import Any

from harness.model.results import DefectSeverity, Result
from harness.model.view import CampaignView, CaseView, CellView
from harness.presentation import Wording
from harness.system.shell import quote

#: An error says nothing of the product, so its gravity is not known.
_UNKNOWN = {"zh": "未知", "en": "not known"}
#: Names of files of evidence that an incident leads to.
_FILES = 4


def incidents(view: CampaignView, words: Wording) -> list[dict[str, Any]]:
    """Rows with ``id``, ``cell``, its ``number``, ``severity``, ``detail``, ``status``, and how to reproduce it:
    ``steps``, ``command``, ``files`` of the evidence. Numbered in the order of the cells.

    Failures are the product's, errors are not known to be. An attempt that was made again stands here with its message:
    a reader must see that it did not go through at once.
    """
    rows: list[dict[str, Any]] = []

    def add(name: str, number: int, severity: dict[str, str], detail: str, status: dict[str, str], **more: Any) -> None:
        first = (detail.strip().splitlines() or ["—"])[0][:300]
        cell = " × ".join(view.cells[number - 1].axes.values())
        basic = {"id": f"I-{len(rows) + 1} {name}", "cell": cell, "number": number, "severity": severity}
        rows.append({**basic, "detail": first, "status": status, "steps": None, "command": "", "files": [], **more})

    for number, cell in enumerate(view.cells, 1):
        for attempt in cell.attempts[:-1]:
            verdict = words.pair("verdict", attempt.verdict)
            again = {"zh": "已重新执行", "en": "made again"}
            add(f"attempt {attempt.number}", number, verdict, attempt.message, again)
        waived = {(waiver["suite"], waiver["case"]) for waiver in cell.waived}
        for case in cell.cases:
            if case.result in (Result.FAIL, Result.ERROR):
                severity = words.pair("severity", case.severity) if case.result is Result.FAIL else _UNKNOWN
                status = _status(case, words, waived=(case.suite, case.id) in waived)
                add(case.id, number, severity, case.detail, status, **_reproduction(cell, case))
    return rows


def _reproduction(cell: CellView, case: CaseView) -> dict[str, Any]:
    """What was done, how it is done again, and which files of the evidence show it."""
    only = " ".join(f"--only {quote(f'{axis}={value}')}" for axis, value in cell.axes.items())
    names = [file.name for file in case.evidence]
    return {
        "steps": case.steps.model_dump() if case.steps is not None else None,
        "command": f"harness run FOLDER {only} --case {quote(case.id)}",
        "files": names[:_FILES] + [f"… {len(names)}"] * (len(names) > _FILES),
    }


def defects(view: CampaignView, words: Wording) -> list[dict[str, Any]]:
    """Failures of the product by class, each with ``open``, ``waived`` and ``cases`` (how many different ones).

    The last row is what did not complete, of which nothing is known.
    """
    failures: dict[str, list[tuple[str, bool]]] = {}
    unknown: list[tuple[str, bool]] = []
    for cell in view.cells:
        waived = {(waiver["suite"], waiver["case"]) for waiver in cell.waived}
        for case in cell.cases:
            entry = (case.id, (case.suite, case.id) in waived)
            if case.result is Result.FAIL:
                failures.setdefault(case.severity.value, []).append(entry)
            elif case.result is Result.ERROR:
                unknown.append(entry)
    rows = [(words.pair("severity", severity), failures.get(severity.value, [])) for severity in DefectSeverity]
    rows.append(({"zh": "未完成，严重程度未知", "en": "not completed, severity not known"}, unknown))
    return [
        {
            "severity": severity,
            "cases": len({identity for identity, _ in entries}),
            "open": sum(1 for _, waived in entries if not waived),
            "waived": sum(1 for _, waived in entries if waived),
        }
        for severity, entries in rows
    ]


def _status(case: CaseView, words: Wording, *, waived: bool) -> dict[str, str]:
    if waived:
        return {"zh": "已豁免", "en": "waived"}
    return {"zh": "未关闭", "en": "open"} if case.result is Result.FAIL else words.pair("result", case.result)
