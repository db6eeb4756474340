"""Moves a workspace of one machine into a center; checks a center's record, backs it up and restores it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from harness.center.queueing import Center
from harness.errors import InfrastructureError, UsageError
from harness.evidence import Workspace
from harness.evidence.database import DatabaseJournal
from harness.evidence.migrating import HEAD
from harness.evidence.moving import move
from harness.evidence.sqlite import url_of
from harness.evidence.workspace import FILE
from harness.issuing.integrity import Step, check_workspace
from harness.issuing.rendering import outputs_in, view_of
from harness.report import full_record
from harness.system.canonical import digest_of
from harness.system.process import run

#: What a workspace's journal is called when its record is in a center.
MOVED = f"{FILE}.moved"
#: The longest that pg_dump or pg_restore may take, in seconds.
LONGEST = 6 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Migrated:
    """Campaigns with the digest of their records, which is the same in both; rows by table; files of evidence."""

    campaigns: Mapping[str, str]
    rows: Mapping[str, int]
    files: int


def migrate(root: Path, center: Center) -> Migrated:
    """Move the record of the workspace in ``root`` into the center's database, which must be empty, and its evidence
    and outputs into the center's evidence. Reports and certificates in the workspace stay where they are.

    Raises:
        UsageError: there is no record of one machine, a campaign runs there, or the center has a record.
        InfrastructureError: a record or evidence does not verify, here or there; then nothing was moved.
    """
    file = root / FILE
    if not file.is_file():
        raise UsageError(f"there is no {file}", advice="name a workspace of one machine: --workspace FOLDER")
    source = Workspace(root, url_of(file), evidence=root / "evidence")
    try:
        if running := [row.id for row in source.journal.campaigns() if source.alive(row.id)]:
            raise UsageError(f"campaign {running[0]} runs in {root}", advice="wait for its end, or: harness cancel")
        before = _records(source)
        assert isinstance(source.journal, DatabaseJournal)
        for campaign in before:
            for path in outputs_in(source.folder(campaign)).values():
                center.workspace.store.put_file(Path(path))
        moved = move(source.journal, center.journal, source.store, center.workspace.store)
        after = _records(center.workspace)
        if before != after:
            unlike = next(name for name in before if after.get(name) != before[name])
            raise InfrastructureError(
                f"the record of campaign {unlike} is another one in {center.journal.engine.place}",
                advice="empty that database; the workspace is as it was",
            )
    finally:
        source.journal.close()
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        if (root / name).exists():
            (root / name).replace(root / name.replace(FILE, MOVED))
    return Migrated(campaigns=after, rows=moved.rows, files=moved.files)


def _records(workspace: Workspace) -> dict[str, str]:
    """Campaign -> SHA-256 of its whole record, verdicts and evidence among it."""
    records = {}
    for row in workspace.journal.campaigns():
        view = view_of(row.id, workspace)
        if view.unverified:
            raise InfrastructureError(
                f"the record of campaign {row.id} does not verify: {view.unverified}",
                advice="restore the workspace from a copy; see: harness verify",
            )
        records[row.id] = digest_of(full_record(view))
    return records


def check(center: Center) -> list[Step]:
    """Whether the database has this version's tables, and whether record and evidence are as they were written.

    Raises:
        InfrastructureError: the database does not answer.
    """
    with center.journal.reading() as connection:
        version = connection.execute(sa.text("SHOW server_version")).scalar()
        encoding = connection.execute(sa.text("SHOW server_encoding")).scalar()
    return [
        Step(name="server", ok=encoding == "UTF8", detail=f"PostgreSQL {version}, encoding {encoding}"),
        Step(name="tables", ok=True, detail=f"version {HEAD}, and those of the queue"),
        *check_workspace(center.workspace),
    ]


def backup(center: Center, file: Path) -> str:
    """Write the database into a file (custom format of pg_dump), from one moment; gives the file's SHA-256.

    Raises:
        UsageError: the file is there already.
        InfrastructureError: pg_dump is missing or fails.
    """
    if file.exists():
        raise UsageError(f"{file} is there already", advice="name another file")
    part = file.with_name(f".{file.name}.part")
    try:
        _program(center, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={part}")
        with part.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return digest


def restore(workspace: Workspace, file: Path) -> None:
    """Fill an empty database from a file that ``backup`` wrote. Claims of workers that lived then expire by themselves.

    Raises:
        UsageError: there is no such file, or the database holds a record.
        InfrastructureError: pg_restore is missing or fails; then the database is as it was.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}", advice="name a file of: harness db backup")
    journal = workspace.journal
    if not isinstance(journal, DatabaseJournal) or journal.engine.one_machine:
        raise UsageError("HARNESS_DATABASE_URL names no PostgreSQL database", advice="name an empty one")
    if journal.campaigns() or _desk_is_used(journal):
        raise UsageError(f"{journal.engine.place} holds a record", advice="restore into an empty database")
    _program_of(
        journal,
        "pg_restore",
        "--no-owner",
        "--no-privileges",
        "--clean",
        "--if-exists",
        "--single-transaction",
        str(file),
    )


def _desk_is_used(journal: DatabaseJournal) -> bool:
    with journal.reading() as connection:
        return bool(connection.execute(sa.text("SELECT EXISTS (SELECT FROM desk.people)")).scalar())


def _program(center: Center, name: str, *arguments: str) -> None:
    _program_of(center.journal, name, *arguments)


def _program_of(journal: DatabaseJournal, name: str, *arguments: str) -> None:
    """Run a program of PostgreSQL on the journal's database; its password stands in the environment alone."""
    program = shutil.which(name)
    if program is None:
        raise InfrastructureError(f"{name} is not installed", advice="apt-get install postgresql-client")
    url = journal.engine.pool.url
    place: dict[str, object] = {"PGDATABASE": url.database, "PGUSER": url.username, "PGPASSWORD": url.password}
    place |= {"PGHOST": url.host or url.query.get("host"), "PGPORT": str(url.port) if url.port else None}
    place |= {"PGSSLMODE": url.query.get("sslmode"), "PGSSLROOTCERT": url.query.get("sslrootcert")}
    given = {key: str(value) for key, value in place.items() if value}
    target = ["--dbname", str(url.database)] if name == "pg_restore" else []
    ended = run([program, *target, *arguments], timeout=LONGEST, env={"PATH": os.environ.get("PATH", ""), **given})
    if not ended.ok:
        last = ended.text.strip().splitlines()[-1:] or [f"status {ended.rc}"]
        raise InfrastructureError(f"{name}: {last[0]}", advice="see the server's log, and whether the versions fit")
