"""Signs the statements about a campaign, with any number of keys side by side."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.certify.code import Proof, compact
from harness.certify.lines import LINES_TYPE, lines_of
from harness.certify.statement import Issue, statements
from harness.errors import UsageError
from harness.model.view import CampaignView
from harness.signing.dsse import PAYLOAD_TYPE, Envelope, Signature
from harness.signing.keys import KeyStore, PublicKey
from harness.signing.tree import Checkpoint

#: Output -> file of the envelope beside the certificate.
ENVELOPES = {
    "adaptation": "adaptation.dsse.json",
    "test_result": "test-result.dsse.json",
    "lines": "certificate-lines.dsse.json",
}
#: Time stamp over the envelope of the adaptation statement, where the issuer's profile names an authority.
STAMP = "adaptation.tst"
#: Output -> file of all that is signed beside the certificate.
SIGNED_FILES = {**ENVELOPES, "stamp": STAMP}


@dataclass(frozen=True, kw_only=True)
class Signing:
    """Names of keys in a store, and the passphrase that opens them."""

    store: KeyStore
    names: tuple[str, ...]
    passphrase: str

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The public halves.

        Raises:
            UsageError: there is no such key.
        """
        return tuple(self.store.public_key(name) for name in self.names)

    def check(self) -> None:
        """Sign a trial text, so that a wrong passphrase is reported before anything is rendered.

        Raises:
            UsageError: there is no such key, or the passphrase is wrong.
            InfrastructureError: OpenSSL is missing (SM2).
        """
        for name in self.names:
            self.store.sign(name, self.passphrase, b"")

    def envelopes(
        self, view: CampaignView, files: Mapping[str, str], adaptation: Mapping[str, Any]
    ) -> dict[str, bytes]:
        """Text of the envelope of each statement; ``files``: name -> SHA-256 (hex) of each file they name."""
        payloads = statements(view, files, adaptation)
        envelopes = {kind: self.sign(payload).text().encode() for kind, payload in payloads.items()}
        lines = lines_of(payloads["adaptation"], payloads["test_result"])
        return {**envelopes, "lines": self.sign(lines, LINES_TYPE).text().encode()}

    def code(self, issue: Issue, sha256: str, address: str) -> str:
        """Text of the QR code of a certificate whose predicate has the SHA-256 ``sha256`` (hex).

        The text is empty where no key can sign a code: a code needs an Ed25519 or a P-256 key.
        """
        key = next((key for key in self.keys if key.algorithm in ("ed25519", "ecdsa-p256")), None)
        if key is None:
            return ""
        until = datetime.date.fromisoformat(issue.valid_until) if issue.valid_until is not None else None
        bare = Proof(
            number=issue.number, sha256=sha256, until=until, issued=datetime.datetime.fromisoformat(issue.issued).date()
        )
        _, signature = self.store.sign(key.name, self.passphrase, bare.message)
        return replace(bare, signature=compact(key, signature)).text(address)

    @property
    def pdf_key(self) -> str:
        """Name of the key that signs PDF files: the first with an X.509 certificate; empty where none has one."""
        return next((name for name in self.names if self.store.chain(name)), "")

    def sign(self, payload: bytes, payload_type: str = PAYLOAD_TYPE) -> Envelope:
        """An envelope with a signature by each key."""
        bare = Envelope(payload=payload, payload_type=payload_type)
        signatures = [self.store.sign(name, self.passphrase, bare.signed_bytes) for name in self.names]
        return replace(bare, signatures=tuple(Signature(key.keyid, value) for key, value in signatures))

    @property
    def log_key(self) -> PublicKey:
        """The key that signs checkpoints of a log: the first Ed25519 key.

        Raises:
            UsageError: no named key is an Ed25519 key.
        """
        key = next((key for key in self.keys if key.algorithm == "ed25519"), None)
        if key is None:
            raise UsageError(
                "a log's checkpoint is signed with Ed25519, and no such key is named", advice="name one more with --key"
            )
        return key

    def note(self, checkpoint: Checkpoint) -> str:
        """A checkpoint as a signed note.

        Raises:
            UsageError: no Ed25519 key signs.
        """
        key = self.log_key
        _, signature = self.store.sign(key.name, self.passphrase, checkpoint.body.encode())
        return checkpoint.note(key.name, key.spki[-32:], signature)
