"""Bounds what comes from elsewhere into memory: what a program prints (its beginning and its end are kept, with a note
between them), and a file that is read whole."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import deque
from pathlib import Path

#: Bytes of one output that are kept. What a product prints must not fill the controller's memory.
MAX_OUTPUT = 8_000_000
#: The note in what was cut.
CUT = re.compile(r"\[\.\.\. [0-9]+ bytes cut by the harness \.\.\.\]")
#: Bytes of a file that may be read from a machine into memory.
MAX_FILE = 96 * 2**20


class Bounded:
    """Takes pieces of bytes, and keeps at most ``limit`` of them: the first half and the last."""

    def __init__(self, limit: int = MAX_OUTPUT) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._in_tail = 0
        self.dropped = 0  #: bytes that were not kept

    def add(self, piece: bytes) -> None:
        """Take the next piece of the output."""
        room = self._half - len(self._head)
        if room > 0:
            self._head += piece[:room]
            piece = piece[room:]
        if not piece:
            return
        self._tail.append(piece)
        self._in_tail += len(piece)
        while self._in_tail > self._half:
            excess = self._in_tail - self._half
            first = self._tail.popleft()
            if len(first) > excess:
                self._tail.appendleft(first[excess:])
            lost = min(excess, len(first))
            self._in_tail -= lost
            self.dropped += lost

    @property
    def value(self) -> bytes:
        """What was kept; a line says how many bytes are missing, and where."""
        return bytes(self._head) + _note(self.dropped) + b"".join(self._tail)

    @property
    def text(self) -> str:
        """What was kept, as text; bytes that are no UTF-8 become question marks."""
        return self.value.decode(errors="replace")


def read_bounded(path: Path, limit: int = MAX_OUTPUT) -> str:
    """The text of a file, cut in the middle as by ``Bounded``.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        if size <= limit:
            return file.read(limit).decode(errors="replace")
        head = file.read(limit // 2)
        file.seek(size - limit // 2)
        return (head + _note(size - 2 * (limit // 2)) + file.read(limit // 2)).decode(errors="replace")


def read_whole(path: Path, limit: int = MAX_FILE) -> bytes:
    """A file of somebody else: at most ``limit`` bytes of a regular file.

    Raises:
        OSError: it cannot be read, is no regular file (EINVAL), or is larger (EFBIG).
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # a pipe is not waited for
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"more than {limit} bytes", str(path))
    return data


def _note(dropped: int) -> bytes:
    return f"\n[... {dropped} bytes cut by the harness ...]\n".encode() if dropped else b""
