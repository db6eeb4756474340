"""Archives of a product: what is in them arrives, and nothing leads out of the folder that they go to."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.containers.loading import names_in, without_names
from harness.errors import UsageError
from harness.provision.unpacking import HARMLESS, UnfitArchive, plain_tar
from tests.hostile_inputs import (
    CUT_OFF,
    extended_header_of_gigabytes,
    headers_in_a_row,
    many_members,
    names_of_gigabytes,
    padded_header,
    sparse_of_terabytes,
    tar_header,
    tar_member_of_negative_size,
)
from tests.inputs import pack, tar


def tar_of(path: Path, *entries: dict[str, Any], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for entry in entries:
            data = entry.pop("data", b"")
            member = tarfile.TarInfo(entry.pop("name"))
            for key, value in entry.items():
                setattr(member, key, value)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


MIB = 1 << 20
_TEXTS = tar([(f"{i}.txt", bytes(range(256)) * i) for i in range(9)])


def _bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(HARMLESS // MIB + 1):
            archive.writestr(f"{i}", b" " * MIB)
    return out.getvalue()


def names(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_files_arrive_as_roots_and_without_their_first_folder(tmp_path: Path, mode: str) -> None:
    path = tar_of(
        tmp_path / "a",
        {"name": "p-1.0/bin/tool", "data": b"#!", "mode": 0o4755, "uid": 1000},
        {"name": "p-1.0/lib/l.so.1", "data": b"x"},
        {"name": "p-1.0/lib/l.so", "type": tarfile.SYMTYPE, "linkname": "l.so.1"},
        mode=mode,
    )
    found = names(plain_tar(path, strip=1))
    assert set(found) == {"bin/tool", "lib/l.so.1", "lib/l.so"}
    assert found["bin/tool"].uid == 0
    assert not found["bin/tool"].mode & stat.S_ISUID
    assert found["lib/l.so"].linkname == "l.so.1"


def test_a_zip_arrives_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p/说明.txt", "文")
        tool = zipfile.ZipInfo("p/tool")
        tool.external_attr = 0o100755 << 16
        archive.writestr(tool, b"#!")
    found = names(plain_tar(tmp_path / "a.zip"))
    assert set(found) == {"p/说明.txt", "p/tool"}
    assert found["p/tool"].mode & 0o111


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "../out", "data": b"x"},
        {"name": "a/../../out", "data": b"x"},
        {"name": "link", "type": tarfile.SYMTYPE, "linkname": "../../etc/passwd"},
        {"name": "link", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"name": "hard", "type": tarfile.LNKTYPE, "linkname": "../out"},
        {"name": "dev", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
    ],
)
def test_what_would_leave_its_folder_is_refused(tmp_path: Path, entry: dict[str, Any]) -> None:
    with pytest.raises(UnfitArchive, match=r"would leave its folder|cannot be read"):
        plain_tar(tar_of(tmp_path / "a", entry))


def test_a_name_from_the_root_is_taken_below_the_folder(tmp_path: Path) -> None:
    assert set(names(plain_tar(tar_of(tmp_path / "a", {"name": "/etc/p.conf", "data": b"x"})))) == {"etc/p.conf"}


@pytest.mark.parametrize("data", [b"", b"no archive at all", b"PK\x03\x04 cut off", b"\x1f\x8b\x08 cut off"])
def test_what_is_no_archive_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(UnfitArchive, match=r"cannot be read|empty"):
        plain_tar(tmp_path / "a")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_damaged_archive_is_read_or_refused(tmp_path: Path, at: int, byte: int) -> None:
    path = tar_of(tmp_path / "a", {"name": "p/one", "data": b"1" * 300}, {"name": "p/two", "data": b"2"}, mode="w")
    data = bytearray(path.read_bytes())
    data[at] = byte
    path.write_bytes(data)
    try:
        found = names(plain_tar(path))
    except UnfitArchive:
        return
    assert all(not name.startswith(("/", "..")) for name in found)


#: Archives that were cut off or damaged, or count more than they hold -> what is said of them.
UNFIT: dict[str, tuple[Callable[[], bytes], str]] = {
    **{name: (make, "cannot be read|empty") for name, make in CUT_OFF.items() if name.startswith("x.tar.")},
    "inside.tar": (CUT_OFF["inside.tar"], "unexpected end"),
    "half-a-header.tar": (CUT_OFF["half-a-header.tar"], "damaged or cut off"),
    "damaged-header.tar": (CUT_OFF["damaged-header.tar"], "damaged or cut off"),
    "x.zip": (CUT_OFF["x.zip"], "cannot be read"),
    "deflated.zip": (lambda: _noise_within(pack("x.zip", [("a", bytes(range(256)) * 99)])), "cannot be read"),
    "deflated.tar.gz": (lambda: _noise_within(gzip.compress(_TEXTS)), "cannot be read"),
    "packed.tar.xz": (lambda: _noise_within(lzma.compress(_TEXTS)), "cannot be read"),
    "header.tar.gz": (extended_header_of_gigabytes, "extended header of"),
    "padded.tar.gz": (padded_header, "extended header of"),
    "name.tar.gz": (lambda: names_of_gigabytes(b"L"), "extended header of"),
    "headers.tar.gz": (headers_in_a_row, "recursion"),
    "negative.tar": (tar_member_of_negative_size, "-512 bytes"),
    "sparse.tar": (sparse_of_terabytes, "than a target may hold"),
    "members.zip": (lambda: gzip.decompress(many_members()), "list of members"),
    "bomb.tar.gz": (lambda: gzip.compress(tar_header(b"0", 3 << 30) + b" " * 512), "than a target may hold"),
    "bomb.zip": (_bomb, "than a target may hold"),
}


def _noise_within(data: bytes) -> bytes:
    return data[: len(data) // 2] + b"\xff" * 40 + data[len(data) // 2 + 40 :]


@pytest.mark.parametrize("name", UNFIT)
def test_an_archive_that_is_not_whole_is_never_unpacked_in_part(tmp_path: Path, name: str) -> None:
    make, why = UNFIT[name]
    path = tmp_path / name
    path.write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises(UnfitArchive, match=f"(?s){name}: .*({why})"):
            plain_tar(path)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def test_an_archive_that_ends_between_two_members_is_whole(tmp_path: Path) -> None:
    """Some writers leave the end mark out, and tar(1) takes it."""
    (tmp_path / "a.tar").write_bytes(CUT_OFF["no-end-mark.tar"]())
    assert set(names(plain_tar(tmp_path / "a.tar"))) == {"a.py", "b.py"}


@pytest.mark.parametrize("name", ["headers.tar.gz", "header.tar.gz", "negative.tar", "half-a-header.tar"])
def test_an_archive_of_images_that_is_not_whole_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(UNFIT[name][0]())
    for read in (names_in, lambda path: list(without_names(path))):
        with pytest.raises(UsageError, match=f"{name} is no archive of container images: ."):
            read(path)
