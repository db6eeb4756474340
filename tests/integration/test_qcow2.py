"""Disks that QEMU's own tool wrote are whole, and cut off they are not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.virtual.foreign import demand_whole


@pytest.mark.parametrize(
    "options",
    [
        "compat=1.1",
        "compat=0.10",
        "cluster_size=512",
        "cluster_size=2M",
        "preallocation=metadata",
        "preallocation=falloc",
        "extended_l2=on",
        "lazy_refcounts=on",
        "compression_type=zstd",
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "compressed"])
def test_disks_of_qemu_img_are_whole(tmp_path: Path, options: str, packed: bool) -> None:
    raw, disk = tmp_path / "raw", tmp_path / "disk.qcow2"
    with raw.open("wb") as file:
        for place in (0, 3 << 20, 17 << 20):
            file.seek(place)
            file.write(bytes(range(256)) * 1000)
        file.truncate(32 << 20)
    compress = ["-c"] if packed and not options.startswith("preallocation") else []
    words = ["qemu-img", "convert", *compress, "-O", "qcow2", "-o", options, str(raw), str(disk)]
    subprocess.run(words, check=True, capture_output=True)
    demand_whole(disk)
    whole = disk.read_bytes()
    for kept in (60, len(whole) // 3):
        disk.write_bytes(whole[:kept])
        with pytest.raises(UsageError, match="is no whole qcow2: ") as refusal:
            demand_whole(disk)
        assert "copy it again" in refusal.value.advice


def test_an_empty_disk_is_none(tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1G"], check=True)
    with pytest.raises(UsageError, match="nothing is on it"):
        demand_whole(disk)
