"""What did not go well in a campaign, for its report: cases that did not pass, and attempts that were made again."""

from __future__ import annotations

from typing import Any

from harness.model.results import Result
from harness.model.view import CampaignView, CaseView
from harness.presentation import Wording

#: An error says nothing of the product, so its gravity is not known.
_UNKNOWN = {"zh": "未知", "en": "not known"}


def incidents(view: CampaignView, words: Wording) -> list[dict[str, Any]]:
    """Rows with ``id``, ``cell``, ``severity``, ``detail`` and ``status``, numbered in the order of the cells.

    Failures are the product's, errors are not known to be. An attempt that was made again stands here with its message:
    a reader must see that it did not go through at once.
    """
    rows: list[dict[str, Any]] = []

    def add(name: str, cell: str, severity: dict[str, str], detail: str, status: dict[str, str]) -> None:
        first = (detail.strip().splitlines() or ["—"])[0][:300]
        number = f"I-{len(rows) + 1} {name}"
        rows.append({"id": number, "cell": cell, "severity": severity, "detail": first, "status": status})

    for cell in view.cells:
        name = " × ".join(cell.axes.values())
        for attempt in cell.attempts[:-1]:
            verdict = words.pair("verdict", attempt.verdict)
            again = {"zh": "已重新执行", "en": "made again"}
            add(f"attempt {attempt.number}", name, verdict, attempt.message, again)
        waived = {(waiver["suite"], waiver["case"]) for waiver in cell.waived}
        for case in cell.cases:
            if case.result in (Result.FAIL, Result.ERROR):
                severity = words.pair("severity", case.severity) if case.result is Result.FAIL else _UNKNOWN
                status = _status(case, words, waived=(case.suite, case.id) in waived)
                add(case.id, name, severity, case.detail, status)
    return rows


def _status(case: CaseView, words: Wording, *, waived: bool) -> dict[str, str]:
    if waived:
        return {"zh": "已豁免", "en": "waived"}
    return {"zh": "未关闭", "en": "open"} if case.result is Result.FAIL else words.pair("result", case.result)
