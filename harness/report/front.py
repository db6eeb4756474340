"""The first pages of a report: cover, notices, signatures, general facts, purpose, scope, terms, revisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.model.definitions import Commission, IssuerProfile, Text
from harness.model.results import Fidelity
from harness.model.view import CampaignView
from harness.presentation import Wording
from harness.presentation.dates import day, days, minutes, written

TITLE = Text(zh="信创适配测试报告", en="Adaptation test report")
NONE = Text(zh="无", en="none")
#: Standards that every report rests on, beside the methods of its suites.
STANDARDS = (
    Text(
        zh="GB/T 25000.51-2016 系统与软件质量要求和评价 第51部分：就绪可用软件产品的质量要求和测试细则",
        en="GB/T 25000.51-2016, requirements for quality of ready to use software product and instructions for testing",
    ),
    Text(zh="GB/T 25000.10-2016 系统与软件质量模型", en="GB/T 25000.10-2016, system and software quality models"),
)


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

    @property
    def offset(self) -> str:
        """The offset from UTC at which dates are written."""
        return self.profile.utc_offset

    @property
    def day(self) -> dict[str, str]:
        """The day of issue at the issuer's place."""
        return day(self.issued, self.offset)


def face(view: CampaignView, words: Wording, issuing: Issuing) -> dict[str, Any]:
    """The cover and the page of signatures: title, number, issuer, product, verdict, people."""
    profile, commission = issuing.profile, issuing.commission
    return {
        "title": TITLE.model_dump(),
        "number": issuing.number,
        "logo": profile.logo,
        "marks": [mark.model_dump() for mark in profile.accreditation or ()],
        "issuer": {
            "name": profile.name.model_dump(),
            "address": profile.address.model_dump() if profile.address is not None else None,
            "contact": profile.contact,
        },
        "issued": issuing.day,
        "product": view.application["name"],
        "verdict": {"word": view.verdict.value, **words.pair("verdict", view.verdict)},
        "conclusion": [sentence.model_dump() for sentence in issuing.conclusion],
        "cover": _cover(view, issuing),
        "people": _people(commission),
        "amends": None if commission.amends is None else commission.amends.model_dump(),
        "notices": [text.model_dump() for text in profile.notices]
        or [{"zh": zh, "en": en} for zh, en in words.words.get("notice", {}).values()],
    }


def _people(commission: Commission) -> list[dict[str, Any]]:
    """Who signs, with the day; an empty name or day is a line that is filled in by hand."""
    author = commission.author or commission.tester
    tested = [("测试", "tested by", commission.tester, None)] if commission.tester not in ("", author) else []
    people = (
        ("编制（主检）", "prepared by", author, commission.signed_on.author),
        *tested,
        ("审核", "reviewed by", commission.reviewer, commission.signed_on.reviewer),
        ("批准", "authorised by", commission.approver, commission.signed_on.approver),
    )
    return [
        {"role": {"zh": zh, "en": en}, "name": name, "day": written(signed) if signed else None}
        for zh, en, name, signed in people
    ]


def _category(issuing: Issuing) -> Text | None:
    if (given := issuing.commission.category or issuing.profile.category) is not None:
        return given
    return Text(zh="委托测试", en="commissioned test") if issuing.commission.applicant is not None else None


def _cover(view: CampaignView, issuing: Issuing) -> list[dict[str, Any]]:
    profile, commission = issuing.profile, issuing.commission
    return [
        row("版本", "version", "、".join(view.versions)),
        row("测试类别", "category of the test", _category(issuing)),
        row("生产单位", "producer", commission.producer or Text(**view.application["vendor"])),
        row("委托单位", "customer", commission.applicant or profile.applicant),
        row("样品编号", "number of the item", commission.sample),
        row("任务单号", "order", commission.order),
        row("测试机构", "laboratory", profile.name),
        row(
            "测试日期", "dates of the tests", Text(**days(view.created, view.finished or view.created, issuing.offset))
        ),
        row("签发日期", "date of issue", Text(**issuing.day)),
    ]


def general(view: CampaignView, words: Wording, issuing: Issuing) -> list[dict[str, Any]]:
    """Facts after ISO/IEC 17025:2017, 7.8.2.1."""
    profile, commission = issuing.profile, issuing.commission
    marks = [f"{mark.mark} {mark.number}" for mark in profile.accreditation or ()]
    address = [profile.address] if profile.address is not None else []
    client = [commission.applicant or profile.applicant]
    client += [commission.applicant_address] if commission.applicant_address is not None else []
    received = Text(**written(commission.received)) if commission.received else "—"
    return [
        row("测试机构及地址", "laboratory, address", [profile.name, *address]),
        row("联系方式", "contact", profile.contact),
        row("资质", "accreditation", marks or NONE),
        row("测试地点", "place of the activity", commission.place or _place(view, words)),
        row("委托单位及地址", "customer, address", client),
        row("委托单位联系方式", "customer's contact", commission.contact),
        row("生产单位", "producer", commission.producer or Text(**view.application["vendor"])),
        row("样品编号", "number of the item", commission.sample),
        row("任务单号", "order", commission.order),
        row("样品接收日期", "receipt of the item", received),
        row(
            "样品状态",
            "state of the item",
            commission.state
            or Text(zh="未另行记录；所测软件包以摘要为准", en="not recorded; packages by their digests"),
        ),
        row(
            "测试时间",
            "time of the tests",
            f"{minutes(view.created, issuing.offset)} – {minutes(view.finished, issuing.offset)}",
        ),
        row("签发日期", "date of issue", Text(**issuing.day)),
        row("任务", "campaign", f"{view.id} ({view.title.zh})"),
        row("时长档案", "profile of durations", Text(**words.pair("profile", view.profile))),
    ]


def _place(view: CampaignView, words: Wording) -> Text:
    """The environments that the cells had, where nobody names a place."""
    kinds = [f for f in Fidelity if any(cell.fidelity is f for cell in view.cells)]
    if not kinds:
        return Text(zh="未记录", en="not recorded")
    return Text(
        zh=f"未另行写明；测试环境：{'、'.join(words.zh('fidelity', kind) for kind in kinds)}",
        en=f"not stated; environments: {', '.join(words.en('fidelity', kind) for kind in kinds)}",
    )


def statements(words: Wording, issuing: Issuing) -> list[dict[str, Any]]:
    """Decision rule, sampling, uncertainty, deviations, external providers, opinions, what is inherited."""
    profile, commission = issuing.profile, issuing.commission
    inherited = [
        Text(
            zh=f"{result.platform.zh}：{result.certificate}，{result.report}；"
            f"{result.because.zh}（{result.reviewed_by}）",
            en=f"{result.platform.en}: {result.certificate}, {result.report}; "
            f"{result.because.en} ({result.reviewed_by})",
        )
        for result in commission.inherits
    ]
    return [
        row("判定规则", "decision rule", profile.decision_rule or _said(words, "decision_rule")),
        row("抽样", "sampling", commission.sampling or _said(words, "sampling")),
        row("不确定度", "uncertainty", commission.uncertainty or _said(words, "uncertainty")),
        row("偏离", "deviations from the method", commission.deviations or NONE),
        row("外部提供者的结果", "results of external providers", commission.external or NONE),
        row("意见与解释", "opinions and interpretations", commission.opinions or NONE),
        row("继承的结果（未在此测试）", "inherited results, not tested here", inherited or NONE),
    ]


def overview(view: CampaignView, words: Wording, issuing: Issuing) -> dict[str, Any]:
    """Purpose, scope, standards, terms and revisions."""
    commission = issuing.commission
    coverage = view.coverage
    ran = {(case.suite, case.id) for cell in view.cells for case in cell.ran}
    scanned = {(case.suite, case.id) for cell in view.cells for case in cell.scanned}
    name = Text(**view.application["name"])
    numbers = {
        "planned": coverage["planned"],
        "tested": coverage["tested"],
        "cases": len(ran),
        "rules": len(scanned),
        "excluded": coverage["not_applicable"],
        "unselected": coverage["not_selected"],
    }
    versions = "、".join(view.versions)
    zh, en = (words.sentence("overview", "purpose", product=text, versions=versions) for text in (name.zh, name.en))
    methods = [suite.get("method") or "" for suite in view.suites]
    known = " ".join(text.zh for text in STANDARDS)
    return {
        "purpose": (commission.purpose or Text(zh=zh["zh"], en=en["en"])).model_dump(),
        "scope": [
            words.sentence("overview", "scope", **numbers),
            *([words.sentence("overview", "static", **numbers)] if scanned else []),
            words.sentence("overview", "outside", **numbers),
        ],
        "standards": [text.model_dump() for text in STANDARDS]
        + [
            {"zh": method, "en": method}
            for method in dict.fromkeys(methods)
            if method.split() and method not in ("vendor", "own") and " ".join(method.split()[:2]) not in known
        ],
        "terms": [{"zh": zh, "en": en} for zh, en in words.words.get("term", {}).values()],
        "revisions": _revisions(issuing),
    }


def _revisions(issuing: Issuing) -> list[dict[str, Any]]:
    amends = issuing.commission.amends
    why = (
        Text(zh="首次签发", en="first issue")
        if amends is None
        else Text(zh=f"替代 {amends.number}：{amends.because.zh}", en=f"replaces {amends.number}: {amends.because.en}")
    )
    author = issuing.commission.author or issuing.commission.tester
    return [{"number": issuing.number, "day": issuing.day, "why": why.model_dump(), "author": author or "—"}]


def _said(words: Wording, word: str) -> Text:
    return Text(**words.pair("statement", word))


def row(zh: str, en: str, value: Any) -> dict[str, Any]:
    """A line of a table of facts: its name in both languages, and a text, a pair, or a list of pairs."""
    return {"name": {"zh": zh, "en": en}, "value": _plain(value)}


def _plain(value: Any) -> Any:
    if isinstance(value, Text):
        return value.model_dump()
    if isinstance(value, list | tuple):
        return [_plain(each if isinstance(each, Text) else Text(zh=str(each), en=str(each))) for each in value]
    return value or "—"
