"""What everybody may see: the compatibility list, one certificate, and whether a file is what its issuer signed."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from harness.certify.envelopes import SIGNED_FILES
from harness.desk import tables
from harness.desk.database import PUBLIC, rows
from harness.desk.office import Office
from harness.desk.refusing import Refusal
from harness.desk.standing import Standing, standings, with_links
from harness.issuing.rendering import OUTPUTS
from harness.register.register import PROOF, STATES
from harness.system.canonical import read_json
from harness.verification.checking import CheckStep, Status, check, status_of

PAGE = 20
#: Of a file that is checked here; larger ones are checked by ``harness verify``.
MOST_BYTES = 32 * 2**20
#: Files of a certificate that everybody may have. The record names machines of the laboratory, so it is not among them.
PUBLISHED = (*SIGNED_FILES.values(), PROOF, OUTPUTS["certificate"])


def listed(
    office: Office, *, text: str = "", cpu: str = "", os: str = "", after: str = "", size: int = PAGE
) -> list[dict[str, Any]]:
    """Certificates that were issued, by product and number; ``after``: those behind this ``product number``."""
    table = tables.certificates
    key = sa.func.concat(table.c.product, " ", table.c.number)
    query = sa.select(table).order_by(key).limit(size)
    if text:
        hits = [table.c[name].icontains(text, autoescape=True) for name in ("product", "vendor", "number", "version")]
        query = query.where(sa.or_(*hits))
    for axis, value in (("cpu", cpu), ("os", os)):
        if value:
            query = query.where(table.c.platforms.contains(f'"{axis}": {json.dumps(value)}', autoescape=True))
    if after:
        query = query.where(key > after)
    said = standings(office)
    with office.desk.acting(PUBLIC) as connection:
        certificates = rows(connection, query)
        return with_links(connection, [shown(row, said.of(row["number"])) for row in certificates])


def shown(row: Mapping[str, Any], standing: Standing) -> dict[str, Any]:
    """What of a certificate is public; ``state`` is how the register has it."""
    names = ("number", "product", "version", "vendor", "kind", "issued", "valid_until")
    state = standing.shown(row["valid_until"])
    return {**{name: row[name] for name in names}, "platforms": read_json(row["platforms"]), "state": state}


def certificate(office: Office, number: str) -> dict[str, Any]:
    """One certificate by its number, checked now: ``status``, ``checks`` and ``files`` beside what is public of it.

    Raises:
        Refusal: none of that number was issued here.
    """
    row = _row(office, number)
    public = shown(row, standings(office).of(number))
    steps = _checked(office, row["campaign"])
    state = public["state"]
    if state["status"] in STATES[1:] and status_of(steps) is Status.VALID:  # the list changed in between
        steps.append(CheckStep(name="status", status=Status.INVALID, detail=f"{state['status']} on {state['since']}"))
    folder = office.workspace.root / "campaigns" / row["campaign"]
    files = [name for name in PUBLISHED if (folder / name).is_file()]
    with office.desk.acting(PUBLIC) as connection:
        (linked,) = with_links(connection, [public])
    return {**linked, "files": files, **verdict(steps)}


def _row(office: Office, number: str) -> Mapping[str, Any]:
    with office.desk.acting(PUBLIC) as connection:
        numbered = rows(connection, sa.select(tables.certificates).where(tables.certificates.c.number == number))
    if not numbered:
        raise Refusal(404, "certificate_unknown")
    return numbered[0]


def verdict(steps: list[CheckStep]) -> dict[str, Any]:
    """The outcome of a check, with its steps."""
    checks = [{"name": step.name, "status": step.status.value, "detail": step.detail} for step in steps]
    return {"status": status_of(steps).value, "checks": checks}


def _checked(office: Office, campaign: str) -> list[CheckStep]:
    if office.seals is None:
        detail = "this desk has no keys, so it cannot say whom it trusts"
        return [CheckStep(name="trust", status=Status.COULD_NOT_CHECK, detail=detail)]
    folder = office.workspace.root / "campaigns" / campaign  # where it is gone, files are looked for beside it
    register = office.seals.register.folder
    steps = check(folder, office.seals.trust, register=register)
    return _public(steps, folder, folder.parent, office.workspace.root, register)


def _public(steps: Sequence[CheckStep], *folders: Path) -> list[CheckStep]:
    """Steps without the places of files on this machine: their names are enough for the public."""
    for folder in folders:
        steps = [replace(step, detail=step.detail.replace(f"{folder}/", "")) for step in steps]
    return [*steps]


def published(office: Office, number: str, name: str) -> tuple[str, bytes]:
    """Name and bytes of a file of a certificate that everybody may have.

    Raises:
        Refusal: there is none.
    """
    row = _row(office, number)
    path = office.workspace.root / "campaigns" / row["campaign"] / name
    if name not in PUBLISHED or not path.is_file():
        raise Refusal(404, "missing")
    return name, path.read_bytes()


def check_file(office: Office, name: str, data: bytes) -> dict[str, Any]:
    """Whether a file is one that was signed here: by its SHA-256, then by everything that is signed beside it.

    ``number``: of its certificate, empty where no certificate names the file. Nothing of the file is kept.

    Raises:
        Refusal: it is empty, or too big.
    """
    if not data or len(data) > MOST_BYTES:
        raise Refusal(413 if data else 422, "form", faults={"file": "artifact_big" if data else "artifact_empty"})
    digest = hashlib.sha256(data).hexdigest()
    for row in _every(office):
        folder = office.workspace.root / "campaigns" / row["campaign"]
        for file in (*PUBLISHED, *OUTPUTS.values()):
            path = folder / file
            if path.is_file() and path.stat().st_size == len(data) and _digest(path) == digest:
                steps = _checked(office, row["campaign"])
                same = CheckStep(name=file, status=Status.VALID, detail=f"SHA-256 {digest[:16]}…")
                return {"number": row["number"], "sha256": digest, **verdict([same, *steps])}
    return {"number": "", "sha256": digest, **verdict(_alone(office, name, data, digest))}


def _every(office: Office) -> list[Mapping[str, Any]]:
    with office.desk.acting(PUBLIC) as connection:
        return rows(connection, sa.select(tables.certificates.c.number, tables.certificates.c.campaign))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _alone(office: Office, name: str, data: bytes, digest: str) -> list[CheckStep]:
    """A file that no certificate of this desk names: a PDF may still show what is wrong with its signature."""
    unknown = CheckStep(
        name="register", status=Status.COULD_NOT_CHECK, detail=f"no certificate names SHA-256 {digest[:16]}…"
    )
    if office.seals is None or not data.startswith(b"%PDF-"):
        return [unknown]
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # in memory, and gone with the block
    with tempfile.TemporaryDirectory(prefix="harness-verify-", dir=memory) as scratch:
        path = Path(scratch, "file.pdf")
        path.write_bytes(data)
        return [*_public(check(path, office.seals.trust), Path(scratch)), unknown]
