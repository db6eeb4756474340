"""Decides the cases of a static scan: the product's files are read, nothing of it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from harness.model.definitions import Case, Rule
from harness.model.finding import Finding, ScanResult, finding_record
from harness.model.ledger import Ledger
from harness.model.plan import LocatedSuite
from harness.model.results import Observation
from harness.reading.suites import rules_of
from harness.scan.cases import concerning, observations


def run_scan(
    suite: LocatedSuite,
    cases: tuple[Case, ...],
    axes: Mapping[str, str],
    architecture: str,
    ledger: Ledger,
    read: Callable[[tuple[Rule, ...]], ScanResult | None],
) -> tuple[tuple[Observation, ...], tuple[Finding, ...]]:
    """One observation a case, and the findings that matter to the cell, which are kept as evidence.

    Raises:
        DefinitionError: a rule of the suite is wrong.
        InfrastructureError: the files cannot be read, the evidence cannot be stored.
    """
    name = suite.definition.suite
    result = read(rules_of(suite.folder))
    findings = () if result is None else tuple(concerning(result, axes, architecture))
    kept: tuple[str, ...] = ()
    if findings:
        text = json.dumps([finding_record(finding) for finding in findings], ensure_ascii=False, indent=1)
        kept = (ledger.keep(f"{name.replace('/', '-')}.json", text.encode(), "application/json"),)
    return tuple(observations(name, cases, result, axes, architecture, kept)), findings
