"""A transaction of the journal that writes: rows, and the events that stand for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from harness.evidence import tables
from harness.evidence.chain import GENESIS, WORKSPACE, link
from harness.evidence.journal import now
from harness.evidence.tables import json_text


class Unit:
    """One transaction that writes. Events are put behind their chains, and written when it ends."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self._heads: dict[str, tuple[int, str]] = {}
        self._events: list[dict[str, Any]] = []
        self.written: list[dict[str, Any]] = []  #: events that were sent to the database
        self.ends = False  #: everything was sent; what is left is its commit

    def append(self, kind: str, data: Mapping[str, Any], campaign: str, cell: str = "", number: int = 0) -> int:
        """Put an event behind the newest of its chain; gives its number there."""
        length, head = self.head(campaign)
        row = {
            "campaign": campaign,
            "seq": length + 1,
            "time": now(),
            "cell": cell,
            "number": number,
            "kind": kind,
            "data": json_text(data),
            "previous": head,
        }
        row["digest"] = link(row)
        self._events.append(row)
        self._heads[campaign] = (length + 1, str(row["digest"]))
        return length + 1

    def head(self, campaign: str) -> tuple[int, str]:
        """Length and head of a chain, which nobody else can lengthen until this transaction ends."""
        if campaign not in self._heads:
            end = self.end_of(campaign)
            if end is None and campaign != WORKSPACE:
                self.head(WORKSPACE)  # who begins a chain holds the workspace's, so it is begun once
                end = self.end_of(campaign)
            self._heads[campaign] = end or (0, self._enter(campaign))
        return self._heads[campaign]

    def end_of(self, campaign: str) -> tuple[int, str] | None:
        """Lock a chain; gives its length and head, None where it was not begun."""
        table = tables.chains
        query = sa.select(table.c.length, table.c.head).where(table.c.campaign == campaign).with_for_update()
        row = self.connection.execute(query).first()
        return (row[0], row[1]) if row is not None else None

    def _enter(self, campaign: str) -> str:
        """Begin a chain: the event that enters it into the workspace's chain is where it begins."""
        if campaign == WORKSPACE:
            begin = GENESIS
        else:
            self.append("chain-opened", {"chain": campaign}, WORKSPACE)
            begin = self._heads[WORKSPACE][1]
        self.connection.execute(tables.chains.insert().values(campaign=campaign, length=0, head=begin))
        return begin

    def enter_head(self, campaign: str) -> None:
        """Enter how far a chain was written into the workspace's chain."""
        length, head = self.head(campaign)
        self.append("chain-head", {"chain": campaign, "length": length, "head": head}, WORKSPACE)

    def flush(self) -> None:
        """Write the events and the heads of their chains."""
        if not self._events:
            return
        self.connection.execute(tables.events.insert(), self._events)
        table = tables.chains
        for campaign in dict.fromkeys(event["campaign"] for event in self._events):
            length, head = self._heads[campaign]
            self.connection.execute(table.update().where(table.c.campaign == campaign).values(length=length, head=head))
        self.written += self._events
        self._events.clear()
