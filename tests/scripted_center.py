"""A worker of a center whose machines are scripted: ``python -m tests.scripted_center WORD …``, as ``harness WORD …``.

Worker, queue, claims, journal and evidence are the real ones, and each cell has a process of its own; only the
container engine in it is ``tests.scripted``.
"""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path

from harness.campaigns import snapshot
from harness.center import process, serving, worker
from tests import scripted

CELL = "--process-of-a-cell"


def main(words: list[str]) -> int:
    """Run the words of a command, or a cell."""
    if "FAKETIME" in os.environ:  # libfaketime refuses short sleeps (EINVAL), as no clock that is wrong does
        time.sleep = lambda seconds: select.select([], [], [], seconds) and None
    version = os.environ.get("SCRIPTED_VERSION")
    if words[0] == CELL:
        place = Path(words[4]) / "scripted" / "engine"
        place.mkdir(parents=True, exist_ok=True)
        os.environ["SCRIPTED"] = str(place)
        scripted.install()
        if version:
            snapshot.__version__ = version  # type: ignore[attr-defined]
        task, campaign, cell, root, name, options, parent = words[1:]
        return process.main(task, campaign, cell, root, name, options, int(parent))
    from harness.cli import main as command

    process.PROGRAM = ("-m", "tests.scripted_center", CELL)
    for module in (serving, worker):
        module.Engine = scripted.Engine  # type: ignore[attr-defined]
    if version:
        for module in (serving, worker):
            module.__version__ = version  # type: ignore[attr-defined]
    sys.argv[1:] = words
    command()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
