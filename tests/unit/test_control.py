"""What the end of a product means, where it listens, and whose limit a failure speaks of."""

from __future__ import annotations

import subprocess
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.control import ending
from harness.control.compose import _seconds
from harness.control.ends import End, words
from harness.control.limits import harness_limit
from harness.control.listening import Listener, bound, explained, listeners
from harness.control.supervised import Process, Supervised
from harness.control.systemd import _ENDED, _status
from harness.errors import LostOutput
from harness.system.process import Completed
from tests.suite_runs import context

TABLES = """\
socket 4711
socket 4712
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 00000000:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
   2: 0B00007F:A1B2 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0 100 0 0 10 0
   3: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 98 1 0 100 0 0 10 0
   4: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A 0:0 00:0 0     0        0 4712 1
"""


def test_listeners_are_those_of_the_product() -> None:
    assert listeners(TABLES) == [Listener(8080, "127.0.0.1"), Listener(8081, "::1"), Listener(9090, "*")]
    every = listeners("\n".join(line for line in TABLES.splitlines() if not line.startswith("socket")))
    assert Listener(22, "*") in every
    assert all(one.address != "127.0.0.11" for one in every), "the engine's name server is none of the product's"


def test_udp_sockets_without_a_peer_take_what_comes() -> None:
    row = "   {}: {}:{} {} {} 00000000:00000000 00:00000000 00000000     0        0 {} 2 0 0"
    table = "\n".join(
        [
            "socket 4711",
            row.format(0, "00000000", "270E", "00000000:0000", "07", 4711),
            row.format(1, "0100007F", "270F", "00000000:0000", "07", 4711),
            row.format(2, "00000000", "2710", "0100007F:0035", "01", 4711),  # a client's
            row.format(3, "00000000", "2711", "00000000:0000", "07", 4712),  # another program's
        ]
    )
    assert bound(table) == [Listener(9998, "*"), Listener(9999, "127.0.0.1")]
    assert listeners(table) == []


@pytest.mark.parametrize(
    ("found", "declared", "en"),
    [
        ([Listener(9090, "*")], [8080], "it listens on port 9090; declared is port 8080"),
        ([Listener(8080, "127.0.0.1")], [8080], "it listens on 127.0.0.1 only, which no other machine reaches"),
        ([Listener(8080, "::1")], [8080], "it listens on ::1 only, which no other machine reaches"),
        ([Listener(8080, "127.0.0.1"), Listener(8080, "10.0.0.2")], [8080], ""),
        ([Listener(8080, "*"), Listener(9090, "127.0.0.1")], [8080, 9090], ""),
        ([], [8080], "it listens on no TCP port; declared is 8080"),
        ([], [], ""),
    ],
)
def test_where_it_listens_is_explained(found: list[Listener], declared: list[int], en: str) -> None:
    assert explained(found, declared)[0] == en


def explain(code: int, log: str = "", *, memory: bool = False, left: tuple[str, ...] = ()) -> str:
    return ending.explained(code, log, cpu="c", memory_limit="64m", memory=memory, left=list(left)).en


def test_an_exit_status_is_explained() -> None:
    assert "SIGILL" in explain(132)
    assert "wrong architecture" in explain(126)
    assert "interpreter not found" in explain(127)
    assert explain(137, memory=True) == "it was killed: it took more memory than its limit of 64m"
    assert explain(137) == "it died with signal 9 (SIGKILL)"
    assert explain(3) == "it exited at once with status 3"
    assert "must stay in the foreground" in explain(0, left=("nginx: master",))
    assert explain(0) == "it exited at once with status 0"


@pytest.mark.parametrize(
    "log",
    [
        "Illegal instruction",
        "begins\nIllegal instruction (core dumped)\n",
        "/opt/x/run.sh: line 3:  4711 Illegal instruction     (core dumped) ./x",
        "qemu: uncaught target signal 4 (Illegal instruction) - core dumped",
    ],
)
def test_a_script_that_ends_after_its_program_died_of_sigill_is_explained(log: str) -> None:
    assert "SIGILL" in explain(1, log)


@pytest.mark.parametrize(
    "log",
    [
        "/bin/sh: 1: /opt/x: Exec format error",
        "bash: /opt/x: cannot execute binary file: Exec format error",
        "sh: 0: /opt/x: cannot execute: required file not found",
    ],
)
def test_a_script_whose_program_is_none_is_explained(log: str) -> None:
    assert "wrong architecture" in explain(1, log)


@pytest.mark.parametrize("code", [1, 4, 5, 9, 11, 100, 125])
@pytest.mark.parametrize(
    "log",
    [
        "",
        "ERROR: cannot execute INSERT in a read-only transaction",
        "rule 7 of the parser: Illegal instruction 'frobnicate' in line 3",
        "the plug-in gave Exec format error, which is passed over",
    ],
)
def test_a_status_of_the_products_own_is_not_taken_for_a_signal_and_its_words_not_for_those_of_a_shell(
    code: int, log: str
) -> None:
    assert explain(code, log) == f"it exited at once with status {code}"


def test_ends_are_listed_with_time_and_reason() -> None:
    ends = [
        End(start="a", status=3, at=1.0),
        End(start="b", status=137, memory=True, at=time.time()),
        End(start="c", status=None, restarted=True),
    ]
    fault = ending.unasked(ends, [words(end, "64m") for end in ends], ["log of a"])
    assert fault.en.startswith(
        "it ended 3 times although nobody had asked for it: [00:00:01 UTC] it exited with status 3"
    )
    assert "its limit of 64m" in fault.en
    assert "started again by what manages it" in fault.en
    assert fault.log == "log of a"


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("exited", "3", 3),
        ("killed", "KILL", 137),
        ("dumped", "SEGV", 139),
        ("killed", "NONSENSE", None),
        ("none", "none", None),
    ],
)
def test_an_end_as_systemd_tells_it(code: str, status: str, expected: int | None) -> None:
    assert _status(code, status) == expected


def test_what_systemd_runs_after_an_end_notes_it_unless_it_was_asked_for(tmp_path: Path) -> None:
    asked, ends, spare = tmp_path / "asked", tmp_path / "ends", tmp_path / "spare"
    script = _ENDED.format(asked=asked, ends=ends, spare=spare)
    environment = {"EXIT_CODE": "dumped", "EXIT_STATUS": "SEGV", "SERVICE_RESULT": "core-dump", "PATH": "/usr/bin:/bin"}
    run = partial(subprocess.run, ["sh", "-c", script], env=environment, check=True)
    run()
    asked.touch()
    run()
    code, status, result, at, counted = ends.read_text().split()
    assert (code, status, result, counted) == ("dumped", "SEGV", "core-dump", "asked")
    assert abs(int(at) - time.time()) < 600
    subprocess.run(["sh", "-c", _ENDED.format(asked="/a", ends="/dev/full", spare=spare)], env=environment, check=True)
    assert (tmp_path / "spare.ends").read_text().startswith("dumped SEGV core-dump "), "the disk was full"


def test_a_moment_as_engines_write_it() -> None:
    assert _seconds('"2026-01-02T03:04:05.123456789Z"') == 1767323045.0
    assert _seconds("restart/0") == 0.0


@pytest.mark.parametrize(
    ("text", "ipv6", "kind", "certain"),
    [
        ('sudo: The "no new privileges" flag is set', True, "container", True),
        ("sudo: effective uid is not 0, is /usr/bin/sudo on a file system with nosuid?", True, "container", True),
        ("bind ::1: Cannot assign requested address", False, "container", True),
        ("bind: Cannot assign requested address", False, "container", False),
        ("bind ::1: Cannot assign requested address", True, "container", None),
        ("mount: Operation not permitted", True, "container", False),
        ("open /proc/sys/x: Read-only file system", True, "container", False),
        ("it is broken", False, "container", None),
        ('sudo: The "no new privileges" flag is set', True, "vm", None),
    ],
)
def test_a_limit_of_the_harness_is_named_as_one(text: str, ipv6: bool, kind: str, certain: bool | None) -> None:
    machine: Any = SimpleNamespace(reference=SimpleNamespace(kind=kind))
    limit = harness_limit(text, machine, has_ipv6=ipv6)
    assert (limit.certain if limit is not None else None) is certain


class Losing:
    """A machine whose engine loses the first ``lost`` answers."""

    name = "application"

    def __init__(self, lost: int) -> None:
        self.lost, self.commands = lost, 0

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        self.commands += 1
        if self.commands <= self.lost:
            raise LostOutput("the engine lost what a command printed")
        return Completed(rc=0, out="run 4711 1 -\n")


def test_what_an_engine_loses_is_looked_at_again_and_nothing_is_done_twice(tmp_path: Path) -> None:
    process = Process(start="/opt/p", user="root", environment={}, stop="TERM", ports=())

    def supervised(lost: int) -> tuple[Supervised, Losing]:
        machine = Losing(lost)
        return Supervised(context(tmp_path), machine, process), machine  # type: ignore[arg-type]

    product, machine = supervised(2)
    assert product.pid() == 4711
    assert machine.commands == 3
    product, machine = supervised(3)
    with pytest.raises(LostOutput):
        product.running()
    for act in (lambda p: p.kill(), lambda p: p.stop(1), lambda p: p.asked()):
        product, machine = supervised(1)
        with pytest.raises(LostOutput):
            act(product)
        assert machine.commands == 1
