"""Streams over parts of a container: of a known length, counted, decompressed. Each tells where it is cut off."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
from collections.abc import Callable
from typing import IO, Any, cast

import zstandard

from harness.scan import limits
from harness.scan.limits import CHUNK, Budget, Unreadable

#: Bytes of the last frame of a zstd stream, which the reader adds itself.
_MARK = 16


class Part(io.RawIOBase):
    """So many bytes of a file, from where it stands."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; gives the number of bytes, 0 at the end."""
        data = self._file.read(min(self._left, len(buffer)))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


class Counted(io.RawIOBase):
    """A stream whose every byte is counted. ``packed``: bytes that it is unfolded from."""

    def __init__(self, stream: IO[bytes], budget: Budget, packed: int) -> None:
        self._stream, self._budget, self._packed, self._size = stream, budget, packed, 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; gives the number of bytes, 0 at the end."""
        data = self._stream.read(len(buffer))
        self._budget.spend(len(data))
        self._size += len(data)
        limits.check_ratio(self._size, max(1, self._packed))
        buffer[: len(data)] = data
        return len(data)


class _Followed(io.RawIOBase):
    """A file, and behind it some bytes more."""

    def __init__(self, file: IO[bytes], more: bytes) -> None:
        self._file, self._more = file, io.BytesIO(more)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer)) or self._more.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Zstd(io.RawIOBase):
    """The content of zstd frames (RFC 8878).

    The library says nothing where the last frame is cut off. So a frame with a random mark is put behind the file: an
    unfinished frame takes it for its own content, and the mark does not come out at the end.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._mark = os.urandom(_MARK)
        followed = _Followed(file, zstandard.ZstdCompressor().compress(self._mark))
        self._stream = zstandard.ZstdDecompressor().stream_reader(
            cast(IO[bytes], followed), read_across_frames=True, closefd=False
        )
        self._kept = b""

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; gives the number of bytes, 0 at the end.

        Raises:
            EOFError: the stream is cut off.
        """
        while True:
            data = self._stream.read(len(buffer))
            if not data and self._kept != self._mark:
                raise EOFError("the zstd stream is cut off")
            if not data:
                return 0
            whole = self._kept + data
            out, self._kept = whole[:-_MARK][: len(buffer)], whole[max(0, len(whole) - _MARK) :]
            if out:
                buffer[: len(out)] = out
                return len(out)


class Streams(io.RawIOBase):
    """The content of xz, lzma or bzip2 streams, one behind the other.

    ``LZMAFile`` and ``BZ2File`` take whatever follows the last stream for nothing.
    """

    def __init__(self, file: Any, kind: Callable[[], Any]) -> None:
        self._file, self._kind, self._packed, self._stream = file, kind, b"", kind()
        self._later = False  #: a stream that is not the first, and of which nothing has come out yet

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; gives the number of bytes, 0 at the end.

        Raises:
            EOFError: the last stream is cut off.
            Unreadable: what follows a stream is no such stream.
        """
        while True:
            if self._stream.eof and not self._next():
                return 0
            if not self._packed and self._stream.needs_input:
                self._packed = self._file.read(CHUNK)
                if not self._packed:
                    raise EOFError("the stream is cut off")
            data = self._decompress(len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)

    def _decompress(self, most: int) -> bytes:
        packed, self._packed = self._packed, b""
        try:
            data: bytes = self._stream.decompress(packed, most)
        except (lzma.LZMAError, OSError) as error:
            if self._later:
                raise Unreadable("something lies behind the end of its stream: it was not read") from error
            raise
        self._later = self._later and not data
        return data

    def _next(self) -> bool:
        """Go on to the stream that follows; zeros between streams are padding (The .xz File Format, 2.2)."""
        rest = self._stream.unused_data.lstrip(b"\0")
        while not rest:
            chunk = self._file.read(CHUNK)
            if not chunk:
                return False
            rest = chunk.lstrip(b"\0")
        self._stream, self._packed, self._later = self._kind(), rest, True
        return True


def decompressed(stream: Any) -> Any:
    """A stream as it is when whatever compresses it is undone; by its first bytes."""
    buffered = io.BufferedReader(stream, CHUNK)
    head = buffered.peek(8)
    opened: Any = buffered
    if head[:2] == b"\x1f\x8b":
        opened = gzip.GzipFile(fileobj=buffered, mode="rb")
    elif head[:6] == b"\xfd7zXZ\0" or head[:3] == b"\x5d\0\0":
        opened = Streams(buffered, lzma.LZMADecompressor)
    elif head[:3] == b"BZh":
        opened = Streams(buffered, bz2.BZ2Decompressor)
    elif head[:4] == b"\x28\xb5\x2f\xfd":
        opened = Zstd(buffered)
    return opened
