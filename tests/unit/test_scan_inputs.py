"""What is read, however it is packed; and what hostile input ends in: a clear finding."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model.finding import Finding, ScanResult
from harness.scan import limits, scan
from tests.elves import elf
from tests.inputs import deb, pack, tar
from tests.unit.test_scan_rules import RULES, TARGETS

FOREIGN = elf(machine="x86_64", kind="executable")
OVERSIZE = 140 << 20


def of(path: Path) -> ScanResult:
    return scan([path], RULES, TARGETS)


def found(path: Path, rule: str) -> list[Finding]:
    return [one for one in of(path).findings if one.rule == rule]


def zipped(*members: tuple[str, bytes]) -> bytes:
    return pack("x.zip", members)


def image(layer: bytes) -> bytes:
    """An image as ``docker save`` writes it."""
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["0f/layer.tar"]}]).encode()
    return tar([("manifest.json", manifest), ("c.json", b'{"architecture": "amd64"}'), ("0f/layer.tar", layer)])


def oci(layer: bytes) -> bytes:
    """An OCI image layout as a tar, its layer compressed."""
    name = "blobs/sha256/" + "ab" * 32
    return tar(
        [("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), ("index.json", b"{}"), (name, gzip.compress(layer))]
    )


def cpio(members: list[tuple[str, bytes]]) -> bytes:
    out = b""
    for name, data in [*members, ("TRAILER!!!", b"")]:
        fields = [0, 0o100755 if data else 0, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        out += (
            header
            + name.encode()
            + b"\0"
            + b"\0" * (-(len(header) + len(name) + 1) % 4)
            + data
            + b"\0" * (-len(data) % 4)
        )
    return out


def rpm(
    members: list[tuple[str, bytes]], compress: Callable[[bytes], bytes], name: bytes, arch: str = "x86_64"
) -> bytes:
    """A minimal RPM package, version 3 of the format: lead, signature header, header, payload."""

    def header(tags: list[tuple[int, bytes]]) -> bytes:
        index, store = b"", b""
        for tag, value in tags:
            index += struct.pack(">IIII", tag, 6, len(store), 1)
            store += value + b"\0"
        return b"\x8e\xad\xe8\x01" + b"\0" * 4 + struct.pack(">II", len(tags), len(store)) + index + store

    lead = b"\xed\xab\xee\xdb\x03\0" + struct.pack(">HH", 0, 1) + b"t-1-1".ljust(66, b"\0") + struct.pack(">HH", 1, 5)
    lead += b"\0" * 16
    signature = header([(1000, b"x")])
    tags = [
        (1000, b"t"),
        (1001, b"1"),
        (1002, b"1"),
        (1022, arch.encode()),
        (1044, b"t.src.rpm"),
        (1124, b"cpio"),
        (1125, name),
    ]
    return lead + signature + b"\0" * (-len(signature) % 8) + header(tags) + compress(cpio(members))


TREE = [("./opt/app", FOREIGN)]
CONTAINERS = {
    "a.zip": lambda: zipped(("opt/app", FOREIGN)),
    "a.tar": lambda: tar([("opt/app", FOREIGN)]),
    "a.tar.gz": lambda: tar([("opt/app", FOREIGN)], "w:gz"),
    "a.tar.bz2": lambda: tar([("opt/app", FOREIGN)], "w:bz2"),
    "a.tar.xz": lambda: tar([("opt/app", FOREIGN)], "w:xz"),
    "a.tar.zst": lambda: zstandard.compress(tar([("opt/app", FOREIGN)])),
    "app.gz": lambda: gzip.compress(FOREIGN),
    "t_1_amd64.deb": lambda: deb("t_1_amd64.deb", [("opt/app", FOREIGN)]),
    "gzip.rpm": lambda: rpm(TREE, gzip.compress, b"gzip"),
    "xz.rpm": lambda: rpm(TREE, lzma.compress, b"xz"),
    "zstd.rpm": lambda: rpm(TREE, zstandard.compress, b"zstd"),
    "bzip2.rpm": lambda: rpm(TREE, bz2.compress, b"bzip2"),
    "image.tar": lambda: image(tar([("opt/app", FOREIGN)])),
    "oci.tar": lambda: oci(tar([("opt/app", FOREIGN)])),
    "outer.ear": lambda: pack(
        "outer.ear", [("lib/inner.war", pack("i.war", [("WEB-INF/lib/x.zip", zipped(("opt/app", FOREIGN)))]))]
    ),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_program_is_found_in_every_kind_of_container(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(CONTAINERS[name]())
    result = of(path)
    assert result.unread == 0, result.findings
    (one,) = [f for f in result.findings if f.rule in ("ARCH-1", "ARCH-2")]
    assert one.severity == "blocker"
    assert one.file.startswith(f"{path}!/")
    assert one.file.endswith("app")
    assert {str(target) for target in one.targets} >= {"cpu:kunpeng-920", "cpu:loongson-3a5000"}


def test_packages_say_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "t.rpm").write_bytes(rpm(TREE, gzip.compress, b"gzip"))
    (tmp_path / "t_1.2_amd64.deb").write_bytes(deb("t_1.2_amd64.deb", [("opt/app", FOREIGN)]))
    jar = pack("g-1.0.jar", [("META-INF/maven/g/g/pom.properties", b"groupId=org.g\nartifactId=g\nversion=1.0\n")])
    (tmp_path / "g-1.0.jar").write_bytes(jar)
    (tmp_path / "w.whl").write_bytes(
        pack("w.whl", [("w-1.dist-info/METADATA", b"Metadata-Version: 2.1\nName: w\nVersion: 1\n")])
    )
    components = {(one.kind, one.name, one.version, one.architecture) for one in of(tmp_path).components}
    assert components >= {
        ("rpm", "t", "1-1", "x86_64"),
        ("deb", "t", "1.2", "x86_64"),
        ("maven", "g", "1.0", ""),
        ("pypi", "w", "1", ""),
    }


def test_variants_for_other_architectures_are_seen(tmp_path: Path) -> None:
    for word, machine in (("amd64", "x86_64"), ("arm64", "aarch64"), ("loong64", "loongarch64")):
        program = elf(machine=machine, kind="executable")
        (tmp_path / f"t_1_{word}.deb").write_bytes(deb(f"t_1_{word}.deb", [("opt/app", program)]))
        (tmp_path / f"jni-linux-{word}.jar").write_bytes(pack("x.jar", [(f"native/linux-{word}/libjni.so", program)]))
    assert [one for one in of(tmp_path).findings if one.rule in ("ARCH-1", "ARCH-2", "ARCH-3")] == []
    (tmp_path / "jni-linux-loong64.jar").unlink()
    (one,) = found(tmp_path, "ARCH-2")
    assert one.message == "built for aarch64, x86_64; nothing for loongarch64"


@pytest.mark.parametrize(
    ("more", "world"),
    [
        ({"interpreter": "/lib64/ld.so.1"}, "old"),
        ({"interpreter": "/lib64/ld-linux-loongarch-lp64d.so.1"}, "new"),
        ({"versions": {"libc.so.6": ["GLIBC_2.27"]}}, "old"),
        ({"versions": {"libc.so.6": ["GLIBC_2.36"]}}, "new"),
        ({"abi_kernel": (4, 15)}, "old"),
        ({"abi_kernel": (5, 19)}, "new"),
        ({"flags": 0x3}, "old"),
        ({"flags": 0x43}, "new"),
    ],
)
def test_the_worlds_of_loongarch(tmp_path: Path, more: dict[str, Any], world: str) -> None:
    (tmp_path / "x.so").write_bytes(elf(machine="loongarch64", **more))
    (one,) = found(tmp_path, "LOONG-1")
    assert one.message == f"built for the {world} world of LoongArch"
    assert ("os:kylin-v10-sp3:loongarch64" in {str(t) for t in one.targets}) is (world == "new")


def test_sql_is_held_against_the_databases_that_it_is_for(tmp_path: Path) -> None:
    mysql = "CREATE TABLE `t` (id INT AUTO_INCREMENT) ENGINE=InnoDB;\n"
    (tmp_path / "schema.mysql.sql").write_text(mysql)
    alone = {str(target) for one in found(tmp_path, "SQL-2") for target in one.targets}
    assert "database:postgresql" in alone
    assert "database:dameng-dm8" in alone
    assert "database:mariadb" not in alone
    (tmp_path / "schema.pgsql.sql").write_text("CREATE TABLE t (id INT GENERATED ALWAYS AS IDENTITY);\n")
    both = {str(target) for one in found(tmp_path, "SQL-2") for target in one.targets}
    assert "database:postgresql" not in both, "PostgreSQL has a file of its own"
    assert "database:dameng-dm8" in both


def test_sql_inside_programs(tmp_path: Path) -> None:
    (tmp_path / "Dao.java").write_text('class Dao {\n  String q = "SELECT a FROM t LIMIT 10, 20";\n}\n')
    mapper = '<mapper namespace="x">\n<select id="a">\nSELECT NVL(a, 0)\n  FROM t WHERE b = #{b}\n</select></mapper>\n'
    (tmp_path / "Mapper.xml").write_text(mapper)
    assert [(one.file, one.line) for one in found(tmp_path, "SQL-4")] == [(str(tmp_path / "Dao.java"), 2)]
    assert [(one.file, one.line) for one in found(tmp_path, "SQL-10")] == [(str(tmp_path / "Mapper.xml"), 3)]


def test_what_stands_under_a_condition_does_not_warn(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("#if defined(__x86_64__)\n#include <immintrin.h>\n#endif\n")
    (tmp_path / "b.c").write_text("#include <immintrin.h>\n")
    assert [(Path(one.file).name, one.severity) for one in found(tmp_path, "SRC-4")] == [
        ("b.c", "warning"),
        ("a.c", "info"),
    ]


# --- hostile ---


def hostile(name: str) -> bytes:
    if name == "bomb.gz":
        return gzip.compress(b" " * OVERSIZE, 6)
    if name == "bomb.tar.xz":
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:xz", preset=0) as archive:
            entry = tarfile.TarInfo("x.sh")
            entry.size = OVERSIZE
            archive.addfile(entry, io.BytesIO(b" " * OVERSIZE))
        return out.getvalue()
    if name == "bomb.zip":
        return zipped(("x.sh", b" " * OVERSIZE))
    if name == "deep.zip":
        data = FOREIGN
        for _ in range(limits.DEPTH + 2):
            data = zipped(("n.zip", data))
        return data
    if name == "locked.zip":
        data = bytearray(zipped(("secret.sh", b"echo")))
        data[6] |= 1  # the flag of the member, and of its entry in the directory
        data[data.index(b"PK\x01\x02") + 8] |= 1
        return bytes(data)
    if name == "cut.deb":
        return deb("t_1_amd64.deb", [("opt/app", FOREIGN)])[:-100]
    if name == "cut.rpm":
        return rpm(TREE, gzip.compress, b"gzip")[:-30]
    if name == "cut.tar.gz":
        return tar([("opt/app", FOREIGN * 50)], "w:gz")[:300]
    if name == "cut.zip":
        return zipped(("opt/app", FOREIGN))[:-30]
    if name == "setup.run":
        return b"#!/bin/sh\ntail -n +4 $0 | tar xz\nexit\n" + tar([("opt/app", FOREIGN)], "w:gz")
    if name == "other.sqfs":
        return b"hsqs" + bytes(100)
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("bomb.gz", "an archive bomb"),
        ("bomb.tar.xz", "an archive bomb"),
        ("bomb.zip", "an archive bomb"),
        ("deep.zip", "nested deeper than"),
        ("locked.zip", "it is encrypted"),
        ("cut.deb", "cut off"),
        ("cut.rpm", "cut off"),
        ("cut.tar.gz", "cut off"),
        ("cut.zip", "cut off"),
        ("setup.run", "a script that carries data"),
        ("other.sqfs", "a squashfs image is not unpacked"),
    ],
)
def test_what_cannot_be_read_is_said_to_be_unread(tmp_path: Path, name: str, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(hostile(name))
    result = of(path)
    assert result.unread >= 1
    assert any(told in one.message for one in result.findings if one.rule == "READ-1"), result.findings


def test_a_bomb_does_not_stop_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zipped(("bomb.gz", gzip.compress(b" " * OVERSIZE, 6)), ("opt/app", FOREIGN)))
    assert found(tmp_path, "ARCH-1")
    assert found(tmp_path, "READ-1")


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "a/../../x", "..\\..\\x", "C:\\x"])
@pytest.mark.parametrize("kind", ["x.zip", "x.tar"])
def test_names_that_lead_out(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / kind).write_bytes(pack(kind, [(name, b"x")]))
    (one,) = found(tmp_path, "ARC-1")
    assert name.rpartition("/")[2].rpartition("\\")[2] in one.message
    assert sorted(path.name for path in tmp_path.iterdir()) == [kind], "something was unpacked"


def test_links_that_lead_out(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar([("x", b"link:../../etc")]))
    (tmp_path / "b.tar").write_bytes(tar([("d", b"link:/etc"), ("d/passwd", b"root::0:0")]))
    info = zipfile.ZipInfo("l")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr(info, "/etc/shadow")
    told = [one.message for one in found(tmp_path, "ARC-2")]
    assert told == ["x → ../../etc", "d → /etc", "d/passwd is written through the link d", "l → /etc/shadow"]


def test_links_of_packages_are_at_home_in_them(tmp_path: Path) -> None:
    (tmp_path / "t_1_arm64.deb").write_bytes(
        deb("t_1_arm64.deb", [("etc/x", b"link:/usr/lib/x"), ("usr/y", b"link:../etc/x")])
    )
    assert found(tmp_path, "ARC-2") == []


#: In a process of its own: files, KiB that a second scan took beyond the first, KiB at most.
MEASURED = """\
import re, sys
from pathlib import Path
from harness.scan.gathering import Gatherer
from harness.scan.listing import inputs_of
from tests.unit.test_scan_rules import RULES, TARGETS
# Not getrusage: what it tells begins with the process that started this one.
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
(given,), _ = inputs_of(Path(sys.argv[1]), "x.tar")
gatherer = Gatherer(RULES, TARGETS)
gatherer.gather(given)
before = peak()
print(gatherer.gather(given).files, peak() - before, peak())
"""


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    """96 MiB in one archive, of files that are looked at."""
    noise = random.Random(1).randbytes(1 << 20)
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for i in range(96):
            entry = tarfile.TarInfo(f"lib/lib{i}.so")
            data = elf(machine="aarch64") + noise
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    words = [sys.executable, "-c", MEASURED, tmp_path / "x.tar"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    files, more, most = map(int, done.stdout.split())
    assert files == 96
    assert more < 32 << 10
    assert most < 700 << 10


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_of_any_kind_end_in_findings(tmp_path: Path, data: st.DataObject) -> None:
    """Any byte changed, any length cut: never an exception."""
    kind = data.draw(st.sampled_from([*CONTAINERS, "app"]))
    program = elf(
        machine="x86_64",
        kind="executable",
        versions={"libc.so.6": ["GLIBC_2.38"]},
        x86_level=3,
        interpreter="/lib64/ld.so",
    )
    value = bytearray(CONTAINERS[kind]() if kind != "app" else program)
    for _ in range(data.draw(st.integers(0, 8))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    value = value[: data.draw(st.integers(0, len(value)))]
    path = tmp_path / kind
    path.write_bytes(bytes(value))
    assert of(path).seconds >= 0


def test_libraries_of_one_name_and_version_are_told_apart_by_their_groups(tmp_path: Path) -> None:
    """Also where a jar beside them says no group, or says it inside only."""
    for name, group in (("a", "org.jdom"), ("b", "jdom"), ("jdom-1.1", "org.jdom")):
        with zipfile.ZipFile(tmp_path / f"{name}.jar", "w") as jar:
            place = f"META-INF/maven/{group}/jdom/pom.properties"
            jar.writestr(place, f"groupId={group}\nartifactId=jdom\nversion=1.1\n")
    (tmp_path / "other").mkdir()
    with zipfile.ZipFile(tmp_path / "other" / "jdom-1.1.jar", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "")
    libraries = {(one.group, one.name, one.version) for one in of(tmp_path).components if one.kind == "maven"}
    assert libraries == {("org.jdom", "jdom", "1.1"), ("jdom", "jdom", "1.1"), ("", "jdom", "1.1")}
