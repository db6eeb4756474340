"""The form of an application: what a page, and the API, may fill in, and what has to be there when it is submitted."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: Kinds of products, and trades; what they mean to people is in ``reports/desk/wording.yaml``.
Kind = Literal["", "application", "middleware", "database", "system", "security", "tool", "other"]
Industry = Literal[
    "", "government", "finance", "telecom", "energy", "transport", "education", "health", "manufacturing", "other"
]
KINDS: tuple[str, ...] = get_args(Kind)[1:]
INDUSTRIES: tuple[str, ...] = get_args(Industry)[1:]
#: So many platforms stand on the face of a certificate.
MOST_PLATFORMS = 8
#: Registration of a computer program's copyright: year, SR, seven digits.
_COPYRIGHT = re.compile(r"^(19|20)[0-9]{2}SR[0-9]{6,7}$")

Line = Annotated[str, StringConstraints(max_length=64, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]*$")]
Passage = Annotated[str, StringConstraints(max_length=1000, strip_whitespace=True)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Platform(_Part):
    """One row of platforms: names of the catalogue."""

    cpu: Line = ""
    os: Line = ""
    database: Line = ""


class Form(_Part):
    """What an applicant says of a product. A draft may lack anything; see ``lacking``."""

    product: Line = ""
    version: Line = ""
    kind: Kind = ""
    industry: Industry = ""
    introduction: Passage = ""
    scenarios: Passage = ""
    copyright: Line = Field(default="", description="software copyright registration (软件著作权登记号), 2026SR0123456")
    contact: Line = ""
    platforms: tuple[Platform, ...] = Field(default=(), max_length=MOST_PLATFORMS)
    agreed: bool = False


def lacking(form: Form, uploads: int) -> dict[str, str]:
    """What keeps a form from being submitted: field -> key of a sentence. ``uploads``: artifacts that were scanned."""
    faults = {
        name: "needed"
        for name in ("product", "version", "kind", "industry", "introduction", "scenarios", "contact")
        if not getattr(form, name)
    }
    if form.copyright and not _COPYRIGHT.match(form.copyright):
        faults["copyright"] = "copyright_form"
    if not form.platforms or any(not (each.cpu and each.os) for each in form.platforms):
        faults["platforms"] = "platforms_needed"
    elif len(set(form.platforms)) != len(form.platforms):
        faults["platforms"] = "platforms_twice"
    if not form.agreed:
        faults["agreed"] = "agreement"
    if not uploads:
        faults["artifacts"] = "artifacts_needed"
    return faults
