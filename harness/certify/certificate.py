"""The certificate: refused unless every planned cell passed, and never more than the fidelity allows."""

from __future__ import annotations

import datetime
import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import segno
from markupsafe import Markup

from harness.certify.keys import PublicKey
from harness.definitions import parse
from harness.definitions.presentation import Presentation
from harness.errors import DefinitionError, Fault
from harness.model.definitions import IssuerProfile
from harness.model.results import Fidelity, Verdict
from harness.model.view import CampaignView

if TYPE_CHECKING:
    import weasyprint

#: The only profile of this version.
PROFILE = "self-test"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What the document may be called."""

    zh: str
    en: str
    pre: bool  #: not every cell has a fidelity that the issuer's policy accepts
    conditional: bool  #: some cells passed only because of waivers


ADAPTATION = Kind(zh="适配证书", en="Certificate of Adaptation", pre=False, conditional=False)
PRE_ADAPTATION = Kind(zh="预适配证书", en="Certificate of Pre-adaptation", pre=True, conditional=False)


@functools.cache
def typesetter() -> Callable[..., weasyprint.HTML]:
    """WeasyPrint, imported when it is wanted: with its fonts and libraries it takes most of a second.

    A campaign calls this while its first cells wait for the engine.
    """
    from weasyprint import HTML

    return cast("Callable[..., weasyprint.HTML]", HTML)


def why_not(view: CampaignView) -> str:
    """Why no certificate may be issued, in one sentence; empty where one may."""
    if view.interrupted:
        return "the campaign was interrupted / 任务被中断"
    bad = [cell for cell in view.cells if cell.verdict not in (Verdict.CONFORMANT, Verdict.CONDITIONAL)]
    if not view.cells:
        return "the plan has no cell / 计划中没有单元"
    if bad:
        words = sorted({cell.verdict.value for cell in bad})
        return (f"{len(bad)} of {len(view.cells)} planned cells are {', '.join(words)} / "
                f"{len(view.cells)} 个计划单元中有 {len(bad)} 个未通过")  # fmt: skip
    return ""


def kind_of(view: CampaignView, profile: IssuerProfile) -> Kind:
    """Adaptation only where the fidelity of every cell is one that the issuer's policy accepts; waivers show in it."""
    fidelities = {cell.fidelity for cell in view.cells}
    plain = ADAPTATION if fidelities <= set(profile.adaptation) else PRE_ADAPTATION
    if not any(cell.verdict is Verdict.CONDITIONAL for cell in view.cells):
        return plain
    return replace(plain, zh=f"{plain.zh}（带条件）", en=f"{plain.en} (conditional)", conditional=True)


def profile_of(presentation: Presentation) -> IssuerProfile:
    """The issuer's profile.

    Raises:
        DefinitionError: it is wrong, or claims what this version cannot do.
    """
    path = presentation.path(f"issuers/{PROFILE}.yaml")
    profile = parse(path, IssuerProfile)
    if profile.signed:
        raise DefinitionError([
            Fault(file=str(path), line=1, column=1, message="this version cannot sign a certificate",
                  expected="signed: false", found="signed: true")
        ])  # fmt: skip
    return profile


def last_day(profile: IssuerProfile, issued: datetime.date) -> str | None:
    """Until when a certificate that is issued on this day holds, ISO 8601."""
    return (issued + datetime.timedelta(days=profile.valid_days)).isoformat() if profile.valid_days else None


def render_certificate(view: CampaignView, presentation: Presentation, report_sha256: str, record_sha256: str,
                       keys: Sequence[PublicKey] = ()) -> bytes:  # fmt: skip
    """The certificate as PDF. ``report_sha256`` and ``record_sha256`` name the HTML report and the JSON record;
    ``keys`` are those that will sign a statement about it, beside it.

    Raises:
        ValueError: ``why_not`` gives a reason.
        DefinitionError: the issuer's profile is wrong, or claims what this version cannot do.
    """
    reason = why_not(view)
    if reason:
        raise ValueError(reason)
    profile = profile_of(presentation)
    number = profile.number.replace("{campaign}", view.id)
    today = datetime.datetime.now(datetime.UTC).date()
    code = segno.make(f"XC-RECORD:{number}:{record_sha256}", error="m")
    picture = io.BytesIO()
    code.save(picture, kind="svg", xmldecl=False, svgns=True, border=0, unit="mm", scale=0.55)
    html = presentation.render(
        "certificate.html.j2",
        view=view, profile=profile, kind=kind_of(view, profile), number=number, report_sha256=report_sha256,
        record_sha256=record_sha256, qr=Markup(picture.getvalue().decode()),  # noqa: S704  # made by segno
        keys=keys, issued=today.isoformat(), valid_until=last_day(profile, today),
        emulated=sum(1 for c in view.cells if c.fidelity in (Fidelity.USER_EMULATED, Fidelity.SYSTEM_EMULATED)),
    )  # fmt: skip
    pdf: bytes = typesetter()(string=html).write_pdf()
    return pdf
