"""Findings of a gate in the forms that pipelines show beside a change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """``level``: error, warning or notice; ``title`` names cell and case; ``path`` is the matrix file."""

    level: str
    title: str
    message: str
    path: str


def github(annotations: Sequence[Annotation]) -> str:
    """Workflow commands (GitHub Actions, also read by Gitea and Forgejo): one line each."""

    def data(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    def value(text: str) -> str:
        return data(text).replace(":", "%3A").replace(",", "%2C")

    return "".join(
        f"::{annotation.level} file={value(annotation.path)},title={value(annotation.title)}"
        f"::{data(annotation.message)}\n"
        for annotation in annotations
    )


def gitlab(annotations: Sequence[Annotation]) -> str:
    """GitLab's code quality report (a subset of the Code Climate format)."""
    severity = {"error": "critical", "warning": "minor", "notice": "info"}
    return (
        json.dumps(
            [
                {
                    "description": f"{annotation.title}: {annotation.message}",
                    "check_name": "harness-gate",
                    "severity": severity[annotation.level],
                    "fingerprint": hashlib.sha256(f"{annotation.title}\0{annotation.level}".encode()).hexdigest(),
                    "location": {"path": annotation.path, "lines": {"begin": 1}},
                }
                for annotation in annotations
            ],
            ensure_ascii=False,
            indent=1,
        )
        + "\n"
    )
