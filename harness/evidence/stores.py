"""Which store evidence lies in: a folder, or a bucket of an S3-compatible store."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.errors import UsageError
from harness.evidence.s3 import SCHEME, S3Store
from harness.evidence.store import EvidenceStore, FolderStore


def store_of(
    place: str, near: Path, keys: Mapping[str, str], begun: Callable[[], bool] = lambda: False
) -> EvidenceStore:
    """The store that ``place`` names: a folder, or ``s3://BUCKET/PREFIX``; without a name it is the folder ``near``, in
    which a bucket has a copy of what is needed as a file here.

    ``keys``: see ``S3Store``. ``begun``: see ``FolderStore``, of a folder that is named.

    Raises:
        UsageError: it is neither, or the library for it is not installed.
    """
    if place.startswith(SCHEME):
        return S3Store(place, near, keys)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", place):
        raise UsageError(
            f"HARNESS_EVIDENCE={place} is neither a folder nor s3://BUCKET/PREFIX",
            advice="for example: /srv/harness/evidence, or s3://harness-evidence/center",
        )
    return FolderStore(Path(place), begun) if place else FolderStore(near)
