"""Succession of keys: a statement signed by both keys leads those who trust the old key to the new key."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import UsageError
from harness.signing.dsse import Envelope, NoEnvelope, Signature
from harness.signing.keys import KeyStore, PublicKey, read_public
from harness.system.canonical import canonical

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
    payload = canonical(
        {
            "_type": SUCCESSION,
            "from": old.keyid,
            "to": {"name": new.name, "keyid": new.keyid, "pem": new.pem.decode()},
            "time": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )
    bare = Envelope(payload=payload, payload_type=TYPE)
    signatures = [store.sign(signer, passphrase, bare.signed_bytes) for signer in (name, to)]
    envelope = replace(bare, signatures=tuple(Signature(key.keyid, value) for key, value in signatures))
    path = store.folder / f"{to}{ENDING}"
    path.write_text(envelope.text(), encoding="utf-8")
    store.retire(name)
    return new, path


def followers(known: Sequence[PublicKey], places: Sequence[Path]) -> list[PublicKey]:
    """Keys that follow one of ``known``, directly or over several steps, by the statements in these folders."""
    files = [file for place in places if place.is_dir() for file in sorted(place.glob(f"*{ENDING}"))]
    successors: list[PublicKey] = []
    grown = True
    while grown:
        grown = False
        for file in files:
            key = _follower(file, [*known, *successors])
            if key is not None and key.keyid not in {other.keyid for other in (*known, *successors)}:
                successors.append(key)
                grown = True
    return successors


def _follower(file: Path, known: Sequence[PublicKey]) -> PublicKey | None:
    try:
        envelope = Envelope.read(file.read_text(encoding="utf-8"))
        signatures = {signature.keyid: signature.signature for signature in envelope.signatures}
        old = next((key for key in known if key.keyid in signatures), None)
        if old is None or envelope.payload_type != TYPE:
            return None
        if not old.holds(envelope.signed_bytes, signatures[old.keyid]):
            return None
        said = json.loads(envelope.payload)
        new = read_public(str(said["to"]["name"]), str(said["to"]["pem"]).encode())
    except (NoEnvelope, UsageError, OSError, ValueError, KeyError, TypeError):
        return None
    good = new.keyid in signatures and new.holds(envelope.signed_bytes, signatures[new.keyid])
    return new if good and said.get("_type") == SUCCESSION and said.get("from") == old.keyid else None
