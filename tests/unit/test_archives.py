"""Archives of a product: what is in them arrives, and nothing leads out of the folder that they go to."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.provision.unpacking import UnfitArchive, plain_tar


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
