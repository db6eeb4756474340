"""A bundle is taken apart without trust in whoever packed it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from harness.campaigns.bundling import Manifest, unpack
from harness.errors import UsageError


def pack(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """A bundle of these members, with a manifest that fits them."""
    files = {entry.name: hashlib.sha256(data).hexdigest() for entry, data in members}
    manifest = Manifest(bundle=1, harness="0", campaign="c", plan="p", options={}, files=files)
    with tarfile.open(path, "w") as tar:
        for entry, data in ((tarfile.TarInfo("manifest.json"), manifest.model_dump_json().encode()), *members):
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def member(name: str, **more: object) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(entry, key, value)
    return entry


def test_what_could_be_executed_still_can(tmp_path: Path) -> None:
    path = pack(tmp_path / "b.tar", (member("run.sh", mode=0o755), b"#!/bin/sh\n"), (member("a/b", mode=0o644), b"x"))
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out/run.sh").stat().st_mode & 0o111 == 0o111
    assert (tmp_path / "out/a/b").stat().st_mode & 0o111 == 0


@pytest.mark.parametrize(
    "entry",
    [
        member("/tmp/absolute"),
        member("../beside"),
        member("a/../../beside"),
        member("manifest.json"),
        member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("hard", type=tarfile.LNKTYPE, linkname="manifest.json"),
        member("pipe", type=tarfile.FIFOTYPE),
    ],
    ids=lambda entry: f"{entry.name} {entry.type!r}",
)
def test_only_plain_files_inside_are_taken(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    path = pack(tmp_path / "b.tar", (entry, b""))
    with pytest.raises(UsageError, match="no plain file of its own inside the bundle"):
        unpack(path, tmp_path / "w" / "out")
    assert sorted(p.name for p in tmp_path.rglob("*") if not p.is_dir()) == ["b.tar", "manifest.json"]
