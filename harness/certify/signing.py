"""Signs what is said of a campaign, with any number of keys side by side."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.certify.certificate import last_day, profile_of
from harness.certify.dsse import PAYLOAD_TYPE, Envelope, Signature
from harness.certify.keys import KeyStore, PublicKey, trusted
from harness.certify.statement import Issue, statements
from harness.certify.tree import Checkpoint
from harness.presentation import Presentation
from harness.errors import UsageError
from harness.model.view import CampaignView

#: Output -> file of the envelope beside the certificate.
ENVELOPES = {"adaptation": "adaptation.dsse.json", "test_result": "test-result.dsse.json"}


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
        return tuple(one for name in self.names for one in trusted([self.store.folder / f"{name}.pub.pem"]))

    def check(self) -> None:
        """Sign something, so that a wrong passphrase is told before anything is rendered.

        Raises:
            UsageError: there is no such key, or the passphrase is wrong.
            InfrastructureError: OpenSSL is missing (SM2).
        """
        for name in self.names:
            self.store.sign(name, self.passphrase, b"")

    def envelopes(self, view: CampaignView, presentation: Presentation, files: Mapping[str, str]) -> dict[str, bytes]:
        """Text of the envelope of each statement; ``files``: name -> SHA-256 of what they speak of."""
        profile = profile_of(presentation)
        now = datetime.datetime.now(datetime.UTC)
        issue = Issue(number=profile.number.replace("{campaign}", view.id), issuer=profile.name.en,
                      issued=now.isoformat(timespec="seconds"), valid_until=last_day(profile, now.date()))  # fmt: skip
        return {kind: self.sign(payload).text().encode() for kind, payload in statements(view, files, issue).items()}

    def sign(self, payload: bytes, payload_type: str = PAYLOAD_TYPE) -> Envelope:
        """An envelope with a signature by each key."""
        bare = Envelope(payload=payload, payload_type=payload_type)
        made = [self.store.sign(name, self.passphrase, bare.signed_bytes) for name in self.names]
        return replace(bare, signatures=tuple(Signature(key.keyid, value) for key, value in made))

    @property
    def log_key(self) -> PublicKey:
        """The key that signs checkpoints of a log: the first Ed25519 one.

        Raises:
            UsageError: none is.
        """
        key = next((one for one in self.keys if one.algorithm == "ed25519"), None)
        if key is None:
            raise UsageError("a log's checkpoint is signed with Ed25519, and no such key is named",
                             advice="name one more with --key")  # fmt: skip
        return key

    def note(self, checkpoint: Checkpoint) -> str:
        """A checkpoint as a signed note.

        Raises:
            UsageError: no Ed25519 key signs.
        """
        key = self.log_key
        _, signature = self.store.sign(key.name, self.passphrase, checkpoint.body.encode())
        return checkpoint.note(key.name, key.spki[-32:], signature)
