"""Moves the record of a workspace from its file into an empty database of a center, and proves that it is the same.

Rows are copied as they stand, to the byte: JSON stays the text that it is, so digests and chains of events hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from harness.errors import InfrastructureError, UsageError
from harness.evidence import tables
from harness.evidence.chain import WORKSPACE
from harness.evidence.checking import broken_at
from harness.evidence.database import DatabaseJournal
from harness.evidence.store import EvidenceStore, changed
from harness.evidence.units import Unit

#: In the order in which they are copied; what a center has beside them stays empty.
MOVED = (
    tables.campaigns,
    tables.attempts,
    tables.observations,
    tables.files,
    tables.resources,
    tables.events,
    tables.chains,
    tables.claims,
)
#: Rows that are read and written at once.
PIECE = 500


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Rows by table, and files of evidence that were copied."""

    rows: Mapping[str, int]
    files: int


def move(source: DatabaseJournal, target: DatabaseJournal, kept: EvidenceStore, store: EvidenceStore) -> Moved:
    """Copy the record of ``source`` and its evidence (``kept``) into ``target`` and ``store``; the source stays as it
    is. Evidence comes first: what the database names is then there.

    Raises:
        UsageError: the target holds a record already.
        InfrastructureError: evidence is missing or was changed, the copy is not what the source is, or a database does
            not answer; then nothing of the record was written.
    """
    if target.campaigns() or (target.chain(WORKSPACE) or (0, ""))[0]:
        raise UsageError(
            f"{target.engine.place} holds a record already, and two records cannot be made into one",
            advice="name an empty database in HARNESS_DATABASE_URL",
        )
    if broken := broken_at(source):
        raise InfrastructureError(
            f"the chain of events of {broken[0] or 'the workspace'} is broken at event {broken[1]}",
            advice="see: harness verify; restore the workspace from a copy",
        )
    files = _evidence(source, kept, store)

    def work(unit: Unit) -> dict[str, int]:
        target.engine.alone(unit.connection)
        rows: dict[str, int] = {}
        with source.engine.snapshot() as connection:
            unit.connection.execute(tables.chains.delete())  # the workspace's, which every new database has
            for table in MOVED:
                before = Rows()
                for piece in _pieces(connection, table):
                    before.add(piece)
                    unit.connection.execute(_plain(table).insert(), piece)
                after = Rows()
                for piece in _pieces(unit.connection, table):
                    after.add(piece)
                rows[table.name] = after.count
                if before != after:
                    raise InfrastructureError(
                        f"{target.engine.place} gives other rows of {table.name} back than were written",
                        advice="make the database with the encoding UTF8; nothing was moved",
                    )
            # No claim is taken along, but the tokens: they only ever grow.
            unit.connection.execute(tables.claims.update().values(worker="", cancel=""))
        return rows

    return Moved(rows=target.transact("moving the record", work), files=files)


def _evidence(source: DatabaseJournal, kept: EvidenceStore, store: EvidenceStore) -> int:
    """Copy every file of a store, each checked; gives how many. What the record names and is missing is an error."""
    named = {file.sha256 for campaign in source.campaigns() for file in source.files(campaign.id)}
    there = {file.digest for file in kept.kept()}
    if missing := sorted(named - there):
        raise InfrastructureError(
            f"{len(missing)} files of evidence are missing in {kept.place}, the first {missing[0]}",
            advice="restore the workspace, or see what is wrong: harness verify",
        )
    if store.place != kept.place:
        for digest in sorted(there):
            if store.put_file(kept.path(digest)) != digest:
                raise changed(digest)
    return len(there)


def _plain(table: sa.Table) -> sa.TableClause:
    """The table without the meaning of its columns: texts of JSON are read and written as they stand."""
    return sa.table(table.name, *(sa.column(column.name) for column in table.columns))


def _pieces(connection: sa.Connection, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    """All rows, some at a time."""
    result = connection.execute(sa.select(_plain(table)).execution_options(yield_per=PIECE))
    for partition in result.mappings().partitions(PIECE):
        yield [dict(row) for row in partition]


@dataclass
class Rows:
    """How many rows there are, and the sum of their SHA-256: the same for the same rows in any order, since databases
    sort texts differently."""

    count: int = 0
    total: int = 0

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows into account."""
        for row in rows:
            text = repr(sorted(row.items())).encode("utf-8", "surrogatepass")
            self.total = (self.total + int.from_bytes(hashlib.sha256(text).digest(), "big")) % (1 << 256)
            self.count += 1
