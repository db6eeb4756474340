"""Changes of the status of a certificate: which lead from where to where, who proposes, and who decides.

Pure, as ``harness.desk.flow``; the same table stands in the database (``desk.status_kinds``), beside the same rules.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from harness.register.register import State

Kind = Literal["suspend", "reinstate", "revoke", "supersede"]
Decision = Literal["carried_out", "refused", "withdrawn"]
DECISIONS: tuple[Decision, ...] = ("carried_out", "refused", "withdrawn")
#: Who may propose, and who decides what another person proposed.
PROPOSERS, DECIDERS = ("reviewer", "approver"), ("approver",)
MOST_REASON = 200

#: Suggestions for the reason, of which any other line may be written: the register takes free text. What they mean to
#: people is in ``reports/desk/wording.yaml``.
REASONS: dict[str, tuple[str, ...]] = {
    "suspend": ("complaint", "defect", "changed", "inspection"),
    "reinstate": ("settled", "mended"),
    "revoke": ("false_record", "defect", "misuse", "asked"),
    "supersede": ("amended", "newer"),
}


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    """``kind`` leads from each of ``sources`` to ``target``: states as the register has them."""

    kind: Kind
    sources: tuple[State, ...]
    target: State


CHANGES = (
    StatusChange(kind="suspend", sources=("active",), target="suspended"),
    StatusChange(kind="reinstate", sources=("suspended",), target="active"),
    StatusChange(kind="supersede", sources=("active", "suspended"), target="superseded"),
    StatusChange(kind="revoke", sources=("active", "suspended", "superseded"), target="revoked"),
)
_BY: dict[str, StatusChange] = {change.kind: change for change in CHANGES}


def change_of(kind: str) -> StatusChange | None:
    """The change of this kind; None where there is none."""
    return _BY.get(kind)


def possible(status: str, roles: Collection[str]) -> list[StatusChange]:
    """The changes that a person may propose while the register has a certificate in this status."""
    if not set(PROPOSERS) & set(roles):
        return []
    return [change for change in CHANGES if status in change.sources]


def decision_refusal(decision: str, *, person: int, roles: Collection[str], proposer: int, tested: bool) -> str | None:
    """Why a person may not decide so about a proposal: ``decided``, ``role``, ``second`` or ``duty``; None: they may.

    ``tested``: whether the person tested the product: nobody approves what they tested, so nobody decides about its
    certificate either.
    """
    if decision not in DECISIONS:
        return "decided"
    if decision == "withdrawn":
        return None if person == proposer else "role"
    if not set(DECIDERS) & set(roles):
        return "role"
    if person == proposer:
        return "second"
    return "duty" if tested else None
