"""How pytest's items are called."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from harness.model.testnames import TestName


def name_of(item: pytest.Item, folder: Path) -> TestName:
    """How an item is called; ``folder`` is the suite's."""
    path = item.path
    with contextlib.suppress(ValueError):
        path = path.relative_to(folder)
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    function = getattr(item, "originalname", None) or item.name
    line = item.location[1]
    return TestName(
        path=path.as_posix(),
        names=(*classes, function),
        nodeid=item.nodeid,
        line=line + 1 if line is not None else 0,
    )
