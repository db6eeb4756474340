"""7z, RAR, ISO, LZ4, compress(1) and lzip are read where libarchive is there, whatever somebody did to them."""

from __future__ import annotations

import random
import struct
import subprocess
import zlib
from pathlib import Path

import libarchive
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model.finding import ScanResult
from harness.scan import foreign, limits, opaque, scan
from harness.scan.archives import opener
from harness.scan.gathering import Gatherer
from harness.scan.limits import Budget
from harness.scan.listing import inputs_of
from harness.scan.unfolding import unfold
from tests.elves import elf
from tests.inputs import tar
from tests.unit.test_scan_rules import RULES, TARGETS

PROGRAM = elf(machine="x86_64", kind="executable")
#: Two of everything, and names that are odd.
MEMBERS = [("bin/app", PROGRAM), ("数据/читай me", b"echo\n"), ("a b/$(id)", elf(machine="i386", kind="executable"))]
NOISE = random.Random(7).randbytes(20_000)
GATHERER = Gatherer(RULES, TARGETS)


def written(path: Path, form: str, unpacking: str, members: list[tuple[str, bytes]]) -> bytes:
    """An archive as libarchive writes it."""
    with libarchive.file_writer(str(path), form, unpacking) as archive:
        for name, data in members:
            archive.add_file_from_memory(name, len(data), data)
    return path.read_bytes()


def vint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def rar5(members: list[tuple[str, bytes]]) -> bytes:
    """An archive whose members are stored (RAR 5.0 archive format)."""

    def block(kind: int, flags: int, body: bytes, data: bytes = b"") -> bytes:
        head = vint(kind) + vint(flags) + (vint(len(data)) if flags & 2 else b"") + body
        sized = vint(len(head)) + head
        return struct.pack("<I", zlib.crc32(sized)) + sized + data

    out = b"Rar!\x1a\x07\x01\x00" + block(1, 0, vint(0))
    for name, data in members:
        raw = name.encode()
        body = vint(4) + vint(len(data)) + vint(0o100644) + struct.pack("<I", zlib.crc32(data))
        out += block(2, 2, body + vint(0) + vint(1) + vint(len(raw)) + raw, data)
    return out + block(5, 0, vint(0))


def rar4(members: list[tuple[str, bytes]]) -> bytes:
    """As ``rar5``, in the older form."""

    def block(kind: int, flags: int, body: bytes) -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head

    out = b"Rar!\x1a\x07\x00" + block(0x73, 0, bytes(6))
    for name, data in members:
        raw = name.encode("ascii", "replace")
        body = struct.pack("<IIBIIBBHI", len(data), len(data), 3, zlib.crc32(data), 0, 29, 0x30, len(raw), 0o100644)
        out += block(0x74, 0x8000, body + raw) + data
    return out + block(0x7B, 0x4000, b"")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """An archive of each kind."""
    scratch = tmp_path_factory.mktemp("foreign")
    tree = scratch / "tree"
    for name, data in MEMBERS:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    iso = scratch / "x.iso"
    subprocess.run(
        ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-o", iso, tree], check=True, capture_output=True
    )
    out = {"x.iso": iso.read_bytes(), "five.rar": rar5(MEMBERS), "four.rar": rar4(MEMBERS)}
    out["x.7z"] = written(scratch / "x.7z", "7zip", "none", MEMBERS)
    out["old.cpio"] = written(scratch / "old.cpio", "cpio_odc", "none", MEMBERS)
    for suffix, unpacking in (("lz4", "lz4"), ("Z", "compress"), ("lz", "lzip")):
        out[f"x.tar.{suffix}"] = written(scratch / f"x.{suffix}", "pax", unpacking, MEMBERS)
    return out


KINDS = ["x.iso", "five.rar", "four.rar", "x.7z", "old.cpio", "x.tar.lz4", "x.tar.Z", "x.tar.lz"]


def of(path: Path) -> ScanResult:
    return scan([path], RULES, TARGETS)


@pytest.mark.parametrize("name", KINDS)
def test_members_are_read_alone_and_inside_another_archive(
    tmp_path: Path, archives: dict[str, bytes], name: str
) -> None:
    for file, data in ((name, archives[name]), ("outer.tar", tar([(name, archives[name])]))):
        path = tmp_path / file
        path.write_bytes(data)
        result = of(path)
        assert result.unread == 0, result.findings
        assert result.files == 3
        places = {finding.file.rpartition(f"{name}!/")[2] for finding in result.findings if finding.rule == "ARCH-1"}
        assert {place.removeprefix("x.tar!/") for place in places} == {"bin/app", "a b/$(id)"}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_cut_off_or_lies_behind_the_end_is_unread(
    tmp_path: Path, archives: dict[str, bytes], name: str
) -> None:
    whole = archives[name]
    path = tmp_path / name
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert of(path).unread >= 1, "its end is missing"
    path.write_bytes(whole + NOISE)
    assert of(path).unread >= 1, "something lies behind it"


@pytest.mark.parametrize("name", KINDS)
def test_without_the_library_the_word_says_what_to_install(
    tmp_path: Path, archives: dict[str, bytes], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "library", lambda: None)
    for file, data in ((name, archives[name]), ("outer.tar", tar([(name, archives[name])]))):
        path = tmp_path / file
        path.write_bytes(data)
        (given_,), _ = inputs_of(path, str(path))
        facts = GATHERER.gather(given_)
        ((place, told),) = facts.unread
        assert place.endswith(name)
        assert facts.files == 0
        assert "the extra `archives`" in told or "is not unpacked: unpack it" in told


def test_each_kind_has_a_word_that_offers_the_extra() -> None:
    assert frozenset(foreign.KINDS) == opaque.FOREIGN
    assert all(opener(b"", what) is not None for what in opaque.FOREIGN)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(KINDS), data=st.data())
def test_cut_and_changed_archives_end_in_facts(
    tmp_path: Path, archives: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    """What nobody changed is read as before; whatever else comes out, nothing is raised and nothing hangs."""
    content = bytearray(archives[name])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + 4] = data.draw(st.binary(max_size=8))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    path = tmp_path / name
    path.write_bytes(content)
    (given_,), _ = inputs_of(path, str(path))
    facts = GATHERER.gather(given_)
    assert facts.files + len(facts.unread) + sum(facts.skipped.values()) >= 1
    if bytes(content) == archives[name]:
        assert (facts.files, facts.unread) == (3, [])


def test_bombs_and_nests_end_at_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a member that is known by its head the rest is unfolded too: libarchive would do it out of sight."""
    monkeypatch.setattr(limits, "MEMBER", 1 << 20)
    for name, head in (("zeros.7z", b"\x7fELF"), ("picture.7z", b"\x89PNG\r\n\x1a\n")):
        written(tmp_path / name, "7zip", "none", [("a", head + bytes(64 << 20)), ("b", b"echo\n")])
        (given_,), _ = inputs_of(tmp_path / name, name)
        assert any("archive bomb" in told for _, told in GATHERER.gather(given_).unread)
    inner = written(tmp_path / "x.7z", "7zip", "none", MEMBERS)
    for level in range(limits.DEPTH):
        inner = written(tmp_path / "x.7z", "7zip", "none", [(f"{level}.7z", inner)])
    (given_,), _ = inputs_of(tmp_path / "x.7z", "x.7z")
    assert any("nested deeper" in told for _, told in GATHERER.gather(given_).unread)


def test_names_that_lead_out_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.rar").write_bytes(rar5([("../../etc/cron.d/x", b"* * * * *\n"), ("in/side", b"echo\n")]))
    assert [finding.file.rpartition("!/")[2] for finding in of(tmp_path).findings if finding.rule == "ARC-1"] == [
        "../../etc/cron.d/x"
    ]


def test_everything_in_them_is_copied_for_a_scanner(tmp_path: Path, archives: dict[str, bytes]) -> None:
    for number, name in enumerate(KINDS):
        (tmp_path / name).write_bytes(archives[name])
        folder = tmp_path / str(number)
        folder.mkdir()
        unfolded = unfold(tmp_path / name, name, folder, Budget.for_size(len(archives[name])))
        assert unfolded.unread == []
        assert PROGRAM in [copy.read_bytes() for copy in unfolded.files.values()]


@pytest.mark.parametrize("mark", sorted(opaque._WORDS))
def test_a_script_that_begins_with_the_mark_of_an_archive_is_searched(tmp_path: Path, mark: bytes) -> None:
    """LZIP=/usr/bin/lzip made a file of settings an archive that nobody could open."""
    text = mark + b"=1\ncp -r lib/linux-x86_64 /opt/app\n"
    (tmp_path / "a.sh").write_bytes(text)
    (tmp_path / "a.tar").write_bytes(tar([("b.sh", text)]))
    result = of(tmp_path)
    assert result.unread == 0, result.findings
    assert [finding.rule for finding in result.findings if finding.severity != "info"] == ["SRC-1", "SRC-1"]
