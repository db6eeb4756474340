"""What the stages of a cell tell the journal while they work."""

from __future__ import annotations

from typing import Any, Protocol

#: Media type of the samples and figures of a load.
MEDIA_LOAD = "application/vnd.xinchuang.load+json"


class Ledger(Protocol):
    """Writes through before it returns: what was told is on the disk."""

    def intent(self, kind: str, name: str) -> None:
        """A container, network or image is about to be made under this name."""
        ...

    def created(self, kind: str, name: str, engine_id: str) -> None:
        """It stands."""
        ...

    def removed(self, kind: str, name: str) -> None:
        """It is gone."""
        ...

    def event(self, kind: str, **data: Any) -> None:
        """Something worth knowing later."""
        ...

    def keep(self, name: str, data: bytes, media: str = "text/plain") -> str:
        """Store evidence; gives its SHA-256 (hex)."""
        ...
