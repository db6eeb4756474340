"""Versions, compared by their parts and never as pieces of text: 11.1 is not in 10.11.18, and 15 is not in 9.6.15."""

from __future__ import annotations

import re

#: What makes another version of the one before it: 1.0~rc1 and 1.0-beta2 come before 1.0.
_BEFORE_RELEASE = r"(?!~|[.-]?(?:alpha|beta|rc|pre|dev)[.-]?\d*\b)"


def states(printed: str, declared: str) -> bool:
    """Whether a text that a program printed states the declared version, or a later part of it: 4.7 is stated by
    ``4.7.3-2+deb12u1``.

    ``declared`` may have words before the version, and nothing declared is stated by any text that is not blank.
    """
    if not declared.strip():
        return bool(printed.strip())
    before = r"(?<![0-9A-Za-z.])(?<![0-9][-+~])"
    if declared[0].isdigit():
        before += "[vV]?"
    after = rf"(?![0-9]){_BEFORE_RELEASE}" if declared[-1].isdigit() else ""
    words = r"\s+".join(re.escape(word) for word in declared.split())
    return re.search(before + words + after, printed, re.IGNORECASE) is not None


def line_of(printed: str, declared: str) -> str:
    """The line that states the declared version, else the first that is not blank; empty where there is none."""
    lines = [" ".join(line.split()) for line in printed.splitlines() if line.strip()]
    return next((line for line in lines if states(line, declared)), lines[0] if lines else "")
