"""What can be read is seen at any number of a descriptor, and its end is something to read."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.system.descriptors import raise_limit
from harness.system.forking import ForkServer
from harness.system.polling import readable

#: select(2) takes none of it.
HIGH = 1500


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose reading end has a high number."""
    if raise_limit(4096) <= HIGH:
        pytest.fail("this machine lets a process open too few files for the harness")
    low, write = os.pipe()
    read = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, HIGH)
    os.close(low)
    yield read, write
    os.close(read)


def test_a_high_descriptor_is_watched_beside_another(pipe: tuple[int, int]) -> None:
    read, write = pipe
    quiet, other = os.pipe()
    try:
        assert readable([read, quiet], 0) == []
        threading.Timer(0.05, os.write, (write, b"x")).start()
        assert readable([read, quiet], 30) == [read]
        os.read(read, 1)
    finally:
        os.close(write)
        os.close(quiet)
        os.close(other)
    assert readable([read], 30) == [read]  # its end


def test_a_process_is_forked_while_many_files_are_open(tmp_path: Path) -> None:
    assert raise_limit(4096) > HIGH
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(HIGH)]
    try:
        forks = ForkServer([])
        try:
            ended = forks.run("os:getpid", [], log=tmp_path / "log", timeout=60, cwd=tmp_path, env={})
            assert ended.out == ""
        finally:
            forks.close()
    finally:
        for each in held:
            os.close(each)
