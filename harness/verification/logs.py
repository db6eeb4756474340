"""Whether a certificate is in its issuer's log, and whether it still holds by the issuer's newest status list.

A single check cannot notice a log that forgets entries, or that shows another past than before (a fork). The checker
therefore remembers the last checkpoint of each log; the proof of a certificate shows a fork as well.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.certify.envelopes import ENVELOPES
from harness.certify.steps import CheckStep, Status
from harness.errors import UsageError
from harness.register.register import PROOF, STATUS, STATUS_TYPE, Register, proof_text
from harness.signing.dsse import Envelope, NoEnvelope
from harness.signing.keys import PublicKey
from harness.signing.tree import Checkpoint, NoCheckpoint, includes, read_note, root, signed_by

FORM = "%Y-%m-%dT%H:%M:%SZ"


def check_log(
    folder: Path,
    place: Path | None,
    number: str,
    keys: Sequence[PublicKey],
    *,
    memory: Path | None,
    now: datetime.datetime,
) -> list[CheckStep]:
    """Check the log and the status list; no step where the certificate has no proof and no register is named."""
    steps: list[CheckStep] = []
    proof = folder / PROOF
    taken: Checkpoint | None = None
    if proof.is_file():
        step, taken = _proof(proof, folder / ENVELOPES["adaptation"], keys)
        steps.append(step)
    if place is None:
        return steps
    try:
        lines = Register(place).lines()
    except UsageError as error:
        return [*steps, CheckStep(name="log", status=Status.COULD_NOT_CHECK, detail=error.message)]
    try:
        return [*steps, *_register(Register(place), lines, taken, number, keys, memory, now)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        detail = f"what it holds is not in shape: {type(error).__name__}: {error}"
        return [*steps, CheckStep(name="log", status=Status.INVALID, detail=detail)]


def _note(text: str, keys: Sequence[PublicKey]) -> tuple[Status, str, Checkpoint | None]:
    """Check a signed note: its status, a text, and its checkpoint where a trusted key signed it."""
    try:
        checkpoint, signatures = read_note(text)
    except NoCheckpoint as error:
        return Status.INVALID, str(error), None
    for name, digest, signature in signatures:
        for key in keys:
            if key.algorithm == "ed25519" and signed_by(name, digest, key.spki[-32:]):
                if key.holds(checkpoint.body.encode(), signature):
                    return Status.VALID, f"{checkpoint.size} entries, signed by {key.name}", checkpoint
                return Status.INVALID, f"the signature of {key.name} over the checkpoint does not hold", None
    return Status.COULD_NOT_CHECK, "the checkpoint is not signed by a trusted Ed25519 key", None


def _proof(file: Path, envelope: Path, keys: Sequence[PublicKey]) -> tuple[CheckStep, Checkpoint | None]:
    def step(status: Status, detail: str) -> CheckStep:
        return CheckStep(name=f"inclusion ({PROOF})", status=status, detail=detail)

    try:
        text = file.read_text(encoding="utf-8")
        value = json.loads(text)
        entry, index, size = str(value["entry"]), int(value["index"]), int(value["size"])
        path = [bytes.fromhex(node) for node in value["proof"]]
        note, digest = str(value["checkpoint"]), json.loads(entry)["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return step(Status.INVALID, f"no proof: {error}"), None
    if text != proof_text(value):
        return step(Status.INVALID, "no proof as it was written: something was added or changed in its form"), None
    status, detail, checkpoint = _note(note, keys)
    if checkpoint is None:
        return step(status, detail), None
    if digest != hashlib.sha256(envelope.read_bytes()).hexdigest():
        return step(Status.INVALID, "the proof belongs to another statement"), None
    if checkpoint.size != size or not includes(entry.encode(), index, size, path, checkpoint.root):
        return step(Status.INVALID, "the proof does not lead to the root of its checkpoint"), None
    return step(
        Status.VALID, f"entry {index + 1} of {detail}; --register tells whether it was revoked since"
    ), checkpoint


def _register(
    register: Register,
    lines: list[bytes],
    taken: Checkpoint | None,
    number: str,
    keys: Sequence[PublicKey],
    memory: Path | None,
    now: datetime.datetime,
) -> list[CheckStep]:
    def step(status: Status, detail: str) -> CheckStep:
        return CheckStep(name="log", status=status, detail=detail)

    try:
        note = register.checkpoint_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return [step(Status.COULD_NOT_CHECK, "the register has no checkpoint that can be read")]
    status, detail, checkpoint = _note(note, keys)
    if checkpoint is None:
        return [step(status, detail)]
    if checkpoint.size > len(lines) or root(lines[: checkpoint.size]) != checkpoint.root:
        return [step(Status.INVALID, "its entries are not those of its checkpoint: something was changed or removed")]
    lines = lines[: checkpoint.size]
    earlier = _remembered(memory, checkpoint.origin)
    for what, other in (("the proof beside the certificate", taken), ("what was seen of it before", earlier)):
        if other is None or other.origin != checkpoint.origin:
            continue
        if other.size > len(lines):
            return [step(Status.INVALID, f"it is shorter than by {what}: entries were removed, or it is an older copy")]
        if root(lines[: other.size]) != other.root:
            return [step(Status.INVALID, f"it shows another past than {what}: a fork")]
    _remember(memory, checkpoint)
    return [step(Status.VALID, detail), _status(register, lines, number, keys, now)]


def _status(
    register: Register, lines: list[bytes], number: str, keys: Sequence[PublicKey], now: datetime.datetime
) -> CheckStep:
    def step(status: Status, detail: str) -> CheckStep:
        return CheckStep(name="status", status=status, detail=detail)

    try:
        data = register.status_path.read_bytes()
        envelope = Envelope.read(data.decode())
    except (OSError, UnicodeDecodeError):
        return step(Status.COULD_NOT_CHECK, "the register has no status list that can be read")
    except NoEnvelope as error:
        return step(Status.INVALID, f"status list: {error}")
    known = {key.keyid: key for key in keys}
    by = [
        (known[signature.keyid], signature.signature) for signature in envelope.signatures if signature.keyid in known
    ]
    if not by:
        return step(Status.COULD_NOT_CHECK, "the status list is not signed by a trusted key")
    if envelope.payload_type != STATUS_TYPE or not all(key.holds(envelope.signed_bytes, value) for key, value in by):
        return step(Status.INVALID, "a signature of the status list does not hold")
    published = [entry["sha256"] for entry in map(json.loads, lines) if entry.get("kind") == "status"]
    digest = hashlib.sha256(data).hexdigest()
    if digest in published[:-1]:
        return step(Status.INVALID, "an older status list was put in the place of the newest")
    if digest not in published:
        return step(Status.COULD_NOT_CHECK, "the log does not know this status list")
    said = json.loads(envelope.payload)
    if said.get("_type") != STATUS:
        return step(Status.INVALID, "it is signed, but no status list")
    entry = next((entry for entry in said["entries"] if entry["number"] == number), None)
    if entry is not None:
        by_whom = f", by {entry['by']}" if entry["by"] else ""
        return step(Status.INVALID, f"{entry['status']} on {entry['time']}{by_whom}: {entry['reason']}")
    until = datetime.datetime.strptime(said["nextUpdate"], FORM).replace(tzinfo=datetime.UTC)
    if now > until:
        return step(Status.COULD_NOT_CHECK, f"the status list is stale: a newer one was due on {said['nextUpdate']}")
    return step(Status.VALID, f"active by list {said['sequence']} of {said['thisUpdate']}")


# --- the memory of earlier checkpoints ---


def _remembered(memory: Path | None, origin: str) -> Checkpoint | None:
    if memory is None:
        return None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = _all(memory)[origin]
        return Checkpoint(origin, int(record["size"]), bytes.fromhex(record["root"]))
    return None


def _all(memory: Path) -> dict[str, Any]:
    value = json.loads(memory.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}


def _remember(memory: Path | None, checkpoint: Checkpoint) -> None:
    if memory is None:
        return
    every: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        every = _all(memory)
    every[checkpoint.origin] = {"size": checkpoint.size, "root": checkpoint.root.hex()}
    with contextlib.suppress(OSError):  # without a memory the check still works
        memory.parent.mkdir(parents=True, exist_ok=True)
        part = memory.with_name(f".{memory.name}.part")
        part.write_text(json.dumps(every, indent=1), encoding="utf-8")
        part.replace(memory)
