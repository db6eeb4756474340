"""Issuer profiles (who issues, numbers, wording, policy), commissions (who asked, who tested, what is particular)."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Bilingual, Definition, Name, listed
from harness.model.results import Fidelity

ISO_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def _fidelities(value: object) -> object:
    return tuple(Fidelity(word) for word in value) if isinstance(value, list) else value


def _day(value: Any) -> Any:
    """YAML reads a date where one is written; it is kept as the text that it was."""
    return value.isoformat() if isinstance(value, datetime.date) else value


#: Of certificates and reports: no spaces, and nothing that means something to a shell's grep, by which verify.sh looks
#: for one.
_PLAIN = r"""[^\s\x00-\x1f"'\\\[\]*^$?+|{}<>&;`]"""
Number = Annotated[str, Field(pattern=rf"^{_PLAIN}{{1,64}}$")]
NumberPattern = Annotated[str, Field(pattern=rf"^{_PLAIN}*([{{]year[}}]{_PLAIN}*)?[{{]campaign[}}]{_PLAIN}*$")]
Fidelities = Annotated[tuple[Fidelity, ...], BeforeValidator(_fidelities, json_schema_input_type=list[Fidelity])]
Day = Annotated[str, BeforeValidator(_day, json_schema_input_type=str), Field(pattern=ISO_DAY)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Texts = Annotated[tuple[Bilingual, ...], BeforeValidator(listed)]


class Mark(Definition):
    """A mark that only accredited laboratories may print, with the number of the accreditation."""

    mark: Literal["CNAS", "CMA", "ilac-MRA"]
    number: str = Field(min_length=1)


class Titles(Definition):
    """What the two kinds of certificate are called."""

    adaptation: Bilingual = Field(default={"zh": "适配证书", "en": "Certificate of Adaptation"}, validate_default=True)
    pre_adaptation: Bilingual = Field(
        default={"zh": "预适配证书", "en": "Certificate of Pre-adaptation"}, validate_default=True
    )


class IssuerProfile(Definition):
    """One file of ``reports/issuers``."""

    issuer: Name
    name: Bilingual
    address: Bilingual | None = None
    contact: str = ""
    applicant: Bilingual = Field(description="where no commission names one")
    number: NumberPattern = Field(
        description="of a certificate; {campaign} stands for the campaign's id, {year} for the year"
    )
    report_number: NumberPattern = Field(default="XR-{campaign}", description="of a report, with the same words")
    titles: Titles = Titles()
    adaptation: Fidelities = Field(description="fidelities that lead to an adaptation certificate; others to a 预适配")
    pre_adaptation: bool = Field(default=True, description="false: nothing is issued for other fidelities")
    conditional: bool = Field(default=True, description="false: nothing is issued where failures were waived")
    inheritance: bool = Field(default=False, description="whether results of earlier certificates may be taken over")
    certifies: dict[str, Fidelities] = Field(
        default={},
        description="quality characteristic -> fidelities on which it is certified; recorded only on all others",
    )
    validity: Bilingual
    valid_days: int | None = Field(
        default=None, ge=1, le=36500, description="days from its issue; none: bound to the product's versions alone"
    )
    decision_rule: Bilingual | None = None
    conclusion: Bilingual | None = Field(default=None, description="sentence that follows what was found")
    signed: bool = Field(description="true: what is not signed is a draft, and marked as one")
    accepted: Annotated[tuple[Sha256, ...] | None, BeforeValidator(listed)] = Field(
        default=None,
        description="SHA-256 of suites and targets that certify beside those that the harness ships; where it is "
        "given, nothing else does; none: whatever was used is printed, and whether it is what is shipped",
    )
    accreditation: Annotated[tuple[Mark, ...] | None, BeforeValidator(listed)] = Field(
        description="marks with their numbers; without a number no mark is printed"
    )
    logo: str = Field(default="", pattern=r"^([A-Za-z0-9._-]+\.(svg|png|jpg))?$", description="file in reports/")
    seal: str = Field(
        default="", pattern=r"^([A-Za-z0-9._-]+\.(svg|png|jpg))?$", description="file in reports/; drawn where none is"
    )
    utc_offset: str = Field(
        default="+08:00",
        pattern=r"^[+-](0[0-9]|1[0-4]):[0-5][0-9]$",
        description="at which report and certificate write their dates; records keep UTC",
    )
    seal_words: Bilingual | None = Field(
        default=None,
        description="below the star of a seal that is drawn, as 检验检测专用章; else those of wording.yaml",
    )
    category: Bilingual | None = Field(
        default=None, description="of its tests (检验检测类别), where no commission says"
    )
    notices: Texts = Field(default=(), description="the page 注意事项 of a report, in place of the shipped sentences")
    timestamp: str = Field(default="", pattern=r"^(https?://.+)?$", description="time-stamping authority (RFC 3161)")
    verification: str = Field(
        default="", pattern=r"^(https?://[^#]+)?$", description="address that the QR code leads to; {number} in it"
    )


class Amendment(Definition):
    """The certificate that this one replaces, and why."""

    number: Number
    because: Bilingual


class Inheritance(Definition):
    """A result of another certificate that is taken over for a platform that was not tested here."""

    platform: Bilingual
    certificate: str = Field(min_length=1, description="number of the certificate that it comes from")
    report: str = Field(min_length=1, description="number of the report behind it")
    report_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    because: Bilingual = Field(description="why what was shown there holds here")
    reviewed_by: str = Field(min_length=1)


class SigningDays(Definition):
    """On which day each person signed; a line to be filled in by hand where none is given."""

    author: Day | None = None
    reviewer: Day | None = None
    approver: Day | None = None


class Commission(Definition):
    """``commission.yaml``: what people know of a test and no machine sees."""

    applicant: Bilingual | None = None
    applicant_address: Bilingual | None = None
    contact: str = ""
    category: Bilingual | None = Field(default=None, description="of the test (检验检测类别), as 委托测试")
    order: str = Field(default="", max_length=64, description="number of the order or contract (任务单号)")
    sample: str = Field(default="", max_length=64, description="number that the item was given (样品编号)")
    producer: Bilingual | None = Field(default=None, description="who makes the item (生产单位); else its vendor")
    purpose: Bilingual | None = Field(
        default=None, description="of the test (测试目的); else a sentence of wording.yaml"
    )
    received: Day | None = Field(default=None, description="day on which the item came")
    state: Bilingual | None = Field(default=None, description="of the item when it came")
    place: Bilingual | None = Field(default=None, description="of the activity: laboratory, on site, remote")
    sampling: Bilingual | None = None
    deviations: Texts = Field(default=(), description="from the methods")
    external: Texts = Field(default=(), description="results of external providers")
    opinions: Texts = Field(default=(), description="opinions and interpretations, shown as such")
    uncertainty: Bilingual | None = None
    author: str = Field(default="", description="who wrote the report (编制); else the tester")
    tester: str = ""
    reviewer: str = ""
    approver: str = Field(default="", description="who authorises report and certificate")
    signed_on: SigningDays = SigningDays()
    amends: Amendment | None = None
    inherits: Annotated[tuple[Inheritance, ...], BeforeValidator(listed)] = ()

    @model_validator(mode="after")
    def _different_people(self) -> Self:
        people = [person for person in (self.tester, self.reviewer, self.approver) if person]
        if len(set(people)) != len(people):
            raise ValueError("tester, reviewer and approver are different people")
        if self.author and self.author in (self.reviewer, self.approver):
            raise ValueError("who wrote the report neither reviews nor approves it")
        return self
