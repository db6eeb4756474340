"""Processes forked from a prepared one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.errors import Canceled, InfrastructureError, StepTimeout
from harness.system.forking import MAX_REQUEST, ForkServer

WORK = "tests.unit.forked_work"


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer(["json"])
    yield server
    server.close()


def call(server: ForkServer, place: Path, name: str, *arguments: object, **more: Any) -> Any:
    options: dict[str, Any] = {"log": place / "log", "timeout": 30, "cwd": place, "env": {}, **more}
    options["env"] = {"PYTHONPATH": "", **options["env"]}
    return server.run(f"{WORK}:{name}", arguments, **options)


def gone(pid: int) -> bool:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def left(place: Path) -> int:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if (place / "pid").exists() and (text := (place / "pid").read_text()):
            return int(text)
        time.sleep(0.02)
    raise AssertionError("it never started")


def test_status_output_environment_and_folder(server: ForkServer, tmp_path: Path) -> None:
    done = call(server, tmp_path, "tell", 3, "你好", env={"FORKED": "yes"})
    assert done.rc == 3
    assert done.out == f"你好 yes {tmp_path}\nto stderr\n"


def test_an_exception_is_told_and_is_no_success(server: ForkServer, tmp_path: Path) -> None:
    done = call(server, tmp_path, "burst")
    assert done.rc == 1
    assert "burst on purpose" in done.out


def test_a_signal_gives_128_and_its_number(server: ForkServer, tmp_path: Path) -> None:
    assert call(server, tmp_path, "die", signal.SIGKILL).rc == 137


def test_what_it_leaves_behind_is_ended(server: ForkServer, tmp_path: Path) -> None:
    assert call(server, tmp_path, "leave_something", str(tmp_path / "pid"), 0).rc == 0
    assert gone(left(tmp_path))


def test_the_limit_ends_the_whole_session(server: ForkServer, tmp_path: Path) -> None:
    with pytest.raises(StepTimeout, match="leave_something did not end within 1 s"):
        call(server, tmp_path, "leave_something", str(tmp_path / "pid"), 60, timeout=1)
    assert gone(left(tmp_path))


def test_cancel_ends_it_soon(server: ForkServer, tmp_path: Path) -> None:
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(Canceled):
        call(server, tmp_path, "leave_something", str(tmp_path / "pid"), 60, cancel=cancel)
    assert gone(left(tmp_path))


def test_many_at_once_keep_their_own_status_and_output(server: ForkServer, tmp_path: Path) -> None:
    found: dict[int, Any] = {}

    def one(number: int) -> None:
        place = tmp_path / str(number)
        place.mkdir()
        found[number] = call(server, place, "tell", number, f"I am {number}.")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: done.rc for n, done in found.items()} == {n: n for n in range(1, 13)}
    assert all(f"I am {n}." in done.out for n, done in found.items())


def test_a_request_too_large_is_refused(server: ForkServer, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="limit"):
        call(server, tmp_path, "tell", 0, "x" * MAX_REQUEST)


def test_a_server_that_died_is_started_again(tmp_path: Path) -> None:
    """What ran in it is lost, and told as the lab's trouble; what comes after it is not hurt."""
    server = ForkServer([])
    assert call(server, tmp_path, "tell", 0, "").rc == 0
    threading.Timer(0.5, lambda: os.kill(server._process.pid, signal.SIGKILL)).start()
    with pytest.raises(InfrastructureError, match="gone"):
        call(server, tmp_path, "leave_something", str(tmp_path / "pid"), 60)
    assert call(server, tmp_path, "tell", 0, "").rc == 0
    server.close()


def test_a_module_that_cannot_be_imported_is_told(tmp_path: Path) -> None:
    server = ForkServer(["no.such.module"])
    with pytest.raises(InfrastructureError, match="gone"):
        call(server, tmp_path, "tell", 0, "")
    server.close()


def test_all_of_it_ends_with_the_harness(tmp_path: Path) -> None:
    code = f"""
import pathlib
from harness.system.forking import ForkServer
place = pathlib.Path({str(tmp_path)!r})
server = ForkServer([])
(place / "server").write_text(str(server._process.pid))
server.run("{WORK}:leave_something", [str(place / "pid"), 60], log=place / "log", timeout=90, cwd=place, env={{}})
"""
    root = Path(__file__).parents[2]
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    pid = left(tmp_path)
    worker = psutil.Process(pid).ppid()
    owner.kill()
    owner.wait()
    assert gone(int((tmp_path / "server").read_text()))
    assert gone(worker)
