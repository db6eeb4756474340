"""Whether a certificate is in its issuer's log, and whether it still holds by the issuer's newest status list.

A single check cannot notice a log that forgets entries, or that shows another past than before (a fork). The checker
therefore remembers the last checkpoint of each log; the proof of a certificate shows a fork as well.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.certify.lines import Lines
from harness.certify.steps import CheckStep, Status
from harness.errors import UsageError
from harness.register.register import PROOF, Register, origin_of
from harness.register.status import STATUS_LINES_TYPE, STATUS_TYPE, StatusList
from harness.signing.lines import read_time
from harness.signing.tree import Checkpoint, InclusionProof, NoCheckpoint, includes, read_note, root, signed_by
from harness.signing.trust import Binding, Trust
from harness.system.bounded import read_whole
from harness.system.canonical import canonical, read_json
from harness.verification.memory import remember, remembered
from harness.verification.opening import open_envelope
from harness.verification.windows import History


@dataclass(frozen=True, kw_only=True)
class _Noted:
    """A checkpoint that a log key of the issuer signed."""

    checkpoint: Checkpoint
    by: Binding


class _NotShown(Exception):
    """A question ends with another answer than *valid*: the step that says so."""

    def __init__(self, name: str, status: Status, detail: str) -> None:
        self.step = CheckStep(name=name, status=status, detail=detail)


def check_log(
    folder: Path,
    place: Path | None,
    lines: Lines,
    digest: str,
    trust: Trust,
    *,
    memory: Path | None,
    now: datetime.datetime,
) -> History:
    """Check the log and the status list; no step where the certificate has no proof and no register is named.

    ``digest``: SHA-256 (hex) of the envelope of the adaptation statement, which is what a log enters.
    """
    history = History()
    taken: _Noted | None = None
    try:
        if (folder / PROOF).exists():
            taken = _proof(folder / PROOF, lines, digest, trust, history, is_alone=place is None, now=now)
        if place is not None:
            _register(Register(place), taken, lines, digest, trust, memory, now, history)
    except _NotShown as answer:
        history.steps.append(answer.step)
    except UsageError as error:
        history.steps.append(CheckStep(name="log", status=Status.COULD_NOT_CHECK, detail=error.message))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        detail = f"what it holds is not in shape: {type(error).__name__}: {error}"
        history.steps.append(CheckStep(name="log", status=Status.INVALID, detail=detail))
    return history


def _note(text: str, issuer: str, trust: Trust, what: str) -> _Noted:
    """Check a signed note: it must be of a log of the issuer, and signed by a log key of the issuer."""
    bindings = trust.of("log", issuer)
    try:
        checkpoint, signatures = read_note(text)
    except NoCheckpoint as error:
        raise _NotShown(what, Status.INVALID, str(error)) from error
    for name, key_hash, signature in signatures:
        for binding in bindings:
            if not signed_by(name, key_hash, binding.key.spki[-32:]):
                continue
            if not binding.key.holds(checkpoint.body.encode(), signature):
                detail = f"the signature of {binding.key.keyid[:16]} over the checkpoint does not hold"
                raise _NotShown(what, Status.INVALID, detail)
            if checkpoint.origin not in {origin_of(known.key) for known in bindings}:
                detail = f"it is a checkpoint of {checkpoint.origin}, which is no log of {issuer}"
                raise _NotShown(what, Status.INVALID, detail)
            return _Noted(checkpoint=checkpoint, by=binding)
    raise _NotShown(what, Status.COULD_NOT_CHECK, f"the checkpoint is not signed by a trusted log key of {issuer}")


def _entry(line: bytes) -> dict[str, Any]:
    """An entry, which stands there in the one form that it is written in."""
    value = read_json(line)
    if not isinstance(value, dict) or canonical(value) != line:
        raise ValueError("an entry in another form than the one that is written")
    return value


def _proof(
    file: Path, lines: Lines, digest: str, trust: Trust, history: History, *, is_alone: bool, now: datetime.datetime
) -> _Noted:
    what = f"inclusion ({PROOF})"
    try:
        proof = InclusionProof.read(read_whole(file).decode())
        entry = _entry(proof.entry)
    except (OSError, NoCheckpoint, ValueError) as error:
        raise _NotShown(what, Status.INVALID, f"no proof: {error}") from error
    noted = _note(proof.note, lines.issuer, trust, what)
    size, top = noted.checkpoint.size, noted.checkpoint.root
    if [entry.get(key) for key in ("kind", "number", "sha256")] != ["certificate", lines.number, digest]:
        raise _NotShown(what, Status.INVALID, "the proof is of another statement")
    if not includes(proof.entry, proof.index, size, proof.path, top):
        raise _NotShown(what, Status.INVALID, "the proof does not lead to the root of its checkpoint")
    if is_alone and not noted.by.holds_at(now):
        detail = f"the key of its checkpoint ended on {noted.by.until:%Y-%m-%d}: --register shows whether it was before"
        raise _NotShown(what, Status.COULD_NOT_CHECK, detail)
    if is_alone:
        history.entered = read_time(str(entry["time"]))
    detail = f"entry {proof.index + 1} of {size}; --register tells whether it was revoked since"
    history.steps.append(CheckStep(name=what, status=Status.VALID, detail=detail))
    return noted


def _register(
    register: Register,
    taken: _Noted | None,
    certificate: Lines,
    digest: str,
    trust: Trust,
    memory: Path | None,
    now: datetime.datetime,
    history: History,
) -> None:
    lines = register.lines()
    try:
        note = read_whole(register.checkpoint_path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _NotShown("log", Status.COULD_NOT_CHECK, "the register has no checkpoint that can be read") from error
    noted = _note(note, certificate.issuer, trust, "log")
    checkpoint = noted.checkpoint
    if checkpoint.size > len(lines) or root(lines[: checkpoint.size]) != checkpoint.root:
        detail = "its entries are not those of its checkpoint: something was changed or removed"
        raise _NotShown("log", Status.INVALID, detail)
    lines = lines[: checkpoint.size]
    for what, other in (
        ("the proof beside the certificate", taken.checkpoint if taken is not None else None),
        ("what was seen of it before", remembered(memory, checkpoint.origin)),
    ):
        if other is not None:
            _goes_on(lines, other, checkpoint, what)
    remember(memory, checkpoint)
    if not noted.by.holds_at(now):
        detail = f"its checkpoint is signed by a key that ended on {noted.by.until:%Y-%m-%d}: get the register anew"
        raise _NotShown("log", Status.COULD_NOT_CHECK, detail)
    detail = f"{checkpoint.size} entries, signed by {certificate.issuer} ({noted.by.key.keyid[:16]})"
    history.steps.append(CheckStep(name="log", status=Status.VALID, detail=detail))
    entries = [_entry(line) for line in lines]
    said = _status_list(register, entries, certificate.issuer, trust, now)
    history.ended = {key["keyid"]: (read_time(key["time"]), f"{key['status']}: {key['reason']}") for key in said.keys}
    if noted.by.key.keyid in history.ended:
        detail = "its checkpoint is signed by a key that its own status list has ended"
        raise _NotShown("log", Status.INVALID, detail)
    history.entered = _member(entries, certificate.number, digest)
    history.steps.append(
        CheckStep(name="entry", status=Status.VALID, detail=f"entered on {history.entered:%Y-%m-%d %H:%M:%S} UTC")
    )
    history.steps.append(_standing(said, certificate.number, now))


def _goes_on(lines: Sequence[bytes], other: Checkpoint, checkpoint: Checkpoint, what: str) -> None:
    """Whether a log goes on from an earlier checkpoint."""
    if other.origin != checkpoint.origin:
        raise _NotShown("log", Status.INVALID, f"it is another log than that of {what}")
    if other.size > len(lines):
        detail = f"it is shorter than by {what}: entries were removed, or it is an older copy"
        raise _NotShown("log", Status.INVALID, detail)
    if root(lines[: other.size]) != other.root:
        raise _NotShown("log", Status.INVALID, f"it shows another past than {what}: a fork")


def _member(entries: Sequence[dict[str, Any]], number: str, digest: str) -> datetime.datetime:
    """When the certificate was entered; the last entry of its number is the one that counts."""
    entered = [entry for entry in entries if entry.get("kind") == "certificate" and entry.get("number") == number]
    if digest not in [entry["sha256"] for entry in entered]:
        raise _NotShown("entry", Status.INVALID, "the log does not have this certificate")
    if entered[-1]["sha256"] != digest:
        detail = f"superseded on {entered[-1]['time']} by another certificate of the same number"
        raise _NotShown("entry", Status.INVALID, detail)
    return read_time(str(next(entry["time"] for entry in entered if entry["sha256"] == digest)))


def _status_list(
    register: Register, entries: Sequence[dict[str, Any]], issuer: str, trust: Trust, now: datetime.datetime
) -> StatusList:
    """The newest status list of the log, in the signed form of JSON, and the same in lines."""
    published = [(entry["sha256"], entry["lines"]) for entry in entries if entry.get("kind") == "status"]
    files = ((register.status_path, STATUS_TYPE, 0), (register.status_lines_path, STATUS_LINES_TYPE, 1))
    payloads = []
    for path, payload_type, at in files:
        steps, opened = open_envelope(path, payload_type, trust)
        if opened is None:
            raise _NotShown("status", status_of_worst(steps), f"{path.name}: {steps[-1].detail}")
        if not any(binding.issuer == issuer and binding.holds_at(now) for binding in opened.by):
            raise _NotShown("status", Status.INVALID, f"{path.name} is signed by no key that speaks for {issuer} now")
        digests = [pair[at] for pair in published]
        if opened.sha256 in digests[:-1]:
            raise _NotShown("status", Status.INVALID, "an older status list was put in the place of the newest")
        if opened.sha256 not in digests:
            raise _NotShown("status", Status.COULD_NOT_CHECK, f"the log does not know this {path.name}")
        payloads.append(opened.payload)
    said = StatusList.read(payloads[0])
    if said.lines() != payloads[1]:
        raise _NotShown("status", Status.INVALID, "the status list and its lines say different things")
    return said


def status_of_worst(steps: Sequence[CheckStep]) -> Status:
    """The status of steps that do not all hold."""
    return Status.INVALID if any(step.status is Status.INVALID for step in steps) else Status.COULD_NOT_CHECK


def _standing(said: StatusList, number: str, now: datetime.datetime) -> CheckStep:
    def step(status: Status, detail: str) -> CheckStep:
        return CheckStep(name="status", status=status, detail=detail)

    entry = next((entry for entry in said.entries if entry["number"] == number), None)
    if entry is not None:
        by_whom = f", by {entry['by']}" if entry["by"] else ""
        return step(Status.INVALID, f"{entry['status']} on {entry['time']}{by_whom}: {entry['reason']}")
    if now > read_time(said.next_update):
        return step(Status.COULD_NOT_CHECK, f"the status list is stale: a newer one was due on {said.next_update}")
    return step(Status.VALID, f"active by list {said.sequence} of {said.this_update}")
