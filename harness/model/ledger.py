"""What the stages of a cell tell the journal while they work."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Protocol


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


@dataclass
class StepTimes:
    """Wall seconds per step of a cell, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, step: str, seconds: float) -> None:
        self.seconds[step] = self.seconds.get(step, 0.0) + seconds


@dataclass(frozen=True)
class Cancel:
    """The operator's wish to stop, seen by all threads."""

    event: threading.Event = field(default_factory=threading.Event)
