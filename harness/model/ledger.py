"""What the stages of a cell record while they work."""

from __future__ import annotations

from typing import Any, Protocol

#: Media type of the samples and figures of a load.
MEDIA_LOAD = "application/vnd.xinchuang.load+json"
#: Media type of a time line: ``harness.model.timeline.Timeline``.
MEDIA_TIMELINE = "application/vnd.xinchuang.timeline+json"


class Ledger(Protocol):
    """Writes through: each call returns when what it was given is on the disk."""

    def intent(self, kind: str, name: str) -> None:
        """Record that a container, network, image or machine is about to be made under this name."""
        ...

    def created(self, kind: str, name: str, engine_id: str) -> None:
        """Record that it stands; ``engine_id`` is the engine's name for it."""
        ...

    def removed(self, kind: str, name: str) -> None:
        """Record that it is gone."""
        ...

    def event(self, kind: str, **data: Any) -> None:
        """Record a step or an incident; ``kind`` is a key of ``harness.model.records.EVENTS``."""
        ...

    def keep(self, name: str, data: bytes, media: str = "text/plain") -> str:
        """Store evidence; gives its SHA-256 (hex)."""
        ...
