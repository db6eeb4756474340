"""Whoever follows a campaign finds every kind of event in one list."""

from __future__ import annotations

import re
from pathlib import Path

import harness
from harness.model.records import EVENTS

SOURCES = sorted(Path(harness.__file__).parent.rglob("*.py"))
WRITTEN = re.compile(r"""(?:\.event|\.append)\(\s*"([a-z-]+)"\s*,""")


def test_every_kind_of_event_that_is_written_is_documented() -> None:
    written = {kind for path in SOURCES for kind in WRITTEN.findall(path.read_text(encoding="utf-8"))}
    assert {"observation", "attestation", "chain-head"} <= written, "the pattern finds no events any more"
    assert sorted(written - EVENTS.keys()) == []
