"""Secrets are masked where text leaves the harness."""

from __future__ import annotations

import base64
import functools
import json
import secrets
import urllib.parse
from collections.abc import Iterable

MASK = "••••••"
#: Shorter texts are no secrets that can be looked for: they are parts of ordinary words.
SHORTEST = 6


def token() -> str:
    """A fresh password of 24 letters and digits, safe in any configuration file."""
    return secrets.token_hex(12)


def redact(text: str, hidden: Iterable[str]) -> str:
    """``text`` with every one of ``hidden`` masked: as it is, in capitals, and as JSON, URLs, base64 and hexadecimal
    write it; longest first. Halves of a secret are not found."""
    forms = {form for secret in hidden if len(secret) >= SHORTEST for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


@functools.lru_cache(maxsize=256)
def _forms(secret: str) -> frozenset[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    forms = {secret, secret.upper(), secret.lower(), raw.hex(), raw.hex().upper()}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    forms |= {urllib.parse.quote(raw, safe=""), urllib.parse.quote(raw), urllib.parse.quote_plus(raw)}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):  # bytes in front of it in the same group of three
            encoded = encode(b"\0" * before + raw).decode().rstrip("=")
            # The first and the last letter also hold bits of its neighbours.
            whole = encoded[(before * 8 + 5) // 6 :]
            forms.add(whole if (before + len(raw)) % 3 == 0 else whole[:-1])
    return frozenset(form for form in forms if len(form) >= SHORTEST)
