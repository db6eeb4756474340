"""File locks: between threads, between processes, with a limit, a cancel event and a holder that is named."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import Canceled
from harness.system.locks import LockHeld, holder_of, lock

SCRIPT = """
import sys
from pathlib import Path
from harness.system.locks import lock
with lock(Path(sys.argv[1]), shared=sys.argv[2] == "shared", holder="the other"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def other_process(path: Path, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [(False, False, False), (True, False, False), (False, True, False), (True, True, True)],
)
def test_two_threads_exclude_each_other_unless_both_share(
    tmp_path: Path, first: bool, second: bool, both: bool
) -> None:
    got: list[bool] = []

    def take() -> None:
        with contextlib.suppress(LockHeld), lock(tmp_path / "l", shared=second, timeout=0):
            got.append(True)

    with lock(tmp_path / "l", shared=first):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    assert bool(got) is both
    with lock(tmp_path / "l", timeout=0):  # it is free afterwards
        assert holder_of(tmp_path / "l") is not None
    assert holder_of(tmp_path / "l") is None


@pytest.mark.parametrize("kind", ["shared", "exclusive"])
def test_another_process_is_waited_for_and_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "deep" / "l"
    waits: list[str] = []
    with other_process(path, kind) as process:
        with pytest.raises(LockHeld, match=r"held by the other \(process") as error, lock(path, timeout=0.01):
            raise AssertionError("it was not free")
        assert error.value.holder == holder_of(path) == f"the other (process {process.pid})"

        def release(holder: str) -> None:
            waits.append(holder)
            os.kill(process.pid, signal.SIGKILL)  # a holder that is killed holds nothing

        with lock(path, holder="me", on_wait=release):
            assert holder_of(path) == f"me (process {os.getpid()})"
    assert waits == [f"the other (process {process.pid})"]


def test_a_wait_is_canceled(tmp_path: Path) -> None:
    cancel = threading.Event()
    with lock(tmp_path / "l", holder="a build"):

        def wait() -> None:
            with lock(tmp_path / "l", cancel=cancel, on_wait=lambda _: cancel.set()):
                raise AssertionError("it was not free")

        with pytest.raises(Canceled, match="stopped while waiting for l, held by a build"):
            wait()


def test_a_look_keeps_nobody_from_the_lock(tmp_path: Path) -> None:
    """While one thread asks all the time, a lock that does not wait is had each time."""
    path, stop = tmp_path / "l", threading.Event()

    def look() -> None:
        while not stop.is_set():
            holder_of(path)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(300):
            with lock(path, timeout=0):
                pass
    finally:
        stop.set()
        thread.join()


@given(holder=st.text())
def test_any_text_of_a_holder_is_one_line(tmp_path_factory: pytest.TempPathFactory, holder: str) -> None:
    path = tmp_path_factory.getbasetemp() / "lock of any holder"
    with lock(path, holder=holder):
        text = holder_of(path)
    assert text is not None
    assert text.endswith(f"(process {os.getpid()})")
    assert len(text.splitlines()) == 1
