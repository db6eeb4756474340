"""A file of somebody else is read whole only where it is a file, and has an end in reach."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from harness.system.bounded import read_whole


def test_a_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    for size in (0, 9, 10):
        (tmp_path / "f").write_bytes(b"x" * size)
        assert read_whole(tmp_path / "f", 10) == b"x" * size


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("long", errno.EFBIG),
        ("endless", errno.EFBIG),
        ("pipe", errno.EINVAL),
        ("device", errno.EINVAL),
        ("folder", errno.EISDIR),
        ("socket", errno.ENXIO),
        ("link to nothing", errno.ENOENT),
    ],
)
def test_everything_else_is_refused(tmp_path: Path, kind: str, number: int) -> None:
    path = tmp_path / "f"
    if kind == "long":
        path.write_bytes(b"x" * 11)
    elif kind == "endless":
        path.touch()
        os.truncate(path, 2**40)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(path))
    else:
        path.symlink_to("nothing")
    with pytest.raises(OSError) as refused:  # noqa: PT011  # its number says which
        read_whole(path, 10)
    assert refused.value.errno == number
