"""What a checker remembers of the logs that it saw: the last checkpoint of each, by the log's name."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from harness.signing.tree import Checkpoint
from harness.system.canonical import read_json


def remembered(memory: Path | None, origin: str) -> Checkpoint | None:
    """The last checkpoint that was seen of a log; None without a memory."""
    if memory is None:
        return None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = _all(memory)[origin]
        return Checkpoint(origin, int(record["size"]), bytes.fromhex(record["root"]))
    return None


def _all(memory: Path) -> dict[str, Any]:
    value = read_json(memory.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}


def remember(memory: Path | None, checkpoint: Checkpoint) -> None:
    """Keep a checkpoint for the next check; a memory that cannot be written is left out."""
    if memory is None:
        return
    every: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        every = _all(memory)
    every[checkpoint.origin] = {"size": checkpoint.size, "root": checkpoint.root.hex()}
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        part = memory.with_name(f".{memory.name}.part")
        part.write_text(json.dumps(every, indent=1), encoding="utf-8")
        part.replace(memory)
