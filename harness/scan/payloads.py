"""What programs and scripts carry behind or inside of themselves: installers that extract themselves."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterator
from typing import IO

from harness.scan.contents import SAMPLE, hides, is_text
from harness.scan.elf import NoElf, end_of
from harness.scan.opaque import Buffer

#: Archives that self-extracting programs carry behind their own content.
CARRIED = {
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"\x1f\x8b\x08": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"MSCF": "a cabinet archive",
    b"hsqs": "a squashfs image",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a Windows installer package",
}
#: Words that tell which installer a Windows program is.
_INSTALLERS = (
    (b"NullsoftInst", "the files of an NSIS installer"),
    (b"Inno Setup Setup Data", "the files of an Inno Setup installer"),
    (b"idska32\x1a", "the files of an Inno Setup installer"),
    (b"zlb\x1a", "the files of an Inno Setup installer"),
    (b"MSCF\0\0\0\0", "a cabinet archive"),
)
#: Bytes behind the end of a program that are padding, a build's mark or a signature, and carry nothing.
_REST = 512
_SIGNATURE = b"~Module signature appended~\n"
_ZIP_END = 22  #: bytes of the end of a zip archive without a comment (APPNOTE.TXT 4.3.16)
#: Long words of base64 or of hexadecimal digits, in one line or many (each begins where a word begins, or the search
#: would be quadratic), and what is uuencoded (POSIX, uuencode).
_BASE64 = re.compile(
    rb"(?<![A-Za-z0-9+/])(?:(?:[A-Za-z0-9+/]{40,}+\s{1,40}+){4,}+[A-Za-z0-9+/]*+|[A-Za-z0-9+/]{200,}+)={0,2}"
)
_UU = re.compile(rb"(?m)^begin [0-7]{3,4} [^\r\n]{1,255}\r?\n(?P<lines>(?:[^\r\n]{1,100}+\r?\n)++)")
_HEX = re.compile(rb"[0-9a-fA-F\s]+")
_HEAD = 600  #: characters of base64 that tell what a word is: a tar archive is known by its byte 257


def ends_as_zip(file: IO[bytes], size: int) -> bool:
    """Whether a file ends as a zip archive does, whatever it begins with. Keeps the position."""
    if size <= _ZIP_END:
        return False
    stood = file.tell()
    file.seek(size - _ZIP_END)
    end = file.read(_ZIP_END)
    file.seek(stood)
    return end[:4] == b"PK\x05\x06" and end[8:10] != b"\0\0"


def carried_by(data: Buffer) -> str:
    """What lies behind the content of an ELF program; empty where nothing does."""
    if data[:4] != b"\x7fELF" or len(data) < 64:
        return ""
    if data.find(b"UPX!", 0, 512) >= 0:
        return "itself, packed by UPX"
    try:
        end = end_of(data)
    except NoElf:
        return ""
    return _behind(data, end)


def carried_by_windows(data: Buffer) -> str:
    """What a Windows program carries behind its sections or in them (PE format, section table); empty if nothing."""
    try:
        (at,) = struct.unpack_from("<I", data, 0x3C)
        if data[at : at + 4] != b"PE\0\0":
            return ""
        count, optional = struct.unpack_from("<H12xH", data, at + 6)
        wide = struct.unpack_from("<H", data, at + 24)[0] == 0x20B
        certificates, length = struct.unpack_from("<II", data, at + 24 + (144 if wide else 128))
        end = 0
        for i in range(count):
            size, offset = struct.unpack_from("<II", data, at + 24 + optional + 40 * i + 16)
            end = max(end, size + offset)
    except struct.error:
        return ""
    known = next((what for mark, what in _INSTALLERS if data.find(mark) >= 0), "")
    if known:
        return known
    stop = certificates if end <= certificates and certificates + length + 8 >= len(data) else len(data)
    return _behind(data, end, stop)


def _behind(data: Buffer, end: int, stop: int = 0) -> str:
    stop = stop or len(data)
    if not 64 < end < stop:
        return ""
    place = end
    while place < stop and not bytes(data[place : place + 4096]).strip(b"\0"):
        place += 4096
    head = bytes(data[place : min(stop, place + 4096)]).lstrip(b"\0")
    if archive := next((what for magic, what in CARRIED.items() if head.startswith(magic)), ""):
        return archive
    if head[257:262] == b"ustar":
        return "a tar archive"
    if stop - place <= _REST or bytes(data[-len(_SIGNATURE) :]) == _SIGNATURE:
        return ""
    return f"{stop - place} bytes behind its own end"


def carries(text: Buffer) -> bool:
    """Whether what follows the first NUL byte of a text is data: a few NUL bytes may stand in a text too."""
    place = text.find(b"\0")
    if place < 0 or is_text(bytes(text[place : place + SAMPLE]).replace(b"\0", b"\1")):
        return False
    return text[:2] == b"#!" or bool(hides(bytes(text[place:])))


def begins(piece: bytes) -> bool:
    """Whether something begins like a program or an archive."""
    return piece[:4] == b"\x7fELF" or piece[257:262] == b"ustar" or piece.startswith(tuple(CARRIED))


def encoded_in(text: Buffer) -> Iterator[bytes]:
    """Programs and archives that stand in a text in base64, in hexadecimal digits or uuencoded."""
    for match in _UU.finditer(text):
        piece = b"".join(_uu_lines(match["lines"]))
        if begins(piece):
            yield piece
    for match in _BASE64.finditer(text):
        decode = _from_hex if _HEX.fullmatch(match[0][:_HEAD]) else _decoded
        if begins(decode(match[0][:_HEAD])):
            yield decode(match[0])


def _from_hex(text: bytes) -> bytes:
    digits = re.sub(rb"[^0-9a-fA-F]", b"", text)
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode())


def _decoded(text: bytes) -> bytes:
    joined = b"".join(text.split()).rstrip(b"=")
    joined = joined[:-1] if len(joined) % 4 == 1 else joined  # no whole byte is in it
    return base64.b64decode(joined + b"=" * (-len(joined) % 4))


def _uu_lines(lines: bytes) -> Iterator[bytes]:
    for line in lines.splitlines():
        if line in (b"`", b" ", b"end"):
            return
        try:
            yield binascii.a2b_uu(line)
        except binascii.Error:
            return
