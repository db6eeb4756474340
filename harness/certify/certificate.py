"""The certificate as PDF: its text and figures, typeset."""

from __future__ import annotations

import datetime
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import segno

from harness.certify.policy import NOTHING, Kind, uncertified
from harness.certify.statement import Issue
from harness.model.basis import basis_rows, replaced_names
from harness.model.definitions import Commission, IssuerProfile
from harness.model.recipe import BROUGHT_FROM
from harness.model.results import Fidelity, Result, SkipReason, Verdict
from harness.model.view import CampaignView, CellView
from harness.presentation import Presentation, Wording
from harness.presentation.conditions import condition
from harness.presentation.dates import day, days, written
from harness.presentation.numbers import ranges
from harness.presentation.typesetting import Place, typeset
from harness.signing.keys import PublicKey
from harness.system.printable import one_line

TEMPLATE = "certificate.typ"
#: The note of ``containers.images`` on a release file that had expired.
_EXPIRED = re.compile(
    r"release file of (?P<suite>\S+) expired, accepted: (?P<because>.*?) "
    r"\(expired(?: \((?:invalid )?since (?P<days>[0-9]+) ?d.*)?.*\)",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class ShownSignature:
    """What a document shows of its signatures. ``code``: text of its QR code; ``statement``: SHA-256 (hex) of the
    signed statement; ``verifier``: that of ``verify.sh``."""

    keys: tuple[PublicKey, ...] = ()
    sealed: bool = False
    code: str = ""
    statement: str = ""
    verifier: str = ""

    def state(self, profile: IssuerProfile) -> str:
        """``sealed``, ``signed`` (beside it), ``draft`` where the issuer signs what it issues, else ``unsigned``."""
        if self.sealed:
            return "sealed"
        return "signed" if self.keys else "draft" if profile.signed else "unsigned"


def render_certificate(
    view: CampaignView,
    presentation: Presentation,
    profile: IssuerProfile,
    kind: Kind,
    issue: Issue,
    digests: Mapping[str, str],
    *,
    commission: Commission = NOTHING,
    signature: ShownSignature | None = None,
) -> tuple[bytes, dict[str, Place]]:
    """The certificate, and where its seal goes. ``digests``: SHA-256 of ``report`` (PDF), ``html`` and ``json``.

    Raises:
        DefinitionError: a template, a picture or the wording is faulty.
        InfrastructureError: a font is missing.
    """
    signature = signature or ShownSignature()
    picture = io.BytesIO()
    segno.make(signature.code or f"XC-RECORD:{issue.number}:{digests['json']}", error="m", micro=False).save(
        picture, kind="svg", xmldecl=False, svgns=True, border=4
    )
    files = {"qr.svg": picture.getvalue()}
    if profile.logo:
        files[profile.logo] = presentation.path(profile.logo).read_bytes()
    data = face(view, presentation.wording(), profile, kind, issue, digests, commission, signature)
    moment = int(datetime.datetime.fromisoformat(issue.issued).timestamp())
    return typeset(presentation, TEMPLATE, data, files, moment=moment)


def face(
    view: CampaignView,
    words: Wording,
    profile: IssuerProfile,
    kind: Kind,
    issue: Issue,
    digests: Mapping[str, str],
    commission: Commission,
    signature: ShownSignature,
) -> dict[str, Any]:
    """Everything that stands on the certificate, as the template reads it: the face, then the annexes."""
    return {
        **_title(view, kind, issue, profile, commission),
        **_standing(words, profile, signature, digests),
        "lead": words.pair("conclusion", "lead"),
        "conclusion": conclusion(view, words, profile, kind, commission),
        "platforms": [platform(cell, words, profile) for cell in view.cells],
        **_annexes(view, words),
        "inherits": [result.model_dump() for result in commission.inherits],
        "limits": limits(view, profile, commission),
        "records": _records(view, digests, signature),
    }


def _title(
    view: CampaignView, kind: Kind, issue: Issue, profile: IssuerProfile, commission: Commission
) -> dict[str, Any]:
    """What is certified, for whom, by whom, and until when."""
    return {
        "kind": {"zh": kind.zh, "en": kind.en, "pre": kind.pre, "conditional": kind.conditional},
        "number": issue.number,
        "report_number": issue.report_number,
        "issued": day(issue.issued, profile.utc_offset),
        "valid_until": written(issue.valid_until) if issue.valid_until is not None else None,
        "tested": days(view.created, view.finished or view.created, profile.utc_offset),
        "versions": one_line("、".join(view.versions), longest=120),
        "issuer": {
            "name": profile.name.model_dump(),
            "address": profile.address.model_dump() if profile.address is not None else None,
            "contact": profile.contact,
        },
        "logo": profile.logo,
        "product": view.application["name"],
        "vendor": view.application["vendor"],
        "applicant": (commission.applicant or profile.applicant).model_dump(),
        "people": {"approver": commission.approver},
        "marks": [mark.model_dump() for mark in profile.accreditation or ()],
    }


def _standing(
    words: Wording, profile: IssuerProfile, signature: ShownSignature, digests: Mapping[str, str]
) -> dict[str, Any]:
    """What the document is worth, and how it is verified."""
    state = signature.state(profile)
    return {
        "state": state,
        "standing": words.pair("standing", state),
        "keys": [{"algorithm": key.algorithm, "keyid": key.keyid} for key in signature.keys],
        "url": signature.code.partition("#")[0] if signature.code.startswith("http") else "",
        "proof": bool(signature.code),
        "statement_sha256": signature.statement or digests["json"],
    }


def _annexes(view: CampaignView, words: Wording) -> dict[str, Any]:
    """What was planned, tested and left out; packages and suites."""
    keys = ("name", "version", "architecture", "sha256")
    return {
        "coverage": [{**words.pair("coverage", name), "count": count} for name, count in view.coverage.items()],
        "excluded": [{"count": rule["count"], "because": rule["because"]} for rule in view.excluded],
        "sampled": view.strategy != "full",
        "basis": basis_rows(view.basis),
        "packages": [{key: package.get(key) or "" for key in keys} for package in view.packages],
        "suites": [
            {
                "name": suite["suite"],
                "title": suite["title"],
                "version": suite["version"],
                "method": suite.get("method") or "—",
                "cases": len(suite["cases"]),
            }
            for suite in view.suites
        ],
    }


def platform(cell: CellView, words: Wording, profile: IssuerProfile) -> dict[str, Any]:
    """One row of the table of platforms: the parts of a cell, and its results."""
    declared = [fact for fact in cell.attestation if fact["declared"]]
    static = sum(1 for c in cell.cases if c.result is Result.PASS and c.fidelity is Fidelity.STATIC)
    return {
        "cpu": cell.names["cpu"].model_dump(),
        "os": cell.names["os"].model_dump(),
        "isa": cell.isa,
        "server": cell.fact("server model"),
        "kernel": cell.fact("kernel"),
        # that of the machine beneath, which says nothing of the target
        "shared": cell.fidelity in (Fidelity.CONTAINER, Fidelity.USER_EMULATED),
        "database": cell.database,
        "further": [f"{k}: {v}" for k, v in cell.further_axes],
        "version": cell.version,
        "fidelity": words.pair("fidelity", "—" if cell.fidelity is None else cell.fidelity),
        "emulator": cell.fact("emulator"),
        "attested": f"{sum(1 for fact in declared if fact['holds'])}/{len(declared)}",
        "passed": cell.count(Result.PASS) - static,
        "static": static,
        "skipped": cell.count(Result.SKIP),
        "recorded": cell.count(Result.RECORDED),
        "left_out": [omission["suite"] for omission in cell.left_out],
        "verdict": {"word": cell.verdict.value, **words.pair("verdict", cell.verdict)},
        "uncertified": [words.pair("characteristic", characteristic) for characteristic in uncertified(cell, profile)],
    }


def conclusion(
    view: CampaignView, words: Wording, profile: IssuerProfile, kind: Kind, commission: Commission
) -> dict[str, str]:
    """The sentences of the conclusion, in Chinese and English: the results, and what they are worth."""
    waived = sum(1 for cell in view.cells if cell.verdict is Verdict.CONDITIONAL)
    emulated = sum(1 for c in view.cells if c.fidelity in (Fidelity.USER_EMULATED, Fidelity.SYSTEM_EMULATED))
    numbers: dict[str, Any] = {
        "planned": len(view.cells),
        "passed": len(view.cells) - waived,
        "waived": waived,
        "emulated": emulated,
        "containers": sum(1 for c in view.cells if c.fidelity is Fidelity.CONTAINER),
        "inherited": len(commission.inherits),
    }
    wanted = ["conditional" if kind.conditional else "all"]
    wanted += (
        [_reservation(numbers)] * kind.pre + ["shortened"] * view.shortened + ["inherited"] * bool(commission.inherits)
    )
    parts = [words.sentence("conclusion", word, **numbers) for word in wanted]
    if not_certified := sorted(
        {characteristic for cell in view.cells for characteristic in uncertified(cell, profile)}
    ):
        pairs = [words.pair("characteristic", characteristic) for characteristic in not_certified]
        lists = ("、".join(pair["zh"] for pair in pairs), ", ".join(pair["en"] for pair in pairs))
        zh, en = (words.sentence("conclusion", "uncertified", characteristics=names) for names in lists)
        parts.append({"zh": zh["zh"], "en": en["en"]})
    if names := replaced_names(view.basis):
        shown = names[:3] + [f"… {len(names)}"] * (len(names) > 3)
        parts.append(words.sentence("conclusion", "replaced", names=", ".join(shown)))
    if commission.amends is not None:
        because = commission.amends.because
        zh, en = (
            words.sentence("conclusion", "amends", number=commission.amends.number, because=reason)
            for reason in (because.zh, because.en)
        )
        parts.append({"zh": zh["zh"], "en": en["en"]})
    if profile.conclusion is not None:
        parts.append(profile.conclusion.model_dump())
    parts.append(
        {"zh": f"{profile.validity.zh}。", "en": f"{profile.validity.en[:1].upper()}{profile.validity.en[1:]}."}
    )
    return {"zh": "".join(part["zh"] for part in parts), "en": " ".join(part["en"] for part in parts)}


def limits(view: CampaignView, profile: IssuerProfile, commission: Commission) -> list[dict[str, str]]:
    """The limits that a reader of the certificate must know, as pairs of ``zh`` and ``en``."""
    texts = _on_platforms(view, lambda cell: [limit.model_dump() for limit in cell.limits])
    texts += _on_platforms(view, lambda cell: [_accepted(note) for note in cell.notes if note in view.accepted])
    texts += _on_platforms(view, lambda cell: list(_brought(cell)))
    texts += [text for cell in view.cells for text in _limits_of(cell)]
    texts += [
        {
            "zh": f"静态扫描有发现，不影响结论：检查项 {case.id}“{case.title.zh}”（{number} 个单元），见报告。",
            "en": f"Static scan, findings that decide nothing: {case.id} “{case.title.en}” ({number} cells).",
        }
        for case, number in view.noted
    ]
    texts += not_applicable(view)
    texts += [deviation.model_dump() for deviation in commission.deviations]
    texts.append(
        {
            "zh": "结果仅与所测样品有关；未经出具方同意不得部分复制。",
            "en": "The results relate only to the items tested; not to be reproduced in part without the "
            "issuer's approval.",
        }
    )
    return [dict(text) for text in dict.fromkeys(tuple(text.items()) for text in texts)]


def _on_platforms(view: CampaignView, texts_of: Callable[[CellView], list[dict[str, str]]]) -> list[dict[str, str]]:
    """Texts of the cells, each once, with the numbers of the platforms that it is of where these are not all."""
    platforms: dict[tuple[str, str], list[int]] = {}
    for number, cell in enumerate(view.cells, 1):
        for text in texts_of(cell):
            known = platforms.setdefault((text["zh"], text["en"]), [])
            known.extend([number] if number not in known else [])
    every = len(view.cells)
    return [
        {"zh": zh, "en": en}
        if len(numbers) == every
        else {"zh": f"平台 {ranges(numbers)}：{zh}", "en": f"Platforms {ranges(numbers, ', ')}: {en}"}
        for (zh, en), numbers in platforms.items()
    ]


def _accepted(note: str) -> dict[str, str]:
    """A release file that was taken although it had expired, in both languages; another note stays as it is."""
    match = _EXPIRED.fullmatch(note)
    if match is None:
        return {"zh": note, "en": note}
    suite, because, days_over = match["suite"], match["because"], match["days"]
    over = (
        {"zh": f"过期 {days_over} 天", "en": f"expired {days_over} days ago"}
        if days_over
        else {"zh": "已过期", "en": "expired"}
    )
    return {
        "zh": f"{suite} 的软件源发布文件{over['zh']}，按定义予以接受（理由：{because}）。",
        "en": f"The release file of {suite} {over['en']} and was accepted by definition.",
    }


def _reservation(numbers: Mapping[str, int]) -> str:
    """Which sentence says why it is a pre-adaptation: none names a kind of target that there is not."""
    if numbers["emulated"] and numbers["containers"]:
        return "pre"
    return "pre_emulated" if numbers["emulated"] else "pre_containers" if numbers["containers"] else "pre_other"


def _brought(cell: CellView) -> Iterator[dict[str, str]]:
    """What the systems of a cell were made of, with its digest, where they were not built here from packages."""
    for note in cell.notes:
        if note.startswith(BROUGHT_FROM):
            yield {"zh": f"系统来源：{note}", "en": f"Of a system: {note}"}


def _limits_of(cell: CellView) -> Iterator[dict[str, str]]:
    """What was waived, left out or adjusted on a cell, and whether it passed at its first attempt."""
    name = " · ".join(cell.axes.values())
    for waiver in cell.waived:
        yield {
            "zh": f"豁免：{name} {waiver['case']}：{waiver['because']}（{waiver['approved_by']} 批准，"
            f"依据 {waiver['evidence']}，有效至 {waiver['expires']}）。",
            "en": f"Waived, approved by {waiver['approved_by']}, until {waiver['expires']}.",
        }
    for omission in cell.left_out:
        yield {
            "zh": f"未执行的测试套：{name}：{omission['suite']}：{omission['because']}",
            "en": f"Suite {omission['suite']} was left out on {name}.",
        }
    reasons = {omission["because"] for omission in cell.left_out}
    for because in cell.adjusted:
        if because not in reasons:
            yield {"zh": f"调整：{name}：{because}", "en": f"Adjusted on {name}, by the matrix."}
    unjudged = [case.id for case in cell.cases if case.decides and case.skip_reason is SkipReason.LABORATORY]
    if unjudged:
        yield {
            "zh": f"性能未判定：{name} {'、'.join(unjudged)}：测试时实验室繁忙。",
            "en": f"Performance not judged on {name} ({', '.join(unjudged)}): the laboratory was busy.",
        }
    if cell.unsteady:
        yield {
            "zh": f"不稳定：{name} 第 {len(cell.attempts)} 次执行才通过。",
            "en": f"Unsteady: passed only at attempt {len(cell.attempts)}.",
        }


def not_applicable(view: CampaignView) -> list[dict[str, str]]:
    """Cases of the demanded suites that do not apply to a cell: by suite, with the number of cells."""
    cells: dict[tuple[str, str], int] = {}
    for cell in view.cells:
        for case in cell.not_applicable:
            key = (case.suite, case.id)
            cells[key] = cells.get(key, 0) + 1
    suites: dict[str, list[str]] = {}
    for (suite, identity), number in cells.items():
        suites.setdefault(suite, []).append(f"{identity} ({number})")
    return [
        {
            "zh": f"不适用的测试项（括号内为单元数）：{suite}：{'、'.join(cases)}。",
            "en": f"Not applicable, in so many cells: {suite}: {', '.join(cases)}.",
        }
        for suite, cases in suites.items()
    ]


def last_day(profile: IssuerProfile, issued: datetime.date) -> str | None:
    """Until when a certificate that is issued on this day holds, ISO 8601."""
    return (issued + datetime.timedelta(days=profile.valid_days)).isoformat() if profile.valid_days else None


def _records(view: CampaignView, digests: Mapping[str, str], signature: ShownSignature) -> list[dict[str, Any]]:
    at = view.conditions
    rows = (
        ("任务编号", "campaign", view.id),
        ("报告摘要", "report SHA-256", digests["report"]),
        ("网页报告摘要", "HTML report SHA-256", digests["html"]),
        ("记录摘要", "record SHA-256", digests["json"]),
        ("计划摘要", "plan SHA-256", view.plan_digest),
        ("日志链", "journal head", view.journal_head),
        *((("核验脚本摘要", "verify.sh SHA-256", signature.verifier),) if signature.verifier else ()),
        (
            "工具",
            "tools",
            f"harness {condition(at, 'harness')}, {condition(at, 'tools')}, Docker {condition(at, 'engine')}",
        ),
        *((f"签名密钥 {key.algorithm}", "signing key", key.keyid) for key in signature.keys),
    )
    return [{"name": {"zh": zh, "en": en}, "value": value} for zh, en, value in rows]
