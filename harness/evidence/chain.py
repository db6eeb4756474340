"""Chains of events: each event carries the SHA-256 of its own content and of the event before it.

A chain shows an event that was changed, removed or put elsewhere. It is no signature: who can write the database can
make another chain. Its head, which every report carries, ties it to what was handed out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.model.records import EventRow
from harness.system.canonical import digest_of

#: Where the workspace's chain begins. The others begin at the digest of the event that enters them there.
GENESIS = "0" * 64
#: The name of the workspace's chain.
WORKSPACE = ""

_CONTENT = ("campaign", "seq", "time", "cell", "number", "kind", "data", "previous")


def link(content: dict[str, Any]) -> str:
    """Digest of an event with this content: every column but the digest itself."""
    return digest_of({key: content[key] for key in _CONTENT})


def first_break(chain: Iterable[EventRow], begin: str) -> int | None:
    """Number of the first event that does not follow from the one before it (the first from ``begin``), or None."""
    previous, expected = begin, 1
    for event in chain:
        if event.seq != expected or event.previous != previous or event.digest != link(vars(event)):
            return event.seq
        previous, expected = event.digest, expected + 1
    return None
