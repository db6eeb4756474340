"""Whether a signed result is what its issuer signed: valid, invalid, or could not be checked, and why.

Usage::

    steps = check(Path("certificate folder"), read_trust(Path("trust")), register=Path("register"))
    status_of(steps)        # Status.INVALID if any step is, else COULD_NOT_CHECK if any is, else VALID
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import urllib.parse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from harness.certify.code import check_code
from harness.certify.envelopes import ENVELOPES, SIGNED_FILES, STAMP
from harness.certify.lines import Lines, NoLines, read_lines
from harness.certify.pades import check_pdf
from harness.certify.stamps import check_stamp
from harness.certify.steps import CheckStep, Status, status_of
from harness.register.register import PROOF
from harness.signing.dsse import Envelope, NoEnvelope
from harness.signing.keys import PublicKey
from harness.signing.trust import Trust
from harness.system.bounded import read_whole
from harness.system.canonical import canonical, read_json
from harness.verification.fetching import fetch
from harness.verification.logs import check_log
from harness.verification.opening import Opened, open_certificate, speaking
from harness.verification.windows import check_keys

__all__ = ["CheckStep", "Status", "check", "check_published", "status_of"]

RECORD = "campaign.json"
#: Of a file that a certificate names.
MOST_BYTES = 2**30


def check_published(
    address: str,
    trust: Trust,
    scratch: Path,
    *,
    register: Path | None = None,
    memory: Path | None = None,
    now: datetime.datetime | None = None,
) -> list[CheckStep]:
    """Check the files that are published at an address, which must name the certificate's number.

    A proof in the address's fragment (from a QR code) is checked first, and must belong to the same certificate.
    ``scratch``: an empty folder for the files.

    Raises:
        InfrastructureError: the server does not answer.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    steps: list[CheckStep] = []
    fetch(address, (*SIGNED_FILES.values(), PROOF), scratch)
    lines = _unchecked(scratch)
    if lines is not None:
        names = sorted(name for name, _ in lines.files)
        fetch(address, [name for name in names if Path(name).name == name], scratch)
    results = check(scratch, trust, register=register, memory=memory, now=now)
    if "#" in address:
        keys = trust.keys(lines.issuer if lines is not None else None)
        steps += check_code(address, keys, _predicate(scratch), now.date())
    if lines is not None:
        steps.append(_address(address, lines.number))
    return [*steps, *results]


def _address(address: str, number: str) -> CheckStep:
    """Whether an address names the number of what lies there: one that names another number would lend it its own."""
    path = urllib.parse.urlsplit(address).path
    named = number in [urllib.parse.unquote(part) for part in path.split("/")]
    return CheckStep(
        name="address",
        status=Status.VALID if named else Status.COULD_NOT_CHECK,
        detail=f"it names {number}" if named else f"{path} does not name {number}, which lies there",
    )


def _unchecked(folder: Path) -> Lines | None:
    """The lines of a certificate, unchecked: ``check`` says whether they are signed."""
    with contextlib.suppress(OSError, NoEnvelope, ValueError, NoLines):
        text = read_whole(folder / ENVELOPES["lines"]).decode()
        return read_lines(Envelope.read(text).payload)
    return None


def _predicate(folder: Path) -> bytes | None:
    """Canonical bytes of the adaptation's predicate, unchecked: ``check`` says whether it is signed."""
    try:
        text = read_whole(folder / ENVELOPES["adaptation"]).decode()
        return canonical(read_json(Envelope.read(text).payload)["predicate"])
    except (OSError, NoEnvelope, ValueError, KeyError, TypeError):
        return None


def check(
    place: Path,
    trust: Trust,
    *,
    register: Path | None = None,
    memory: Path | None = None,
    now: datetime.datetime | None = None,
) -> list[CheckStep]:
    """Check a folder of envelopes and the files they name, or the folder of one of these files.

    ``register``: the issuer's public register, which says whether the certificate was entered, and revoked since.
    ``memory``: a file with the last checkpoint of each register, so that the next check notices a register that goes
    back or forks.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    folder = place if place.is_dir() else place.parent
    if place.is_file() and place.suffix == ".pdf" and not any((folder / name).exists() for name in ENVELOPES.values()):
        alone = "a file alone says nothing of revocation: get the certificate's folder"
        rest = CheckStep(name="statement", status=Status.COULD_NOT_CHECK, detail=alone)
        return [*_pdf(place, trust.keys(), now), rest]
    steps, papers, lines = open_certificate(folder, trust)
    if lines is None:
        if register is not None:
            detail = "without the certificate's statements nothing can be looked up in a register"
            steps.append(CheckStep(name="log", status=Status.COULD_NOT_CHECK, detail=detail))
        return steps
    steps += _facts(lines)
    history = check_log(folder, register, lines, papers["adaptation"].sha256, trust, memory=memory, now=now)
    steps += history.steps
    more, history.stamped = check_stamp(folder / STAMP, papers["adaptation"].sha256, trust)
    steps += more
    steps.append(check_keys(speaking(papers, lines), lines, history, has_register=register is not None))
    steps += _files(lines, place, trust.keys(lines.issuer), history.proved or now)
    if any(step.name == RECORD and step.status is Status.VALID for step in steps):  # what nobody signed is not parsed
        steps += _record(folder, papers["adaptation"])
    steps += _validity(lines, now)
    return steps


def _facts(lines: Lines) -> list[CheckStep]:
    """What is certified, as the signed statement says it."""
    until = f", valid until {lines.until}" if lines.until is not None else ""
    amends = f", in the place of {lines.amends}" if lines.amends != "-" else ""
    facts = {
        "certificate": f"{lines.number}: {lines.type}, report {lines.report}{amends}",
        "product": f"{lines.product} {lines.version}, by {lines.vendor}",
        "dates": f"issued {lines.issued:%Y-%m-%d}{until}",
        **{f"platform {number}": platform for number, platform in enumerate(lines.platforms, 1)},
    }
    return [CheckStep(name=name, status=Status.VALID, detail=detail) for name, detail in facts.items()]


def _files(lines: Lines, place: Path, keys: Sequence[PublicKey], existed: datetime.datetime) -> list[CheckStep]:
    """Check the files that are named, the signatures in PDF files, and that nothing else lies beside them; a name
    without an ending (the lock of a workspace) is no document.

    ``existed``: when the files existed at the latest, as far as is known.
    """
    folder = place if place.is_dir() else place.parent
    steps = check_files(lines.files, folder)
    names = {name for name, _ in lines.files}
    own = {*names, *SIGNED_FILES.values(), PROOF}
    if place.is_file() and place.name not in own:
        steps.append(CheckStep(name=place.name, status=Status.INVALID, detail="nothing that is signed speaks of it"))
    for path in sorted(folder.iterdir()):
        if path.is_file() and "." in path.name[1:] and not path.name.startswith(".") and path.name not in own:
            detail = "nothing that is signed speaks of it: take it away, and check again"
            steps.append(CheckStep(name=path.name, status=Status.COULD_NOT_CHECK, detail=detail))
    for name in sorted(names):
        if name.endswith(".pdf") and Path(name).name == name and (folder / name).is_file():
            steps += _pdf(folder / name, keys, existed, lines.signers)
    return steps


def _pdf(
    path: Path, keys: Sequence[PublicKey], existed: datetime.datetime, named: Collection[str] = ()
) -> list[CheckStep]:
    try:
        return check_pdf(path.name, read_whole(path), keys, existed, named)
    except OSError as error:
        detail = f"it cannot be read: {error.strerror}"
        return [CheckStep(name=f"signature in {path.name}", status=Status.COULD_NOT_CHECK, detail=detail)]


def _record(folder: Path, adaptation: Opened) -> list[CheckStep]:
    """Whether the record names the plan and the journal that the statement names; where the folder lies in a workspace,
    also whether the files of evidence are unchanged."""
    try:
        predicate: dict[str, Any] = read_json(adaptation.payload)["predicate"]
        record = read_json((folder / RECORD).read_text(encoding="utf-8"))
        same = (record["plan_digest"], record["journal_head"]) == (predicate["plan"], predicate["journal"])
        files = {str(f["sha256"]): str(f["name"]) for cell in record["cells"] for f in cell["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return []  # the check of its digest reports a missing or changed record
    detail = f"SHA-256 {str(predicate['plan'])[:16]}…" if same else "record and statement have different plans"
    steps = [CheckStep(name="plan", status=Status.VALID if same else Status.INVALID, detail=detail)]
    store = folder.parent.parent / "evidence" / "sha256"
    if not store.is_dir():
        detail = f"{len(files)} digests stand in the record; the files are with the issuer"
        return [*steps, CheckStep(name="evidence", status=Status.VALID, detail=detail)]
    bad = [name for digest, name in files.items() if not _is(store / digest[:2] / digest, digest)]
    status = Status.INVALID if bad else Status.VALID
    detail = f"missing or changed: {', '.join(bad[:5])}" if bad else f"{len(files)} files"
    return [*steps, CheckStep(name="evidence", status=status, detail=detail)]


def _is(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def _validity(lines: Lines, now: datetime.datetime) -> list[CheckStep]:
    """Whether the certificate holds today; its last day is the day in UTC."""
    today = now.astimezone(datetime.UTC).date()
    if today < lines.issued.date():
        detail = f"it was issued on {lines.issued:%Y-%m-%d}, and this clock says {today}"
        return [CheckStep(name="validity", status=Status.COULD_NOT_CHECK, detail=detail)]
    if lines.until is None:
        return []
    good = today <= lines.until
    return [
        CheckStep(
            name="validity",
            status=Status.VALID if good else Status.INVALID,
            detail=f"until {lines.until}" if good else f"expired on {lines.until}",
        )
    ]


def check_files(files: Sequence[tuple[str, str]], folder: Path) -> list[CheckStep]:
    """Whether the files of a folder are those that a certificate names, by name and SHA-256 (hex)."""
    steps = []
    for name, digest in files:
        path = folder / name
        if Path(name).name != name:
            steps.append(CheckStep(name=name, status=Status.INVALID, detail="a name that leads out of the folder"))
        elif not path.is_file():
            steps.append(CheckStep(name=name, status=Status.COULD_NOT_CHECK, detail="it is not in the folder"))
        elif (size := path.stat().st_size) > MOST_BYTES:
            detail = f"it has {size} bytes; files of up to {MOST_BYTES} are checked"
            steps.append(CheckStep(name=name, status=Status.COULD_NOT_CHECK, detail=detail))
        else:
            good = _is(path, digest)
            detail = f"SHA-256 {digest[:16]}…" if good else "not the file that was signed"
            steps.append(CheckStep(name=name, status=Status.VALID if good else Status.INVALID, detail=detail))
    return steps
