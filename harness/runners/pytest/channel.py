"""How pytest's process tells the harness what became of each test.

Messages go into a file that has no name any more when the first test begins. Each is a frame: a mark that only both
sides know, a number that counts up, a JSON header, optional bytes, and a code over all of it (HMAC-SHA256). What a
suite prints, or writes into the file by chance or on purpose, is no frame and is passed over; a frame that was changed
or copied is passed over too. Text may hold anything: frames have lengths, nothing is split by lines.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.system.canonical import read_json

KEY_BYTES = 32
_MARK_BYTES = 16
_HEAD = struct.Struct(">QQQ")  #: number of the frame, length of the header, length of the bytes
_CODE_BYTES = 32


@dataclass(frozen=True)
class Message:
    """A message of the suite's process: ``header`` with its kind under ``message``; ``data``: bytes of evidence."""

    header: dict[str, Any]
    data: bytes = b""

    @property
    def kind(self) -> str:
        """What the message is about; empty where the header does not say."""
        return str(self.header.get("message", ""))


def _mark(key: bytes) -> bytes:
    return hmac.digest(key, b"mark", hashlib.sha256)[:_MARK_BYTES]


class Writer:
    """Writes frames; only the process that made it can: a fork of it stays silent."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._key = key
        self._number = 0
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def write(self, message: str, /, data: bytes = b"", **header: Any) -> None:
        """Append one frame.

        Raises:
            OSError: the disk is full, or the suite closed the file.
        """
        if os.getpid() != self._owner:
            return
        # ASCII only: a lone surrogate, which a product's answer may hold, has no encoding in UTF-8.
        head = json.dumps({**header, "message": message}).encode("ascii")
        with self._lock:
            body = _HEAD.pack(self._number, len(head), len(data)) + head + data
            self._number += 1
            rest = memoryview(_mark(self._key) + body + hmac.digest(self._key, body, hashlib.sha256))
            while rest:
                rest = rest[os.write(self._file, rest) :]


class Reader:
    """Reads frames while they are written. ``damaged`` counts what was not understood."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._key = key
        self._mark = _mark(key)
        self._at = 0
        self._number = 0
        self.damaged = 0

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def messages(self) -> Iterator[Message]:
        """The frames that are complete and were not given yet."""
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        while True:
            start = self._find()
            if start is None:
                return None
            fixed = os.pread(self._file, _HEAD.size, start + _MARK_BYTES)
            if len(fixed) < _HEAD.size:
                return None
            number, head_length, data_length = _HEAD.unpack(fixed)
            length = _HEAD.size + head_length + data_length
            size = os.fstat(self._file).st_size
            if start + _MARK_BYTES + length + _CODE_BYTES > size:
                return None  # not written to its end yet
            body = _read(self._file, start + _MARK_BYTES, length)
            code = _read(self._file, start + _MARK_BYTES + length, _CODE_BYTES)
            if not hmac.compare_digest(code, hmac.digest(self._key, body, hashlib.sha256)):
                self._skip(start + 1)
                continue
            self._at = start + _MARK_BYTES + length + _CODE_BYTES
            if number < self._number:  # a copy of an earlier one
                self.damaged += 1
                continue
            self._number = number + 1
            head = body[_HEAD.size : _HEAD.size + head_length]
            return Message(read_json(head), body[_HEAD.size + head_length :])

    def _skip(self, to: int) -> None:
        self.damaged += 1
        self._at = to

    def _find(self) -> int | None:
        """Where the next mark stands."""
        while True:
            block = os.pread(self._file, 1 << 20, self._at)
            index = block.find(self._mark)
            if index == 0:
                return self._at
            if index > 0:
                self.damaged += 1
                self._at += index
                return self._at
            if len(block) < 1 << 20:
                return None
            self._at += len(block) - _MARK_BYTES
            self.damaged += 1


def _read(file: int, at: int, length: int) -> bytes:
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(file, min(length, 1 << 24), at)):
        parts.append(part)
        at += len(part)
        length -= len(part)
    return b"".join(parts)
