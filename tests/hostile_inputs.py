"""Small files that made a reader loop for hours, take gigabytes, or crash: each is made here, none is kept."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import struct
import zipfile
from collections.abc import Callable

import zstandard

from tests.elves import elf
from tests.inputs import pack, tar

_EHDR = "<16sHHIQQQIHHHHHH"
_IDENT = b"\x7fELF\x02\x01\x01" + b"\0" * 9


def member_header(name: str, size: int) -> bytes:
    """The header of a member of an ar(5) archive."""
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{size:<10}`\n".encode()


def static_library_of_negative_size() -> bytes:
    return b"!<arch>\n" + member_header("x.o/", -60) * 2


def deb_of_negative_size() -> bytes:
    return b"!<arch>\n" + member_header("debian-binary", 4) + b"2.0\n" + member_header("x", -60) * 2


def overlapping_notes() -> bytes:
    """60,000 segments of notes over the same bytes."""
    count, notes = 60_000, struct.pack("<III4s", 4, 0, 9, b"GNU\0") * 20_000
    at = 64 + 56 * count
    segment = struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(notes), len(notes), 4)
    return struct.pack(_EHDR, _IDENT, 3, 62, 1, 0, 64, 0, 0, 64, 56, count, 64, 0, 0) + segment * count + notes


def _sections(section: bytes, count: int, data: bytes) -> bytes:
    at = 64 + len(data)
    return struct.pack(_EHDR, _IDENT, 3, 62, 1, 0, 0, at, 0, 64, 56, 0, 64, count, 0) + data + section * count


def overlapping_symbols() -> bytes:
    """65,000 tables of symbols over the same bytes."""
    data = b"\0" * (1 << 20)
    return _sections(struct.pack("<IIQQQQIIQQ", 0, 11, 2, 0, 64, len(data), 0, 0, 8, 24), 65_000, data)


def overlapping_code() -> bytes:
    """65,000 sections of code over the same bytes."""
    data = b"\x90" * (1 << 20)
    return _sections(struct.pack("<IIQQQQIIQQ", 0, 1, 6, 0, 64, len(data), 0, 0, 8, 0), 65_000, data)


def overlapping_versions() -> bytes:
    """10,000 records of needed versions, each with the same 65,535 entries."""
    strings, entries = b"\0GLIBC_2.4\0", 65_535
    at = 64 + 56 * 2
    need = struct.pack("<HHIII", 1, entries, 1, 16, 16)
    inner = struct.pack("<IHHII", 0, 0, 2, 1, 16)
    needs = need * 10_000 + inner * entries
    tags = [(5, at), (10, len(strings)), (0x6FFFFFFE, at + len(strings)), (0x6FFFFFFF, 10_000), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    size = at + len(strings) + len(needs) + len(dynamic)
    segments = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, size, size, 4096)
    segments += struct.pack("<IIQQQQQQ", 2, 4, size - len(dynamic), 0, 0, len(dynamic), len(dynamic), 8)
    head = struct.pack(_EHDR, _IDENT, 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    return head + segments + strings + needs + dynamic


def like_instructions() -> bytes:
    """Code that is nothing but the first bytes of AVX-512 instructions, none of which is one."""
    return elf(machine="x86_64", code="62f17c48ff" * 120_000)


def _rpm(headers: bytes, payload: bytes) -> bytes:
    lead = b"\xed\xab\xee\xdb\x03\0" + struct.pack(">HH", 0, 1) + b"t-1-1".ljust(66, b"\0")
    lead += struct.pack(">HH", 1, 5) + b"\0" * 16
    return lead + b"\x8e\xad\xe8\x01" + b"\0" * 12 + headers + payload


def rpm_of_many_tags() -> bytes:
    """400,000 tags that all begin at the start of 8 MB of text."""
    store = b"x" * (8 << 20)
    index = struct.pack(">IIII", 1000, 6, 0, 1) * 400_000
    return _rpm(b"\x8e\xad\xe8\x01" + b"\0" * 4 + struct.pack(">II", 400_000, len(store)) + index + store, b"")


def _cpio_header(**fields: bytes) -> bytes:
    names = "ino mode uid gid nlink mtime filesize major minor rmajor rminor namesize check".split()
    return b"070701" + b"".join(fields.get(name, b"00000000") for name in names)


def cpio_of_negative_name() -> bytes:
    """A package whose payload has a name of -1 bytes, and 8 MiB behind it."""
    payload = gzip.compress(_cpio_header(namesize=b"-0000001") + b"\0" * (8 << 20))
    return _rpm(b"\x8e\xad\xe8\x01" + b"\0" * 12, payload)


def unclosed_mapper() -> bytes:
    return b"<mapper>" + b'<select id="a">' * 200_000


def unended_mapper_tags() -> bytes:
    return b"<mapper>" + b"<select " * 200_000


def blank_properties() -> bytes:
    return b" \n" * 100_000 + b"\t" * 100_000


def conditions_within_conditions() -> bytes:
    return b"#if X\n" * 100_000 + b'__asm__("mov");\n'


def long_line_of_matches() -> bytes:
    return b"sse2 __m128i _mm_add_epi32(" * 50_000


def many_members() -> bytes:
    """A zip with 800,000 members of nothing, compressed."""
    name = b"aaaaaaaa"
    central = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0) + name
    count, first = 800_000, struct.pack("<4s2B4HL2L2H", b"PK\3\4", 20, 0, 0, 0, 0, 33, 0, 0, 0, 8, 0) + name
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(central) * count, len(first), 0)
    return gzip.compress(first + central * count + end, 1)


def tar_header(kind: bytes, size: int, name: bytes = b"x") -> bytes:
    field = b"%011o\0" % size if size >= 0 else b"\xff" * 4 + size.to_bytes(8, "big", signed=True)
    head = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + field + b"00000000000\0"
    rest = kind + b"\0" * 100 + b"ustar\x0000" + b"\0" * 247
    checksum = sum(head) + sum(rest) + 8 * 32
    return head + b"%06o\0 " % checksum + rest


def _gzip_of_zeros(head: bytes, mebibytes: int) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as file:
        file.write(head)
        for _ in range(mebibytes):
            file.write(b"\0" * (1 << 20))
    return out.getvalue()


def extended_header_of_gigabytes() -> bytes:
    return _gzip_of_zeros(tar_header(b"x", 2 << 30), 40)


def tar_member_of_negative_size() -> bytes:
    return tar_header(b"0", -512) + b"\0" * 1024


def tar_size_of_negative_attribute() -> bytes:
    record = b"13 size=-512\n"
    return tar_header(b"x", len(record)) + record.ljust(512, b"\0") + tar_header(b"0", 0) + b"\0" * 1024


def odd_versions() -> bytes:
    return elf(machine="x86_64", versions={"libc.so.6": ["GLIBC_2..5", "GLIBC_2.", "GLIBC_2.²", "GLIBC_" + "9" * 5000]})


def odd_versions_of_loongarch() -> bytes:
    return elf(machine="loongarch64", versions={"libc.so.6": ["GLIBC_2..5", "GLIBC_."]})


def deep_json() -> bytes:
    return b"[" * 200_000


def deep_image_configuration() -> bytes:
    return b'{"rootfs": {}, "architecture": ' + b"[" * 200_000


def nested_zips() -> bytes:
    """Ten archives in each of ten, and so on, above 4 MB of text: 4 TB."""
    inner = pack("x.zip", [("a.txt", b"text " * 800_000)])
    for _ in range(6):
        inner = pack("x.zip", [(f"{i}.zip", inner) for i in range(10)])
    return inner


def nested_bomb() -> bytes:
    """700 bytes: 640 MiB of blanks in gzip, in zip, in xz, in zstd."""
    inner = gzip.compress(b" " * (16 << 20)) * 20
    inner = pack("x.zip", [("a.gz", inner)])
    inner = tar([("x.zip", inner), ("y.zip", inner)], "w:xz")
    return zstandard.compress(tar([("x.tar.xz", inner), ("y.tar.xz", inner)]))


def names_of_gigabytes(kind: bytes) -> bytes:
    """A name, or the target of a link, of 1 GiB (GNU ``././@LongLink``), of which 40 MiB are there."""
    return _gzip_of_zeros(tar_header(kind, 1 << 30, b"././@LongLink"), 40)


def padded_header() -> bytes:
    """An extended header of 1 GiB behind noise, so that the file is not far smaller than what it unfolds to."""
    noise = random.Random(1).randbytes(1 << 20)
    return gzip.compress(tar_header(b"x", 1 << 30) + noise + b"\0" * (40 << 20), 1)


def headers_in_a_row() -> bytes:
    """A hundred thousand extended headers before one member."""
    record = tar_header(b"x", 11) + b"11 path=ab\n".ljust(512, b"\0")
    return gzip.compress(record * 100_000 + tar_header(b"0", 0) + b"\0" * 1024, 1)


def sparse_of_terabytes() -> bytes:
    """A file of 8 TiB that holds nothing (GNU tar, old sparse format)."""
    head = bytearray(tar_header(b"S", 0))
    head[386:410] = b"%011o\0%011o\0" % (0, 0)
    head[483:495] = b"\x80" + (1 << 43).to_bytes(11, "big")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + b"\0" * 1024


def text_of_a_gigabyte() -> bytes:
    """A mapper of XML whose statement has 1 GiB, in 5 MB."""
    inner = gzip.compress(b"a" * (1 << 20)) * (1 << 10)
    return gzip.compress(b'<mapper><select id="a">') + inner + gzip.compress(b"</select></mapper>")


def unfolding_entities() -> bytes:
    """XML whose entities unfold to 10^12 characters (a billion laughs)."""
    entities = b"".join(b'<!ENTITY a%d "%s">' % (i + 1, b"&a%d;" % i * 10) for i in range(12))
    return b'<!DOCTYPE x [<!ENTITY a0 "a">' + entities + b']><mapper><select id="a">&a12;</select></mapper>'


def aliases() -> bytes:
    """YAML of 600 bytes whose aliases stand for 10^9 values."""
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [b"a%d: &a%d [%s]" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 9)]
    return b"\n".join(lines)


def asar_of_negative_length() -> bytes:
    header = json.dumps({"files": {"a.js": {"offset": "5", "size": -3}}}).encode()
    return struct.pack("<IIII", 4, len(header) + 8, len(header) + 4, len(header)) + header + b"x" * 64


def long_names() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i in range(200):
            archive.writestr(f"{i}-" + "1-" * 30_000 + " .jar", b"x")
    return out.getvalue()


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


_PLAIN = tar([("a.py", b"import os\n" * 5000), ("b.py", b"".join(b"x = %d\n" % i**3 for i in range(3000)))])
_LIBRARY = elf(machine="x86_64") + bytes(range(256)) * 100
#: File name -> its content: all that is left of each is a sentence about what could not be read.
CUT_OFF: dict[str, Callable[[], bytes]] = {
    "x.tar.zst": lambda: _cut(zstandard.compress(_PLAIN)),
    "x.so.zst": lambda: _cut(zstandard.compress(_LIBRARY)),
    "frames.tar.zst": lambda: zstandard.compress(_PLAIN[:20_000]) + _cut(zstandard.compress(_PLAIN[20_000:])),
    "no-checksum.tar.zst": lambda: zstandard.ZstdCompressor(write_checksum=True).compress(_PLAIN)[:-4],
    "x.tar.gz": lambda: _cut(gzip.compress(_PLAIN)),
    "no-checksum.tar.gz": lambda: gzip.compress(_PLAIN)[:-8],
    "x.tar.xz": lambda: _cut(lzma.compress(_PLAIN)),
    "x.tar.lzma": lambda: _cut(lzma.compress(_PLAIN, format=lzma.FORMAT_ALONE)),
    "x.tar.bz2": lambda: _cut(bz2.compress(_PLAIN)),
    "x.sql.gz": lambda: _cut(gzip.compress(b"SELECT 1;" * 50)),
    "x.rpm": lambda: _rpm(b"\x8e\xad\xe8\x01" + b"\0" * 12, _cut(gzip.compress(_PLAIN))),
    "header.rpm": lambda: _rpm(b"\x8e\xad\xe8\x01" + b"\0" * 4, b""),
    "x.jar": lambda: _cut(pack("x.jar", [("META-INF/MANIFEST.MF", bytes(range(256)) * 100)])),
    "x.asar": lambda: struct.pack("<IIII", 4, 4000, 3996, 3992) + b'{"files":{"a.js":{"offset":"0","size":5}',
    "empty.tar.gz": lambda: b"",
    "byte.zip": lambda: b"P",
    "head.jar": lambda: b"PK\x03",
    "zeros.rpm": lambda: b"\0" * 5000,
    "words.whl": lambda: b"<html>404 Not Found</html>",
    "within.tar": lambda: tar([("empty.gz", b""), ("zeros.zip", b"\0" * 9)]),
    "inside.tar": lambda: _PLAIN[:10_000],
    "no-end-mark.tar": lambda: tar([("a.py", b"x" * 512), ("b.py", b"x" * 512)])[: 2 * 1024],
    "half-a-header.tar": lambda: tar([("a.py", b"x" * 512), ("b.py", b"x" * 512)])[: 1024 + 200],
    "damaged-header.tar": lambda: _PLAIN[: 512 + 50_176] + b"\xff" * 1024,
    "x.zip": lambda: _cut(pack("x.zip", [("a.py", bytes(range(256)) * 100)])),
    "x.deb": lambda: _cut(pack("t_1_amd64.deb", [("a.py", bytes(range(256)) * 100)])),
}
#: File name -> a program or a library that ends too early: what is left of it is looked at, and its end is told.
SHORT: dict[str, Callable[[], bytes]] = {
    "ident.so": lambda: _LIBRARY[:20],
    "header.so": lambda: _LIBRARY[:60],
    "half.so": lambda: elf(machine="x86_64", versions={"libc.so.6": ["GLIBC_2.34"]})[:200],
    "member.a": lambda: b"!<arch>\n" + member_header("x.o/", 90_000) + _LIBRARY,
    "second.a": lambda: (b"!<arch>\n" + (member_header("x.o/", len(_LIBRARY)) + _LIBRARY) * 2)[:-9],
    "first-header.a": lambda: b"!<arch>\n" + member_header("x.o/", 9)[:30],
    "last-header.a": lambda: (
        b"!<arch>\n" + member_header("x.o/", len(_LIBRARY)) + _LIBRARY + member_header("y.o/", 9)[:30]
    ),
}
UNREAD: dict[str, Callable[[], bytes]] = {
    **CUT_OFF,
    "negative.deb": deb_of_negative_size,
    "notes.so": overlapping_notes,
    "symbols.so": overlapping_symbols,
    "code.so": overlapping_code,
    "versions.so": overlapping_versions,
    "candidates.so": like_instructions,
    "negative.rpm": cpio_of_negative_name,
    "tags.rpm": rpm_of_many_tags,
    "members.zip.gz": many_members,
    "header.tar.gz": extended_header_of_gigabytes,
    "negative.tar": tar_member_of_negative_size,
    "attribute.tar": tar_size_of_negative_attribute,
    "negative.asar": asar_of_negative_length,
    "names.zip": long_names,
    "bomb.tar.zst": nested_bomb,
    "name.tar.gz": lambda: names_of_gigabytes(b"L"),
    "link.tar.gz": lambda: names_of_gigabytes(b"K"),
    "padded.tar.gz": padded_header,
    "headers.tar.gz": headers_in_a_row,
    "mapper.xml.gz": text_of_a_gigabyte,
}
#: File name -> content that is read to its end, in time; nothing of it is lost.
READ: dict[str, Callable[[], bytes]] = {
    "mapper.xml": unclosed_mapper,
    "tags.xml": unended_mapper_tags,
    "pom.properties": blank_properties,
    "conditions.c": conditions_within_conditions,
    "line.c": long_line_of_matches,
    "odd.so": odd_versions,
    "odd-loongarch.so": odd_versions_of_loongarch,
    "package.json": deep_json,
    "image.json": deep_image_configuration,
    "sparse.tar": sparse_of_terabytes,
    "entities.xml": unfolding_entities,
    "aliases.yaml": aliases,
    "deep.yaml": lambda: b"[" * 200_000,
    "deep-objects.json": lambda: b'{"a":' * 200_000,
    "cut-off.json": lambda: b'{"name": "x", "version": ',
    "cut-off.yaml": lambda: b"a: [1,",
    "whole.tar.zst": lambda: zstandard.compress(_PLAIN[:20_000]) + zstandard.compress(_PLAIN[20_000:]),
}
