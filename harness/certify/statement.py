"""The statements about a campaign that are signed: in-toto Statement v1 with two predicates.

``test-result`` is the one that other tools understand; ``adaptation`` is ours: platforms with their fidelity, coverage,
waivers, the head of the journal. Both have the same subjects, by SHA-256: the certificate, the report, the record, and
every package of the product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.certify.policy import uncertified
from harness.model.definitions import Commission, IssuerProfile
from harness.model.results import Result, Verdict
from harness.model.view import DEPLOYMENT_SUITE, CampaignView
from harness.system.canonical import canonical

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
ADAPTATION = "https://xinchuang-harness/attestation/adaptation/v1"
#: Predicate -> name of its output.
KINDS = {TEST_RESULT: "test_result", ADAPTATION: "adaptation"}


@dataclass(frozen=True, kw_only=True)
class Issue:
    """The issue of a certificate: its number, the report's number, its issuer, the time of issue (ISO 8601, UTC), its
    last day if it has one, and its name."""

    number: str
    report_number: str
    issuer: str
    issued: str
    valid_until: str | None
    type: str


def statements(view: CampaignView, files: Mapping[str, str], adaptation: Mapping[str, Any]) -> dict[str, bytes]:
    """Canonical JSON of each statement by its output. ``files``: name -> SHA-256 of what was rendered;
    ``adaptation``: the predicate, made before the certificate, which carries its digest."""
    subjects = [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())]
    subjects += [
        {"name": f"package/{p['name']}@{p['version']} ({p['architecture']})", "digest": {"sha256": p["sha256"]}}
        for p in view.packages
        if p.get("sha256")
    ]
    predicates = {TEST_RESULT: _test_result(view), ADAPTATION: adaptation}
    return {
        KINDS[kind]: canonical({"_type": STATEMENT, "subject": subjects, "predicateType": kind, "predicate": value})
        for kind, value in predicates.items()
    }


def _test_result(view: CampaignView) -> dict[str, Any]:
    """PASSED, or WARNED where waivers stand behind it; a certificate is made of nothing less."""
    names: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for cell in view.cells:
        waived = {(waiver["suite"], waiver["case"]) for waiver in cell.waived}
        for case in cell.cases:
            name = f"{cell.id}/{case.suite}/{case.id}"
            if case.result is Result.PASS:
                names["passedTests"].append(name)
            elif (case.suite, case.id) in waived:
                names["warnedTests"].append(name)
            elif case.result is Result.FAIL:
                names["failedTests"].append(name)
    result = "WARNED" if any(cell.verdict is Verdict.CONDITIONAL for cell in view.cells) else "PASSED"
    origins = {entry["name"]: entry["origin"] for entry in view.basis if entry["kind"] == "suite"}
    configuration: list[dict[str, Any]] = [
        {"name": "plan", "digest": {"sha256": view.plan_digest}, "annotations": {"profile": view.profile}}
    ]
    configuration += [
        {
            "name": f"suite/{suite['suite']}@{suite['version']}",
            "digest": {"sha256": suite["digest"]},
            **({"annotations": {"origin": origins[suite["suite"]]}} if suite["suite"] in origins else {}),
        }
        for suite in view.suites
        if suite.get("digest")
    ]
    configuration += [
        {
            "annotations": {"origin": entry["origin"]},
            "digest": {"sha256": entry["sha256"]},
            "name": f"{entry['kind']}/{entry['name']}",
        }
        for entry in view.basis
        if entry["kind"] != "suite" or entry["name"] == DEPLOYMENT_SUITE
    ]
    return {"result": result, "configuration": configuration, **names}


def adaptation(
    view: CampaignView,
    issue: Issue,
    profile: IssuerProfile,
    commission: Commission,
    *,
    signers: Sequence[str],
    verifier: str,
) -> dict[str, Any]:
    """The predicate: what a certificate says, for machines. ``signers``: ids of the keys that sign, each of which must
    be there later; ``verifier``: SHA-256 of ``verify.sh``."""
    application = view.application
    return {
        **vars(issue),
        "basis": list(view.basis),
        "campaign": view.id,
        "verdict": view.verdict.value,
        "product": {"name": application["name"], "vendor": application["vendor"], "version": application["version"]},
        "tested": {"from": view.created, "to": view.finished},
        "platforms": [
            {
                "cell": cell.id,
                "axes": cell.axes,
                "architecture": cell.architecture,
                "isa": cell.isa_level,
                "fidelity": cell.fidelity.value if cell.fidelity is not None else None,
                "verdict": cell.verdict.value,
                "version": cell.version,
                "cases": {result.value: cell.count(result) for result in Result},
                "waivers": list(cell.waived),
                "left_out": [omission["suite"] for omission in cell.left_out],
                "uncertified": list(uncertified(cell, profile)),
            }
            for cell in view.cells
        ],
        "coverage": view.coverage,
        "excluded": list(view.excluded),
        "plan": view.plan_digest,
        "profile": view.profile,
        "journal": view.journal_head,
        "policy": profile.issuer,
        "commission": commission.model_dump(mode="json"),
        "signers": list(signers),
        "verifier": verifier,
        "harness": view.conditions.get("harness", ""),
    }
