"""What is known and not read: containers without an opener, disk images, texts in wide encodings.

Whatever is recognised here is reported as unread, or decoded where that is possible: a file that nobody looked at must
never pass for a file without findings.
"""

from __future__ import annotations

import codecs
import mmap
import posixpath
import struct
from typing import IO

Buffer = bytes | mmap.mmap

#: First bytes -> what a file is.
MAGIC = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"MSCF": "a cabinet archive",
    b"ISc(": "an InstallShield cabinet",
    b"hsqs": "a squashfs image",
    b"QFI\xfb": "a disk image",
    b"KDMV": "a disk image",
    b"COWD": "a disk image",
    b"conectix": "a disk image",
    b"vhdxfile": "a disk image",
    b"<<< Oracle VM VirtualBox Disk Image": "a disk image",
    b"MSWIM\0\0\0": "a disk image",
    b"070701": "a cpio archive",
    b"070707": "a cpio archive",
    b"xar!": "a xar archive",
    b"\x04\x22\x4d\x18": "an LZ4 file",
    b"\x02\x21\x4c\x18": "an LZ4 file",
    b"\x1f\x9d": "a file of compress(1)",
    b"LZIP": "an lzip file",
    b"\x89LZO\0": "an lzop file",
}
#: Suffixes of images, where the content is no text: whatever is inside, it is a file system.
IMAGES = frozenset(".iso .img .vmdk .vdi .vhd .vhdx .qcow2 .dmg".split())
#: Place -> bytes that mark a file system or a partition table: ISO 9660, ext2-4, GPT, btrfs, XFS, EROFS.
MARKS = (
    (0x8001, b"CD001"),
    (0x200, b"EFI PART"),
    (0x10040, b"_BHRfS_M"),
    (0x400, b"\xe2\xe1\xf5\xe0"),
)
#: An ext file system has a short mark; its block size and state must be sane too (linux/fs/ext4/ext4.h).
_EXT = 0x438
#: Archives that self-extracting programs carry behind their own content.
CARRIED = {
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"\x1f\x8b\x08": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"MSCF": "a cabinet archive",
    b"hsqs": "a squashfs image",
}
#: Suffixes of archives that are read: what begins like none of them is empty, cut off, damaged, or something else.
ARCHIVES = frozenset(".zip .jar .war .ear .whl .deb .rpm .tar .gz .tgz .xz .txz .bz2 .tbz2 .zst .tzst .asar".split())
#: Suffixes of files that are texts, whatever their bytes are.
TEXTS = frozenset(
    ".sql .ddl .sh .bash .py .pl .rb .lua .java .js .ts .go .c .h .cc .cpp .hpp .xml .yml .yaml .json .conf .cfg .ini "
    ".properties .service .spec .cmake .gradle .mk .ps1 .bat .cmd .txt .csv".split()
)
#: The marks of UTF-32 come first: one of them begins with that of UTF-16.
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 64


def container_of(head: bytes, name: str) -> str:
    """What a file is that begins like this and is not read; empty where nothing is known of it."""
    suffix = posixpath.splitext(name)[1].lower()
    if suffix in IMAGES and b"\0" in head:
        return "a disk image"
    return next((what for magic, what in MAGIC.items() if head.startswith(magic)), "")


def no_archive(name: str) -> str:
    """What is wrong with a file that begins like no container; empty where its name promises none."""
    suffix = posixpath.splitext(posixpath.basename(name))[1].lower()
    return (
        f"its name ends with {suffix}, and it begins like no such archive: get it again" if suffix in ARCHIVES else ""
    )


def image_of(file: IO[bytes], size: int) -> str:
    """The kind of a disk image, which bytes further inside tell; empty where the file is none. Keeps the position."""
    if size < 0x8000:
        return ""
    stood = file.tell()
    try:
        for place, mark in MARKS:
            file.seek(place)
            if file.read(len(mark)) == mark:
                return "a disk image"
        file.seek(_EXT)
        mark, state = struct.unpack("<HH", file.read(4).ljust(4, b"\0"))
        return "a disk image" if mark == 0xEF53 and state in (0, 1, 2, 4) else ""
    finally:
        file.seek(stood)


def carried_by(data: Buffer) -> str:
    """The archive behind the content of a 64-bit ELF program that extracts itself; empty where there is none."""
    if data[:5] != b"\x7fELF\x02" or len(data) < 64:
        return ""
    order = "<" if data[5] == 1 else ">"
    # e_shoff, then e_flags to e_phnum, then e_shentsize and e_shnum: section headers end most files.
    at, _, _, _, _, entry, count = struct.unpack_from(f"{order}QIHHHHH", data, 40)
    return _behind(data, at + entry * count)


def _behind(data: Buffer, end: int) -> str:
    if not 64 < end < len(data):
        return ""
    head = bytes(data[end : end + 16]).lstrip(b"\0")
    return next((what for magic, what in CARRIED.items() if head.startswith(magic)), "")


def is_wide(head: bytes) -> bool:
    """Whether a text is in UTF-16 or UTF-32: by its mark, or by a NUL at every other place."""
    return _encoding(head) != ""


def _encoding(head: bytes) -> str:
    marked = next((name for mark, name in _WIDE if head.startswith(mark)), "")
    if marked:
        return marked
    sample = head[: min(_SAMPLE, len(head) // 2 * 2)]
    if len(sample) < 8:
        return ""
    even, odd = sample[::2], sample[1::2]
    if not any(odd) and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in even):
        return "utf-16-le"
    if not any(even) and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in odd):
        return "utf-16-be"
    return ""


def plain(data: Buffer) -> Buffer:
    """A text as UTF-8, where it is in a wide encoding; otherwise as it is."""
    encoding = _encoding(bytes(data[:512]))
    return bytes(data).decode(encoding, errors="replace").encode() if encoding else data
