"""Wrong verdicts of the scan: of both kinds, what was let through and what was held against a good product."""

from __future__ import annotations

import json
import lzma
import struct
from pathlib import Path
from typing import Any

import pytest

from harness.model.finding import Finding
from harness.scan import scan
from harness.scan.instructions import _NAMED
from harness.scan.sqlcolumns import columns
from harness.scan.sqltokens import statements
from tests.elves import elf
from tests.inputs import deb, pack, tar
from tests.unit.test_scan_command import report
from tests.unit.test_scan_rules import RULES, TARGETS

ARM, X86 = elf(machine="aarch64", kind="executable"), elf(machine="x86_64")


def findings(path: Path, rule: str) -> list[Finding]:
    return [finding for finding in scan([path], RULES, TARGETS).findings if finding.rule == rule]


def image(architecture: str, members: list[tuple[str, bytes]]) -> bytes:
    config = json.dumps({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers"}}).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["aa/layer.tar"]}]).encode()
    return tar([("aa/layer.tar", tar(members)), ("c.json", config), ("manifest.json", manifest)])


@pytest.mark.parametrize(
    ("inside", "severity"),
    [
        ([("opt/app/app", ARM), ("opt/app/build/better.node", X86)], "blocker"),
        ([("opt/app/app", ARM), ("opt/app/linux-x64/better.node", X86)], "warning"),
        (
            [
                ("opt/app/app", ARM),
                ("opt/app/linux-x64/b.node", X86),
                ("opt/app/linux-arm64/b.node", elf(machine="aarch64")),
            ],
            None,
        ),
        ([("opt/app/app", ARM)], None),
    ],
)
def test_a_package_or_an_image_for_arm_with_a_module_for_x86_64_blocks(
    tmp_path: Path, inside: list[tuple[str, bytes]], severity: str | None
) -> None:
    for name, data in (
        ("ledger_1.2_arm64.deb", deb("ledger_1.2_arm64.deb", inside)),
        ("x.tar", image("arm64", inside)),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        found = findings(path, "ARCH-4")
        assert [finding.severity for finding in found] == ([severity] if severity else [])
        cpus = {target.name for finding in found for target in finding.targets}
        assert not found or ("kunpeng-920" in cpus and "x86-64" not in cpus)


def test_the_right_file_of_another_package_excuses_nothing(tmp_path: Path) -> None:
    member = "opt/app/better.node"
    wrong = deb("ledger_1.2_arm64.deb", [("opt/app/app", ARM), (member, X86)])
    right = deb("ledger_1.3_arm64.deb", [("opt/app/app", ARM), (member, elf(machine="aarch64"))])
    (tmp_path / "ledger_1.2_arm64.deb").write_bytes(wrong)
    (tmp_path / "ledger_1.3_arm64.deb").write_bytes(right)
    (found,) = findings(tmp_path, "ARCH-4")
    assert "ledger_1.2" in found.file


def test_every_wrong_file_of_a_package_is_named_so_that_a_waiver_names_each(tmp_path: Path) -> None:
    path = tmp_path / "l_1_arm64.deb"
    path.write_bytes(deb(path.name, [("opt/x86_64/a.so", X86), ("opt/b.so", X86), ("opt/c.so", X86), ("opt/app", ARM)]))
    assert [finding.severity for finding in findings(path, "ARCH-4")] == ["blocker", "blocker", "warning"]


@pytest.mark.parametrize("name", ["pulse-server", "false", "svelte", "libelse.so", "sveltekit.node", "libneonate.so"])
def test_words_inside_of_names_choose_nothing(name: str) -> None:
    assert _NAMED.search(name) is None


@pytest.mark.parametrize("name", ["libx_avx512.so", "foo-avx2", "libggml-cpu-skylakex.so", "conv_sve2.so", "x.neon.so"])
def test_names_that_tell_what_the_cpu_must_have(name: str) -> None:
    assert _NAMED.search(name) is not None


# --- literal pools ---

SVE = 0x04000020  # as a constant of Go's reflectcall; decodes as an SVE instruction too
NOP = 0xD503201F


def words_of(*, loaded: bool) -> list[int]:
    """A function that loads four literals which lie behind it, or executes the words instead."""
    if not loaded:
        return [NOP] * 8 + [SVE] * 4 + [NOP] * 8 + [0xD65F03C0]
    loads = [0x18000000 | 9 << 5 | 27 for _ in range(4)]  # ldr w27, [pc, #36]: each its own
    return [*loads, *[NOP] * 4, 0x14000000, *[SVE] * 4, *[NOP] * 8]


@pytest.mark.parametrize(("loaded", "count"), [(True, 0), (False, 1)])
def test_constants_of_a_literal_pool_are_no_instructions(tmp_path: Path, loaded: bool, count: int) -> None:
    path = tmp_path / "server"
    path.write_bytes(elf(machine="aarch64", kind="executable", words=words_of(loaded=loaded)))
    assert len(findings(path, "ISA-4")) == count


# --- static programs ---


def test_a_static_program_of_loongarch_is_of_no_world_by_its_flags_alone(tmp_path: Path) -> None:
    path = tmp_path / "restic"
    path.write_bytes(elf(machine="loongarch64", kind="executable", flags=0x3))
    assert findings(path, "LOONG-1") == []
    path.write_bytes(elf(machine="loongarch64", kind="executable", flags=0x3, abi_kernel=(4, 19)))
    assert findings(path, "LOONG-1")
    path.write_bytes(elf(machine="loongarch64", kind="shared", flags=0x3))
    assert findings(path, "LOONG-1")


# --- what cannot be read ---


def sparse(mark: bytes, place: int, size: int = 0x12000) -> bytes:
    data = bytearray(size)
    data[place : place + len(mark)] = mark
    return bytes(data)


OPAQUE = {
    "db8.iso": sparse(b"CD001", 0x8001),
    "noname.dat": sparse(b"CD001", 0x8001),
    "disk.img": sparse(b"\x53\xef\x01\0", 0x438),
    "disk.vmdk": b"KDMV" + bytes(600),
    "app.tar.lz4": b"\x04\x22\x4d\x18" + bytes(40),
    "app.tar.Z": b"\x1f\x9d\x90" + bytes(40),
    "Install.bin": b"#!/bin/sh\nexit\n" + bytes(range(256)),
    "setup": elf(machine="aarch64", kind="executable") + pack("x.zip", [("a", b"b" * 99)]),
    "nul.sql": b"CREATE TABLE t (a int);\0\0\0",
}


@pytest.mark.parametrize("name", OPAQUE)
def test_what_is_not_read_is_reported(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(OPAQUE[name])
    assert len(findings(path, "READ-1")) == 1
    outer = tmp_path / "outer.zip"
    outer.write_bytes(pack("outer.zip", [(name, OPAQUE[name]), ("docs/read.me", b"text")]))
    assert len(findings(outer, "READ-1")) == 1


def test_an_asar_archive_is_read(tmp_path: Path) -> None:
    files = {"lib": {"files": {"x.node": {"offset": "0", "size": len(X86)}}}, "big": {"unpacked": True, "size": 9}}
    header = json.dumps({"files": files}, separators=(",", ":")).encode()
    padded = header + bytes(-len(header) % 4)
    whole = struct.pack("<IIII", 4, len(padded) + 8, len(padded) + 4, len(header)) + padded
    path = tmp_path / "app.asar"
    path.write_bytes(whole + X86)
    (found, *_) = findings(path, "ARCH-1")
    assert found.file.endswith("app.asar!/lib/x.node")
    path.write_bytes(whole)
    assert findings(path, "READ-1")
    path.write_bytes(whole[:16] + b'{"files"' + bytes(100))
    assert findings(path, "READ-1")


def test_a_tar_in_the_older_format_of_xz_is_read(tmp_path: Path) -> None:
    path = tmp_path / "app.tar.lzma"
    path.write_bytes(lzma.compress(tar([("bin/x", X86)]), format=lzma.FORMAT_ALONE))
    (found, *_) = findings(path, "ARCH-1")
    assert found.file.endswith("!/bin/x")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_texts_in_wide_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    plain, wide = tmp_path / "a" / "init.sql", tmp_path / "b" / "init.sql"
    text = "CREATE TABLE `t` (`id` INT AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB;\n"
    for path, data in ((plain, text.encode()), (wide, text.encode(encoding))):
        path.parent.mkdir()
        path.write_bytes(data)

    def rules(path: Path) -> list[tuple[str, int]]:
        return [(finding.rule, finding.line) for finding in scan([path], RULES, TARGETS).findings]

    assert rules(wide) == rules(plain)
    assert rules(plain)


@pytest.mark.parametrize(
    "clause",
    ["", " STORAGE(ON MAIN, CLUSTERBTR)", " STORAGE(INITIAL 1, NEXT 1) WHATEVER x", " DISTRIBUTED RANDOMLY STRANGE(("],
)
def test_columns_are_read_whatever_stands_behind_them(clause: str) -> None:
    text = (
        'CREATE TABLE t ("offset" INT, user VARCHAR(20) NOT NULL, amount DECIMAL(10, 2), '
        f"CONSTRAINT c CLUSTER PRIMARY KEY(user), CHECK (amount > 0)){clause};"
    )
    (statement,) = statements(text, "oracle")
    found = columns(statement)
    assert [(one.name, one.quoted) for one in found] == [("offset", True), ("user", False), ("amount", False)]
    assert [one.kind for one in found] == ["INT", "VARCHAR(20)", "DECIMAL(10 , 2)"]


# --- variants of a product ---


def test_a_scan_of_a_matrix_reads_the_files_of_every_variant(folder: Any) -> None:
    (folder.root / "all.tar").write_bytes(tar([("bin/x", elf(machine="x86_64", kind="executable"))]))
    (folder.root / "arm.tar").write_bytes(tar([("bin/y", elf(machine="loongarch64", kind="executable"))]))
    base = {"path": "all.tar", "architecture": "x86_64", "install": "archive", "to": "/opt"}
    folder.change(
        "application",
        artifacts=[base],
        variants=[
            {
                "when": {"cpu": "kunpeng-920"},
                "set": {"artifacts": [{**base, "path": "arm.tar", "architecture": "aarch64"}]},
            }
        ],
    )
    code, found = report("--matrix", folder.root)
    assert code == 1
    assert {finding["file"].rpartition("/product/")[2] for finding in found["findings"]} >= {"arm.tar!/bin/y"}
    assert not any("all.tar" in finding["file"] for finding in found["findings"] if finding["severity"] == "blocker")
