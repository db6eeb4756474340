"""A lab host belongs to one cell: cells of one process, of two processes, on two hosts, and what ends a wait."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import Canceled, InfrastructureError
from harness.hosts.holding import Ending
from harness.hosts.inventory import Inventory
from harness.hosts.leases import PLACE, HostBusy
from harness.hosts.provisioner import LabHosts
from harness.machines.opening import open_machine
from harness.model.machine import Machine
from harness.model.recipe import Recipe
from harness.provision.provisioner import Held, Owner, Role
from harness.system.wait import wait_until
from harness.system.waiting import QUIET, Waiting
from tests.labs import LabHost, Notes, cpu, inventory, lab_host, system

LABELS = {"cpu": "x86-64", "os": "debian-12"}


@pytest.fixture(scope="module")
def labs() -> Iterator[tuple[LabHost, LabHost]]:
    with (
        lab_host("debian-12", "x86_64", alias="first") as first,
        lab_host("debian-12", "x86_64", alias="second") as second,
    ):
        yield first, second


@pytest.fixture
def keys(labs: tuple[LabHost, LabHost], monkeypatch: pytest.MonkeyPatch) -> None:
    for lab in labs:
        monkeypatch.setenv(f"KEY_{lab.alias}", lab.key)


@pytest.fixture
def one(labs: tuple[LabHost, LabHost], keys: None, tmp_path: Path) -> Inventory:
    return inventory(tmp_path / "known_hosts", plain(labs[0]))


@pytest.fixture
def two(labs: tuple[LabHost, LabHost], keys: None, tmp_path: Path) -> Inventory:
    return inventory(tmp_path / "known_hosts", *(plain(lab) for lab in labs))


def plain(lab: LabHost, **change: Any) -> dict[str, Any]:
    return lab.plain(**{"key": f"env:KEY_{lab.alias}", "labels": LABELS, **change})


def role(name: str = "application", os: str = "debian-12") -> Role:
    return Role(name=name, os=system(os), cpu=cpu("x86-64"), recipe=Recipe(name="bare", os=os, architecture="x86_64"))


def names(cell: str) -> Owner:
    return Owner(campaign="leases", cell=cell, attempt="1")


class Events(Notes):
    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, object]]] = []

    def event(self, kind: str, **data: object) -> None:
        self.seen.append((kind, data))


def test_cells_for_one_host_follow_each_other(one: Inventory) -> None:
    lab, held, most = LabHosts(one), [0], [0]

    def cell(number: int) -> None:
        with lab.hold((role(),), names(str(number)), Notes(), QUIET) as held_now, held_now.machines({}) as machines:
            held[0] += 1
            most[0] = max(most[0], held[0])
            assert machines.application.run("mkdir /opt/product").ok, "something of the cell before is still there"
            held[0] -= 1

    threads = [threading.Thread(target=cell, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_two_cells_on_two_hosts_work_at_one_time(two: Inventory, labs: tuple[LabHost, LabHost]) -> None:
    lab = LabHosts(two, patience=0)
    with (
        lab.hold((role(),), names("1"), Notes(), QUIET) as first,
        lab.hold((role(),), names("2"), Notes(), QUIET) as second,
        first.machines({}) as here,
        second.machines({}) as there,
    ):
        assert here.application.name != there.application.name
        with pytest.raises(HostBusy, match="leases/"), lab.hold((role(),), names("3"), Notes(), QUIET):
            raise AssertionError("there is no third")


OTHER = """
import sys, time
from pathlib import Path
from harness.hosts.inventory import Inventory
from harness.hosts.leases import Lease
from harness.hosts.reaching import machine_of
from harness.model.definitions import Hosts
from harness.reading.parsing import parse

inventory = Inventory(parse(Path(sys.argv[1]), Hosts), Path("known_hosts"))
lease = Lease(machine_of(inventory, inventory.hosts.hosts[0]), "the other harness")
lease.take()
print("held", flush=True)
sys.stdin.read()
lease.release()
"""


@contextlib.contextmanager
def other_harness(labs: tuple[LabHost, LabHost], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"hosts": [plain(labs[0])]}))
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path / "hosts.yaml")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process


def test_another_harness_is_waited_for_and_named(one: Inventory, labs: tuple[LabHost, LabHost], tmp_path: Path) -> None:
    lab, waits = LabHosts(one), []
    with other_harness(labs, tmp_path) as process:

        def notify(words: str) -> None:
            waits.append(words)
            process.communicate()  # it ends, and gives the host back

        waiting = Waiting(who="this", notify=notify, notice_seconds=0.0)
        with lab.hold((role(),), names("1"), Notes(), waiting) as held:
            assert isinstance(held, Held)
    assert len(waits) == 1
    assert "first is in use: the other harness, for" in waits[0]


@pytest.mark.parametrize("by", ["campaign", "cell"])
def test_a_wait_for_a_host_is_stopped(one: Inventory, labs: tuple[LabHost, LabHost], tmp_path: Path, by: str) -> None:
    lab, stopped = LabHosts(one), threading.Event()
    stop = lab.cancel if by == "campaign" else stopped
    waiting = Waiting(notify=lambda _: stop.set(), stopped=stopped.is_set, notice_seconds=0.0)
    with other_harness(labs, tmp_path) as process:
        with pytest.raises(Canceled, match="stopped while"), lab.hold((role(),), names("1"), Notes(), waiting):
            raise AssertionError("it is not free")
        process.communicate()


def test_a_host_that_does_not_answer_keeps_no_stop_waiting(
    tmp_path: Path, labs: tuple[LabHost, LabHost], keys: None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        lab = LabHosts(inventory(tmp_path / "k", plain(labs[0], port=silent.getsockname()[1])))
        threading.Timer(0.5, lab.cancel.set).start()
        with pytest.raises(Canceled), lab.hold((role(),), names("1"), Notes(), QUIET):
            raise AssertionError("it does not answer")


#: Commands that end neither by themselves nor with their connection: a program, and shells that start next to nothing.
ENDLESS = ("exec sleep 77.9191", "while :; do sleep 0.1; done", "trap '' TERM; while :; do sleep 0.2; done")


def test_a_stop_ends_commands_on_two_hosts_and_puts_both_back(two: Inventory, labs: tuple[LabHost, LabHost]) -> None:
    """Two cells, with commands that nothing but the stop ends; what is begun by a suite's own process ends too."""
    lab, events = LabHosts(two, patience=0), Events()
    lab._ending = Ending(lab.cancel, seconds=60)  # on a busy machine nothing is left behind either
    outcomes: list[BaseException] = []
    running = threading.Barrier(len(labs) + 1)

    def until_stopped(machine: Machine, command: str) -> None:
        with contextlib.suppress(Canceled, InfrastructureError):
            machine.run(command, timeout=600)

    def cell(number: int) -> None:
        with lab.hold((role(),), names(str(number)), events, QUIET) as held, held.machines({}) as machines:
            machine = machines.application
            machine.run("mkdir -p /opt/product/data")
            ways = (machine, machine, open_machine(machine.reference))  # the last as another process has it
            waits = [
                threading.Thread(target=until_stopped, args=pair, daemon=True)
                for pair in zip(ways, ENDLESS, strict=True)
            ]
            for thread in waits:
                thread.start()
            wait_until(lambda: all(_running(labs, words) for words in WORDS), seconds=20, what="the commands")
            running.wait(30)
            for thread in waits[:2]:
                thread.join(10)
                assert not thread.is_alive(), "the command is still waited for"
            machine.run("true")

    def work(number: int) -> None:
        try:
            cell(number)
        except BaseException as error:  # noqa: BLE001  # looked at below
            outcomes.append(error)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(labs))]
    for thread in threads:
        thread.start()
    running.wait(60)
    lab.cancel.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "the cell goes on after the stop"
    assert [type(error) for error in outcomes] == [Canceled, Canceled]
    assert [data for kind, data in events.seen if kind != "lease"] == []
    for each in labs:
        assert each.inside.run("ls /opt").out == ""
        assert each.inside.run(f"ls {PLACE}").out == "", "the host is dirty, or still leased"
        assert [words for words in WORDS if _running((each,), words)] == []


#: What the arguments of the processes of ``ENDLESS`` contain.
WORDS = ("77.9191", "sleep 0.1", "sleep 0.2")


def _running(labs: Sequence[LabHost], words: str) -> bool:
    """Whether every host has a process with such arguments now."""
    return all(any(words in args for args in each.inside.processes().values()) for each in labs)


def test_a_host_that_is_not_put_back_in_time_stays_dirty_and_leased(
    two: Inventory, labs: tuple[LabHost, LabHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell with two hosts, of which neither is put back before the end of a stop: nothing passes for clean."""
    hang = threading.Event()
    monkeypatch.setattr("harness.hosts.provisioner.restore", lambda *_: [] if hang.wait(60) else ["late"])
    lab, events = LabHosts(two), Events()
    lab._ending = Ending(lab.cancel, seconds=0.5)
    roles = (role(), role("database"))
    with lab.hold(roles, names("1"), events, QUIET) as held, held.machines({}) as machines:
        assert len(machines.of) == len(labs)
        lab.cancel.set()
    seen = [data["host"] for kind, data in events.seen if kind == "host-not-restored"]
    assert sorted(seen, key=str) == ["first", "second"]
    for each in labs:
        assert "did not end in order" in each.inside.get(f"{PLACE}/dirty").decode()
        assert "leases/1/1" in each.inside.get(f"{PLACE}/lease").decode()
    hang.set()  # what goes on there comes to its end, and gives the hosts back
    for each in labs:
        wait_until(partial(_is_free, each), seconds=20, what="the end")


def _is_free(lab: LabHost) -> bool:
    return lab.inside.run(f"cd {PLACE} && ls -d lease dirty 2>/dev/null").out == ""


def test_a_server_without_a_host_of_its_own_says_why(
    one: Inventory, two: Inventory, labs: tuple[LabHost, LabHost]
) -> None:
    """Two servers and one host, then two hosts of which one is dirty."""
    roles = (role(), role("database"), role("middleware"))
    events = Events()
    with LabHosts(one).hold(roles, names("1"), events, QUIET) as held, held.machines({}) as machines:
        assert set(machines.of) == {"application"}
        assert machines.address("database") == machines.address("middleware") == "127.0.0.1"
    reasons = [data for kind, data in events.seen if kind == "host-shared"]
    assert [(data["role"], data["host"]) for data in reasons] == [("database", "first"), ("middleware", "first")]
    assert all("no further host is labelled" in str(data["reason"]) for data in reasons)
    labs[1].inside.run(f"mkdir -p {PLACE}; echo broken >{PLACE}/dirty")
    words: list[str] = []
    with LabHosts(two).hold(roles[:2], names("2"), Notes(), Waiting(notify=words.append)):
        assert [text for text in words if "the database shares host first" in text and "broken" in text]
    labs[1].inside.run(f"rm {PLACE}/dirty")


def test_cells_with_two_servers_of_another_kind_do_not_wait_for_each_other(
    labs: tuple[LabHost, LabHost], keys: None, tmp_path: Path
) -> None:
    """Each had one of the two hosts for servers and waited an hour for the other."""
    servers = {"cpu": "x86-64", "os": "debian-13"}
    lab = LabHosts(inventory(tmp_path / "k", *(plain(each, labels=servers) for each in labs)))
    both = threading.Barrier(2)
    found: list[set[str]] = []

    def cell(number: int) -> None:
        roles = (role("database", "debian-13"), role("middleware", "debian-13"))
        both.wait()
        with lab.hold(roles, names(str(number)), Notes(), QUIET) as held, held.machines({}) as machines:
            found.append({machine.name for machine in machines.of.values()})
            assert machines.of.keys() == {"database", "middleware"}

    threads = [threading.Thread(target=cell, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert len(found) == 2, "the cells wait for each other"


def test_a_host_behind_another_is_leased_on_itself(labs: tuple[LabHost, LabHost], keys: None, tmp_path: Path) -> None:
    """The way through a host is no use of it: another cell may have that."""
    outer, inner = labs
    hosts = inventory(
        tmp_path / "k",
        plain(outer, labels={"cpu": "x86-64", "os": "debian-13"}),
        plain(inner, address=inner.address, port=22, jump="first"),
    )
    lab = LabHosts(hosts, patience=0)
    with (
        lab.hold((role(os="debian-13"),), names("1"), Notes(), QUIET) as first,
        lab.hold((role(),), names("2"), Notes(), QUIET) as second,
        first.machines({}) as here,
        second.machines({}) as behind,
    ):
        assert (here.application.name, behind.application.name) == ("first", "second")
        assert behind.application.run("hostname").out == "second\n"
        with (
            pytest.raises(InfrastructureError, match="second is in use"),
            lab.hold((role(),), names("3"), Notes(), QUIET),
        ):
            raise AssertionError("it is in use")
    assert inner.inside.run(f"ls {PLACE}").out == ""
