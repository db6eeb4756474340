"""Writes files whole: a reader sees what was there before, or all of what is new."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write ``data`` beside ``path`` and rename it there; its folder exists.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    if mode is not None:
        part.chmod(mode)
    part.replace(path)
