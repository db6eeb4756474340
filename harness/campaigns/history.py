"""Reads earlier campaigns of a workspace: cases that both passed and failed."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from harness.evidence import Workspace
from harness.model.recipe import PackageFact
from harness.model.records import AttemptFacts
from harness.model.results import Result
from harness.system.canonical import digest_of


def _packages(facts: AttemptFacts) -> tuple[PackageFact, ...]:
    """Of the product; empty where no environment was made."""
    return facts.environment.packages if facts.environment is not None else ()


def flaky_cases(workspace: Workspace) -> list[dict[str, Any]]:
    """Cases that both passed and failed on the same cell with the same product and the same suite.

    Every attempt of every campaign of the workspace counts; each case with the attempts at which it went which way.
    """
    runs_of: dict[tuple[str, str, str, str], list[tuple[str, int, Result]]] = defaultdict(list)
    for row in reversed(workspace.journal.campaigns()):
        suites = {name: suite.get("digest", "") for name, suite in row.plan["suites"].items()}
        observations = workspace.journal.observations(row.id)
        for attempt in workspace.journal.attempts(row.id):
            product = digest_of([vars(package) for package in _packages(attempt.facts)])
            for observation in observations.get((attempt.cell, attempt.number), []):
                if observation.result in (Result.PASS, Result.FAIL):
                    same = digest_of([product, suites.get(observation.suite, "")])
                    key = (attempt.cell, observation.suite, observation.case, same)
                    runs_of[key].append((row.id, attempt.number, observation.result))
    flaky: list[dict[str, Any]] = []
    for (cell, suite, case, _), runs in runs_of.items():
        failed = [(campaign, number) for campaign, number, result in runs if result is Result.FAIL]
        if failed and len(failed) < len(runs):
            flaky.append(
                {
                    "cell": cell,
                    "suite": suite,
                    "case": case,
                    "runs": len(runs),
                    "failed": len(failed),
                    "failures": [f"{campaign}/{number}" for campaign, number in failed],
                }
            )
    return sorted(flaky, key=lambda case: (-case["failed"] / case["runs"], case["cell"], case["case"]))
