"""Succession of keys: a statement signed by both keys leads those who trust the old key to the new key."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UsageError
from harness.signing.dsse import Envelope, NoEnvelope, Signature
from harness.signing.keys import KeyStore, PublicKey, read_public
from harness.signing.lines import read_time, time_text
from harness.system.bounded import read_whole
from harness.system.canonical import canonical, read_json

TYPE = "application/vnd.xinchuang.succession+json"
SUCCESSION = "https://xinchuang-harness/succession/v1"
ENDING = ".succession.dsse.json"


def rotate(store: KeyStore, name: str, to: str, passphrase: str) -> tuple[PublicKey, Path]:
    """Make a key of the same kind that follows ``name``, and retire ``name``; gives the new key, and the path of the
    statement that is published with it.

    Raises:
        UsageError: there is no such key, it is on a token, the new name is taken, or the passphrase is wrong.
        InfrastructureError: OpenSSL is missing (SM2).
    """
    old = store.public_key(name)
    if store.token(name) is not None:
        raise UsageError(
            f"{name} is on a token, and no key is made there from here",
            advice="make one with the token's own tool, then: harness keys token",
        )
    store.sign(name, passphrase, b"")  # whether it opens, before anything is made
    new = store.make(to, old.algorithm, passphrase)
    when = datetime.datetime.now(datetime.UTC)
    payload = canonical(
        {
            "_type": SUCCESSION,
            "from": old.keyid,
            "to": {"name": new.name, "keyid": new.keyid, "pem": new.pem.decode()},
            "time": time_text(when),
        }
    )
    bare = Envelope(payload=payload, payload_type=TYPE)
    signatures = [store.sign(signer, passphrase, bare.signed_bytes) for signer in (name, to)]
    envelope = replace(bare, signatures=tuple(Signature(key.keyid, value) for key, value in signatures))
    path = store.folder / f"{to}{ENDING}"
    path.write_text(envelope.text(), encoding="utf-8")
    store.retire(name)
    return new, path


@dataclass(frozen=True, kw_only=True)
class Succession:
    """A key that follows another, and since when: what the old key signs later does not hold."""

    before: PublicKey
    after: PublicKey
    time: datetime.datetime


def read_succession(file: Path, known: Sequence[PublicKey]) -> Succession:
    """The succession of one of ``known``, signed by both keys.

    Raises:
        UsageError: the file is no such statement, or a signature does not hold.
    """
    try:
        envelope = Envelope.read(read_whole(file).decode())
        signatures = {signature.keyid: signature.signature for signature in envelope.signatures}
        said = read_json(envelope.payload)
        old = next((key for key in known if key.keyid in signatures and key.keyid == said["from"]), None)
        if old is None or envelope.payload_type != TYPE:
            raise UsageError(f"{file} is no succession of a key that is trusted", advice="add the key itself")
        if not old.holds(envelope.signed_bytes, signatures[old.keyid]):
            raise UsageError(f"{file}: the signature of the old key does not hold", advice="do not rely on it")
        new = read_public(old.name, str(said["to"]["pem"]).encode())
        when = read_time(str(said["time"]))
        good = new.keyid in signatures and new.holds(envelope.signed_bytes, signatures[new.keyid])
        if not good or (said["_type"], said["from"]) != (SUCCESSION, old.keyid):
            raise UsageError(f"{file}: the new key did not sign it", advice="do not rely on it")
    except (NoEnvelope, OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is no succession: {error}", advice="name NAME.succession.dsse.json") from error
    return Succession(before=old, after=new, time=when)


def succession_of(store: KeyStore, key: PublicKey) -> datetime.datetime | None:
    """When a key of this store was followed by another; None where it was not."""
    for file in sorted(store.folder.glob(f"*{ENDING}")):
        with contextlib.suppress(UsageError):
            return read_succession(file, [key]).time
    return None
