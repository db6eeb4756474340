"""A campaign as its record (``campaign.json``) tells it: only what gates and comparisons need.

These are not the classes of ``harness.model.view``, from which records are rendered: a record may come from an older or
a newer harness, so that what a gate does not need may be absent or of another shape, and a view may not.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import UsageError
from harness.model.results import Cause, Result, SkipReason, Verdict
from harness.system.canonical import read_json


class _Read(BaseModel):
    # A record of a later version may say more; what it says of these must be what is expected here.
    model_config = ConfigDict(frozen=True, extra="ignore")


class MeasurementRecord(_Read):
    """A figure that a case measured."""

    name: str
    value: float
    unit: str


class TitleRecord(_Read):
    """A title in both languages."""

    zh: str
    en: str


class CaseRecord(_Read):
    """The end of a case at the last attempt of its cell."""

    suite: str
    id: str
    title: TitleRecord
    decides: bool
    result: Result
    cause: Cause | None
    skip_reason: SkipReason | None = None
    detail: str
    measurements: tuple[MeasurementRecord, ...]
    #: Of a static case: files with findings that count against it; None where the record does not say.
    against: tuple[str, ...] | None = None


class AttemptOutcome(_Read):
    """The verdict of an attempt; ``number`` counts from 1."""

    number: int
    verdict: Verdict


class WaiverRecord(_Read):
    """A waiver of the matrix that accepted a case when the cell was judged."""

    suite: str
    case: str
    because: str
    approved_by: str
    expires: datetime.date


class PackageRecord(_Read):
    """A package that was installed; ``sha256`` is empty where its file is not known."""

    name: str
    version: str
    architecture: str
    sha256: str = ""


class CellRecord(_Read):
    """One planned cell, with the cases of its last attempt."""

    id: str
    short: str
    axes: dict[str, str]
    verdict: Verdict
    cause: Cause | None
    message: str
    attempts: tuple[AttemptOutcome, ...]
    cases: tuple[CaseRecord, ...]
    packages: tuple[PackageRecord, ...]
    database_packages: tuple[PackageRecord, ...]
    foundation_packages: tuple[PackageRecord, ...] = ()
    attestation: tuple[dict[str, Any], ...]
    images: tuple[str, ...]
    version: str
    seconds: dict[str, float]
    notes: tuple[str, ...] = ()
    waived: tuple[WaiverRecord, ...] = ()

    @property
    def unsteady(self) -> bool:
        """Whether it passed only after an attempt at which the product failed."""
        passed = self.verdict in (Verdict.CONFORMANT, Verdict.CONDITIONAL)
        return passed and any(attempt.verdict is Verdict.NONCONFORMANT for attempt in self.attempts[:-1])

    @property
    def deployed(self) -> bool:
        """Whether anything is known of its machines: some attempts end before there are any."""
        return bool(self.attestation or self.packages or self.images)

    @property
    def label(self) -> str:
        """The cell by the values of its axes."""
        return " · ".join(self.axes.values())


class SuiteRecord(_Read):
    """A suite of the campaign; ``digest`` is over its files (SHA-256)."""

    suite: str
    version: str
    digest: str = ""


class CampaignRecord(_Read):
    """A whole campaign; no planned cell is left out."""

    id: str
    matrix: str
    created: str
    verdict: Verdict
    plan_digest: str
    cells: tuple[CellRecord, ...]
    suites: tuple[SuiteRecord, ...]
    conditions: dict[str, Any]
    unverified: str = ""  #: why the campaign did not verify when the record was made


def read_record(path: Path) -> CampaignRecord:
    """Read a record.

    Raises:
        UsageError: there is no such file, or it is not a record of a campaign.
    """
    try:
        return CampaignRecord.model_validate(read_json(path.read_bytes()))
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise UsageError(message, advice="name a campaign or a campaign.json") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{path} is no record of a campaign: {place}: {first['msg']}", advice="render it again with: harness report"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}", advice="render it again with: harness report") from error
