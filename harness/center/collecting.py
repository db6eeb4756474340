"""Removes evidence that nothing names any more: of submissions and attempts that broke off before they named it.

What the database names is whatever looks like a SHA-256 in any text of its record, and what the lists of inputs name:
rather too much is kept than too little. The store is listed before the database is read, so what was named in between
is kept; and only what is older than the grace is removed, while whatever is stored again becomes new.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from harness.campaigns import inputs
from harness.center.granting import demand_owner
from harness.center.queueing import Center
from harness.errors import HarnessBug
from harness.evidence import tables
from harness.evidence.store import RENEW_SECONDS

#: By default, and at least: between storing and naming a file there must never be so much time. In hours.
GRACE_HOURS, SHORTEST_HOURS = 48, 24
_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
#: Columns of the record in which digests of files stand.
_TEXTS = (
    tables.files.c.sha256,
    tables.campaigns.c.plan,
    tables.campaigns.c.options,
    tables.campaigns.c.conditions,
    tables.attempts.c.facts,
    tables.observations.c.evidence,
    tables.observations.c.detail,
    tables.events.c.data,
)
assert SHORTEST_HOURS * 3600 > RENEW_SECONDS


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Files that are named, or too new; files and bytes that were removed, or would be; uploads that broke off."""

    kept: int
    removed: int
    size: int
    broken: int


def collect(center: Center, grace: float, *, dry: bool = False) -> Collected:
    """Remove files of the center's evidence that nothing names and that are older than ``grace`` seconds; with ``dry``
    only count them.

    Raises:
        UsageError: this process sees a part of the record only.
        InfrastructureError: database or store do not answer, or a list of inputs cannot be read: nothing was removed.
    """
    demand_owner(center)
    store = center.workspace.store
    files = list(store.kept())
    named = _named(center)
    old = [file for file in files if file.age > grace and file.digest not in named]
    if dry:
        return Collected(kept=len(files) - len(old), removed=len(old), size=sum(f.size for f in old), broken=0)
    gone = [file for file in old if store.remove(file.digest, grace)]
    size, broken = sum(file.size for file in gone), store.tidy(grace)
    return Collected(kept=len(files) - len(gone), removed=len(gone), size=size, broken=broken)


def _named(center: Center) -> set[str]:
    """Every digest that the database names, and that a list of inputs does."""
    named: set[str] = set()
    for column in _TEXTS:
        for text in _texts(center, column):
            named.update(_DIGEST.findall(text))
    for campaign in center.journal.campaigns():
        digest = str(campaign.plan.get("inputs", ""))
        if digest and digest not in named:
            raise HarnessBug(f"campaign {campaign.id} names its inputs {digest} where nothing is looked for")
        if digest:
            named.update(file.sha256 for file in inputs.listed(digest, center.workspace.store).files.values())
    return named


def _texts(center: Center, column: sa.Column[str]) -> Iterator[str]:
    """A column as it stands, some rows at a time."""
    plain = sa.select(sa.type_coerce(column, sa.Text)).execution_options(yield_per=1000)
    with center.journal.reading() as connection:
        for row in connection.execute(plain):
            yield row[0] or ""
