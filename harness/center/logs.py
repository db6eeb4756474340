"""What a worker and a sweeper say: words for people, or a JSON object in each line for a collector of logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from harness.evidence.journal import now
from harness.system.printable import visible

#: Names the format for the processes of cells; of the commands it is an option.
LOG_FORMAT = "HARNESS_LOG_FORMAT"


@dataclass(frozen=True, kw_only=True)
class Log:
    """Writes lines. ``who``: name of the worker, or sweeper; without ``as_json`` only the words are written."""

    who: str = ""
    as_json: bool = False
    write: Callable[[str], object] = lambda _line: None

    def __call__(self, words: str, *, campaign: str = "", cell: str = "", attempt: int = 0) -> None:
        """Say it: of a campaign, one of its cells (its id), and the attempt at it, where it is about one."""
        if not self.as_json:
            self.write(words)
            return
        about = {"time": now(), "worker": self.who, "campaign": campaign, "cell": cell, "attempt": attempt}
        line = {key: value for key, value in about.items() if value} | {"message": visible(words)}
        self.write(json.dumps(line, ensure_ascii=False))
