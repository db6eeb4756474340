"""Archives that Python has no reader for, by libarchive: 7z, RAR, ISO 9660, old cpio, LZ4, compress(1), lzip.

The extra ``archives`` brings libarchive-c, which needs libarchive itself (13 or newer) from the system. Without either
such files are unread. Each format is asked for by name, after its mark: libarchive left to itself would guess, and
start programs for some. It reads the file by its descriptor, so no name of the product reaches it, and nothing of it
calls back into Python, where the clock of the reader would be lost.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import re
import stat
import struct
from collections.abc import Iterator
from typing import IO, Any

from harness.scan import opaque
from harness.scan.limits import CHUNK, PADDING, Budget, Unreadable, check_ratio
from harness.scan.tars import compressed
from harness.scan.walking import Entry, Opener, Walk, Where

#: What ``opaque`` calls a file -> format and filter of libarchive. RAR has two, told apart by the mark.
KINDS = {
    opaque.SEVEN_ZIP: ("7zip", "none"),
    opaque.RAR: ("rar", "none"),
    opaque.ISO: ("iso9660", "none"),
    opaque.CPIO: ("cpio", "none"),
    opaque.LZ4: ("raw", "lz4"),
    opaque.COMPRESS: ("raw", "compress"),
    opaque.LZIP: ("raw", "lzip"),
}
_RAR5 = b"Rar!\x1a\x07\x01\x00"
#: Place and layout of the number of blocks of an ISO 9660 volume and of their size in bytes (ECMA-119, 8.4.8, 8.4.12).
_ISO_BLOCKS, _ISO_BLOCK = 0x8000 + 80, 0x8000 + 128
#: Bytes of the first header of a 7z archive, and where place and size of the last header stand in it (7zFormat.txt).
_START, _LAST_HEADER_AT, _LAST_HEADER = 32, 12, struct.Struct("<QQ")


@functools.cache
def library() -> Any:
    """``libarchive.ffi``; None where libarchive-c or libarchive is not installed."""
    try:
        from libarchive import ffi
    except (ImportError, OSError, AttributeError, TypeError):  # the last three: of a library that is not there
        return None
    logging.getLogger("libarchive").setLevel(logging.CRITICAL)  # it repeats what the archive says
    return ffi


def opener_of(what: str) -> Opener | None:
    """The reader of a container that ``opaque`` calls ``what``; None where nothing here reads it."""
    return _open if what in KINDS and library() is not None else None


def _open(walk: Walk, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    head = file.read(512)
    what = opaque.container_of(head) or opaque.ISO
    kind, unpacking = KINDS[what]
    with _opened(file, "rar5" if head.startswith(_RAR5) else kind, unpacking) as archive:
        if kind == "raw":
            yield from _content(walk, archive, size, where, budget)
        else:
            yield from _members(walk, archive, size, where, budget, rooted=what == opaque.ISO)
        end = _end(file, what) or archive.consumed()
    if end > size:
        walk.unread.append((where.place, f"it is cut off: {end - size} bytes are missing"))
    if size - end > PADDING and _holds(file, end):
        walk.unread.append((where.place, f"{size - end} bytes lie behind its end: they were not read"))


def _content(walk: Walk, archive: _Archive, size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    """What a compressed file unfolds to."""
    if not archive.next():
        return
    yield from compressed(walk, archive, size, where, budget)
    _drain(archive, budget, size)


def _members(
    walk: Walk, archive: _Archive, size: int, where: Where, budget: Budget, *, rooted: bool
) -> Iterator[Entry]:
    """``rooted``: it is a file system of its own, in which absolute links are at home."""
    own, met = where.as_unit("tar"), False
    while archive.next():
        met = True
        name = archive.name
        place = f"{where.place}!/{name}"
        walk.check_name(name, place)
        if archive.target:
            walk.check_link(name if stat.S_ISLNK(archive.mode) else "", archive.target, place, rooted=rooted)
        elif stat.S_ISREG(archive.mode):
            yield from walk.member(archive, name, max(1, size), own, budget)  # type: ignore[arg-type]
            _drain(archive, budget, size)
    if not met:
        raise Unreadable("it holds no member: it is empty, or damaged")


def _drain(archive: _Archive, budget: Budget, packed: int) -> None:
    """Read what nobody read: libarchive would unfold it too, in one call that no limit ends."""
    left = 0
    while chunk := archive.read(CHUNK):
        budget.spend(len(chunk))
        left += len(chunk)
        check_ratio(left, packed)


def _end(file: IO[bytes], what: str) -> int:
    """Where an archive ends by what its head says; 0 where it says nothing."""
    if what == opaque.SEVEN_ZIP:
        file.seek(_LAST_HEADER_AT)
        place, size = _LAST_HEADER.unpack(file.read(_LAST_HEADER.size))
        return _START + int(place) + int(size)
    if what == opaque.ISO:
        file.seek(_ISO_BLOCKS)
        (blocks,) = struct.unpack("<I", file.read(4))
        file.seek(_ISO_BLOCK)
        (block,) = struct.unpack("<H", file.read(2))
        return int(blocks) * int(block)
    return 0


def _holds(file: IO[bytes], place: int) -> bool:
    """Whether something but zeros lies behind a place."""
    file.seek(place)
    while chunk := file.read(CHUNK):
        if chunk.strip(b"\0"):
            return True
    return False


@contextlib.contextmanager
def _opened(file: IO[bytes], kind: str, unpacking: str) -> Iterator[_Archive]:
    ffi = library()
    file.flush()  # what Python still holds back is not in the file yet
    pointer, entry = ffi.read_new(), ffi.entry_new()
    try:
        for function in (ffi.get_read_filter_function(unpacking), ffi.get_read_format_function(kind)):
            if function(pointer) != ffi.ARCHIVE_OK:  # it would start a program
                raise Unreadable("this libarchive has no reader for it: unpack it, and scan what comes out")
        ffi.read_open_filename_w(pointer, f"/proc/self/fd/{file.fileno()}", CHUNK)
        yield _Archive(ffi, pointer, entry)
    except (ffi.ArchiveError, ValueError) as error:
        raise Unreadable(_told(error)) from error
    finally:
        ffi.entry_free(entry)
        with contextlib.suppress(ffi.ArchiveError):
            ffi.read_free(pointer)


def _told(error: Exception) -> str:
    message = str(getattr(error, "msg", "") or error)
    encrypted = re.search("(?i)encrypt|crypto|passphrase", message) is not None
    return "it is encrypted" if encrypted else f"it is damaged or cut off: libarchive: {message}"[:300]


class _Archive:
    """An archive that libarchive reads, as the stream of the member that it stands at."""

    def __init__(self, ffi: Any, pointer: Any, entry: Any) -> None:
        self._ffi, self._pointer, self._entry = ffi, pointer, entry
        self._buffer = ctypes.create_string_buffer(CHUNK)

    def next(self) -> bool:
        """Go on to the next member; False at the end.

        Raises:
            Unreadable: it is damaged, cut off or encrypted.
        """
        try:
            return bool(self._ffi.read_next_header2(self._pointer, self._entry) != self._ffi.ARCHIVE_EOF)
        except self._ffi.ArchiveError as error:
            raise Unreadable(_told(error)) from error

    def read(self, count: int) -> bytes:
        """So many bytes of the member, CHUNK at most; fewer at its end alone.

        Raises:
            Unreadable: as ``next``.
        """
        try:
            length = self._ffi.read_data(self._pointer, self._buffer, min(count, CHUNK))
        except self._ffi.ArchiveError as error:
            raise Unreadable(_told(error)) from error
        if length < 0:  # a warning, such as a checksum that does not fit
            raise Unreadable("it is damaged: what it unfolds to is not what was packed")
        return ctypes.string_at(self._buffer, length)

    @property
    def name(self) -> str:
        """Its name; bytes that are no UTF-8 are replaced."""
        return self._text("entry_pathname").removeprefix("./") or "?"

    @property
    def target(self) -> str:
        """What it is a link to; empty where it is none."""
        return self._text("entry_symlink") or self._text("entry_hardlink")

    @property
    def mode(self) -> int:
        """Its type, as in st_mode."""
        return int(self._ffi.entry_filetype(self._entry))

    def consumed(self) -> int:
        """Bytes of the file up to which it was read."""
        counted = self._ffi.ffi("filter_bytes", [ctypes.c_void_p, ctypes.c_int], ctypes.c_longlong)
        return int(counted(self._pointer, -1))

    def _text(self, function: str) -> str:
        with contextlib.suppress(ValueError):  # of characters beyond Unicode
            if text := getattr(self._ffi, f"{function}_w")(self._entry):
                return str(text)
        return (getattr(self._ffi, function)(self._entry) or b"").decode(errors="replace")
