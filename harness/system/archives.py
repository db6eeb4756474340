"""Tar and zip archives of anybody: what they count is looked at before it is read into memory."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from typing import IO

#: What Python's readers of archives let through on a damaged one.
DAMAGED = (
    EOFError,
    OSError,
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    UnicodeError,
    ValueError,
    KeyError,
    IndexError,
    struct.error,
    ArithmeticError,
    AttributeError,
    TypeError,
    RuntimeError,
    MemoryError,
)
MOST_HEADER = 1 << 20  #: bytes of an extended header of a tar archive
#: Headers of tar archives that are read whole before the member that they are about.
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
#: Where the size of the central directory stands in what ``zipfile`` gives (APPNOTE.TXT 4.3.16).
_DIRECTORY_SIZE, _COMMENT_SIZE, _PLACE, _END_SIZE = 5, 7, 9, 22


class Member(tarfile.TarInfo):
    """A member of a tar archive, whose header is looked at before anything that it counts is read.

    ``tarfile`` takes a header that is cut off or damaged behind the first member for the end of the archive, and reads
    extended headers of any size into memory.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Member:
        """The member that a header describes.

        Raises:
            ReadError: the header counts a size that no such member has.
        """
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0:
            raise tarfile.ReadError(f"a member of {member.size} bytes")
        if member.type in _EXTENDED and member.size > MOST_HEADER:
            raise tarfile.ReadError(f"an extended header of {member.size} bytes; the limit is {MOST_HEADER}")
        return member

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Member:
        """The next member of an archive. Where the file ends between two members, so does the archive.

        Raises:
            ReadError: the archive is damaged, or ends within a header.
        """
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError | tarfile.EmptyHeaderError):  # type: ignore[attr-defined]
                raise
            raise tarfile.ReadError(f"the archive is damaged or cut off: {error}") from error


class Marked(Member):
    """A member of an archive that has its end mark."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Marked:
        """The next member of an archive.

        Raises:
            ReadError: the archive is damaged, or ends before its end mark.
        """
        try:
            return super().fromtarfile(archive)  # type: ignore[return-value]
        except tarfile.EmptyHeaderError as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError("the archive ends before its end mark") from error


def size_of_directory(file: IO[bytes]) -> int:
    """Bytes of the list of members of a zip archive, which ``ZipFile`` makes objects of; 0 where there is none."""
    return extent_of_directory(file)[0]


def extent_of_directory(file: IO[bytes]) -> tuple[int, int]:
    """As ``size_of_directory``, and the place where the archive ends; 0 where there is none."""
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # what ZipFile itself goes by, also for ZIP64
    file.seek(0)
    return (int(end[_DIRECTORY_SIZE]), int(end[_PLACE]) + _END_SIZE + int(end[_COMMENT_SIZE])) if end else (0, 0)
