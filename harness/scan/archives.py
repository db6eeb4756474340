"""Kinds of containers: archives, compressed files, packages, image layers. Each gives its members as streams."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import posixpath
import re
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from harness.model.finding import Component
from harness.scan import foreign, limits
from harness.scan.asar import read_asar
from harness.scan.limits import CHUNK, Budget, Unreadable
from harness.scan.streams import Counted, Part, Streams, Zstd, decompressed
from harness.scan.tars import check_end, compressed, read_tar, tar_stream
from harness.scan.walking import BROKEN, Entry, Opener, Walk, Where, trouble_of
from harness.system.archives import Marked, extent_of_directory

#: First bytes of the "new ASCII" form of cpio, without and with checksums, and its 13 fields (cpio(5)).
_CPIO = (b"070701", b"070702")
_CPIO_HEAD = re.compile(rb"07070[12][0-9a-fA-F]{104}")


def opener(head: bytes, what: str = "") -> Opener | None:
    """The reader of a container whose first bytes are ``head``, or that ``opaque`` calls ``what``; None without one."""
    if what:
        return foreign.opener_of(what)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip
    if head[:2] == b"\x1f\x8b":
        return _gzip
    if head[:4] == b"JM\x01\0":  # a module of a JDK: a zip behind four bytes
        return _zip
    if head[:6] == b"\xfd7zXZ\0" or _is_lzma(head):
        return _xz
    if head[:4] == b"\x04\0\0\0" and head[16:24] == b'{"files"':
        return read_asar
    if head[:3] == b"BZh" and head[4:10] == b"1AY&SY":
        return _bz2
    if head[:4] == b"\x28\xb5\x2f\xfd":
        return _zstd
    if head[:4] == b"\xed\xab\xee\xdb":
        return _rpm
    if head[:8] == b"!<arch>\n" and head[8:24].startswith(b"debian-binary"):
        return _deb
    if head[257:262] == b"ustar":
        return read_tar
    if _CPIO_HEAD.match(head):
        return _initramfs
    return None


def _is_lzma(head: bytes) -> bool:
    """Whether a file is in the older format of xz(1).

    Its header holds the properties, the size of the dictionary (2^n or 2^n + 2^(n-1) bytes) and the size of the
    content in bytes, or -1.
    """
    if len(head) < 14 or head[0] != 0x5D:
        return False
    dictionary, size = struct.unpack_from("<IQ", head, 1)
    sane = dictionary and dictionary & dictionary - 1 in (0, dictionary >> 1)
    return bool(sane and dictionary >= 1 << 12) and (size == 2**64 - 1 or size < 1 << 40) and head[13] == 0


def _zip(walk: Walk, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    _check_directory(walk, file, size, where)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        names = {info.filename for info in infos}
        kind = (
            "jar"
            if "META-INF/MANIFEST.MF" in names or where.place.endswith((".jar", ".war", ".ear"))
            else ("wheel" if where.place.endswith(".whl") else "zip")
        )
        own = where.as_unit(kind, _wheel_key(where) if kind == "wheel" else "")
        for info in infos:
            place = f"{where.place}!/{info.filename}"
            walk.check_name(info.filename, place)
            if info.is_dir():
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                with archive.open(info) as stream:
                    walk.check_link(info.filename, stream.read(4096).decode(errors="replace"), place, rooted=False)
                continue
            if info.flag_bits & 1:
                walk.unread.append((place, "it is encrypted"))
                continue
            try:
                with archive.open(info) as member:
                    yield from walk.member(member, info.filename, max(1, info.compress_size), own, budget)
            except BROKEN as error:
                walk.unread.append((place, trouble_of(error)))


def _check_directory(walk: Walk, file: IO[bytes], size: int, where: Where) -> None:
    """Note what follows the end of a zip archive.

    Raises:
        Unreadable: the list of members is so long that it would take all memory to read it.
    """
    length, end = extent_of_directory(file)
    if length > limits.DIRECTORY:
        raise Unreadable(f"its list of members is larger than {limits.DIRECTORY >> 20} MiB; it was not read")
    if end and size - end > limits.PADDING:
        walk.unread.append((where.place, f"{size - end} bytes lie behind its end: they were not read"))


def _wheel_key(where: Where) -> str:
    """``foo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl`` without what tells its platform."""
    folder, name = posixpath.split(where.key)
    return posixpath.join(folder, "-".join(name.split("-")[:2]) + ".whl")


def _gzip(walk: Walk, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    with gzip.GzipFile(fileobj=file, mode="rb") as stream:
        yield from compressed(walk, stream, size, where, budget)


def _xz(walk: Walk, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    yield from compressed(walk, Streams(file, lzma.LZMADecompressor), size, where, budget)


def _bz2(walk: Walk, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    yield from compressed(walk, Streams(file, bz2.BZ2Decompressor), size, where, budget)


def _zstd(walk: Walk, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    yield from compressed(walk, Zstd(file), size, where, budget)


def _deb(walk: Walk, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    """deb(5): an ar(5) archive of debian-binary, control.tar.*, data.tar.*."""
    position = 8
    own = where
    members = set()
    while position + 60 <= size:
        file.seek(position)
        header = file.read(60)
        if not (digits := header[48:58].strip()).isdigit() or header[58:60] != b"`\n":
            raise Unreadable("the package is damaged")
        name, length = header[:16].decode().strip().rstrip("/"), int(digits)
        if position + 60 + length > size:
            raise Unreadable("the package is cut off")
        members.add(name.partition(".")[0])
        part = Part(file, length)
        if name.startswith(("control.tar", "data.tar")):
            plain = io.BufferedReader(Counted(decompressed(part), budget, length), CHUNK)
            if name.startswith("control"):
                control = _control(plain)
                package, architecture = control.get("Package", "?"), control.get("Architecture", "")
                own = where.as_unit("deb", f"{posixpath.dirname(where.key)}/deb:{package}")
                walk.component(
                    Component(
                        kind="deb",
                        name=package,
                        version=control.get("Version", ""),
                        file=where.place,
                        architecture=_DEBIAN.get(architecture, "" if architecture in ("", "all") else architecture),
                    ),
                    own,
                )
            else:
                yield from tar_stream(walk, plain, own, budget, kind="deb")
        elif name != "debian-binary" and not name.startswith("_gpg"):
            yield from walk.member(part, name, max(1, length), own, budget)  # type: ignore[arg-type]
        position += 60 + length + length % 2
    if not {"control", "data"} <= members:
        raise Unreadable("the package is cut off")


#: Architectures of Debian and RPM -> as ``uname -m`` prints it.
_DEBIAN = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "loong64": "loongarch64",
    "i386": "i386",
    "riscv64": "riscv64",
    "loongarch64": "loongarch64",
    "mips64el": "mips64",
    "armhf": "arm",
    "sw64": "sw_64",
}


def _control(stream: Any) -> dict[str, str]:
    """Fields of the package's control file; deb822, first lines only."""
    fields: dict[str, str] = {}
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=Marked) as archive:
        for info in archive:
            member = archive.extractfile(info) if info.isreg() and posixpath.basename(info.name) == "control" else None
            if member is not None:
                for line in member.read(1 << 20).decode(errors="replace").splitlines():
                    name, colon, value = line.partition(":")
                    if colon and not line.startswith((" ", "\t")):
                        fields[name] = value.strip()
    return fields


#: Tags of an RPM header that are read (rpm's header format, tags of type STRING).
_RPM_TAGS = {1000: "name", 1001: "version", 1002: "release", 1022: "arch", 1044: "sourcerpm"}


def _rpm_header(file: IO[bytes], limit: int) -> dict[str, str]:
    """The header that begins where ``file`` stands: magic, counts, index of 16 bytes a tag, store.

    Raises:
        Unreadable: it is damaged, or is larger than ``limit`` bytes.
    """
    head = file.read(16)
    if len(head) != 16 or head[:4] != b"\x8e\xad\xe8\x01":
        raise Unreadable("the package's header is damaged or cut off")
    count, size = struct.unpack(">II", head[8:])
    if 16 * count + size > min(limit, limits.RPM_HEADER):
        raise Unreadable("the package's header is damaged, cut off, or too large")
    index, store = file.read(16 * count), file.read(size)
    if len(store) != size:
        raise Unreadable("the package's header is damaged or cut off")
    tags = {}
    for at in range(0, 16 * count, 16):
        tag, kind, offset, _ = struct.unpack_from(">IIII", index, at)
        if tag in _RPM_TAGS and kind == 6 and offset < size:
            stop = store.find(b"\0", offset, offset + limits.NAME)
            tags[_RPM_TAGS[tag]] = store[offset : stop if stop >= 0 else offset].decode(errors="replace")
    return tags


def _rpm(walk: Walk, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    """An RPM package: lead of 96 bytes, signature header (to a multiple of 8 bytes), header, compressed payload."""
    file.seek(96)
    _rpm_header(file, size)
    file.seek(-file.tell() % 8, os.SEEK_CUR)
    tags = _rpm_header(file, size)
    name, arch = tags.get("name", "?"), tags.get("arch", "")
    own = where.as_unit("rpm", f"{posixpath.dirname(where.key)}/rpm:{name}")
    independent = arch in ("noarch", "src", "nosrc") or "sourcerpm" not in tags
    walk.component(
        Component(
            kind="rpm",
            name=name,
            version=f"{tags.get('version', '')}-{tags.get('release', '')}",
            file=where.place,
            architecture="" if independent else _DEBIAN.get(arch, arch),
        ),
        own,
    )
    length = size - file.tell()
    plain = io.BufferedReader(Counted(decompressed(Part(file, length)), budget, length), CHUNK)
    yield from _cpio(walk, plain, own, budget)


def _initramfs(walk: Walk, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    """A cpio archive that is no payload of a package, such as a file system that a kernel begins with."""
    yield from _cpio(walk, file, where.as_unit("tar"), budget)
    check_end(walk, file, where)


def _cpio(walk: Walk, stream: Any, own: Where, budget: Budget) -> Iterator[Entry]:
    """Members of a "new ASCII" cpio archive (cpio(5)), the payload of RPM packages."""
    while True:
        header = stream.read(110)
        if header[:6] not in _CPIO:
            raise Unreadable("the payload is no cpio archive, or is cut off")
        if not re.fullmatch(rb"[0-9a-fA-F]{104}", header[6:]):
            raise Unreadable("the payload is damaged")
        fields = [int(header[6 + 8 * i : 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        if name_size > limits.NAME + 1:
            raise Unreadable("the payload is damaged")
        name = stream.read(name_size)[:-1].decode(errors="replace")
        stream.read(-(110 + name_size) % 4)
        if name == "TRAILER!!!":
            return
        place = f"{own.place}!/{name}"
        walk.check_name(name.removeprefix("/") if name.startswith("/") else name, place)
        part = Part(stream, size)
        if stat.S_ISREG(mode):
            yield from walk.member(part, name.lstrip("./"), 0, own, budget)  # type: ignore[arg-type]
        elif stat.S_ISLNK(mode):
            walk.check_link(name, part.read(4096).decode(errors="replace"), place, rooted=True)
        while part.read(CHUNK):
            pass
        stream.read(-size % 4)
