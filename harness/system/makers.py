"""Who made a thing that outlives its process: a name that can be tested for, on every machine that shares the cache.

A process number says nothing in another container, and is used again. So a process that makes something takes the lock
of a file of its own in the cache; the kernel drops the lock when the process ends, however it ends, and whoever finds
the thing can look whether its maker still runs.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from pathlib import Path

from harness.system.locks import holder_of, lock

FOLDER = "makers"

_guard = threading.Lock()
_held = contextlib.ExitStack()
_names: dict[Path, str] = {}


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/xinchuang-harness`` or its place below the home folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "xinchuang-harness"


def own_name() -> str:
    """Name of this process, which ``runs`` is true for until the process has ended.

    Raises:
        OSError: the cache cannot be written.
    """
    folder = cache_folder() / "locks" / FOLDER
    with _guard:
        if folder not in _names:
            name = secrets.token_hex(4)
            # Locked first and named then: who looks in between must not take it for a dead one's.
            unnamed = folder / f".{name}"
            _held.enter_context(lock(unnamed, timeout=0, holder="maker"))
            unnamed.rename(folder / name)
            _names[folder] = name
        return _names[folder]


def runs(name: str) -> bool:
    """Whether the process of this name still runs. The file of one that does not is removed."""
    path = cache_folder() / "locks" / FOLDER / name
    if not name.isalnum() or not path.exists():
        return False
    if holder_of(path) is not None:
        return True
    path.unlink(missing_ok=True)
    return False
