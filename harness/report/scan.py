"""A static scan as JSON, SARIF, HTML and a bill of materials."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness import __version__
from harness.model.definitions import Rule, Waiver
from harness.model.finding import Component, Finding, ScanResult, finding_record
from harness.model.sqlrow import sql_record
from harness.presentation import Presentation
from harness.report import sqltable
from harness.report.sarif import SCHEMA
from harness.scan import contents

_LEVELS = {"blocker": "error", "warning": "warning", "info": "note"}
Waived = Sequence[tuple[Finding, Waiver]]


def scan_record(result: ScanResult, findings: Sequence[Finding], waived: Waived) -> dict[str, Any]:
    """The stable shape of ``scan``; ``findings`` are those that no waiver accepts."""
    used = {finding.rule for finding in result.findings}
    return {
        "findings": [finding_record(finding) for finding in findings],
        "waived": [
            {
                **finding_record(finding),
                "because": waiver.because,
                "approved_by": waiver.approved_by,
                "expires": str(waiver.expires),
            }
            for finding, waiver in waived
        ],
        "rules": {
            rule.id: {
                "severity": rule.severity,
                "certainty": rule.certainty,
                "source": rule.source,
                "title": rule.title.model_dump(),
                "why": rule.why.model_dump(),
                "advice": rule.advice.model_dump(),
            }
            for rule in result.rules
            if rule.id in used
        },
        "files": result.files,
        "bytes": result.bytes,
        "seconds": result.seconds,
        "unread": result.unread,
        "skipped": dict(result.skipped),
        **({"sql": [sql_record(row) for row in result.sql], "sql_left": result.sql_left} if result.sql else {}),
    }


def render_scan_sarif(result: ScanResult, findings: Sequence[Finding], waived: Waived, root: Path) -> str:
    """As SARIF 2.1.0; waived findings carry a suppression (3.35), and what lies in a container names it as its file."""
    rules = [
        {
            "id": rule.id,
            "shortDescription": {"text": f"{rule.title.en} / {rule.title.zh}"},
            "fullDescription": {"text": f"{rule.why.en} / {rule.why.zh}"},
            "help": {"text": f"{rule.advice.en} / {rule.advice.zh}\n{rule.source} ({rule.certainty})"},
            "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        }
        for rule in result.rules
    ]
    index = {rule.id: i for i, rule in enumerate(result.rules)}
    rows = [(finding, None) for finding in findings] + [(finding, waiver) for finding, waiver in waived]
    results = [_result(finding, waiver, index, root) for finding, waiver in rows]
    driver = {"name": "harness scan", "semanticVersion": __version__, "rules": rules}
    return (
        json.dumps(
            {
                "$schema": SCHEMA,
                "version": "2.1.0",
                "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
            },
            ensure_ascii=False,
            indent=1,
        )
        + "\n"
    )


def _result(finding: Finding, waiver: Waiver | None, index: dict[str, int], root: Path) -> dict[str, Any]:
    outer, _, inner = finding.file.partition("!/")
    path = Path(outer).resolve()
    below = path.is_relative_to(root.resolve())
    where: dict[str, Any] = {"uri": quote(path.relative_to(root.resolve()).as_posix()) if below else path.as_uri()}
    if below:
        where["uriBaseId"] = "%SRCROOT%"
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": where}}
    if finding.line and not inner:
        place["physicalLocation"]["region"] = {"startLine": finding.line}
    if inner or finding.place:
        place["logicalLocations"] = [{"fullyQualifiedName": finding.where}]
    value: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index[finding.rule],
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.where}: {finding.message}. {finding.advice}"},
        "locations": [place],
        "properties": {"targets": [str(target) for target in finding.targets]},
    }
    if waiver is not None:
        justification = f"{waiver.because} ({waiver.approved_by}, until {waiver.expires})"
        value["suppressions"] = [{"kind": "external", "status": "accepted", "justification": justification}]
    return value


def by_rule(result: ScanResult, findings: Sequence[Finding]) -> list[tuple[Rule, str, list[Finding]]]:
    """Findings under their rules, a group for each severity, the gravest first."""
    rules = {rule.id: rule for rule in result.rules}
    return [
        (rules[rule], severity, list(group))
        for (severity, rule), group in groupby(findings, key=lambda finding: (finding.severity, finding.rule))
    ]


def render_scan_html(
    result: ScanResult, findings: Sequence[Finding], waived: Waived, scanned: Sequence[str], presentation: Presentation
) -> bytes:
    """One file, nothing loaded from elsewhere."""
    counts = {severity: sum(finding.severity == severity for finding in findings) for severity in _LEVELS}
    targets: dict[str, dict[str, int]] = {}
    for finding in findings:
        for target in finding.targets:
            targets.setdefault(str(target), dict.fromkeys(_LEVELS, 0))[finding.severity] += 1
    text = presentation.render(
        "scan.html.j2",
        result=result,
        groups=by_rule(result, findings),
        waived=waived,
        scanned=scanned,
        counts=counts,
        skipped=[(contents.REASONS[reason], reason, count) for reason, count in sorted(result.skipped.items())],
        targets=sorted(targets.items()),
        sql=sqltable.troubled(result.sql),
        sql_counts=sqltable.counted(result.sql),
        sql_words=sqltable,
        version=__version__,
    )
    return text.encode("utf-8", "replace")


def render_sbom(components: Sequence[Component], *, tool: str = "harness scan", subject: str = "") -> str:
    """A bill of materials as CycloneDX 1.6 JSON (ECMA-424); ``subject``: what it is of."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component as Part
    from cyclonedx.model.component import ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    bom = Bom()
    bom.metadata.tools.components.add(Part(name=tool, version=__version__, type=ComponentType.APPLICATION))
    if subject:
        bom.metadata.component = Part(name=subject, bom_ref="product", type=ComponentType.APPLICATION)
    for i, component in enumerate(components):
        purl = None
        if component.kind != "file":
            purl = PackageURL(
                type=component.kind,
                namespace=component.group or None,
                name=component.name,
                version=component.version or None,
                qualifiers={"arch": component.architecture} if component.architecture else None,
            )
        bom.components.add(
            Part(
                name=component.name,
                version=component.version or None,
                bom_ref=f"c{i}",
                group=component.group or None,
                purl=purl,
                type=ComponentType.FILE if component.kind == "file" else ComponentType.LIBRARY,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=component.sha256)] if component.sha256 else [],
                properties=[Property(name="harness:file", value=component.file)] if component.file else [],
            )
        )
    return str(JsonV1Dot6(bom).output_as_string(indent=1)) + "\n"
