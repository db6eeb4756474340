"""An issuer's public register: a log of everything it signed, and the list of certificates that no longer hold.

The folder is published as it is. It holds ``entries.jsonl`` (one line for each entry, only ever appended),
``checkpoint`` (a signed note over the tree of the lines), ``status.dsse.json``, and the same list in lines. Each status
list is an entry of the log too, so that nobody can put an older list in its place unnoticed.
``adaptation.tlog-proof`` beside a certificate holds its proof. The last entry of a number is the one that counts.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.certify.envelopes import Signing
from harness.errors import InfrastructureError, UsageError
from harness.register.status import STATUS_LINES_TYPE, STATUS_TYPE, StatusList
from harness.signing.dsse import Envelope, NoEnvelope
from harness.signing.keys import PublicKey
from harness.signing.lines import plain, time_text
from harness.signing.tree import Checkpoint, InclusionProof, NoCheckpoint, inclusion, read_note, root
from harness.system.bounded import read_whole
from harness.system.canonical import canonical, read_json
from harness.system.locks import lock

State = Literal["active", "suspended", "revoked", "superseded"]
STATES: tuple[State, ...] = ("active", "suspended", "revoked", "superseded")
KeyState = Literal["retired", "compromised"]
PROOF = "adaptation.tlog-proof"
#: Of entries that are read: some millions of certificates.
MOST_BYTES = 2**30
#: The published files of a register, in the order in which they are fetched: while it is written, what is fetched later
#: may be newer, and a log with more entries than its checkpoint covers is in order, one with fewer is not.
REGISTER_FILES = ("checkpoint", "status.dsse.json", "status-lines.dsse.json", "entries.jsonl")
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
    def status_lines_path(self) -> Path:
        """The same list in lines."""
        return self.folder / "status-lines.dsse.json"

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
            data = read_whole(self.entries_path, MOST_BYTES)
        except OSError as error:
            raise UsageError(
                f"no register in {self.folder}: {error.strerror}", advice="name the issuer's register"
            ) from error
        if data and not data.endswith(b"\n"):
            raise UsageError(f"{self.entries_path} is cut off", advice="get it again, or restore it from a backup")
        return data.split(b"\n")[:-1]

    def knows(self, number: str) -> bool:
        """Whether a certificate of that number was entered."""
        return self.entries_path.exists() and any(read_json(line).get("number") == number for line in self.lines())

    def status_list(self) -> StatusList:
        """The newest status list as it lies there; whether it is signed, ``harness.verification`` says.

        Raises:
            UsageError: there is none, or it is none.
        """
        try:
            return StatusList.read(Envelope.read(read_whole(self.status_path).decode()).payload)
        except (OSError, NoEnvelope, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self.status_path} is no status list: {error}", advice="restore the register from a backup"
            ) from error

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

    def enter(self, number: str, envelope: bytes, signing: Signing) -> InclusionProof:
        """Enter a certificate; gives its proof. An earlier entry of the same number no longer counts.

        Raises:
            UsageError: no Ed25519 key signs, or what is there is no register of this issuer.
            InfrastructureError: the folder cannot be written.
        """
        with self._alone():
            lines = self._append({"kind": "certificate", "number": number, "sha256": _digest(envelope)}, signing)
            index = len(lines) - 1
            if not self.status_path.is_file():
                self._publish(StatusList(), signing)
                lines = self.lines()
            return InclusionProof(
                entry=lines[index],
                index=index,
                path=tuple(inclusion(lines, index)),
                note=self.checkpoint_path.read_text(encoding="utf-8"),
            )

    def set_state(self, number: str, state: State, reason: str, by: str, signing: Signing) -> int:
        """Publish a status list with this state of a certificate; gives the list's sequence number.

        ``by``: the number of the certificate in the place of a superseded one; empty for every other state.

        Raises:
            UsageError: the register does not know the certificate, the words do not fit, or no Ed25519 key signs.
            InfrastructureError: the folder cannot be written.
        """
        _fits(reason)
        if (state == "superseded") != bool(by) or by == number:
            raise UsageError(
                "the status superseded and the number of another certificate in its place belong together",
                advice="name the certificate that supersedes it",
            )
        if by and not re.fullmatch(r"[^\s\x00-\x1f]+", by):
            raise UsageError("a number has no blanks", advice="name the certificate that supersedes it")
        with self._alone():
            if not self.knows(number):
                raise UsageError(f"the register knows no certificate {number}", advice=f"see: {self.entries_path}")
            before = self.status_list()
            kept = tuple(entry for entry in before.entries if entry["number"] != number)
            if state != "active":
                kept += ({"number": number, "status": state, "reason": reason, "by": by, "time": _now()},)
            return self._publish(replace(before, entries=kept), signing)

    def set_key(self, keyid: str, state: KeyState, since: datetime.datetime, reason: str, signing: Signing) -> int:
        """Publish that a key is retired or compromised: what it signed counts only if the log had it before ``since``.

        Raises:
            UsageError: there is no register, the words do not fit, or the key itself is among those that sign.
            InfrastructureError: the folder cannot be written.
        """
        _fits(reason)
        if keyid in {key.keyid for key in signing.keys}:
            raise UsageError(
                f"the list that ends the key {keyid[:16]} would be signed by it", advice="name another key with --key"
            )
        with self._alone():
            before = self.status_list()
            kept = tuple(entry for entry in before.keys if entry["keyid"] != keyid)
            said = {"keyid": keyid, "status": state, "time": time_text(since), "reason": reason}
            return self._publish(replace(before, keys=(*kept, said)), signing)

    def renew(self, signing: Signing) -> int:
        """Publish the same list again, fresh; gives its sequence number.

        Raises:
            UsageError: there is no register, or it is not as it was signed.
            InfrastructureError: the folder cannot be written.
        """
        self.lines()
        with self._alone():
            return self._publish(self.status_list(), signing)

    def _publish(self, before: StatusList, signing: Signing) -> int:
        self.origin(signing)  # who may not sign the log puts no list beside it either
        today = datetime.datetime.now(datetime.UTC)
        said = replace(
            before,
            sequence=before.sequence + 1,
            this_update=time_text(today),
            next_update=time_text(today + datetime.timedelta(days=FRESH_DAYS)),
        )
        text = signing.sign(said.json(), STATUS_TYPE).text().encode()
        lines = signing.sign(said.lines(), STATUS_LINES_TYPE).text().encode()
        # The list first: one that the log does not know yet is a list that cannot be checked, never an old one.
        _replace(self.status_path, text)
        _replace(self.status_lines_path, lines)
        entry = {"kind": "status", "sequence": said.sequence, "sha256": _digest(text), "lines": _digest(lines)}
        self._append(entry, signing)
        return said.sequence

    def _append(self, entry: dict[str, Any], signing: Signing) -> list[bytes]:
        """Append a line and sign the new tree; the next checkpoint also covers a line that has none of its own."""
        known = self.lines() if self.entries_path.exists() else []
        origin = self.origin(signing)
        line = canonical({**entry, "time": _now()})
        with self.entries_path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        lines = [*known, line]
        _replace(self.checkpoint_path, signing.note(Checkpoint(origin, len(lines), root(lines))).encode())
        return lines

    def origin(self, signing: Signing) -> str:
        """The log's name, by the key that began it: it stays when another key follows.

        Raises:
            UsageError: no Ed25519 key signs, or the log is another issuer's.
        """
        _ = signing.log_key
        if not self.checkpoint_path.exists():
            return origin_of(signing.log_key)
        try:
            origin = read_note(read_whole(self.checkpoint_path).decode())[0].origin
        except (OSError, UnicodeDecodeError, NoCheckpoint) as error:
            raise UsageError(
                f"{self.checkpoint_path} is no checkpoint: {error}", advice="restore the register from a backup"
            ) from error
        if origin not in {origin_of(key) for key in signing.store.public()}:
            raise UsageError(
                f"{self.folder} is the register of another issuer: no key here began it ({origin})",
                advice="name your own register, or the folder that holds all your keys with --keys",
            )
        return origin


def origin_of(key: PublicKey) -> str:
    """The name of a log that a key began (C2SP tlog-checkpoint: origin)."""
    return f"xinchuang-harness/{key.keyid[:16]}"


def fits(reason: str) -> bool:
    """Whether a text is a reason as the status list has it: one line, without quotation marks and backslashes."""
    return bool(reason.strip()) and not any(c in '"\\' for c in reason) and plain(reason) == reason


def _fits(reason: str) -> None:
    if not fits(reason):
        raise UsageError("a reason is one line, without quotation marks and backslashes", advice="give another one")


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


def one_line(text: str) -> str:
    """A text in the form of a reason: one line, without quotation marks and backslashes."""
    return " ".join(plain("".join(" " if c in '"\\' or c.isspace() else c for c in text)).split())


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _now() -> str:
    return time_text(datetime.datetime.now(datetime.UTC))
