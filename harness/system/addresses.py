"""Addresses of machines as other texts want them."""

from __future__ import annotations


def in_url(host: str) -> str:
    """A name or IP address as a URL has it: an address of IPv6 in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
