"""The name of a file as `dpkg -S` takes it, which reads it as a pattern of a shell (dpkg-query(1), --search)."""

from __future__ import annotations

import re


def literal(path: str) -> str:
    """``path`` so that it stands for itself. Units of systemd have a backslash in their names
    (``system-systemd\\x2dmute\\x2dconsole.slice``)."""
    return re.sub(r"([][*?\\])", r"\\\1", path)
