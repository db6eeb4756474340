"""Faults of definitions and failures of campaigns as SARIF 2.1.0 (OASIS), which code hosts show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness import __version__
from harness.errors import Fault
from harness.model.results import Result
from harness.model.view import CampaignView
from harness.system.printable import strict_json

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RULE = "definition"


def render_campaign_sarif(view: CampaignView) -> str:
    """Cases that failed, and static ones with findings, of every cell: places are cells, not lines of a file. A failure
    that was waived carries a suppression (3.35)."""
    rules: dict[str, dict[str, Any]] = {}
    results: list[dict[str, Any]] = []
    for cell in view.cells:
        waived = {(waiver["suite"], waiver["case"]): waiver for waiver in cell.waived}
        for case in cell.cases:
            if case.result not in (Result.FAIL, Result.ERROR):
                continue
            rules.setdefault(
                case.id,
                {
                    "id": case.id,
                    "shortDescription": {"text": f"{case.title.en} / {case.title.zh}"},
                    "properties": {"suite": case.suite, "characteristic": case.characteristic, "clause": case.clause},
                },
            )
            level = "error" if case.decides and case.result is Result.FAIL else "warning"
            value: dict[str, Any] = {
                "ruleId": case.id,
                "level": level,
                "message": {"text": case.detail.strip() or case.title.en},
                "locations": [{"logicalLocations": [{"fullyQualifiedName": cell.id}]}],
                "properties": {
                    "result": case.result.value,
                    "verdict": cell.verdict.value,
                    "fidelity": cell.fidelity.value if cell.fidelity is not None else None,
                },
            }
            if (waiver := waived.get((case.suite, case.id))) is not None:
                words = f"{waiver['because']} ({waiver['approved_by']}, until {waiver['expires']})"
                value["suppressions"] = [{"kind": "external", "status": "accepted", "justification": words}]
            results.append(value)
    driver = {"name": "harness", "semanticVersion": __version__, "rules": list(rules.values())}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": results,
        "automationDetails": {"id": f"{view.matrix}/{view.id}"},
    }
    return strict_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def render_sarif(faults: Sequence[Fault], root: Path) -> str:
    """Faults of definitions as one run; paths are relative to ``root`` where they lie below it."""
    results: list[dict[str, Any]] = []
    for fault in faults:
        path = Path(fault.file).resolve()
        below = path.is_relative_to(root.resolve())
        where: dict[str, Any] = {"uri": quote(path.relative_to(root.resolve()).as_posix()) if below else path.as_uri()}
        if below:
            where["uriBaseId"] = "%SRCROOT%"
        words = [fault.message]
        words += [f"{word}: {text}" for word, text in (("expected", fault.expected), ("found", fault.found)) if text]
        words += [fault.hint] if fault.hint else []
        results.append(
            {
                "ruleId": RULE,
                "level": "error",
                "message": {"text": "; ".join(words)},
                "locations": [
                    {
                        "physicalLocation": {
                            "artifactLocation": where,
                            "region": {"startLine": fault.line, "startColumn": fault.column},
                        }
                    }
                ],
            }
        )
    rule = {"id": RULE, "shortDescription": {"text": "A definition that cannot be used / 定义有误"}}
    driver = {"name": "harness lint", "semanticVersion": __version__, "rules": [rule]}
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
