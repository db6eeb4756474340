"""What a locustfile may ask of the driver that runs it."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENVIRONMENT = "HARNESS_LOAD"


@dataclass(frozen=True)
class PreparedRead:
    """The read that was prepared before the load began.

    ``text`` stands in every right answer where the product has a resource; else right answers have the media type
    ``media``. Either may be empty.
    """

    path: str
    headers: dict[str, str]
    status: tuple[int, ...]
    text: str = ""
    media: str = ""

    def __iter__(self) -> Iterator[Any]:
        """``path, headers, status = prepared_read()`` is what a locustfile needs that looks at the status alone."""
        return iter((self.path, self.headers, self.status))

    def fault(self, answer: Any) -> str:
        """What is wrong with an answer of locust's client (``status_code``, ``text``, ``headers``); empty if right."""
        if answer.status_code not in self.status:
            return f"status {answer.status_code}"
        if self.text and self.text not in (answer.text or ""):
            return f"status {answer.status_code} without the text that was written"
        media = str((answer.headers or {}).get("content-type", "")).partition(";")[0].strip()
        if self.media and media != self.media:
            return f"status {answer.status_code} with {media or 'no media type'} in place of {self.media}"
        return ""


@functools.cache
def prepared_read() -> PreparedRead:
    """The read that was prepared before the load began."""
    read = json.loads(Path(os.environ[ENVIRONMENT]).read_text())["read"]
    return PreparedRead(read["path"], read["headers"], tuple(read["status"]), read["text"], read["media"])
