"""What a desk works with: its database, the center's journal, its folders, and how it signs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.center.queueing import Center
from harness.certify.envelopes import Signing
from harness.desk.database import Database
from harness.evidence import Workspace
from harness.presentation import Presentation
from harness.reading.catalogue import Catalogue
from harness.register.register import Register
from harness.signing.trust import Trust


@dataclass(frozen=True, kw_only=True)
class Seals:
    """How certificates are signed: keys by name in a store on this disk, the issuer's profile, and the register."""

    signing: Signing
    register: Register
    issuer: str
    trust: Trust  #: of whom checks on the public page: by which keys, of which issuer


@dataclass(frozen=True, kw_only=True)
class Office:
    """Everything that the pages and the API work over."""

    desk: Database
    center: Center
    presentation: Presentation
    catalogue: Catalogue
    folder: Path  #: artifacts that were uploaded; quarantine is below it
    definitions: Path | None = None  #: folders with a matrix, from which a tester may submit
    seals: Seals | None = field(default=None, repr=False)
    most_bytes: int = 2 * 2**30  #: of one artifact
    most_files: int = 20  #: artifacts of an application

    @property
    def workspace(self) -> Workspace:
        """The workspace of the center, by its journal and its evidence."""
        return self.center.workspace
