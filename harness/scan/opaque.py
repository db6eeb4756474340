"""What is known and not read: containers without an opener, disk images, texts in wide encodings.

Whatever is recognised here is reported as unread, or decoded where that is possible: a file that nobody looked at must
never pass for a file without findings.
"""

from __future__ import annotations

import codecs
import mmap
import posixpath
import re
import struct
from collections.abc import Callable
from typing import IO

Buffer = bytes | mmap.mmap

#: What ``harness.scan.foreign`` opens where its library is installed.
SEVEN_ZIP, RAR, ISO, CPIO = "a 7z archive", "a RAR archive", "an ISO 9660 image", "a cpio archive"
LZ4, COMPRESS, LZIP = "an LZ4 file", "a file of compress(1)", "an lzip file"
FOREIGN = frozenset((SEVEN_ZIP, RAR, ISO, CPIO, LZ4, COMPRESS, LZIP))

#: First bytes -> what a file is.
MAGIC = {
    b"7z\xbc\xaf\x27\x1c": SEVEN_ZIP,
    b"Rar!\x1a\x07": RAR,
    b"MSCF": "a cabinet archive",
    b"ISc(": "an InstallShield cabinet",
    b"hsqs": "a squashfs image",
    b"sqsh": "a squashfs image",
    b"\x45\x3d\xcd\x28": "a cramfs image",
    b"\x28\xcd\x3d\x45": "a cramfs image",
    b"-rom1fs-": "a romfs image",
    b"UBI#": "a UBI image",
    b"\x31\x18\x10\x06": "a UBIFS image",
    b"\x85\x19\x01\xe0": "a JFFS2 image",
    b"\x85\x19\x03\x20": "a JFFS2 image",
    b"XFSB": "a disk image",
    b"LUKS\xba\xbe": "an encrypted disk image",
    b"QED\0": "a disk image",
    b"WithoutFreeSpace": "a disk image",
    b"WithouFreSpacExt": "a disk image",
    b"\x3a\xff\x26\xed": "a disk image",
    b"QFI\xfb": "a disk image",
    b"KDMV": "a disk image",
    b"COWD": "a disk image",
    b"conectix": "a disk image",
    b"vhdxfile": "a disk image",
    b"<<< Oracle VM VirtualBox Disk Image": "a disk image",
    b"MSWIM\0\0\0": "a disk image",
    b"070701": CPIO,
    b"070707": CPIO,
    b"070702": CPIO,
    b"\xc7\x71": CPIO,
    b"\x71\xc7": CPIO,
    b"xar!": "a xar archive",
    b"\x04\x22\x4d\x18": LZ4,
    b"\x02\x21\x4c\x18": LZ4,
    b"\x1f\x9d": COMPRESS,
    b"LZIP": LZIP,
    b"\x89LZO\0": "an lzop file",
    b"LRZI": "an lrzip file",
    b"\xff\x06\0\0sNaPpY": "a snappy file",
    b"\x60\xea": "an ARJ archive",
    b"SIT!": "a StuffIt archive",
    b"StuffIt (c)": "a StuffIt archive",
    b"7kSt\xa0": "a zpaq archive",
    b"zPQ\1": "a zpaq archive",
    b"Cr24": "a Chrome extension",
    b"\x27\x05\x19\x56": "a U-Boot image",
    b"PACK\0\0\0": "a pack of git",
    b"# v2 git bundle": "a bundle of git",
    b"# v3 git bundle": "a bundle of git",
    b"Salted__": "an encrypted file",
    b"age-encryption.org/": "an encrypted file",
    b"-----BEGIN PGP MESSAGE-----": "an encrypted file",
    b"-----BEGIN AGE ENCRYPTED FILE-----": "an encrypted file",
    b"$ANSIBLE_VAULT;": "an encrypted file",
}
#: Marks that begin a text, because the format is one. All others that are words are none where a text begins with them.
_OF_TEXTS = ("-----BEGIN ", "$ANSIBLE_VAULT;", "age-encryption.org/", "# v", "<<< ")
_WORDS = frozenset(
    mark for mark in MAGIC if mark.isascii() and mark.decode().isprintable() and not mark.decode().startswith(_OF_TEXTS)
)
#: The old ASCII form of cpio is a text too: its header is 70 octal digits behind the mark (cpio(5), odc).
_ODC = re.compile(rb"070707[0-7]{70}")
#: Suffixes of images, where the content is no text: whatever is inside, it is a file system.
IMAGES = frozenset(".iso .img .vmdk .vdi .vhd .vhdx .qcow2 .dmg".split())
#: Place, bytes that mark a file system, a table of partitions or another image there -> what it is.
MARKS = (
    (3, b"NTFS    ", "a disk image"),
    (3, b"EXFAT   ", "a disk image"),
    (7, b"**ACE**", "an ACE archive"),
    (0x20, b"NXSB", "a disk image"),
    (0x36, b"FAT1", "a disk image"),
    (0x38, b"ARM\x64", "a Linux kernel"),
    (0x40, b"\x7f\x10\xda\xbe", "a disk image"),
    (0x52, b"FAT32", "a disk image"),
    (0x200, b"EFI PART", "a disk image"),
    (0x200, b"LABELONE", "a disk image"),
    (0x202, b"HdrS", "a Linux kernel"),
    (0x400, b"\xe2\xe1\xf5\xe0", "a disk image"),
    (0x400, b"\x10\x20\xf5\xf2", "a disk image"),
    (0x400, b"H+\0\4", "a disk image"),
    (0x400, b"HX\0\5", "a disk image"),
    (0xFF6, b"SWAPSPACE2", "a disk image"),
    (0x8001, b"CD001", ISO),
    (0x8001, b"BEA01", "a disk image"),
    (0x8001, b"NSR0", "a disk image"),
    (0x9311, b"CD001", "a disk image"),
    (0x10040, b"_BHRfS_M", "a disk image"),
)
_LHA = re.compile(rb"..-l[hz][0-9ds]-", re.DOTALL)
#: Bytes before the end of a file -> bytes that mark an image there: VHD of a fixed size, UDIF of macOS.
TRAILERS = ((512, b"conectix"), (512, b"koly"))
#: The class of the root of a package of Windows Installer, {000C1084-…}, and where entries name their class (MS-CFB).
_MSI, CFB = b"\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: An ext file system has a short mark; its block size and state must be sane too (linux/fs/ext4/ext4.h).
_EXT = 0x438
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
_HIGH, _HIGH_RUNS = re.compile(rb"[\x80-\xff]+"), re.compile(rb"[\x80-\xff]{2,}")
_IN_PAIRS = 0.8  #: of the bytes above ASCII, in a text in GBK: the second byte of some characters is below


def container_of(head: bytes, *, text: bool = False) -> str:
    """What a file is that begins like this; empty where nothing is known of it. ``text``: whether it is a text."""
    mark = next((mark for mark in MAGIC if head.startswith(mark)), b"")
    if text and mark in _WORDS and not _ODC.match(head):
        return ""
    return MAGIC.get(mark, "")


def image_named(head: bytes, name: str) -> str:
    """What a file is by its name, where its content is no text; empty where the name tells nothing."""
    suffix = posixpath.splitext(name)[1].lower()
    return "a disk image" if suffix in IMAGES and b"\0" in head else ""


def no_archive(name: str) -> str:
    """What is wrong with a file that begins like no container; empty where its name promises none."""
    suffix = posixpath.splitext(posixpath.basename(name))[1].lower()
    return (
        f"its name ends with {suffix}, and it begins like no such archive: get it again" if suffix in ARCHIVES else ""
    )


def image_of(file: IO[bytes], size: int) -> str:
    """The kind of an image or installer, which bytes further inside tell; empty if it is none. Keeps the position."""
    stood = file.tell()
    file.seek(0)
    start = file.read(0x1000)

    def at(place: int, count: int) -> bytes:
        if place + count <= len(start):
            return start[place : place + count]
        file.seek(place)
        return file.read(count)

    try:
        for place, mark, what in MARKS:
            if place + len(mark) <= size and at(place, len(mark)) == mark:
                return what
        if any(size >= back and at(size - back, len(mark)) == mark for back, mark in TRAILERS):
            return "a disk image"
        if start[:8] == CFB and _is_installer(start, at):
            return "a Windows installer package"
        if _LHA.match(start):
            return "an LHA archive"
        short, state = struct.unpack("<HH", at(_EXT, 4).ljust(4, b"\0"))
        return "a disk image" if (short == 0xEF53 and state in (0, 1, 2, 4)) or _is_partitioned(start) else ""
    finally:
        file.seek(stood)


def _is_installer(start: bytes, at: Callable[[int, int], bytes]) -> bool:
    """Whether the root of an OLE file is of the class of Windows Installer (MS-CFB 2.2, 2.6.4)."""
    sector = 1 << min(struct.unpack_from("<H", start, 30)[0], 20)
    (root,) = struct.unpack_from("<I", start, 48)
    return at((root + 1) * sector + 81, len(_MSI)) == _MSI


def _is_partitioned(start: bytes) -> bool:
    """Whether a first sector holds a table of partitions: four entries, each bootable or not, one not empty."""
    if len(start) < 512 or start[510:512] != b"\x55\xaa":
        return False
    entries = [start[at : at + 16] for at in range(446, 510, 16)]
    sane = all(entry[0] in (0, 0x80) and (entry[4] or not any(entry)) for entry in entries)
    return sane and any(entry[4] and any(entry[12:16]) for entry in entries)


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


def decoded(data: Buffer) -> str:
    """A text as characters: UTF-8, or else GB18030 where its bytes above ASCII stand in pairs, as they do in Chinese.

    Bytes of GBK that look like quotes of ASCII to others are read as what they are.
    """
    raw = bytes(data).removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pairs = sum(len(run) for run in _HIGH_RUNS.findall(raw))
        if pairs >= _IN_PAIRS * sum(map(len, _HIGH.findall(raw))):
            return raw.decode("gb18030", errors="replace")
        return raw.decode(errors="replace")
