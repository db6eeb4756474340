"""Files that hold no program, no script and no archive, by their first bytes: nothing is looked for in them.

A suffix alone says nothing: what is called ``logo.png`` and begins like no picture is looked at like any other file.
"""

from __future__ import annotations

import codecs
import math
import posixpath
import re
import zlib
from collections import Counter

from harness.scan.opaque import Buffer

PICTURES, FONTS, MEDIA, DOCUMENTS = "pictures", "fonts", "sound and video", "documents"
JAVA, PYTHON, BYTECODE = "compiled Java", "compiled Python", "other bytecode"
WINDOWS, MACOS = "programs for Windows", "programs for macOS"
TABLES, LANGUAGES, KEYS = "databases", "translations and tables of locales", "keys, certificates and signatures"
FORMATS, WEB, EMPTY, SMALL = (
    "data of known formats",
    "pages, styles and translations",
    "empty files",
    "tiny pieces of data",
)
NUMBERS = "tables of numbers"
LINKS, DEVICES, HISTORY = "links", "pipes, sockets and devices", "folders of version control"
UNKNOWN = "data in which no program and no archive begins"
#: Why a file is skipped, as reports say it -> in Chinese.
REASONS = {
    PICTURES: "图片",
    FONTS: "字体",
    MEDIA: "音频与视频",
    DOCUMENTS: "文档",
    JAVA: "Java 字节码",
    PYTHON: "Python 字节码",
    BYTECODE: "其他字节码",
    WINDOWS: "Windows 程序",
    MACOS: "macOS 程序",
    TABLES: "数据库文件",
    LANGUAGES: "译文与区域数据",
    KEYS: "密钥、证书与签名",
    FORMATS: "已知格式的数据",
    WEB: "网页、样式与译文",
    EMPTY: "空文件",
    SMALL: "极小的数据",
    NUMBERS: "数值表",
    LINKS: "链接",
    DEVICES: "管道、套接字与设备",
    HISTORY: "版本控制目录",
    UNKNOWN: "其中没有程序或归档的数据",
}

_PDF = b"%PDF-"  #: of a document, most of which may be text
#: Place, first bytes there -> what a file is.
_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", PICTURES),
    (0, b"\xff\xd8\xff", PICTURES),
    (0, b"GIF8", PICTURES),
    (0, b"II*\0", PICTURES),
    (0, b"MM\0*", PICTURES),
    (0, b"8BPS", PICTURES),
    (0, b"icns", PICTURES),
    (0, b"\0\0\1\0", PICTURES),
    (0, b"\0\0\2\0", PICTURES),
    (0, b"Xcur", PICTURES),
    (0, b"\xd7\xcd\xc6\x9a", PICTURES),
    (0, b"DDS ", PICTURES),
    (0, b"\0\0\0\x0cjP  ", PICTURES),
    (0, b"\0\1\0\0\0", FONTS),
    (0, b"OTTO", FONTS),
    (0, b"true\0", FONTS),
    (0, b"ttcf", FONTS),
    (0, b"wOFF", FONTS),
    (0, b"wOF2", FONTS),
    (0, b"\x80\x01", FONTS),
    (0, b"\1fcp", FONTS),
    (34, b"LP", FONTS),
    (0, b"ID3", MEDIA),
    (0, b"OggS", MEDIA),
    (0, b"fLaC", MEDIA),
    (0, b"RIFF", MEDIA),
    (4, b"ftyp", MEDIA),
    (0, b"\x1aE\xdf\xa3", MEDIA),
    (0, b"FLV\1", MEDIA),
    (0, b"MThd", MEDIA),
    (0, b".snd", MEDIA),
    (0, _PDF, DOCUMENTS),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", DOCUMENTS),
    (0, b"ITSF", DOCUMENTS),
    (0, b"\xf7\x02", DOCUMENTS),
    (0, b"\xca\xfe\xd0\x0d", JAVA),
    (0, b"\xca\xfe\xda\xda", JAVA),
    (0, b"\xda\xda\xfe\xca", JAVA),
    (0, b"\xa2\xab\x0b\xf0", JAVA),
    (0, b"\xf0\x0b\xab\xa2", JAVA),
    (0, b"\0asm", BYTECODE),
    (0, b"\x1bLua", BYTECODE),
    (0, b"\x1bLJ", BYTECODE),
    (0, b"FOR1", BYTECODE),
    (0, b"dex\n", BYTECODE),
    (0, b"BC\xc0\xde", BYTECODE),
    (0, b"RITE", BYTECODE),
    (0, b";ELC", BYTECODE),
    (0, b"gpch", BYTECODE),
    (0, b"adcg", BYTECODE),
    (0, b"oncg", BYTECODE),
    (0, b"\xfe\xed\xfa\xce", MACOS),
    (0, b"\xfe\xed\xfa\xcf", MACOS),
    (0, b"\xce\xfa\xed\xfe", MACOS),
    (0, b"\xcf\xfa\xed\xfe", MACOS),
    (0, b"Microsoft C/C++ MSF 7.00", WINDOWS),
    (0, b"SQLite format 3\0", TABLES),
    (4, b"Standard Jet DB", TABLES),
    (4, b"Standard ACE DB", TABLES),
    (12, b"\x62\x31\5\0", TABLES),
    (12, b"\x61\x15\6\0", TABLES),
    (0, b"\xce\x9a\x57\x13", TABLES),
    (0, b"\xcd\x9a\x57\x13", TABLES),
    (0, b"TDB file", TABLES),
    (0, b"REDIS0", TABLES),
    (0, b"\xfe\xfe\7\1", TABLES),
    (0, b"\xde\x12\4\x95", LANGUAGES),
    (0, b"\x95\4\x12\xde", LANGUAGES),
    (0, b"\x3c\xb8\x64\x18", LANGUAGES),
    (0, b"\x09\1\2\xde", LANGUAGES),
    (2, b"\xda\x27", LANGUAGES),
    (0, b"TZif", LANGUAGES),
    (0, b"\x1a\1", LANGUAGES),
    (0, b"\x1e\2", LANGUAGES),
    (0, b"\x20\5", LANGUAGES),
    (1, b" \x11\3 ", LANGUAGES),
    (0, b"\xfe\xed\xfe\xed\0\0\0", KEYS),
    (0, b"\xce\xce\xce\xce\0\0\0", KEYS),
    (0, b"DIRC", FORMATS),
    (0, b"\xfftOc", FORMATS),
    (0, b"RIDX", FORMATS),
    (0, b"\x89HDF\r\n", FORMATS),
    (0, b"\x93NUMPY", FORMATS),
    (0, b"PAR1", FORMATS),
    (0, b"ARROW1", FORMATS),
    (0, b"Obj\1", FORMATS),
    (0, b"GGUF", FORMATS),
    (0, b"GOBJ\nMETADATA", FORMATS),
    (0, b"GVariant", FORMATS),
    (0, b"bplist", FORMATS),
    (0, b"KSLPHHRH", FORMATS),
    (0, b"LPKSHHRH", FORMATS),
    (0, b"W\x13\0\0", FORMATS),
    (36, b"acsp", FORMATS),
    (0, b"pst0", FORMATS),
    (0, b"\x04\x0bxMP", FORMATS),
    (0, b"\xac\xed\0\5", FORMATS),
    (0, b"\xd4\xc3\xb2\xa1", FORMATS),
    (0, b"\xa1\xb2\xc3\xd4", FORMATS),
    (4, b"TFL3", FORMATS),
    (0, b"\xd0\x0d\xfe\xed", FORMATS),
    (0, b"glTF", FORMATS),
    (0, b"MIME-Magic\0", FORMATS),
    (0, b"\0\1\0\2\0\0\0", FORMATS),
    (0, b"\xd6\xc3\xc4\xd8", FORMATS),
)
#: Suffixes that, together with how a file begins, tell what it is: the mark alone is too short.
_SHORT: tuple[tuple[str, bytes, str], ...] = (
    (".bmp", b"BM", PICTURES),
    (".mp3", b"\xff", MEDIA),
    (".aac", b"\xff", MEDIA),
    (".eot", b"", FONTS),
    (".tga", b"", PICTURES),
    (".pickle .pkl .pt", b"\x80", FORMATS),
    (".der .crt .cer .p12 .pfx .p7b .p7s .pk8 .rsa .dsa .ec .key .keystore .bks .bcfks", b"0", KEYS),
    (".gpg .pgp .sig .asc .kbx .chk", b"", KEYS),
    (".mod .typ", b"", FORMATS),
)
_BY_SUFFIX: dict[str, list[tuple[bytes, str]]] = {}
for _suffixes, _mark, _kind in _SHORT:
    for _suffix in _suffixes.split():
        _BY_SUFFIX.setdefault(_suffix, []).append((_mark, _kind))
_BY_FIRST: dict[int, list[tuple[bytes, str]]] = {}
for _place, _mark, _kind in _MARKS:
    if _place == 0:
        _BY_FIRST.setdefault(_mark[0], []).append((_mark, _kind))
_INSIDE = tuple(mark for mark in _MARKS if mark[0])
#: Tables of a JDK that are packed without a mark.
_TABLES_OF_JAVA = ("java/lang/uniName.dat", "sun/nio/cs/ext/sjis0213.dat")
#: Texts that no rule is for.
_WEB = frozenset(".svg .map .css .scss .less .po .pot .html .htm .xhtml .rst".split())

#: What a program or an archive begins with, long enough not to be there by chance.
_BEGINNINGS = re.compile(
    rb"\x7fELF[\x01\x02][\x01\x02]\x01[\x00-\x12]"
    rb"|7z\xbc\xaf\x27\x1c\x00"
    rb"|\xfd7zXZ\x00\x00[\x00\x01\x04\x0a]"
    rb"|Rar!\x1a\x07[\x00\x01]"
    rb"|MSCF\x00\x00\x00\x00"
    rb"|\x1f\x8b\x08[\x00-\x1f][\x00-\xff]{4}[\x00\x02\x04][\x00-\x0d\xff][\x00-\xff]"
    rb"|PK\x03\x04[\x0a\x14\x2d\x3f\x00][\x00\x03]"
    rb"|ustar(?:\x0000|  \x00)"
    rb"|!<arch>\n"
    rb"|BZh[1-9]1AY&SY"
    rb"|hsqs[\x00-\xff]{24}\x04\x00\x00\x00"
    rb"|0707(?:01|02|07)[0-9a-fA-F]{60}"
    rb"|\x28\xb5\x2f\xfd"
    rb"|#! ?/(?:usr/)?bin/"
)
#: Bytes that are in no text, and the part of them that a text may have all the same.
_CONTROL, _SOME = bytes(set(range(32)) - set(b"\0\t\n\r\f\b\x1b\x1a")), 0.05
#: Bytes above ASCII, and the part of them beyond which a text has words between spaces, or is Chinese.
_ABOVE, _MANY, _SPACES = bytes(range(128, 256)), 0.3, 0.02
#: Bytes of unknown data that are weighed at a time, and the entropy above which they are packed or encrypted.
_WEIGHED, _PACKED = 1 << 16, 7.3
_ROWS, _ALIKE = 256, 6.0  #: numbers of a sample at the least, and bits of a place of theirs; even ones have 7.2 there
LEAST = 512  #: bytes; of fewer the entropy tells nothing, and nothing that runs is packed in them
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")  #: RFC 1950, CMF and FLG
SAMPLE = 8192  #: bytes that tell whether a file is a text


def kind_of(head: bytes, place: str) -> str:
    """What a file is that begins like this and in which nothing is looked for; empty where it is none of these."""
    suffix = posixpath.splitext(place)[1].lower()
    # Marks are short, and some are words: HELP of a script has a font's at its place, DIRC=/opt that of git's index.
    if head[:2] == b"#!" or is_text(head[:SAMPLE]):
        return DOCUMENTS if head.startswith(_PDF) else ""
    if place.endswith(_TABLES_OF_JAVA):
        return JAVA
    if head[:4] == b"\xca\xfe\xba\xbe":  # a class has a version of 45 or more, a fat program few architectures
        return JAVA if head[6:8] >= b"\0\x2d" else MACOS
    if head[2:4] == b"\r\n" and suffix in (".pyc", ".pyo"):
        return PYTHON
    for mark, kind in _BY_FIRST.get(head[0] if head else -1, ()):
        if head.startswith(mark):
            return kind
    for place_, mark, kind in _INSIDE:
        if head[place_ : place_ + len(mark)] == mark:
            return kind
    return next((kind for mark, kind in _BY_SUFFIX.get(suffix, ()) if head.startswith(mark)), "")


def skipped(head: bytes, size: int, place: str) -> str:
    """Why nothing is looked for in a file of ``size`` bytes that begins like this; empty where it is looked at."""
    if head[:2] == b"0\x82" and int.from_bytes(head[2:4]) + 4 == size:
        return KEYS  # one SEQUENCE of ASN.1 from end to end (X.690, 8.1.3), as certificates and answers of OCSP are
    return kind_of(head, place) if size else EMPTY


def is_page(head: bytes, place: str) -> bool:
    """Whether a text is of a kind that no rule is for, and no script whatever it is called."""
    return posixpath.splitext(place)[1].lower() in _WEB and head[:2] != b"#!"


def is_text(sample: bytes) -> bool:
    """Whether a file that begins like this is a text, in UTF-8 or any encoding that has ASCII for its first half."""
    control = len(sample) - len(sample.translate(None, _CONTROL))
    if b"\0" in sample[:512] or control > len(sample) * _SOME:
        return False
    above = len(sample) - len(sample.translate(None, _ABOVE))
    spaces = sum(sample.count(each) for each in (b" ", b"\n", b"\t"))
    if above <= len(sample) * _MANY or spaces > len(sample) * _SPACES:
        return True
    return any(_decodes(sample, encoding) for encoding in ("utf-8", "gb18030"))


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)  # its last character may be cut off
    except UnicodeDecodeError:
        return False
    return True


def hides(data: Buffer) -> str:
    """What may lie in data of an unknown kind, and is not read; empty where nothing does."""
    if (match := _BEGINNINGS.search(data)) is not None:
        return f"of no kind that is known here, and {_beginning(match[0])} begins inside at byte {match.start()}"
    if bytes(data[:2]) in _ZLIB and _inflates(bytes(data[:4096])):
        return "of no kind that is known here: packed with zlib"
    if len(data) >= LEAST and packed(data) and not numbers(data):
        return "of no kind that is known here: packed or encrypted"
    return ""


def _inflates(start: bytes) -> bool:
    try:
        return len(zlib.decompressobj().decompress(start, 64)) == 64
    except zlib.error:
        return False


def _beginning(mark: bytes) -> str:
    if mark[:4] == b"\x7fELF":
        return "a program"
    return "a script" if mark[:2] == b"#!" else "an archive"


def packed(data: Buffer) -> bool:
    """Whether most of the content is as even as only packed and encrypted bytes are."""
    step = max(_WEIGHED, len(data) // 8)
    samples = [bytes(data[at : at + _WEIGHED]) for at in range(0, len(data), step)]
    weighed = [entropy(sample) for sample in samples if len(sample) >= LEAST]
    return bool(weighed) and sum(value > _PACKED for value in weighed) * 2 > len(weighed)


def numbers(data: Buffer) -> bool:
    """Whether the content, as far as it is weighed, is a table of numbers of 2, 4 or 8 bytes: weights of a model.

    The bytes of one place of numbers, of their exponents or their high ends, are alike; nothing that is packed or
    encrypted has such a place, whatever it is cut into.
    """
    step = max(_WEIGHED, len(data) // 8)
    samples = [bytes(data[at : at + _WEIGHED]) for at in range(0, len(data), step)]
    weighed = [sample for sample in samples if len(sample) >= _ROWS * 8]
    return bool(weighed) and sum(any(_has_place(sample, width) for width in (2, 4, 8)) for sample in weighed) == len(
        weighed
    )


def _has_place(sample: bytes, width: int) -> bool:
    return min(entropy(sample[place::width]) for place in range(width)) < _ALIKE


def entropy(sample: bytes) -> float:
    """Bits that a byte of a sample tells: 8 at most."""
    return -sum(count / len(sample) * math.log2(count / len(sample)) for count in Counter(sample).values())
