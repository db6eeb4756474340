"""An issuer's public register: a log of everything it signed, and the list of certificates that no longer hold.

The folder is published as it is. It holds ``entries.jsonl`` (one line for each entry, only ever appended),
``checkpoint`` (a signed note over the tree of the lines), and ``status.dsse.json``. Each status list is an entry of the
log too, so that nobody can put an older list in its place unnoticed. ``log-proof.json`` beside a certificate holds its
proof.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.certify.envelopes import Signing
from harness.errors import InfrastructureError, UsageError
from harness.signing.dsse import Envelope
from harness.signing.tree import Checkpoint, NoCheckpoint, inclusion, read_note, root
from harness.system.canonical import canonical
from harness.system.locks import lock

State = Literal["active", "suspended", "revoked", "superseded"]
STATES: tuple[State, ...] = ("active", "suspended", "revoked", "superseded")
STATUS_TYPE = "application/vnd.xinchuang.status+json"
STATUS = "https://xinchuang-harness/status/v1"
PROOF = "log-proof.json"
#: The published files of a register.
REGISTER_FILES = ("entries.jsonl", "checkpoint", "status.dsse.json")
#: A status list is stale after so many days: without a newer list, a reader cannot tell which certificates hold.
FRESH_DAYS = 30


@dataclass(frozen=True)
class Register:
    """The folder of a register."""

    folder: Path

    @property
    def entries_path(self) -> Path:
        """The file of the entries: a JSON text a line."""
        return self.folder / "entries.jsonl"

    @property
    def status_path(self) -> Path:
        """The file of the signed status list."""
        return self.folder / "status.dsse.json"

    @property
    def checkpoint_path(self) -> Path:
        """The file of the signed state of the log."""
        return self.folder / "checkpoint"

    def lines(self) -> list[bytes]:
        """The entries as they are hashed.

        Raises:
            UsageError: there is no register, or its last entry is cut off.
        """
        try:
            data = self.entries_path.read_bytes()
        except OSError as error:
            raise UsageError(
                f"no register in {self.folder}: {error.strerror}", advice="name the issuer's register"
            ) from error
        if data and not data.endswith(b"\n"):
            raise UsageError(f"{self.entries_path} is cut off", advice="get it again, or restore it from a backup")
        return data.split(b"\n")[:-1]

    def knows(self, number: str) -> bool:
        """Whether a certificate of that number was entered."""
        return self.entries_path.exists() and any(json.loads(line).get("number") == number for line in self.lines())

    # --- writing ---

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with lock(self.folder / ".lock", holder="an entry into the register"):
                if self.entries_path.exists() and self.checkpoint_path.exists():
                    _goes_on(self.lines(), self.checkpoint_path.read_text(encoding="utf-8"), self.folder)
                yield
        except OSError as error:
            raise InfrastructureError(
                f"the register {self.folder} cannot be written: {error.strerror}",
                advice="check the disk and the permissions",
            ) from error

    def enter(self, number: str, envelope: bytes, signing: Signing) -> dict[str, Any]:
        """Enter a certificate; gives its proof.

        Raises:
            UsageError: no Ed25519 key signs, or what is there is no register of this issuer.
            InfrastructureError: the folder cannot be written.
        """
        with self._alone():
            lines = self._append({"kind": "certificate", "number": number, "sha256": _digest(envelope)}, signing)
            if not self.status_path.is_file():
                self._publish([], 1, signing)
                lines = self.lines()
            return self._proof(lines, next(i for i, line in enumerate(lines) if _digest(envelope).encode() in line))

    def _proof(self, lines: list[bytes], index: int) -> dict[str, Any]:
        return {
            "index": index,
            "size": len(lines),
            "entry": lines[index].decode(),
            "proof": [node.hex() for node in inclusion(lines, index)],
            "checkpoint": self.checkpoint_path.read_text(encoding="utf-8"),
        }

    def set_state(self, number: str, state: State, reason: str, by: str, signing: Signing) -> int:
        """Publish a status list with this state of a certificate; gives the list's sequence number.

        Raises:
            UsageError: the register does not know the certificate, or the words do not fit.
            InfrastructureError: the folder cannot be written.
        """
        if not reason.strip() or any(c in '"\\' or ord(c) < 32 for c in reason + by):
            raise UsageError("a reason is one line, without quotation marks and backslashes", advice="give another one")
        with self._alone():
            if not self.knows(number):
                raise UsageError(f"the register knows no certificate {number}", advice=f"see: {self.entries_path}")
            said = json.loads(Envelope.read(self.status_path.read_text(encoding="utf-8")).payload)
            kept = [entry for entry in said["entries"] if entry["number"] != number]
            if state != "active":
                kept.append({"number": number, "status": state, "reason": reason, "by": by, "time": _now()})
            self._publish(kept, said["sequence"] + 1, signing)
            return int(said["sequence"]) + 1

    def renew(self, signing: Signing) -> int:
        """Publish the same list again, fresh; gives its sequence number.

        Raises:
            UsageError: there is no register, or it is not as it was signed.
            InfrastructureError: the folder cannot be written.
        """
        self.lines()
        with self._alone():
            said = json.loads(Envelope.read(self.status_path.read_text(encoding="utf-8")).payload)
            self._publish(said["entries"], said["sequence"] + 1, signing)
            return int(said["sequence"]) + 1

    def _publish(self, entries: list[dict[str, str]], sequence: int, signing: Signing) -> None:
        today = datetime.datetime.now(datetime.UTC)
        until = today + datetime.timedelta(days=FRESH_DAYS)
        said = {
            "_type": STATUS,
            "sequence": sequence,
            "thisUpdate": _now(),
            "entries": entries,
            "nextUpdate": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        text = signing.sign(canonical(said), STATUS_TYPE).text().encode()
        # The list first: one that the log does not know yet is a list that cannot be checked, never an old one.
        _replace(self.status_path, text)
        self._append({"kind": "status", "sequence": sequence, "sha256": _digest(text)}, signing)

    def _append(self, entry: dict[str, Any], signing: Signing) -> list[bytes]:
        """Append a line and sign the new tree; the next checkpoint also covers a line that has none of its own."""
        known = self.lines() if self.entries_path.exists() else []
        line = canonical(entry)
        with self.entries_path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        lines = [*known, line]
        origin = f"xinchuang-harness/{signing.log_key.keyid[:16]}"
        _replace(self.checkpoint_path, signing.note(Checkpoint(origin, len(lines), root(lines))).encode())
        return lines


def _goes_on(lines: list[bytes], note: str, folder: Path) -> None:
    """Refuse to sign a log whose earlier entries differ from the entries that were signed before."""
    try:
        checkpoint, _ = read_note(note)
    except NoCheckpoint as error:
        raise UsageError(f"{folder}: {error}", advice="restore the register from a backup") from error
    if checkpoint.size > len(lines) or root(lines[: checkpoint.size]) != checkpoint.root:
        raise UsageError(
            f"the entries of {folder} are not those of its checkpoint: nothing is signed over them",
            advice="restore the register from a backup",
        )


def proof_text(proof: dict[str, Any]) -> str:
    """The only form of a proof that is written and accepted, so that no changed byte goes unnoticed."""
    return json.dumps(proof, indent=1, ensure_ascii=False) + "\n"


def one_line(text: str) -> str:
    """A text in the form of a reason: one line, without quotation marks and backslashes."""
    return " ".join("".join(" " if c in '"\\' or ord(c) < 32 else c for c in text).split())


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
