"""A passage of a text that a detector is about, before it is known which targets are declared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Passage:
    """Where it is, and what it says. ``named``: architectures that it is no trouble for; ``about``: the only ones that
    it may be trouble for, none for all. ``mild``: it is worth a note only."""

    line: int
    excerpt: str
    named: frozenset[str] = frozenset()
    about: frozenset[str] = frozenset()
    mild: bool = False


def line_of(text: str, words: str, start: int = 0) -> int:
    """The line where words stand first, from a place on; the first line where they do not stand."""
    at = text.find(words, start)
    return text.count("\n", 0, at) + 1 if at >= 0 else 1
