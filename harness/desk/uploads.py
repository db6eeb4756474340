"""Artifacts of applicants: received into quarantine, scanned by a process of its own, given out as bytes alone.

What an applicant sends is untrusted: it is written under a name of ours, never opened by this process, and read by the
static scan alone, with a limit on its time and its memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import sqlalchemy as sa

from harness.desk import tables
from harness.desk.applications import look
from harness.desk.database import Actor, note, system
from harness.desk.office import Office
from harness.desk.refusing import Refusal
from harness.errors import HarnessError
from harness.evidence.store import disk_errors
from harness.system.canonical import read_json
from harness.system.printable import visible
from harness.system.process import run

SCAN_SECONDS = 900.0
SCAN_MEMORY_KIB = 4 * 2**20
#: Findings that are kept for people; the counts are of all.
MOST_FINDINGS = 100
#: Of what the scan writes.
MOST_RESULT = 64 * 2**20


def receive(office: Office, actor: Actor, application: int, name: str, chunks: Iterable[bytes]) -> int:
    """Write an artifact of a draft into quarantine; gives its number. It is not scanned yet.

    Raises:
        Refusal: the application is no draft of the actor's, or the artifact is too big, empty or badly named.
        InfrastructureError: the disk refuses.
    """
    name = visible(PurePosixPath(name.replace("\\", "/")).name).strip()
    if not 1 <= len(name) <= 200:
        raise Refusal(422, "form", faults={"artifact": "artifact_name"})
    with office.desk.acting(actor) as connection:
        _may_add(connection, office, actor, application)
    quarantine = office.folder / "quarantine"
    with disk_errors("receiving an artifact"):
        quarantine.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = quarantine / f".{secrets.token_hex(16)}"
        try:
            size, digest = _write(part, chunks, office.most_bytes)
            with office.desk.acting(actor) as connection:
                _may_add(connection, office, actor, application)
                values = {"application": application, "person": actor.person, "name": name, "size": size}
                table = tables.uploads
                entered = table.insert().values(**values, sha256=digest).returning(table.c.id)
                identity = int(connection.execute(entered).scalar_one())
                note(connection, actor, "artifact-received", str(application), name=name, size=size, sha256=digest)
                part.replace(place(office, identity, "quarantine"))
        finally:
            part.unlink(missing_ok=True)
    return identity


def _may_add(connection: sa.Connection, office: Office, actor: Actor, application: int) -> None:
    current = look(connection, actor, application)
    if "applicant" not in actor.roles:
        raise Refusal(403, "role")
    if current.state != "draft":
        raise Refusal(409, "state")
    if len(current.uploads) >= office.most_files:
        raise Refusal(422, "form", faults={"artifact": "artifact_many"})


def _write(part: Path, chunks: Iterable[bytes], most: int) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise Refusal(413, "form", faults={"artifact": "artifact_big"})
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if not size:
        raise Refusal(422, "form", faults={"artifact": "artifact_empty"})
    return size, digest.hexdigest()


def place(office: Office, identity: int, state: str) -> Path:
    """Where an artifact lies: in quarantine until it was scanned."""
    return office.folder / ("quarantine" if state == "quarantine" else "artifacts") / str(identity)


def scan_waiting(office: Office) -> int:
    """Scan what lies in quarantine, one after the other; gives how many. After a restart this goes on where it was."""
    table = tables.uploads
    with office.desk.acting(system()) as connection:
        query = sa.select(table.c.id, table.c.name).where(table.c.state == "quarantine").order_by(table.c.id)
        waiting = list(connection.execute(query))
    for row in waiting:
        scan(office, row.id, row.name)
    return len(waiting)


def scan(office: Office, identity: int, name: str) -> str:
    """Scan one artifact, and take it out of quarantine; gives its state: ``scanned``, or ``unread`` where the scan came
    to no end, which is never shown as a scan."""
    source = place(office, identity, "quarantine")
    try:
        state, result = "scanned", scanned(source, name)
    except HarnessError as error:
        state, result = "unread", {"error": str(error.args[0])[:500]}
    table = tables.uploads
    with office.desk.acting(system()) as connection:
        target = place(office, identity, state)
        with disk_errors("keeping an artifact"):
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if source.exists():
                source.replace(target)
        text = json.dumps(result, ensure_ascii=False)
        connection.execute(table.update().where(table.c.id == identity).values(state=state, result=text))
        note(connection, system(), "artifact-scanned", str(identity), state=state)
    return state


def scanned(source: Path, name: str) -> dict[str, Any]:
    """What the static scan finds in a file: ``counts`` by severity, and the first ``findings``.

    It is a process of its own, in a folder of its own, with a limit of memory, without this process's environment.

    Raises:
        Refusal: the scan broke off, and nothing is known of the file.
        HarnessError: it did not end in time.
    """
    work = source.with_name(f"scan-{source.name}")
    work.mkdir(mode=0o700, exist_ok=True)
    # The scan tells kinds by content, and a package by the ending of its name.
    ending = "".join(each for each in Path(name).suffixes[-2:] if each[1:].isascii() and each[1:].isalnum())
    file, out = work / f"artifact{ending}", work / "out.json"
    try:
        if not file.exists():
            os.link(source, file)
        script = f'ulimit -v {SCAN_MEMORY_KIB}; exec "$0" -m harness scan "$1" --format json >"$2"'
        ended = run(["sh", "-c", script, sys.executable, str(file), str(out)], timeout=SCAN_SECONDS, cwd=work)
        if ended.rc not in (0, 1, 3) or out.stat().st_size > MOST_RESULT:
            raise Refusal(500, "scan_broken", detail=f"exit {ended.rc}")
        record = read_json(out.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refusal(500, "scan_broken", detail=type(error).__name__) from error
    finally:
        for left in (file, out):
            left.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            work.rmdir()
    findings, rules = record["findings"], record["rules"]
    return {
        "counts": dict(Counter(finding["severity"] for finding in findings)),
        "findings": [
            {
                "rule": finding["rule"],
                "severity": finding["severity"],
                "title": rules.get(finding["rule"], {}).get("title", {}),
                "where": f"{finding['file']} {finding['place']}"[:300],
            }
            for finding in findings[:MOST_FINDINGS]
        ],
    }


def artifact(office: Office, actor: Actor, application: int, identity: int) -> tuple[str, Path]:
    """Name and place of an artifact that may be given out.

    Raises:
        Refusal: it is not there, or still in quarantine.
    """
    with office.desk.acting(actor) as connection:
        current = look(connection, actor, application)
    row = next((each for each in current.uploads if each["id"] == identity), None)
    if row is None:
        raise Refusal(404, "missing")
    if row["state"] == "quarantine":
        raise Refusal(409, "quarantine")
    path = place(office, identity, row["state"])
    if not path.is_file():
        raise Refusal(404, "missing")
    return row["name"], path
