"""Several scans of one product as one result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from harness.model.finding import Finding, ScanResult
from harness.model.sqlrow import SqlRow

SqlKey = tuple[str, int, str]

SEVERITIES = ("blocker", "warning", "info")


def _rows(parts: Sequence[ScanResult]) -> tuple[SqlRow, ...]:
    """Rows of all parts, each statement once with all its databases."""
    rows: dict[SqlKey, SqlRow] = {}
    for row in (row for part in parts for row in part.sql):
        key = (row.statement.place, row.statement.line, row.statement.text)
        before = rows[key].answers if key in rows else ()
        rows[key] = replace(row, answers=tuple(dict.fromkeys((*before, *row.answers))))
    return tuple(rows.values())


def merged(parts: Sequence[ScanResult]) -> ScanResult:
    """Findings of all parts, each once with all its targets; files that several parts read are counted once."""
    findings: dict[tuple[str, ...], Finding] = {}
    for part in parts:
        for finding in part.findings:
            key = (finding.rule, finding.severity, finding.file, finding.place, finding.message)
            before = findings[key].targets if key in findings else ()
            findings[key] = replace(finding, targets=tuple(sorted({*before, *finding.targets})))
    ordered = sorted(findings.values(), key=lambda f: (SEVERITIES.index(f.severity), f.rule, f.file, f.line, f.place))
    unread = {(finding.file, finding.message) for finding in ordered if finding.rule == "READ-1"}
    return ScanResult(
        findings=tuple(ordered),
        components=tuple(dict.fromkeys(component for part in parts for component in part.components)),
        rules=parts[0].rules,
        files=sum(part.files for part in parts),
        bytes=sum(part.bytes for part in parts),
        seconds=round(sum(part.seconds for part in parts), 3),
        unread=len(unread) if unread else max(part.unread for part in parts),
        sql=_rows(parts),
        sql_left=sum(part.sql_left for part in parts),
        skipped=dict(sum((Counter(part.skipped) for part in parts), Counter())),
    )
