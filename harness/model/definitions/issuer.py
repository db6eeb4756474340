"""Issuer profiles: who issues, numbers, wording, and the policy on fidelity."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from harness.model.definitions.base import Bilingual, Definition
from harness.model.results import Fidelity


def _fidelities(value: object) -> object:
    return tuple(Fidelity(word) for word in value) if isinstance(value, list) else value


class IssuerProfile(Definition):
    """One file of ``reports/issuers``."""

    issuer: str
    name: Bilingual
    applicant: Bilingual
    number: str = Field(description="number of a certificate; {campaign} stands for the campaign's id")
    adaptation: Annotated[tuple[Fidelity, ...], BeforeValidator(_fidelities, json_schema_input_type=list[Fidelity])]
    validity: Bilingual
    valid_days: int | None = Field(
        default=None, ge=1, le=36500, description="days from its issue; none: bound to the product's versions alone"
    )
    signed: bool = Field(description="must be false: this version cannot sign")
    accreditation: str | None = Field(description="CNAS or CMA number; without one no such mark is printed")
