"""Nothing unread passes in silence: a file is read, skipped for a stated reason, or counted as unread."""

from __future__ import annotations

import base64
import binascii
import bz2
import gzip
import io
import json
import lzma
import os
import random
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model.finding import ScanResult
from harness.scan import contents, opaque, payloads, scan, sql
from tests.elves import elf
from tests.inputs import deb, pack, tar
from tests.unit.test_scan_command import run
from tests.unit.test_scan_inputs import cpio
from tests.unit.test_scan_rules import RULES, TARGETS

PROGRAM = elf(machine="x86_64", kind="executable")
NOISE = random.Random(7).randbytes(20_000)
TREE = tar([("bin/app", PROGRAM)])
PACKED = gzip.compress(TREE)
SCRIPT = b"#!/bin/sh\nsed '1,/^__END__$/d' \"$0\" | tar xz\nexit 0\n__END__\n"


def at(place: int, mark: bytes, size: int = 0x12000) -> bytes:
    return bytes(place) + mark + bytes(size - place - len(mark))


def portable(behind: bytes = b"", inside: bytes = b"") -> bytes:
    """A Windows program (PE32+) of one section, with something behind it."""
    body = (b"\xcc" * 64 + inside).ljust(1024, b"\0")
    optional = struct.pack("<H", 0x20B).ljust(240, b"\0")
    section = b".text\0\0\0" + struct.pack("<IIII", len(body), 0x1000, len(body), 512) + bytes(16)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 64) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, len(optional), 0x22) + optional + section
    return head.ljust(512, b"\0") + body + behind


def installer_package() -> bytes:
    """An OLE file whose root is of the class of Windows Installer."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(30, b"\0") + struct.pack("<H", 9)
    head = head.ljust(48, b"\0") + struct.pack("<I", 0)
    root = "Root Entry".encode("utf-16-le").ljust(80, b"\0") + bytes.fromhex("84100c0000000000c000000000000046")
    return head.ljust(512, b"\0") + root.ljust(512, b"\0")


def partitioned() -> bytes:
    entry = bytes([0x80, 0, 2, 0, 0x83, 0, 0, 0]) + struct.pack("<II", 2048, 4096)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa" + bytes(4096)


#: Names say nothing of what these hold.
SILENT = {
    "random.bin": NOISE,
    "model.dat": NOISE,
    "noname": NOISE,
    "logo.png": NOISE,
    "raw.img.bin": partitioned(),
    "fat.bin": b"\xeb\x3c\x90mkfs.fat".ljust(54, b"\0") + b"FAT16   ".ljust(4000, b"\0"),
    "ntfs.bin": b"\xeb\x52\x90NTFS    ".ljust(4000, b"\0"),
    "vdi.bin": at(0x40, b"\x7f\x10\xda\xbe"),
    "qed.bin": b"QED\0" + bytes(900),
    "parallels.bin": b"WithoutFreeSpace" + bytes(900),
    "fixed-vhd.bin": bytes(4096) + b"conectix".ljust(512, b"\0"),
    "cd.bin": at(0x9311, b"CD001"),
    "udf.bin": at(0x8001, b"BEA01"),
    "app.dmg.bin": bytes(4096) + b"koly".ljust(512, b"\0"),
    "root.cramfs": b"\x45\x3d\xcd\x28" + bytes(900),
    "flash.bin": b"UBI#\1" + bytes(900),
    "big-endian.bin": b"sqsh" + bytes(900),
    "old.cpio": b"\xc7\x71" + bytes(900),
    "vault.bin": b"LUKS\xba\xbe" + bytes(900),
    "backup.enc": b"Salted__" + NOISE,
    "x.lzh": b"\x20\x30-lh5-" + NOISE,
    "x.arj": b"\x60\xea" + NOISE,
    "setup.msi": installer_package(),
    "noname-package": installer_package(),
    "nsis.exe": portable(b"\0\0\0\0\xef\xbe\xad\xdeNullsoftInst" + NOISE),
    "inno.exe": portable(b"zlb\x1a" + NOISE),
    "inno-more.exe": portable(b"x" * 600, b"Inno Setup Setup Data (6.2.0)"),
    "7z.exe": portable(b"7z\xbc\xaf\x27\x1c\0\4" + NOISE),
    "rar.exe": portable(b"Rar!\x1a\7\1\0" + NOISE),
    "any.exe": portable(NOISE),
    "renamed": portable(NOISE),
    "tar-behind": elf(machine="aarch64", kind="executable") + TREE,
    "data-behind": elf(machine="aarch64", kind="executable") + NOISE,
    "padded": elf(machine="aarch64", kind="executable") + bytes(5000) + lzma.compress(TREE),
    "makeself.sh": SCRIPT + PACKED,
    "DMInstall.bin": SCRIPT + PACKED,
    "setup.html": SCRIPT + PACKED,
    "page.html": b"<html></html>\n" * 100 + PACKED * 9,
    "no-shebang.bin": SCRIPT[10:] + PACKED,
    "install.bat": b"@echo off\r\ncertutil %0\r\nexit /b\r\n" + PACKED,
    "holder.dat": b"\1\2\3\4" * 200 + PROGRAM + bytes(100),
    "bundle.dat": b"\1\2\3\4" * 200 + b"7z\xbc\xaf\x27\x1c\0\4" + bytes(100),
}


def of(path: Path) -> ScanResult:
    return scan([path], RULES, TARGETS)


@pytest.mark.parametrize("name", SILENT)
def test_what_is_not_read_is_counted_and_decides_the_exit_code(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SILENT[name])
    result = of(tmp_path / name)
    assert result.unread == 1
    (tmp_path / "outer.tar").write_bytes(tar([(name, SILENT[name]), ("readme.sh", b"echo\n")]))
    (tmp_path / name).unlink()
    assert of(tmp_path).unread == 1, "also inside of an archive"
    assert [f.file for f in of(tmp_path).findings if f.rule == "READ-1"] == [f"{tmp_path}/outer.tar!/{name}"]


def test_summary_json_and_exit_code_agree(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(NOISE)
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + NOISE)
    (tmp_path / "empty").write_bytes(b"")
    words = [tmp_path, "--target", "cpu=kunpeng-920"]
    shown, told = run(*words), run(*words, "--format", "json")
    assert (shown.exit_code, told.exit_code) == (3, 3)
    record = json.loads(told.stdout)
    assert record["unread"] == 1
    assert record["skipped"] == {"empty files": 1, "pictures": 1}
    assert "1 处内容未能读取" in shown.stdout
    assert "图片 pictures 1" in shown.stdout
    assert set(record["skipped"]) <= set(contents.REASONS)


#: What holds neither programs nor archives, and is skipped for a reason.
PLAIN = {
    "a.class": (b"\xca\xfe\xba\xbe\0\0\0\x3d" + NOISE, contents.JAVA),
    "Universal": (b"\xca\xfe\xba\xbe\0\0\0\x02" + NOISE, contents.MACOS),
    "plain.exe": (portable(), contents.WINDOWS),
    "noname-png": (b"\x89PNG\r\n\x1a\n" + NOISE, contents.PICTURES),
    "x.db": (b"SQLite format 3\0" + bytes(900), contents.TABLES),
    "index.dat": (struct.pack("<900I", *range(900)), contents.UNKNOWN),
    "little.dat": (b"\0\1\2\3", contents.SMALL),
    "style.css": (b"a { color: red }\n", contents.WEB),
    "none": (b"", contents.EMPTY),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_known_is_skipped_for_a_reason(tmp_path: Path, name: str) -> None:
    data, reason = PLAIN[name]
    (tmp_path / name).write_bytes(data)
    result = of(tmp_path)
    assert (result.unread, result.files, dict(result.skipped)) == (0, 0, {reason: 1})
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(name, data)
    assert dict(of(tmp_path / "x.zip").skipped) == {reason: 1}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=3000), name=st.sampled_from(["x.bin", "x.dat", "x", "x.exe", "x.sql", "x.png", "x.sh"]))
def test_every_file_is_read_skipped_or_unread(tmp_path: Path, data: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    result = of(path)
    assert result.files + sum(result.skipped.values()) + result.unread >= 1


def test_links_and_folders_of_version_control_are_told(tmp_path: Path) -> None:
    (tmp_path / "tree" / ".git").mkdir(parents=True)
    (tmp_path / "tree" / ".git" / "config").write_text("x")
    (tmp_path / "app").write_bytes(PROGRAM)
    (tmp_path / "tree" / "link").symlink_to("../app")
    os.mkfifo(tmp_path / "tree" / "pipe")
    assert dict(of(tmp_path / "tree").skipped) == {contents.LINKS: 1, contents.HISTORY: 1, contents.DEVICES: 1}
    (tmp_path / "latest").symlink_to("app")
    assert of(tmp_path / "latest").files == 1, "what is named is read, also where it is a link"


# --- what programs and scripts carry ---


def test_a_script_before_a_zip_archive_is_unpacked(tmp_path: Path) -> None:
    """Executable jars, zipapps, and installers whose archive is a zip."""
    jar = pack("app.jar", [("META-INF/MANIFEST.MF", b"x"), ("BOOT-INF/native/libx.so", elf(machine="x86_64"))])
    for name in ("app.jar", "tool.pyz", "setup.sh"):
        (tmp_path / name).write_bytes(b'#!/bin/sh\nexec java -jar "$0"\n' + jar)
        result = of(tmp_path / name)
        assert result.unread == 0, result.findings
        assert any(f.file.endswith("!/BOOT-INF/native/libx.so") for f in result.findings if f.rule.startswith("ARCH"))


@pytest.mark.parametrize("form", ["base64", "one-line", "uuencode", "uuencode-base64", "hexadecimal"])
def test_archives_in_texts_are_read(tmp_path: Path, form: str) -> None:
    if form == "uuencode":
        lines = b"".join(binascii.b2a_uu(PACKED[i : i + 45]) for i in range(0, len(PACKED), 45))
        text = b"begin 644 x.tgz\n" + lines + b"`\nend\n"
    elif form == "hexadecimal":
        text = PACKED.hex().encode() + b"\n"
    elif form == "uuencode-base64":
        text = b"begin-base64 644 x.tgz\n" + base64.encodebytes(PACKED) + b"====\n"
    else:
        text = base64.encodebytes(PACKED) if form == "base64" else base64.b64encode(PACKED)
    (tmp_path / "setup.sh").write_bytes(b"#!/bin/sh\ntail -n +4 $0 | base64 -d | tar xz\nexit\n" + text)
    result = of(tmp_path)
    assert [f.file for f in result.findings if f.rule == "ARCH-1"] == [f"{tmp_path}/setup.sh!/encoded-1!/bin/app"]


def test_certificates_and_pictures_in_texts_are_no_archives(tmp_path: Path) -> None:
    text = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(NOISE) + b"-----END CERTIFICATE-----\n"
    (tmp_path / "x.sh").write_bytes(b"cat <<E\n" + text + b"E\n")
    assert (of(tmp_path).unread, of(tmp_path).files) == (0, 1)


def test_base64_of_hostile_shapes_is_looked_through_in_time() -> None:
    for text in ((b"A" * 511 + b"\n\n") * 3000, (b"A" * 300_000 + b"\n") * 7, b"begin 644 x\n" * 50_000):
        assert list(payloads.encoded_in(text)) == []


def test_real_programs_carry_nothing() -> None:
    for path in ("/bin/sh", "/usr/bin/env", "/usr/bin/gzip"):
        assert payloads.carried_by(Path(path).resolve().read_bytes()) == "" or path == "/usr/bin/gzip"


def test_an_image_made_by_real_tools_is_unread(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(1 << 20))
    subprocess.run(["mke2fs", "-q", "-t", "ext4", tmp_path / "raw"], check=True, capture_output=True)
    assert of(tmp_path / "raw").unread == 1


# --- encodings ---

SQL = "-- 菜单表，誠\nCREATE TABLE `menu` (`id` INT AUTO_INCREMENT PRIMARY KEY, `title` VARCHAR(20)) ENGINE=InnoDB;\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gbk", "gb18030"])
def test_texts_in_the_encodings_of_this_trade_are_read_alike(tmp_path: Path, encoding: str) -> None:
    places = []
    for name, coding in (("a", "utf-8"), ("b", encoding)):
        (tmp_path / name).mkdir()
        text = SQL if coding not in ("utf-16-le", "utf-16-be") else SQL[SQL.index("CREATE") :]
        (tmp_path / name / "menu.sql").write_bytes(text.encode(coding))
        places.append({finding.rule for finding in of(tmp_path / name).findings})
    assert places[0] == places[1]
    assert "SQL-1" in places[0]


def test_characters_of_gbk_whose_second_byte_looks_like_ascii_break_no_string(tmp_path: Path) -> None:
    """The second byte of 誠 is a backslash, which would escape the quote behind it."""
    text = "INSERT INTO `person` (id, name) VALUES (1, '至誠');\nSELECT id FROM person WHERE name = '';\n"
    (tmp_path / "names.sql").write_bytes(text.encode("gbk"))
    result = of(tmp_path)
    assert result.unread == 0
    assert {f.rule for f in result.findings} >= {"SQL-1", "SQL-7"}


def test_a_script_with_a_mark_of_its_encoding_is_a_script(tmp_path: Path) -> None:
    (tmp_path / "install").write_bytes("\ufeff#!/bin/sh\nyum -y install libaio\n".encode())
    assert {f.rule for f in of(tmp_path).findings} >= {"SRC-9"}


def test_a_gzip_file_without_a_name_inside_is_weighed(tmp_path: Path) -> None:
    (tmp_path / "blob.gz").write_bytes(gzip.compress(NOISE))
    assert of(tmp_path).unread == 1
    out = io.BytesIO(NOISE)
    assert contents.packed(out.getvalue())


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 600 + bytes(3000),
        "菜单".encode("gbk") * 300,
        "é".encode("latin-1") * 9,
        "Привет всем\n".encode("koi8-r") * 90,
    ],
)
def test_tables_that_begin_without_a_nul_byte_carry_nothing(tmp_path: Path, data: bytes) -> None:
    """Such as those of the compiler that every Tomcat has (part2.rsc)."""
    (tmp_path / "part2.rsc").write_bytes(data)
    assert of(tmp_path).unread == 0


# --- SQL that is not understood ---


def test_a_statement_that_cannot_be_tokenised_is_named_and_loses_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "x.sql").write_text(
        "CREATE TABLE t (id INT AUTO_INCREMENT);\n"
        "INSERT INTO t VALUES (2, 'unfinished) ON DUPLICATE KEY UPDATE a = 1;\n"
        "SELECT NVL(a, 0) FROM t LIMIT 1, 2;\n"
    )
    findings = of(tmp_path / "x.sql").findings
    assert {(f.rule, f.line) for f in findings} >= {("SQL-2", 1), ("SQL-5", 2), ("SQL-4", 3), ("SQL-10", 3)}
    (unread,) = [f for f in findings if f.rule == "READ-1"]
    assert unread.message.startswith("as SQL, in line 2: ")
    assert run(tmp_path, "--target", "database=dameng-dm8").exit_code == 3


def test_a_definition_that_is_not_parsed_is_named_and_its_columns_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.sql").write_text(
        "SELECT 1;\n"
        "CREATE TABLE x (user VARCHAR(9),\noffset INT, CLUSTER PRIMARY KEY(user)) STORAGE(ON MAIN, CLUSTERBTR);\n"
    )
    findings = of(tmp_path / "x.sql").findings
    assert [(f.line, f.severity) for f in findings if f.rule == "READ-2"] == [(2, "info")]
    assert {f.message for f in findings if f.rule == "SQL-8"} == {"user VARCHAR(9)", "offset INT"}


@settings(deadline=None, max_examples=150)
@given(text=st.lists(st.sampled_from([*"'\"`;\n$[/*-\\#{", "a", "CREATE TABLE t (", "''", "\0", "菜"]), max_size=60))
def test_sql_of_any_shape_is_taken_apart(text: list[str]) -> None:
    list(sql.Reader(RULES).read("x.sql", "".join(text), ("sql",)))


# --- what lies behind the end of an archive ---


@pytest.mark.parametrize("packing", [bytes, gzip.compress, lzma.compress])
def test_what_lies_behind_the_end_of_a_tar_is_told(tmp_path: Path, packing: Callable[[bytes], bytes]) -> None:
    (tmp_path / "x.tar").write_bytes(packing(TREE + bytes(20_000)))
    assert of(tmp_path).unread == 0
    (tmp_path / "x.tar").write_bytes(packing(TREE + TREE))
    findings = of(tmp_path).findings
    assert [f.message for f in findings if f.rule == "READ-1"] == [
        "something lies behind its end mark: it was not read"
    ]
    assert any(f.rule == "ARCH-1" for f in findings)


def test_a_cpio_archive_is_read_to_its_end(tmp_path: Path) -> None:
    whole = cpio([("bin/app", PROGRAM)])
    for data, unread in ((whole, 0), (gzip.compress(whole + bytes(500)), 0), (whole + gzip.compress(whole), 1)):
        (tmp_path / "initrd.img").write_bytes(data)
        result = of(tmp_path)
        assert result.unread == unread, result.findings
        assert any(f.file.endswith("!/bin/app") for f in result.findings if f.rule == "ARCH-1")


@pytest.mark.parametrize("packing", [lzma.compress, bz2.compress])
def test_what_lies_behind_a_stream_is_told(tmp_path: Path, packing: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(packing(TREE[:700]) + bytes(8) + packing(TREE[700:]) + bytes(4))
    assert of(path).unread == 0, "several streams are one content"
    path.write_bytes(packing(TREE) + PROGRAM)
    findings = of(path).findings
    told = "something lies behind the end of its stream: it was not read"
    assert [f.message for f in findings if f.rule == "READ-1"] == [told]
    assert any(f.rule == "ARCH-1" for f in findings)


def test_what_lies_behind_a_zip_archive_or_beside_the_parts_of_a_package_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(pack("x.zip", [("bin/app", PROGRAM)]) + NOISE)
    assert of(tmp_path / "x.zip").unread == 1
    member = f"{'more.bin':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(PROGRAM):<10}`\n".encode() + PROGRAM
    path = tmp_path / "t_1_arm64.deb"
    path.write_bytes(deb("t_1_arm64.deb", [("a", b"x")]) + member)
    assert [f.file for f in of(path).findings if f.rule == "ARCH-4"] == [f"{path}!/more.bin"]


def test_a_library_that_holds_no_objects_is_weighed(tmp_path: Path) -> None:
    head = f"{'data.bin/':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(NOISE):<10}`\n".encode()
    (tmp_path / "lib.a").write_bytes(b"!<arch>\n" + head + NOISE)
    assert of(tmp_path).unread == 1


def test_a_stream_of_zlib_is_unread(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(zlib.compress(TREE * 9, 9))
    assert of(tmp_path).unread == 1


WORDS_OF_MARKS = sorted(
    {
        (place, mark)
        for place, mark, _ in contents._MARKS
        if mark != contents._PDF and mark.isascii() and mark.decode().isprintable()
    }
    | {
        (place, mark)
        for place, mark, _ in opaque.MARKS
        if place < 64 and mark.isascii() and mark.decode().isprintable()
    }
    | {(0, b"MZ")}
)


@pytest.mark.parametrize("packed", [False, True], ids=["file", "member"])
@pytest.mark.parametrize(("place", "mark"), WORDS_OF_MARKS)
def test_a_script_is_searched_whatever_words_stand_where_data_have_a_mark(
    tmp_path: Path, place: int, mark: bytes, packed: bool
) -> None:
    """HELP at byte 32 was taken for a font, and DIRC=/opt for an index of git."""
    text = b"# " + b"x" * (place - 2) if place else b""
    text += mark + b"=1\ncp -r lib/linux-x86_64 /opt/app\n"
    if packed:
        (tmp_path / "a.tar").write_bytes(tar([("a.sh", text)]))
    else:
        (tmp_path / "a.sh").write_bytes(text)
    result = scan([tmp_path], RULES, TARGETS)
    assert [finding.rule for finding in result.findings if finding.severity != "info"] == ["SRC-1"], result
    assert not result.skipped


DRAWN = [random.Random(number).gauss(0, 1) for number in range(8000)]
WEIGHTS, HALVES = struct.pack("<8000f", *DRAWN), struct.pack("<8000e", *DRAWN)


@pytest.mark.parametrize(
    ("name", "data", "unread"),
    [
        ("model.dat", WEIGHTS, 0),
        ("model.weights", HALVES, 0),
        ("model.dat", NOISE, 1),
        ("packed.dat", zlib.compress(PROGRAM * 9)[2:] + NOISE, 1),
        ("behind.dat", WEIGHTS + b"PK\3\4\x14\0" + NOISE, 1),
    ],
)
def test_weights_of_a_model_are_numbers_and_packed_bytes_are_none(
    tmp_path: Path, name: str, data: bytes, unread: int
) -> None:
    """Both are as even; only numbers have places that are alike."""
    assert contents.packed(data)
    (tmp_path / name).write_bytes(data)
    result = of(tmp_path)
    assert (result.unread, dict(result.skipped)) == (unread, {} if unread else {contents.NUMBERS: 1})
