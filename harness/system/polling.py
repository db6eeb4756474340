"""Waits for what can be read, whatever the numbers of the descriptors are: select(2) takes none above 1,023."""

from __future__ import annotations

import selectors
from collections.abc import Collection
from typing import Any


def readable(files: Collection[Any], seconds: float | None = None) -> list[Any]:
    """Those of ``files`` (descriptors, or what has one) that can be read, or are at their end, as soon as there is one;
    none after ``seconds``. ``None``: however long that takes."""
    with selectors.PollSelector() as selector:  # the only kind that takes no descriptor of its own
        for file in files:
            selector.register(file, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(seconds)]
