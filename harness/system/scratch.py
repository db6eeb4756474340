"""Folders for the time of one piece of work, in the machine's temporary folder, each with its maker in its name.

A process that is killed removes nothing. Secrets of a cell may lie in such a folder, so ``remove_abandoned`` finds
those whose maker has ended.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from harness.system.makers import cache_folder, own_name, runs

_NAME = re.compile(r"harness-[a-z]+-([0-9a-f]{4})-([0-9a-f]{8})-.+")


def temporary_folder(kind: str) -> tempfile.TemporaryDirectory[str]:
    """A folder of this user's alone, which goes with its context or its ``cleanup``; ``kind`` is a word for its name.

    Raises:
        OSError: the temporary folder cannot be written.
    """
    try:
        prefix = f"harness-{kind}-{_cache()}-{own_name()}-"
    except OSError:  # no cache: the folder is still needed, and is not found after a kill
        prefix = f"harness-{kind}-"
    return tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)


def remove_abandoned() -> list[str]:
    """Remove the folders of makers that have ended; gives their names, sorted.

    Only folders of this user and of makers that name themselves in this cache are looked at: of others it is not known
    whether they run.
    """
    removed = []
    for path in sorted(Path(tempfile.gettempdir()).glob("harness-*")):
        named = _NAME.fullmatch(path.name)
        if named is None or named[1] != _cache() or runs(named[2]):
            continue
        try:
            state = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid():
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path.name)
    return removed


def _cache() -> str:
    """Short: paths of sockets, which lie in such folders, have 107 bytes (unix(7))."""
    return hashlib.sha256(os.fsencode(cache_folder().resolve())).hexdigest()[:4]
