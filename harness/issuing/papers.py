"""The papers of a campaign and their issuer: the profile, the commission, the numbers, and PDF signatures."""

from __future__ import annotations

import datetime
import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.certify.certificate import ShownSignature, last_day, render_certificate
from harness.certify.envelopes import Signing
from harness.certify.policy import NOTHING, IssueDecision, decide
from harness.certify.statement import Issue, adaptation
from harness.errors import DefinitionError, Fault
from harness.model.definitions import Commission, IssuerProfile, Text
from harness.model.view import CampaignView
from harness.presentation import Presentation
from harness.presentation.dates import zone
from harness.presentation.typesetting import Place, typeset
from harness.reading.parsing import parse
from harness.report.document import TITLE, Issuing, render_document
from harness.system.canonical import canonical

if TYPE_CHECKING:
    from harness.certify.pades import PdfSigning

STANDARD = "self-test"
#: Checks a signed result with a shell and openssl alone. It never lies beside what it checks.
VERIFIER = "verify.sh"


@dataclass(frozen=True, kw_only=True)
class Office:
    """What an issuer brings: the name of a profile in ``reports/issuers``, and the commission."""

    issuer: str = STANDARD
    commission: Commission = NOTHING

    @classmethod
    def of(cls, issuer: str, commission: Path | None) -> Office:
        """Raises:
        DefinitionError: the commission is missing or wrong.
        """
        return cls(issuer=issuer, commission=parse(commission, Commission) if commission is not None else NOTHING)


def verifier() -> bytes:
    """The shipped ``verify.sh``; a center's own folder of reports does not replace it."""
    return Presentation.standard().path(VERIFIER).read_bytes()


def profile_of(presentation: Presentation, issuer: str) -> IssuerProfile:
    """The issuer's profile.

    Raises:
        DefinitionError: no profile has that name, the profile is wrong, or it names a picture that does not exist.
    """
    path = presentation.path(f"issuers/{issuer}.yaml")
    profile = parse(path, IssuerProfile)
    if profile.issuer != issuer:
        raise DefinitionError(
            [
                Fault(
                    file=str(path),
                    line=1,
                    column=1,
                    message="issuer differs from the file's name",
                    expected=issuer,
                    found=profile.issuer,
                )
            ]
        )
    for picture in filter(None, (profile.logo, profile.seal)):
        presentation.path(picture)
    return profile


@dataclass(kw_only=True)
class Papers:
    """Renders the two PDF documents of a campaign, and signs them where a key can."""

    view: CampaignView
    presentation: Presentation
    office: Office
    profile: IssuerProfile
    decision: IssueDecision
    issue: Issue
    signing: Signing | None

    @classmethod
    def of(cls, view: CampaignView, presentation: Presentation, office: Office, signing: Signing | None) -> Papers:
        """No certificate is made of a view that does not verify.

        Raises:
            DefinitionError: the issuer's profile is missing or wrong.
        """
        profile = profile_of(presentation, office.issuer)
        decision = decide(view, profile, office.commission)
        if view.unverified:
            refusal = Text(
                zh=f"工作区与记录不符：{view.unverified}",
                en=f"the workspace is not what was recorded: {view.unverified}",
            )
            decision = IssueDecision(kind=None, refusals=(refusal, *decision.refusals))
        now = datetime.datetime.now(datetime.UTC)
        today = now.astimezone(zone(profile.utc_offset)).date()  # where it is issued

        def number(pattern: str) -> str:
            return pattern.replace("{campaign}", view.id).replace("{year}", str(today.year))

        amends = office.commission.amends
        issue = Issue(
            number=number(profile.number) if amends is None else amended(amends.number),
            report_number=number(profile.report_number) + ("" if amends is None else f"-A{amendment(amends.number)}"),
            issuer=profile.name.en,
            issued=now.isoformat(timespec="seconds"),
            valid_until=last_day(profile, today),
            type=decision.kind.en if decision.kind is not None else "refused",
        )
        return cls(
            view=view,
            presentation=presentation,
            office=office,
            profile=profile,
            decision=decision,
            issue=issue,
            signing=signing,
        )

    @functools.cached_property
    def _pdf(self) -> PdfSigning | None:
        if self.signing is None or not self.signing.pdf_key:
            return None
        from harness.certify.pades import PdfSigning  # with its libraries it takes a while to be imported

        return PdfSigning(
            store=self.signing.store,
            name=self.signing.pdf_key,
            passphrase=self.signing.passphrase,
            timestamp=self.profile.timestamp,
        )

    @property
    def signature(self) -> ShownSignature:
        """What a document shows of its signatures."""
        return ShownSignature(keys=self.signing.keys if self.signing is not None else (), sealed=self._pdf is not None)

    def report(self, digests: dict[str, str]) -> bytes:
        """The report; ``digests``: SHA-256 of ``json`` and ``html``.

        Raises:
            DefinitionError, InfrastructureError, UsageError: see ``render_document`` and ``PdfSigning.sign``.
        """
        pdf, places = render_document(self.view, self.presentation, self.issuing(), digests)
        return self._sealed(pdf, places, f"{TITLE.en} {self.issue.report_number}")

    def issuing(self) -> Issuing:
        """How the report is issued, whatever form it gets.

        Raises:
            DefinitionError: a sentence of the wording cannot be filled in.
        """
        sentences = list(self.decision.refusals)
        if self.decision.kind is not None:
            kind, number = self.decision.kind, self.issue.number
            words = self.presentation.wording()
            zh, en = (words.sentence("conclusion", "issued", kind=name, number=number) for name in (kind.zh, kind.en))
            sentences = [Text(zh=zh["zh"], en=en["en"])]
        return Issuing(
            number=self.issue.report_number,
            issued=self.issue.issued,
            profile=self.profile,
            commission=self.office.commission,
            state=self.signature.state(self.profile),
            conclusion=sentences,
        )

    def predicate(self) -> dict[str, object]:
        """The content of the certificate, for programs: the predicate that is signed."""
        keys = self.signing.keys if self.signing is not None else ()
        return adaptation(
            self.view,
            self.issue,
            self.profile,
            self.office.commission,
            signers=[key.keyid for key in keys],
            verifier=hashlib.sha256(verifier()).hexdigest(),
        )

    def certificate(self, predicate: dict[str, object], digests: dict[str, str]) -> bytes:
        """The certificate; ``digests``: SHA-256 of ``report``, ``json`` and ``html``. Raises as ``report``."""
        kind = self.decision.kind
        assert kind is not None
        digest = hashlib.sha256(canonical(predicate)).hexdigest()
        shown = self.signature
        code = "" if self.signing is None else self.signing.code(self.issue, digest, self.profile.verification)
        signature = ShownSignature(
            keys=shown.keys,
            sealed=shown.sealed,
            code=code,
            statement=digest,
            verifier=hashlib.sha256(verifier()).hexdigest() if shown.keys else "",
        )
        pdf, places = render_certificate(
            self.view,
            self.presentation,
            self.profile,
            kind,
            self.issue,
            digests,
            commission=self.office.commission,
            signature=signature,
        )
        return self._sealed(pdf, places, f"{kind.en} {self.issue.number}")

    def _sealed(self, pdf: bytes, places: dict[str, Place], reason: str) -> bytes:
        signer = self._pdf
        if signer is None:
            return pdf
        if "seal" not in places:
            raise DefinitionError(
                [
                    Fault(
                        file="reports",
                        line=1,
                        column=1,
                        message="the template names no place for the seal",
                        expected='#metadata((name: "seal", page: …, x: …, y: …, width: …, height: …)) <place>',
                    )
                ]
            )
        data = {
            "around": self.profile.name.zh,
            "picture": self.profile.seal,
            "below": self.profile.seal_words.model_dump()
            if self.profile.seal_words is not None
            else self.presentation.wording().pair("seal", "below"),
        }
        files = {self.profile.seal: self.presentation.path(self.profile.seal).read_bytes()} if self.profile.seal else {}
        seal, _ = typeset(self.presentation, "seal.typ", data, files)
        return signer.sign(pdf, seal, places["seal"], reason=reason)


def amended(number: str) -> str:
    """The number of what replaces a certificate: the same with ``-A1``, then ``-A2``, …"""
    return f"{re.sub(r'-A[0-9]+$', '', number)}-A{amendment(number)}"


def amendment(number: str) -> int:
    """Which amendment it is that replaces a certificate, from 1."""
    match = re.search(r"-A([0-9]+)$", number)
    return int(match[1]) + 1 if match is not None else 1
