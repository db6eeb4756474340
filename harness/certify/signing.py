"""Signs what is said of a campaign, with any number of keys side by side."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from harness.certify.certificate import profile_of
from harness.certify.dsse import Envelope, Signature
from harness.certify.keys import KeyStore, PublicKey, trusted
from harness.certify.statement import statements
from harness.definitions.presentation import Presentation
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
        issued = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        made = statements(view, files, profile.number.replace("{campaign}", view.id), profile.name.en, issued)
        return {kind: self._sign(payload).text().encode() for kind, payload in made.items()}

    def _sign(self, payload: bytes) -> Envelope:
        bare = Envelope(payload=payload)
        made = [self.store.sign(name, self.passphrase, bare.signed_bytes) for name in self.names]
        return Envelope(payload=payload, signatures=tuple(Signature(key.keyid, value) for key, value in made))
