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
from harness.presentation import Presentation
from harness.report.sarif import SCHEMA

_LEVELS = {"blocker": "error", "warning": "warning", "info": "note"}
Waived = Sequence[tuple[Finding, Waiver]]


def scan_record(result: ScanResult, findings: Sequence[Finding], waived: Waived) -> dict[str, Any]:
    """The stable shape of ``scan``; ``findings`` are those that no waiver accepts."""
    used = {one.rule for one in result.findings}
    return {
        "findings": [finding_record(one) for one in findings],
        "waived": [
            {
                **finding_record(one),
                "because": waiver.because,
                "approved_by": waiver.approved_by,
                "expires": str(waiver.expires),
            }
            for one, waiver in waived
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
    rows = [(one, None) for one in findings] + [(one, waiver) for one, waiver in waived]
    results = [_result(one, waiver, index, root) for one, waiver in rows]
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


def _result(one: Finding, waiver: Waiver | None, index: dict[str, int], root: Path) -> dict[str, Any]:
    outer, _, inner = one.file.partition("!/")
    path = Path(outer).resolve()
    below = path.is_relative_to(root.resolve())
    where: dict[str, Any] = {"uri": quote(path.relative_to(root.resolve()).as_posix()) if below else path.as_uri()}
    if below:
        where["uriBaseId"] = "%SRCROOT%"
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": where}}
    if one.line and not inner:
        place["physicalLocation"]["region"] = {"startLine": one.line}
    if inner or one.place:
        place["logicalLocations"] = [{"fullyQualifiedName": one.where}]
    value: dict[str, Any] = {
        "ruleId": one.rule,
        "ruleIndex": index[one.rule],
        "level": _LEVELS[one.severity],
        "message": {"text": f"{one.where}: {one.message}. {one.advice}"},
        "locations": [place],
        "properties": {"targets": [str(target) for target in one.targets]},
    }
    if waiver is not None:
        told = f"{waiver.because} ({waiver.approved_by}, until {waiver.expires})"
        value["suppressions"] = [{"kind": "external", "status": "accepted", "justification": told}]
    return value


def by_rule(result: ScanResult, findings: Sequence[Finding]) -> list[tuple[Rule, str, list[Finding]]]:
    """Findings under their rules, a group for each severity, the gravest first."""
    rules = {rule.id: rule for rule in result.rules}
    return [
        (rules[rule], severity, list(group))
        for (severity, rule), group in groupby(findings, key=lambda one: (one.severity, one.rule))
    ]


def render_scan_html(
    result: ScanResult, findings: Sequence[Finding], waived: Waived, scanned: Sequence[str], presentation: Presentation
) -> bytes:
    """One file, nothing loaded from elsewhere."""
    counts = {severity: sum(one.severity == severity for one in findings) for severity in _LEVELS}
    targets: dict[str, dict[str, int]] = {}
    for one in findings:
        for target in one.targets:
            targets.setdefault(str(target), dict.fromkeys(_LEVELS, 0))[one.severity] += 1
    text = presentation.render(
        "scan.html.j2",
        result=result,
        groups=by_rule(result, findings),
        waived=waived,
        scanned=scanned,
        counts=counts,
        targets=sorted(targets.items()),
        version=__version__,
    )
    return text.encode("utf-8", "replace")


def render_sbom(components: Sequence[Component]) -> str:
    """A bill of materials as CycloneDX 1.6 JSON (ECMA-424)."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component as Part
    from cyclonedx.model.component import ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    bom = Bom()
    tool = Part(name="harness scan", version=__version__, type=ComponentType.APPLICATION)
    bom.metadata.tools.components.add(tool)
    for i, one in enumerate(components):
        purl = None
        if one.kind != "file":
            purl = PackageURL(
                type=one.kind,
                namespace=one.group or None,
                name=one.name,
                version=one.version or None,
                qualifiers={"arch": one.architecture} if one.architecture else None,
            )
        bom.components.add(
            Part(
                name=one.name,
                version=one.version or None,
                bom_ref=f"c{i}",
                group=one.group or None,
                purl=purl,
                type=ComponentType.FILE if one.kind == "file" else ComponentType.LIBRARY,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one.sha256)] if one.sha256 else [],
                properties=[Property(name="harness:file", value=one.file)],
            )
        )
    return str(JsonV1Dot6(bom).output_as_string(indent=1)) + "\n"
