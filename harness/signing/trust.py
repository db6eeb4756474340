"""Whom a reader trusts: a file that binds keys to the issuer they speak for, to what they sign, and to a time.

A line of the file, which ``verify.sh`` reads too, is ``key ROLES FROM UNTIL KEY ISSUER``: ``sign`` (statements),
``log`` (checkpoints of a register), ``time`` (time stamps); two times or ``-``; base64 of the SubjectPublicKeyInfo in
DER; the issuer's name as its statements have it, to the end of the line.
"""

from __future__ import annotations

import base64
import datetime
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UsageError
from harness.signing.dsse import decode
from harness.signing.keys import PublicKey, public_of
from harness.signing.lines import NOTHING, plain, read_time, time_text
from harness.system.bounded import read_whole

HEAD = "xinchuang-trust 1"
ROLES = ("sign", "log", "time")
ADVICE = "make the file with: harness trust add ISSUER KEY.pub.pem"


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A key, the issuer that it speaks for, and when. ``until``: signatures of a later time do not hold."""

    key: PublicKey
    issuer: str
    roles: tuple[str, ...]
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None

    @property
    def line(self) -> str:
        """The line of the file."""
        times = [NOTHING if when is None else time_text(when) for when in (self.since, self.until)]
        return f"key {','.join(self.roles)} {' '.join(times)} {base64.b64encode(self.key.spki).decode()} {self.issuer}"

    def holds_at(self, when: datetime.datetime) -> bool:
        """Whether the key speaks for its issuer at this time."""
        return (self.since is None or self.since <= when) and (self.until is None or when <= self.until)


@dataclass(frozen=True)
class Trust:
    """All bindings; a key is bound once."""

    bindings: tuple[Binding, ...] = ()

    def text(self) -> str:
        """The file."""
        return "".join(f"{line}\n" for line in (HEAD, *(binding.line for binding in self.bindings)))

    def of(self, role: str, issuer: str | None = None) -> list[Binding]:
        """The bindings with a role, of one issuer or of all."""
        return [b for b in self.bindings if role in b.roles and issuer in (None, b.issuer)]

    def keys(self, issuer: str | None = None) -> list[PublicKey]:
        """The keys that sign statements, of one issuer or of all."""
        return [binding.key for binding in self.of("sign", issuer)]

    def bound(self, keyid: str) -> Binding | None:
        """The binding of a key; None where it is not bound."""
        return next((binding for binding in self.bindings if binding.key.keyid == keyid), None)

    def add(self, binding: Binding) -> Trust:
        """This trust with one binding more.

        Raises:
            UsageError: the key is bound already.
        """
        known = self.bound(binding.key.keyid)
        if known is not None:
            raise UsageError(
                f"the key {binding.key.keyid[:16]} is bound to {known.issuer} already: a key speaks for one issuer",
                advice="take it away first: harness trust remove",
            )
        return Trust((*self.bindings, binding))

    def ended(self, keyid: str, until: datetime.datetime) -> Trust:
        """This trust, where a key holds until then at the latest."""
        return Trust(
            tuple(replace(b, until=min(until, b.until or until)) if b.key.keyid == keyid else b for b in self.bindings)
        )

    def without(self, name: str) -> Trust:
        """This trust without an issuer, or without the key whose id begins so.

        Raises:
            UsageError: nothing is bound to that name.
        """
        kept = tuple(b for b in self.bindings if b.issuer != name and not b.key.keyid.startswith(name))
        if not name or len(kept) == len(self.bindings):
            raise UsageError(f"nothing is bound to {name!r}", advice="see: harness trust list")
        return Trust(kept)


def read_trust(path: Path) -> Trust:
    """The trust of a file.

    Raises:
        UsageError: there is no such file, it is something else, or one of its lines is wrong.
    """
    try:
        if path.is_dir():
            raise UsageError(
                f"{path} is a folder of keys, and does not say for which issuer each of them speaks", advice=ADVICE
            )
        text = read_whole(path).decode()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", advice=ADVICE) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no file of trust: it is not UTF-8", advice=ADVICE) from error
    lines = text.split("\n")
    if lines[0] != HEAD or lines[-1] != "":
        raise UsageError(f"{path} is no file of trust: it does not begin with {HEAD!r}, or is cut off", advice=ADVICE)
    trust = Trust()
    for number, line in enumerate(lines[1:-1], 2):
        try:
            trust = trust.add(_binding(line))
        except (ValueError, UsageError) as error:
            raise UsageError(
                f"{path}:{number}: {error.message if isinstance(error, UsageError) else error}",
                advice="correct the line, or take it away and use: harness trust add",
            ) from error
    return trust


def _binding(line: str) -> Binding:
    words = line.split(" ", 5)
    if len(words) != 6 or words[0] != "key":
        raise ValueError("expected: key ROLES FROM UNTIL KEY ISSUER")
    _, roles, since, until, key, issuer = words
    binding = Binding(
        key=public_of(plain(issuer), decode(key)),
        issuer=plain(issuer),
        roles=tuple(roles.split(",")),
        since=None if since == NOTHING else read_time(since),
        until=None if until == NOTHING else read_time(until),
    )
    if binding.line != line or not set(binding.roles) <= set(ROLES) or len(set(binding.roles)) != len(binding.roles):
        raise ValueError(
            f"expected roles among {', '.join(ROLES)}, single blanks, and a name without control characters"
        )
    return binding


def write_trust(path: Path, trust: Trust) -> None:
    """Write the file whole, or leave what was there.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(trust.text(), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", advice="name another file") from error
