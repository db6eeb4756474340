"""What serves a cell, what a host was before and after, what a virtual machine boots from; nothing is started."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.attest.idle import idle_facts
from harness.attest.serving import Service
from harness.errors import InfrastructureError
from harness.hosts import provisioner as hosts
from harness.hosts.inventory import Inventory
from harness.machines import placing as resolving
from harness.machines.placing import resolve
from harness.model.attestation import Fact
from harness.model.definitions import Cpu, Hosts, Os
from harness.model.machine import MachineReference
from harness.model.results import Fidelity
from harness.provision import posix
from harness.provision.provisioner import weakest
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse
from harness.system.process import Completed
from harness.virtual.initrd import in_order, make_initrd


def target(os: str, cpu: str) -> tuple[Os, Cpu]:
    found = []
    for kind, name, model in (("os", os, Os), ("cpu", cpu, Cpu)):
        path = Catalogue.standard().find("targets", kind, f"{name}.yaml")
        assert path is not None
        found.append(parse(path, model))
    return found[0], found[1]  # type: ignore[return-value]


def inventory(*labels: dict[str, str], **more: Any) -> Inventory:
    hosts = [{"host": f"h{n}", "address": "192.0.2.1", "labels": one, **more} for n, one in enumerate(labels)]
    return Inventory(Hosts.model_validate({"hosts": hosts}), Path("known_hosts"))


EVERY = ("host", "container", "vm")
KUNPENG = {"cpu": "kunpeng-920", "os": "debian-12"}


def test_the_first_kind_that_serves_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "by_vm", lambda *_: Service(fidelity=Fidelity.SYSTEM_EMULATED, by="a machine"))
    one = {"application": target("debian-12", "kunpeng-920")}
    assert resolve(one, EVERY, (), inventory(KUNPENG)).by == "host h0"
    assert resolve(one, EVERY, (), inventory({"cpu": "other", "os": "debian-12"})).kind == "container"
    assert resolve(one, ("vm", "container"), (), None).kind == "vm"
    assert resolve(one, EVERY, ("physical",), inventory(KUNPENG)).kind == "host"
    assert resolve(one, EVERY, ("system-emulated",), inventory(KUNPENG)).kind == "vm"


def test_what_is_required_and_not_there_is_told() -> None:
    found = resolve({"application": target("debian-12", "kunpeng-920")}, EVERY, ("kvm",), inventory(KUNPENG))
    assert found.kind is None
    assert "host: it would be physical, required is kvm" in found.by
    licensed = resolve({"application": target("kylin-v10-sp3", "kunpeng-920")}, EVERY, (), None)
    assert licensed.kind is None
    assert "it is licensed and has no public image" in licensed.by


def test_a_licensed_system_is_served_by_a_host() -> None:
    hosts = inventory({"cpu": "kunpeng-920", "os": "kylin-v10-sp3"}, fidelity="kvm")
    found = resolve({"application": target("kylin-v10-sp3", "kunpeng-920")}, ("host",), (), hosts)
    assert (found.kind, found.fidelity) == ("host", Fidelity.KVM)


def test_every_machine_of_a_cell_must_be_served() -> None:
    both = {"application": target("debian-12", "kunpeng-920"), "database": target("kylin-v10-sp3", "kunpeng-920")}
    assert resolve(both, EVERY, (), inventory(KUNPENG)).kind is None


def test_the_weakest_counts() -> None:
    assert weakest([Fidelity.PHYSICAL, Fidelity.USER_EMULATED, Fidelity.KVM]) is Fidelity.USER_EMULATED
    assert weakest([Fidelity.PHYSICAL, None]) is None
    assert weakest([]) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_a_module_comes_after_all_that_it_needs(pairs: list[tuple[int, int]]) -> None:
    needs: dict[int, list[int]] = {number: [] for number in range(10)}
    for one, other in pairs:
        if one > other:  # depmod's lists have no circles
            needs[one].append(other)

    def every(number: int) -> set[int]:
        return {number}.union(*map(every, needs[number])) if needs[number] else {number}

    # modules.dep names all that a module needs, whatever it needs them through
    lines = [
        f"kernel/m-{n}.ko: {' '.join(f'kernel/m-{d}.ko' for d in sorted(every(n) - {n}, reverse=True))}" for n in needs
    ]
    order = in_order(lines, ("m_9", "m_4", "absent"))
    assert len(order) == len(set(order))
    for wanted in (9, 4):
        assert f"kernel/m-{wanted}.ko" in order
    for place, path in enumerate(order):
        number = int(path.removeprefix("kernel/m-").removesuffix(".ko"))
        assert {f"kernel/m-{d}.ko" for d in every(number) - {number}} <= set(order[:place])


def test_the_ram_disk_is_an_archive_that_others_read(tmp_path: Path) -> None:
    (tmp_path / "modules.dep").write_text("kernel/ext4.ko: kernel/jbd2.ko\nkernel/jbd2.ko:\n")
    (tmp_path / "kernel").mkdir()
    for name in ("ext4", "jbd2"):
        (tmp_path / "kernel" / f"{name}.ko").write_bytes(name.encode() * 7)
    (tmp_path / "busybox").write_bytes(b"\x7fELF busybox")
    data = gzip.decompress(make_initrd(tmp_path, tmp_path / "busybox"))
    found, at = {}, 0
    while True:  # cpio(5), newc
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        assert data[at : at + 6] == b"070701"
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        start = at + 110 + fields[11]
        start += -start % 4
        if name == "TRAILER!!!":
            break
        found[name] = data[start : start + fields[6]]
        at = start + fields[6]
        at += -at % 4
    assert found["order"] == b"jbd2.ko\next4.ko\n"
    assert found["lib/m/ext4.ko"] == b"ext4" * 7
    assert found["bin/busybox"] == b"\x7fELF busybox"


class Told:
    """A machine that answers with one text."""

    name = "told"

    def __init__(self, out: str) -> None:
        self.out = out

    def run(self, *_: Any, **__: Any) -> Completed:
        return Completed(rc=0, out=self.out)


def test_what_serves_a_listing_is_not_in_it() -> None:
    table = (
        "70\n1 0 /sbin/init\n10 1 sshd: /usr/sbin/sshd -D [listener]\n60 10 sshd: root@notty\n61 60 sh -c script\n"
        "70 61 sh cmd\n71 70 tr a b\n90 1 product --serve two words\n91 90 worker\n"
    )
    assert posix.processes(Told(table)) == {
        1: "/sbin/init",
        90: "product --serve two words",  # type: ignore[arg-type]
        91: "worker",
    }


class Telling:
    """A machine that gives one answer after another, and the last for ever."""

    name = "h0"

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.reference = MachineReference(kind="ssh", name="h0")

    def run(self, command: str, **_: Any) -> Completed:
        return Completed(rc=0, out=self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


def use(cpu: int = 2, disk: int = 1, memory: int = 3) -> str:
    """What the probe prints on a machine with this use, in percent, over a second."""
    return (
        f"at 1000000000\ncpu 0 0 0 0 0 0 0 0 0 0\ndisk sda 0\ndisk sdb 7\nat 2000000000\n"
        f"cpu {cpu} 0 0 {100 - cpu} 0 0 0 0 0 0\ndisk sda {disk * 10}\ndisk sdb 7\n"
        f"MemTotal 1000 kB\nMemAvailable {1000 - memory * 10} kB\n"
    )


def shown(facts: list[Fact]) -> dict[str, tuple[str, bool]]:
    return {fact.name: (fact.observed, fact.holds) for fact in facts}


def test_use_of_a_machine_is_measured() -> None:
    found = shown(idle_facts(Telling(use(40, 30, 20)), Fidelity.PHYSICAL))
    assert found == {"CPU in use": ("40 %", False), "memory in use": ("20 %", False), "disk in use": ("30 %", False)}
    assert all(holds for _, holds in shown(idle_facts(Telling(use()), Fidelity.PHYSICAL)).values())
    shared = shown(idle_facts(Telling(use(2, 30, 20)), Fidelity.CONTAINER))
    assert all(holds for _, holds in shared.values()), "of a container they are only recorded"
    assert shown(idle_facts(Telling("nonsense\n"), Fidelity.KVM))["CPU in use"] == ("unknown", False)


def test_a_busy_host_is_waited_for_and_then_the_labs_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "IDLE_SECONDS", 0.001)
    lab = hosts.LabHosts(inventory(KUNPENG))
    assert shown(lab._idle(Telling(use(60), use(3)), Fidelity.PHYSICAL))["CPU in use"] == ("3 %", True)
    with pytest.raises(InfrastructureError, match="h0 is not idle: disk in use: 30 %, below 5 % is demanded"):
        lab._idle(Telling(use(disk=30)), Fidelity.PHYSICAL)
    assert lab._idle(Telling(use(60)), Fidelity.CONTAINER)[0].declared == ""
