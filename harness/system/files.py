"""Files: written whole, so that a reader sees what was there before or all of what is new; and read with a limit."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
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


def read_plain(path: Path, most: int) -> bytes:
    """The content of a regular file of at most ``most`` bytes. Kind and size are looked at before anything is read: a
    device has no end, and a pipe waits for a writer.

    Raises:
        OSError: it cannot be opened, is no regular file, or is larger.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(most + 1) if size <= most else b""
    if max(size, len(data)) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes: {max(size, len(data))} bytes", str(path))
    return data


def digest_of_file(path: Path) -> str:
    """SHA-256 (hex) of a regular file of any size, read in pieces.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_plain(path: Path) -> Iterator[io.BufferedReader]:
    """A regular file, opened for reading.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    # Without O_NONBLOCK the opening of a pipe would wait; for a regular file it means nothing.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        yield file
