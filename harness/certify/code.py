"""The text of a certificate's QR code: an address with a proof in its fragment, which never reaches a server.

``URL#1.NUMBER.DIGEST.ISSUED.UNTIL.SIGNATURE``: the certificate's number (percent-encoded, dots too), SHA-256 of its
predicate (``adaptation`` of the in-toto statement beside it), days since 1970-01-01 of its issue and of its last day
(empty where it has none), and one Ed25519 or ECDSA P-256 signature of 64 bytes; binary parts in base64url without
padding (RFC 4648, 5).
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from harness.certify.steps import CheckStep, Status
from harness.signing.keys import PublicKey

#: Where no address is configured.
NOWHERE = "xc:"
EPOCH = datetime.date(1970, 1, 1)
_FORM = re.compile(r"1\.([A-Za-z0-9_%~-]{1,600})\.([A-Za-z0-9_-]{43})\.(\d{1,6})\.(\d{0,6})\.([A-Za-z0-9_-]{86})")


class NoProof(Exception):
    """The text is no proof of this form; the message says what is wrong."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What a code proves without anything else at hand."""

    number: str
    sha256: str  #: of the predicate, hex
    issued: datetime.date
    until: datetime.date | None
    signature: bytes = b""

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        until = "" if self.until is None else self.until.isoformat()
        return f"XC-QR-1\n{self.number}\n{self.sha256}\n{self.issued.isoformat()}\n{until}\n".encode()

    def text(self, address: str = "") -> str:
        """The proof as the text of a QR code; ``{number}`` in ``address`` becomes the certificate's number."""
        until = "" if self.until is None else str((self.until - EPOCH).days)
        digest, signature = (_encode(data) for data in (bytes.fromhex(self.sha256), self.signature))
        number = urllib.parse.quote(self.number, safe="").replace(".", "%2E")
        return (
            f"{address.replace('{number}', number) or NOWHERE}#1.{number}.{digest}."
            f"{(self.issued - EPOCH).days}.{until}.{signature}"
        )

    def holds(self, keys: Sequence[PublicKey]) -> PublicKey | None:
        """The key that made the signature; None where none of ``keys`` did."""
        half = len(self.signature) // 2
        for key in keys:
            signature = self.signature
            if key.algorithm == "ecdsa-p256":
                signature = encode_dss_signature(
                    *(int.from_bytes(part) for part in (signature[:half], signature[half:]))
                )
            if key.algorithm in ("ed25519", "ecdsa-p256") and key.holds(self.message, signature):
                return key
        return None


def compact(key: PublicKey, signature: bytes) -> bytes:
    """A signature as 64 bytes: Ed25519 as it is, ECDSA as r and s of 32 bytes each, big-endian."""
    if key.algorithm == "ed25519":
        return signature
    return b"".join(number.to_bytes(32) for number in decode_dss_signature(signature))


def read_proof(text: str) -> Proof:
    """The proof in the text of a code, or in an address.

    Raises:
        NoProof: the text holds no proof of this form.
    """
    match = _FORM.fullmatch(text.partition("#")[2])
    if match is None:
        raise NoProof("no proof of the form #1.NUMBER.DIGEST.ISSUED.UNTIL.SIGNATURE")
    number, digest, issued, until, signature = match.groups()
    proof = Proof(
        number=urllib.parse.unquote(number),
        sha256=_decode(digest).hex(),
        issued=EPOCH + datetime.timedelta(int(issued)),
        until=EPOCH + datetime.timedelta(int(until)) if until else None,
        signature=_decode(signature),
    )
    if proof.text().partition("#")[2] != match[0]:  # other digits, bits of base64 that mean nothing, other escapes
        raise NoProof("a proof in another form than the one that is written")
    return proof


def check_code(text: str, keys: Sequence[PublicKey], predicate: bytes | None, today: datetime.date) -> list[CheckStep]:
    """Check the text of a code, one step for each question.

    With ``predicate`` (canonical bytes of the predicate beside the code), check also that both belong together.
    """
    try:
        proof = read_proof(text)
    except NoProof as error:
        return [CheckStep(name="code", status=Status.INVALID, detail=str(error))]
    key = proof.holds(keys)
    if key is None:
        return [
            CheckStep(
                name="code",
                status=Status.COULD_NOT_CHECK,
                detail=f"{proof.number}: not signed by a trusted key, or changed",
            )
        ]
    steps = [
        CheckStep(
            name="code", status=Status.VALID, detail=f"{proof.number}, issued {proof.issued}, signed by {key.name}"
        )
    ]
    if proof.until is not None and today > proof.until:
        steps.append(CheckStep(name="validity", status=Status.INVALID, detail=f"expired on {proof.until}"))
    if predicate is not None:
        same = hashlib.sha256(predicate).hexdigest() == proof.sha256
        detail = "the same certificate" if same else "they belong to different certificates"
        steps.append(
            CheckStep(name="code and statement", status=Status.VALID if same else Status.INVALID, detail=detail)
        )
    return steps


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
