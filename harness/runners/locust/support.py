"""What a locustfile may ask of the driver that runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path

ENVIRONMENT = "HARNESS_LOAD"


def prepared_read() -> tuple[str, dict[str, str], tuple[int, ...]]:
    """Path, headers and good statuses of the read that was prepared before the load began."""
    prepared = json.loads(Path(os.environ[ENVIRONMENT]).read_text())["read"]
    return prepared["path"], prepared["headers"], tuple(prepared["status"])
