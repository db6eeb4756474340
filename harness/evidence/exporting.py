"""One campaign's record as text: what leaves the workspace holds this campaign and nothing of another."""

from __future__ import annotations

import json
from typing import Any

from harness.evidence.journal import JournalReader


def exported(reader: JournalReader, campaign: str) -> bytes:
    """The record as JSON: ``events`` (the campaign's chain), ``entries`` (what the workspace's chain says of it),
    and the rows of ``campaigns``, ``attempts``, ``observations`` and ``files`` as they stand, JSON within as text.
    """
    record: dict[str, Any] = {
        "events": [vars(event) for event in reader.events(campaign)],
        "entries": [{"length": entry.length, "head": entry.head} for entry in reader.entries(campaign)],
        **{name: [dict(row) for row in rows] for name, rows in reader.stored(campaign).items()},
    }
    return (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")
