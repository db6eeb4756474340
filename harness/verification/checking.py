"""Whether a signed result is what its issuer signed: valid, invalid, or could not be checked, and why.

Usage::

    steps = check(Path("certificate folder"), trusted([Path("issuer.pub.pem")]))
    status_of(steps)        # Status.INVALID if any step is, else COULD_NOT_CHECK if any is, else VALID
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.certify.code import check_code
from harness.certify.envelopes import ENVELOPES
from harness.certify.pades import check_pdf
from harness.certify.statement import KINDS, STATEMENT
from harness.certify.steps import CheckStep, Status, status_of
from harness.register.register import PROOF
from harness.signing.dsse import PAYLOAD_TYPE, Envelope, NoEnvelope
from harness.signing.keys import PublicKey
from harness.system.canonical import canonical
from harness.verification.fetching import fetch
from harness.verification.logs import check_log

__all__ = ["CheckStep", "Status", "check", "check_published", "status_of"]


def check_published(
    address: str,
    keys: Sequence[PublicKey],
    scratch: Path,
    *,
    register: Path | None = None,
    memory: Path | None = None,
    now: datetime.datetime | None = None,
) -> list[CheckStep]:
    """Check the files that are published at an address.

    A proof in the address's fragment (from a QR code) is checked first, and must belong to the same certificate.
    ``scratch``: an empty folder for the files.

    Raises:
        InfrastructureError: the server does not answer.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    steps: list[CheckStep] = []
    fetch(address, (*ENVELOPES.values(), PROOF), scratch)
    names = set()
    for envelope in ENVELOPES.values():
        with contextlib.suppress(OSError, NoEnvelope, ValueError, KeyError, TypeError):
            said = json.loads(Envelope.read((scratch / envelope).read_text(encoding="utf-8")).payload)
            names |= {str(subject["name"]) for subject in said["subject"]}
    fetch(
        address, sorted(name for name in names if not name.startswith("package/") and Path(name).name == name), scratch
    )
    results = check(scratch, keys, register=register, memory=memory, now=now)
    if "#" in address:
        steps += check_code(address, keys, _predicate(scratch), now.date())
    return [*steps, *results]


def _predicate(folder: Path) -> bytes | None:
    """Canonical bytes of the adaptation's predicate, unchecked: ``check`` says whether it is signed."""
    try:
        text = (folder / ENVELOPES["adaptation"]).read_text(encoding="utf-8")
        return canonical(json.loads(Envelope.read(text).payload)["predicate"])
    except (OSError, NoEnvelope, ValueError, KeyError, TypeError):
        return None


def check(
    place: Path,
    keys: Sequence[PublicKey],
    *,
    register: Path | None = None,
    memory: Path | None = None,
    now: datetime.datetime | None = None,
) -> list[CheckStep]:
    """Check a folder of envelopes and the files they name, one envelope beside its files, or one of these files.

    ``register``: the issuer's public register, which says whether the certificate was revoked. ``memory``: a file with
    the last checkpoint of each register, so that the next check notices a register that goes back or forks.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    folder = place if place.is_dir() else place.parent
    files = [place] if place.name.endswith(".dsse.json") else [folder / name for name in ENVELOPES.values()]
    steps: list[CheckStep] = []
    if place.is_file() and place.suffix == ".pdf" and not any(file.is_file() for file in files):
        steps += check_pdf(place.name, place.read_bytes(), keys)
    statements: dict[str, Any] = {}
    for file in files:
        if not file.is_file():
            steps.append(CheckStep(name=file.name, status=Status.COULD_NOT_CHECK, detail=f"{file} is not there"))
            continue
        steps += _envelope(file, keys, statements)
    steps += _agreement(statements)
    for statement in list(statements.values())[:1]:
        steps += _files(statement, place, keys, is_envelope=place in files)
    adaptation = statements.get(ENVELOPES["adaptation"])
    if adaptation is None:
        return steps
    try:
        predicate = adaptation["predicate"]
        number, until = str(predicate["number"]), predicate.get("valid_until")
        last = datetime.date.fromisoformat(until) if until is not None else None
    except (KeyError, TypeError, ValueError, AttributeError):
        detail = "it is signed, and lacks the number or the last day of a certificate"
        return [*steps, CheckStep(name="statement", status=Status.INVALID, detail=detail)]
    steps += _record(folder, predicate)
    steps += _validity(last, now)
    steps += check_log(folder, register, number, keys, memory=memory, now=now)
    return steps


def _agreement(statements: dict[str, Any]) -> list[CheckStep]:
    """Whether the statements, by the names of their envelopes, name the same files; no step for fewer than two."""
    if len(statements) < 2:
        return []
    agree = len({json.dumps(statement["subject"], sort_keys=True) for statement in statements.values()}) == 1
    return [
        CheckStep(
            name="statements",
            status=Status.VALID if agree else Status.INVALID,
            detail="all speak of the same files" if agree else "they speak of different files",
        )
    ]


def _files(statement: dict[str, Any], place: Path, keys: Sequence[PublicKey], *, is_envelope: bool) -> list[CheckStep]:
    """Check the files that a statement names, and the signatures in its PDF files.

    ``is_envelope``: ``place`` is an envelope itself, so no statement needs to name it.
    """
    folder = place if place.is_dir() else place.parent
    steps = check_subjects(statement, folder)
    subjects = [str(subject["name"]) for subject in statement["subject"]]
    if place.is_file() and not is_envelope and place.name not in subjects:
        steps.append(CheckStep(name=place.name, status=Status.INVALID, detail="nothing that is signed speaks of it"))
    for name in subjects:
        if name.endswith(".pdf") and Path(name).name == name and (folder / name).is_file():
            steps += check_pdf(name, (folder / name).read_bytes(), keys)
    return steps


def _record(folder: Path, predicate: dict[str, Any]) -> list[CheckStep]:
    """Whether the record names the plan and the journal that the statement names; where the folder lies in a workspace,
    also whether the files of evidence are unchanged."""
    try:
        record = json.loads((folder / "campaign.json").read_text(encoding="utf-8"))
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
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _validity(until: datetime.date | None, now: datetime.datetime) -> list[CheckStep]:
    if until is None:
        return []
    good = now.date() <= until
    return [
        CheckStep(
            name="validity",
            status=Status.VALID if good else Status.INVALID,
            detail=f"until {until}" if good else f"expired on {until}",
        )
    ]


def _envelope(file: Path, keys: Sequence[PublicKey], statements: dict[str, Any]) -> list[CheckStep]:
    name = file.name

    def step(status: Status, detail: str, what: str = "signature") -> CheckStep:
        return CheckStep(name=f"{what} of {name}", status=status, detail=detail)

    try:
        envelope = Envelope.read(file.read_text(encoding="utf-8"))
    except (NoEnvelope, UnicodeDecodeError) as error:
        return [step(Status.INVALID, str(error), "form")]
    known = {key.keyid: key for key in keys}
    by = [(known[signature.keyid], signature) for signature in envelope.signatures if signature.keyid in known]
    strangers = [signature.keyid[:16] for signature in envelope.signatures if signature.keyid not in known]
    if not by:
        detail = f"signed by {', '.join(strangers)}, none of which is trusted" if strangers else "there is no signature"
        return [step(Status.COULD_NOT_CHECK if strangers else Status.INVALID, detail)]
    steps = []
    for key, signature in by:
        good = key.holds(envelope.signed_bytes, signature.signature)
        signer = f"{key.name} ({key.algorithm}, {key.keyid[:16]})"
        steps.append(step(Status.VALID if good else Status.INVALID, signer if good else f"{signer}: it does not hold"))
    if strangers:
        steps.append(step(Status.VALID, f"also signed by {', '.join(strangers)}, not known here and not counted"))
    if any(result.status is Status.INVALID for result in steps):
        return steps
    # The payload is parsed only now, after a signature was found valid.
    try:
        statement = json.loads(envelope.payload)
        right = (
            envelope.payload_type == PAYLOAD_TYPE
            and statement["_type"] == STATEMENT
            and ENVELOPES[KINDS[statement["predicateType"]]] == name
            and statement["subject"]
        )
    except (ValueError, KeyError, TypeError):
        right = False
    if not right:
        return [
            *steps,
            step(Status.INVALID, "it is signed, but no statement of the kind that its name says", "statement"),
        ]
    statements[name] = statement
    return steps


def check_subjects(statement: dict[str, Any], folder: Path) -> list[CheckStep]:
    """Whether the files of a folder are those that a statement names. The packages stay with the product's vendor."""
    steps = []
    for subject in statement["subject"]:
        name, digest = str(subject["name"]), str(subject["digest"]["sha256"])
        if name.startswith("package/"):
            continue  # the product's vendor has the package; the statement holds its digest
        path = folder / name
        if Path(name).name != name:
            steps.append(CheckStep(name=name, status=Status.INVALID, detail="a name that leads out of the folder"))
        elif not path.is_file():
            steps.append(CheckStep(name=name, status=Status.COULD_NOT_CHECK, detail="it is not in the folder"))
        else:
            good = hashlib.sha256(path.read_bytes()).hexdigest() == digest
            steps.append(
                CheckStep(
                    name=name,
                    status=Status.VALID if good else Status.INVALID,
                    detail=f"SHA-256 {digest[:16]}…" if good else "not the file that was signed",
                )
            )
    return steps
