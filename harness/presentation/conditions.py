"""Conditions of the test as texts: of one controller, or of the workers of a center, by name where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def condition(at: Mapping[str, Any], key: str, absent: str = "") -> str:
    """The value of a condition; where it differs among workers, each with its worker's name. ``tools`` with versions,
    ``memory`` in GiB."""
    value = at.get(key)
    if isinstance(value, Mapping) and _by_worker(at, value):
        return "; ".join(f"{worker}: {_text(key, each, absent)}" for worker, each in value.items())
    return _text(key, value, absent)


def of_worker(at: Mapping[str, Any], worker: str) -> dict[str, Any]:
    """The conditions of one worker; all of them where they were the same for all, or there were no workers."""
    return {key: value.get(worker) if _by_worker(at, value) else value for key, value in at.items()}


def _by_worker(at: Mapping[str, Any], value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and set(value) <= set(at.get("workers", ()))


def machine(at: Mapping[str, Any]) -> str:
    """System, architecture and kernel of the controllers."""
    return f"{condition(at, 'system')}, {condition(at, 'machine')}, kernel {condition(at, 'kernel')}"


def _text(key: str, value: Any, absent: str) -> str:
    if value is None:
        return absent
    if key == "tools":
        return ", ".join(f"{name} {version}" for name, version in value.items())
    if key == "memory":
        return f"{value / 2**30:.1f} GiB"
    return str(value)
