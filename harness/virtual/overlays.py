"""Overlays of disks: what a machine writes, over a disk that is never written to."""

from __future__ import annotations

import threading
from pathlib import Path

from harness.errors import ProvisionError
from harness.system.process import run
from harness.virtual.disks import Disk


def make_overlay(disk: Disk, place: Path, cancel: threading.Event | None = None) -> None:
    """An empty disk over ``disk``. Raises Canceled once ``cancel`` is set."""
    answer = run(
        [
            "qemu-img",
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "raw",
            "-b",
            str(disk.image.absolute()),
            str(place / "disk.qcow2"),
        ],
        timeout=60,
        cancel=cancel,
    )
    if not answer.ok:
        raise ProvisionError(f"qemu-img could not make a disk: {answer.text.strip()[-300:]}", advice="free space")


def copy_sparse(source: Path, target: Path, cancel: threading.Event | None = None) -> None:
    """A copy that shares its blocks where the file system can. Raises Canceled once ``cancel`` is set."""
    answer = run(["cp", "--reflink=auto", "--sparse=always", str(source), str(target)], timeout=300, cancel=cancel)
    if not answer.ok:
        raise ProvisionError(f"a snapshot could not be copied: {answer.text.strip()[-300:]}", advice="free space")
