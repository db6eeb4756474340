"""Secrets are masked where text leaves the harness."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

MASK = "••••••"


def token() -> str:
    """A fresh password of 24 letters and digits, safe in any configuration file."""
    return secrets.token_hex(12)


def redact(text: str, hidden: Iterable[str]) -> str:
    """``text`` with every one of ``hidden`` masked, longest first."""
    for secret in sorted({h for h in hidden if len(h) >= 6}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
