"""The full report as PDF, after ISO/IEC 17025:2017, 7.8.2.1."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import harness.report.charts as charts
from harness.model.basis import basis_rows
from harness.model.definitions import Commission, IssuerProfile, Text
from harness.model.definitions.runners import RUNNER_KINDS
from harness.model.results import Fidelity, Result
from harness.model.view import CampaignView, CaseView, CellView
from harness.presentation import Presentation, Wording
from harness.presentation.typesetting import Place, typeset
from harness.report.incidents import incidents
from harness.system.printable import number_text

TEMPLATE = "report.typ"
TITLE = Text(zh="信创适配测试报告", en="Adaptation test report")
NONE = Text(zh="无", en="none")


#: Preconditions and steps of a case whose suite does not state them.
@dataclass(frozen=True, kw_only=True)
class Issuing:
    """How a report is issued: its number, the moment (ISO 8601, UTC), and the issuer.

    ``conclusion``: sentences that say what the policy decides about the results.
    """

    number: str
    issued: str
    profile: IssuerProfile
    commission: Commission = field(default_factory=Commission)
    state: str = "unsigned"  #: sealed, signed, draft or unsigned
    conclusion: Sequence[Text] = field(default_factory=tuple)


def render_document(
    view: CampaignView, presentation: Presentation, issuing: Issuing, digests: Mapping[str, str]
) -> tuple[bytes, dict[str, Place]]:
    """The report, and where its seal goes. ``digests``: SHA-256 of ``json`` and ``html``.

    Raises:
        DefinitionError: a template, a picture or the wording is faulty.
        InfrastructureError: a font is missing.
    """
    files = {"matrix.svg": str(charts.matrix(view, linked=False)).encode()}
    for cell in view.cells:
        files[f"steps-{cell.short}.svg"] = str(charts.steps(cell)).encode()
        for each, load in enumerate(cell.loads.values()):
            files[f"latency-{cell.short}-{each}.svg"] = str(charts.latency(load, load.get("threshold"))).encode()
            for number, picture in enumerate(charts.resources(load)):
                files[f"resources-{cell.short}-{each}-{number}.svg"] = str(picture).encode()
        if cell.timelines:
            files[f"availability-{cell.short}.svg"] = str(charts.availability(cell.timelines)).encode()
    if issuing.profile.logo:
        files[issuing.profile.logo] = presentation.path(issuing.profile.logo).read_bytes()
    data = content(view, presentation.wording(), issuing, digests)
    moment = int(datetime.datetime.fromisoformat(issuing.issued).timestamp())
    return typeset(presentation, TEMPLATE, data, files, moment=moment)


def content(view: CampaignView, words: Wording, issuing: Issuing, digests: Mapping[str, str]) -> dict[str, Any]:
    """Everything that stands in the report, as the template reads it: a part of the mapping for each chapter."""
    runners = {suite["suite"]: suite["runner"] for suite in view.suites}
    return {
        **_face(view, words, issuing),
        **_standing(view, words, issuing),
        "general": _general(view, words, issuing),
        "statements": _statements(words, issuing),
        "packages": _packages(view),
        "suites": [_suite(suite) for suite in view.suites],
        "basis": basis_rows(view.basis),
        "controller": _controller(view),
        **_coverage(view, words),
        "results": [words.pair("result", result) for result in Result],
        "characteristics": _characteristics(view, words),
        "incidents": incidents(view, words),
        "cells": [_cell(cell, words, runners) for cell in view.cells],
        "trace": _trace(view, words),
        "records": _records(view, digests),
    }


def _face(view: CampaignView, words: Wording, issuing: Issuing) -> dict[str, Any]:
    """The cover: title, number, issuer, product, verdict, people."""
    commission = issuing.commission
    people = (
        ("测试", "tested by", commission.tester),
        ("审核", "reviewed by", commission.reviewer),
        ("批准", "authorised by", commission.approver),
    )
    return {
        "title": TITLE.model_dump(),
        "number": issuing.number,
        "logo": issuing.profile.logo,
        "issuer": {"name": issuing.profile.name.model_dump()},
        "product": view.application["name"],
        "verdict": {"word": view.verdict.value, **words.pair("verdict", view.verdict)},
        "conclusion": [sentence.model_dump() for sentence in issuing.conclusion],
        "cover": _cover(view, issuing),
        "people": [{"role": {"zh": zh, "en": en}, "name": name} for zh, en, name in people],
        "amends": None if commission.amends is None else commission.amends.model_dump(),
    }


def _standing(view: CampaignView, words: Wording, issuing: Issuing) -> dict[str, Any]:
    """What every page says of the report's worth."""
    word = "unverified" if view.unverified else issuing.state
    return {
        "state": issuing.state,
        "unverified": view.unverified,
        "standing": words.pair("standing", word),
        "standing-short": words.pair("stamp", word),
    }


def _coverage(view: CampaignView, words: Wording) -> dict[str, Any]:
    return {
        "sampled": view.strategy != "full",
        "strategy": view.strategy,
        "coverage": [{**words.pair("coverage", name), "count": count} for name, count in view.coverage.items()],
        "excluded": [{key: rule[key] for key in ("count", "because", "rule")} for rule in view.excluded],
    }


def _packages(view: CampaignView) -> list[dict[str, str]]:
    keys = ("name", "version", "architecture", "sha256")
    return [{key: package.get(key) or "" for key in keys} for package in view.packages]


def _suite(suite: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": suite["suite"],
        "title": suite["title"],
        "version": suite["version"],
        "method": suite.get("method") or "—",
        "cases": len(suite["cases"]),
        "digest": str(suite.get("digest", ""))[:16],
    }


def _records(view: CampaignView, digests: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        _row("任务编号", "campaign", view.id),
        _row("记录摘要", "record SHA-256", digests["json"]),
        _row("网页报告摘要", "HTML report SHA-256", digests["html"]),
        _row("计划摘要", "plan SHA-256", view.plan_digest),
        _row("日志链", "journal head", view.journal_head),
    ]


def _row(zh: str, en: str, value: Any) -> dict[str, Any]:
    return {"name": {"zh": zh, "en": en}, "value": _plain(value)}


def _plain(value: Any) -> Any:
    if isinstance(value, Text):
        return value.model_dump()
    if isinstance(value, list | tuple):
        return [_plain(each if isinstance(each, Text) else Text(zh=str(each), en=str(each))) for each in value]
    return value or "—"


def _cover(view: CampaignView, issuing: Issuing) -> list[dict[str, Any]]:
    profile, commission = issuing.profile, issuing.commission
    return [
        _row("版本", "version", "、".join(view.versions)),
        _row("厂商", "vendor", Text(**view.application["vendor"])),
        _row("委托方", "customer", commission.applicant or profile.applicant),
        _row("测试机构", "laboratory", profile.name),
        _row("测试日期", "dates of the tests", f"{view.created[:10]} – {view.finished[:10] or view.created[:10]}"),
        _row("签发日期", "date of issue", issuing.issued[:10]),
    ]


def _general(view: CampaignView, words: Wording, issuing: Issuing) -> list[dict[str, Any]]:
    profile, commission = issuing.profile, issuing.commission
    marks = [f"{mark.mark} {mark.number}" for mark in profile.accreditation or ()]
    return [
        _row(
            "测试机构及地址",
            "laboratory, address",
            [profile.name, *([profile.address] if profile.address is not None else [])],
        ),
        _row("联系方式", "contact", profile.contact),
        _row("资质", "accreditation", marks or NONE),
        _row(
            "活动地点",
            "place of the activity",
            commission.place
            or Text(
                zh="出具方的测试环境（含仿真目标）", en="the issuer's test environment, emulated targets among them"
            ),
        ),
        _row("委托方", "customer", commission.applicant or profile.applicant),
        _row("委托方联系方式", "customer's contact", commission.contact),
        _row("样品接收日期", "receipt of the item", commission.received or "—"),
        _row(
            "样品状态",
            "state of the item",
            commission.state or Text(zh="软件包完整，摘要如下", en="packages complete, digests below"),
        ),
        _row("测试日期", "dates of the tests", f"{view.created[:19]} – {view.finished[:19]} UTC"),
        _row("签发日期", "date of issue", issuing.issued[:10]),
        _row("任务", "campaign", f"{view.id} ({view.title.zh})"),
        _row("时长档案", "profile of durations", Text(**words.pair("profile", view.profile))),
    ]


def _statements(words: Wording, issuing: Issuing) -> list[dict[str, Any]]:
    profile, commission = issuing.profile, issuing.commission
    rule = words.pair("statement", "decision_rule")
    sampling = words.pair("statement", "sampling")
    uncertainty = words.pair("statement", "uncertainty")
    return [
        _row("判定规则", "decision rule", profile.decision_rule or Text(**rule)),
        _row("抽样", "sampling", commission.sampling or Text(**sampling)),
        _row("不确定度", "uncertainty", commission.uncertainty or Text(**uncertainty)),
        _row("偏离", "deviations from the method", commission.deviations or NONE),
        _row("外部提供者的结果", "results of external providers", commission.external or NONE),
        _row("意见与解释", "opinions and interpretations", commission.opinions or NONE),
        _row(
            "继承的结果（未在此测试）",
            "inherited results, not tested here",
            [
                Text(
                    zh=f"{result.platform.zh}：{result.certificate}，{result.report}；"
                    f"{result.because.zh}（{result.reviewed_by}）",
                    en=f"{result.platform.en}: {result.certificate}, {result.report}; "
                    f"{result.because.en} ({result.reviewed_by})",
                )
                for result in commission.inherits
            ]
            or NONE,
        ),
    ]


def _controller(view: CampaignView) -> list[dict[str, Any]]:
    at = view.conditions
    tools = ", ".join(f"{name} {number}" for name, number in at.get("tools", {}).items())
    return [
        _row("控制机", "controller", f"{at.get('system', '')}, {at.get('machine', '')}, kernel {at.get('kernel', '')}"),
        _row("资源", "resources", f"{at.get('cpus', '?')} CPU, {at.get('memory', 0) / 2**30:.1f} GiB"),
        _row("容器引擎", "container engine", f"{at.get('engine', '')} ({at.get('storage', '')})"),
        _row("工具", "tools", f"harness {at.get('harness', '')}, Python {at.get('python', '')}, {tools}"),
        _row(
            "负载发生端",
            "load generator",
            Text(
                zh="与控制机同机，经 127.0.0.1 或单元自有网络",
                en="on the controller, over 127.0.0.1 or the cell's own network",
            ),
        ),
    ]


def _cell(cell: CellView, words: Wording, runners: Mapping[str, str]) -> dict[str, Any]:
    quiet = set(map(id, cell.quiet))
    return {
        "short": cell.short,
        "name": " × ".join(name.zh for name in cell.names.values()) + (f" · {cell.further}" if cell.further else ""),
        "cpu": cell.names["cpu"].model_dump(),
        "os": cell.names["os"].model_dump(),
        "isa": cell.isa,
        "database": cell.database,
        "further": [f"{k}: {v}" for k, v in cell.further_axes],
        "kernel": cell.fact("kernel"),
        "emulator": cell.fact("emulator"),
        "fidelity": words.pair("fidelity", "—" if cell.fidelity is None else cell.fidelity),
        "message": cell.message,
        "reasons": list(cell.reasons),
        "verdict": {"word": cell.verdict.value, **words.pair("verdict", cell.verdict)},
        "counts": [cell.count(result) for result in Result],
        "deployed": _seconds(cell.seconds.get("deployed")),
        "total": _seconds(cell.seconds.get("total")),
        "limits": [limit.model_dump() for limit in cell.limits],
        "notes": list(dict.fromkeys((*cell.adjusted, *cell.notes))),
        "left_out": list(cell.left_out),
        "loads": [{"suite": name, "resources": len(charts.resources(load))} for name, load in cell.loads.items()],
        "availability": bool(cell.timelines),
        "attestation": [
            {
                "machine": str(f.get("machine", "")),
                "name": f["name"],
                "declared": f["declared"] or "—",
                "observed": f["observed"] or "—",
                "mark": ("✓" if f["declared"] else "") if f["holds"] else "✗",
            }
            for f in cell.attestation
        ],
        "cases": [_case(case, words, runners) for case in cell.cases if id(case) not in quiet] if cell.attempts else [],
        "unrun": 0 if cell.attempts else len(cell.cases),
        "quiet": [case.id for case in cell.quiet],
        "waived": [
            {key: str(waiver[key]) for key in ("case", "because", "approved_by", "evidence", "expires")}
            for waiver in cell.waived
        ],
        "files": [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in cell.files],
    }


def _case(case: CaseView, words: Wording, runners: Mapping[str, str]) -> dict[str, Any]:
    nothing = Text(zh="—", en="—")
    actual = [f"{m.name} = {number_text(m.value)}{'' if m.unit == '1' else ' ' + m.unit}" for m in case.measurements]
    actual += [case.detail.strip()[:600]] if case.detail.strip() else []
    if not actual:
        actual = [f"the suite recorded the result alone / 测试套仅记录了结论: {words.both('result', case.result)}"]
    remarks = []
    if case.fidelity is Fidelity.STATIC:
        remarks.append(words.pair("fidelity", case.fidelity))
    if case.result is Result.FAIL:
        remarks.append(words.pair("severity", case.severity))
    if case.blocker:
        remarks.append({"zh": "否决项", "en": "blocker"})
    if case.blocker and not case.decides:
        remarks.append({"zh": "此目标上仅记录", "en": "recorded only on this target"})
    if case.leaves is not None:
        remarks.append({"zh": f"证据：{case.leaves.zh}", "en": f"evidence: {case.leaves.en}"})
    if case.cause is not None:
        remarks.append(words.pair("cause", case.cause))
    if case.skip_reason is not None:
        remarks.append(words.pair("skip", case.skip_reason))
    remarks.append({"zh": f"{case.seconds:.1f} s", "en": f"{case.seconds:.1f} s"})
    kind = RUNNER_KINDS[runners.get(case.suite, "deployment")]  # the view lists the others only
    before = case.preconditions or kind.before
    return {
        "id": case.id,
        "title": case.title.model_dump(),
        "purpose": (case.purpose or nothing).model_dump(),
        "before": [text.model_dump() for text in (before, *([case.steps] if case.steps is not None else []))],
        "step": f"{case.suite}::{case.test}",
        "expected": (case.expected or nothing).model_dump(),
        "actual": actual,
        "result": {"word": case.result.value, **words.pair("result", case.result)},
        "remarks": remarks,
    }


def _characteristics(view: CampaignView, words: Wording) -> list[dict[str, Any]]:
    groups: dict[str, list[CaseView]] = {}
    for cell in view.cells:
        for case in cell.cases:
            groups.setdefault(case.characteristic, []).append(case)
    return [
        {"name": _characteristic(name, words), "cases": len(cases), "counts": _counts(cases)}
        for name, cases in sorted(groups.items())
    ]


def _characteristic(name: str, words: Wording) -> dict[str, str]:
    parts = [words.pair("characteristic", part) for part in name.split("/")]
    return {"zh": "/".join(part["zh"] for part in parts), "en": " / ".join(part["en"] for part in parts)}


def _counts(cases: Sequence[CaseView]) -> list[int]:
    return [sum(1 for case in cases if case.result is result) for result in Result]


def _trace(view: CampaignView, words: Wording) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str, str], list[CaseView]] = {}
    for cell in view.cells:
        for case in cell.cases:
            groups.setdefault((case.clause, case.characteristic, case.suite, case.id), []).append(case)
    return [
        {
            "clause": clause,
            "characteristic": _characteristic(name, words),
            "id": identity,
            "title": cases[0].title.model_dump(),
            "counts": _counts(cases),
        }
        for (clause, name, _, identity), cases in sorted(groups.items())
    ]


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.1f} s"
