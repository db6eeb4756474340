"""How certificates stand by the register: what is published counts, not what the desk means to have published."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from harness.desk import tables
from harness.desk.office import Office
from harness.errors import UsageError
from harness.signing.lines import read_time


@dataclass(frozen=True, kw_only=True)
class Standing:
    """``status``: one of the register's, or ``unknown`` where it cannot be read. ``since``, ``reason`` and ``by`` (the
    number in the place of a superseded one) are those of the status list; empty where the certificate is active.
    ``fresh``: whether the list may be relied on, or a newer one is overdue."""

    status: str
    since: str = ""
    reason: str = ""
    by: str = ""
    fresh: bool = True

    def shown(self, valid_until: str = "") -> dict[str, Any]:
        """For people: an active certificate whose last day (in UTC, as it is checked) is over is ``expired``, and one
        of which only an overdue list says that it is active is ``unknown``."""
        status = self.status
        if status == "active" and not self.fresh:
            status = "unknown"
        elif status == "active" and valid_until and valid_until < _now().date().isoformat():
            status = "expired"
        return {"status": status, "since": self.since, "reason": self.reason, "by": self.by}


@dataclass(frozen=True, kw_only=True)
class Standings:
    """Of all certificates, as one status list has them; ``entries`` is None where there is no list that can be read."""

    entries: Mapping[str, Mapping[str, str]] | None
    fresh: bool = False

    def of(self, number: str) -> Standing:
        """How one certificate stands."""
        if self.entries is None:
            return Standing(status="unknown")
        if (entry := self.entries.get(number)) is None:
            return Standing(status="active", fresh=self.fresh)
        return Standing(status=entry["status"], since=entry["time"], reason=entry["reason"], by=entry["by"])

    def numbers(self, *statuses: str) -> list[str]:
        """Those that the list names with one of these statuses; without statuses all that it names."""
        entries = (self.entries or {}).items()
        return [number for number, entry in entries if not statuses or entry["status"] in statuses]


def standings(office: Office) -> Standings:
    """How certificates stand now; unknown where the desk has no register, or it cannot be read."""
    if office.seals is None:
        return Standings(entries=None)
    try:
        said = office.seals.register.status_list()
        entries = {
            entry["number"]: {name: str(entry[name]) for name in ("status", "time", "reason", "by")}
            for entry in said.entries
        }
        return Standings(entries=entries, fresh=_now() <= read_time(said.next_update))
    except (UsageError, ValueError, KeyError, TypeError):
        return Standings(entries=None)


def with_links(connection: sa.Connection, certificates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``state`` with ``page``: whether the certificate in the place of a superseded one has a page here."""
    named = {each["state"]["by"] for each in certificates} - {""}
    column = tables.certificates.c.number
    here = set(connection.execute(sa.select(column).where(column.in_(named))).scalars()) if named else set()
    return [{**each, "state": {**each["state"], "page": each["state"]["by"] in here}} for each in certificates]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
