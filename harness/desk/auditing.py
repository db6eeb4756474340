"""The audit trail: lines, and whether its chain holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from harness.desk import tables
from harness.desk.database import Actor, Database, rows

PAGE = 50
GENESIS = "0" * 64


def trail(desk: Database, actor: Actor, before: int | None = None, size: int = PAGE) -> list[Mapping[str, Any]]:
    """Lines of the trail, the newest first; ``before``: those with a smaller number."""
    query = sa.select(tables.audit).order_by(tables.audit.c.seq.desc()).limit(size)
    if before is not None:
        query = query.where(tables.audit.c.seq < before)
    with desk.acting(actor) as connection:
        return rows(connection, query)


def broken_at(desk: Database, actor: Actor) -> int | None:
    """The number of the first line that is not what was written, or does not follow the line before; None: all hold.

    Lines that were cut off at the end cannot be seen here: compare the last digest with one that was written down.
    """
    previous, number = GENESIS, 0
    with desk.acting(actor) as connection:
        query = sa.select(tables.audit).order_by(tables.audit.c.seq)
        with connection.execution_options(yield_per=1000).execute(query) as lines:
            for line in lines.mappings():
                row, number = dict(line), number + 1
                if row["seq"] != number or row["previous"] != previous or row["digest"] != digest_of(row):
                    return number
                previous = row["digest"]
    return None


def digest_of(row: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a line, computed as the database does: a JSON array of its columns, in UTF-8."""
    names = ("seq", "time", "person", "who", "address", "action", "subject", "detail", "previous")
    text = json.dumps([row[name] for name in names], ensure_ascii=False, separators=(", ", ", "))
    return hashlib.sha256(text.encode()).hexdigest()
