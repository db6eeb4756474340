"""Static findings as SARIF 2.1.0 (OASIS), which code hosts show beside the lines that they concern."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness import __version__
from harness.errors import Fault

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RULE = "definition"


def render_sarif(faults: Sequence[Fault], root: Path) -> str:
    """Faults of definitions as one run; paths are relative to ``root`` where they lie below it."""
    results: list[dict[str, Any]] = []
    for fault in faults:
        path = Path(fault.file).resolve()
        below = path.is_relative_to(root.resolve())
        where: dict[str, Any] = {"uri": quote(path.relative_to(root.resolve()).as_posix()) if below else path.as_uri()}
        if below:
            where["uriBaseId"] = "%SRCROOT%"
        told = [fault.message]
        told += [f"{word}: {text}" for word, text in (("expected", fault.expected), ("found", fault.found)) if text]
        told += [fault.hint] if fault.hint else []
        results.append({
            "ruleId": RULE, "level": "error", "message": {"text": "; ".join(told)},
            "locations": [{"physicalLocation": {
                "artifactLocation": where, "region": {"startLine": fault.line, "startColumn": fault.column},
            }}],
        })  # fmt: skip
    rule = {"id": RULE, "shortDescription": {"text": "A definition that cannot be used / 定义有误"}}
    driver = {"name": "harness lint", "semanticVersion": __version__, "rules": [rule]}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0",
                       "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}]},
                      ensure_ascii=False, indent=1) + "\n"  # fmt: skip
