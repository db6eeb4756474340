"""DSSE envelopes (secure-systems-lab/dsse v1.0.2): bytes that are signed, and kept as they were signed.

Check first, parse after: the signatures cover ``payload``, and no code reads it before one signature was found valid.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from harness.system.canonical import read_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class NoEnvelope(Exception):
    """The text is no envelope, or a malformed one; the message says what is wrong."""


@dataclass(frozen=True)
class Signature:
    """A signature and its key. ``keyid``: SHA-256 (hex) of the public key's SubjectPublicKeyInfo in DER."""

    keyid: str
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A payload and the signatures over it."""

    payload: bytes
    payload_type: str = PAYLOAD_TYPE
    signatures: tuple[Signature, ...] = ()

    @property
    def signed_bytes(self) -> bytes:
        """Pre-authentication encoding: type and payload, each with its length."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)

    def text(self) -> str:
        """The envelope as JSON with one key on each line, which ``verify.sh`` relies on."""
        lines = ",\n".join(
            f'  {{"keyid": "{signature.keyid}",\n   "sig": "{_encode(signature.signature)}"}}'
            for signature in self.signatures
        )
        return (
            f'{{\n "payloadType": "{self.payload_type}",\n "payload": "{_encode(self.payload)}",\n '
            f'"signatures": [\n{lines}\n ]\n}}\n'
        )

    @classmethod
    def read(cls, text: str) -> Envelope:
        """Read an envelope. Only the form that ``text`` writes is accepted, so that no changed byte goes unnoticed.

        Raises:
            NoEnvelope: the text is no envelope in this form.
        """
        try:
            value = read_json(text)
            envelope = cls(
                payload=decode(value["payload"]),
                payload_type=str(value["payloadType"]),
                signatures=tuple(Signature(str(entry["keyid"]), decode(entry["sig"])) for entry in value["signatures"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise NoEnvelope(f"no DSSE envelope: {error}") from error
        if envelope.text() != text:
            raise NoEnvelope("a DSSE envelope, but not as it was written: something was added or changed in its form")
        return envelope


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decode(text: str) -> bytes:
    """Decode base64 in its canonical form: the unused bits are zero (RFC 4648, 3.5).

    Raises:
        ValueError: the text is not base64, or not in this form.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    if _encode(data) != text:
        raise ValueError("base64 in another form than the one that is written")
    return data
