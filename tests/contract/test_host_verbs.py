"""What a reliability suite does to a lab host: it works, the host can still be reached, and all of it is undone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from harness.cli.entry import cli
from harness.containers.engine import Engine
from harness.errors import InfrastructureError, UnsupportedVerb
from harness.hosts.inventory import Inventory
from harness.hosts.leases import PLACE, mark_dirty
from harness.hosts.provisioner import LabHosts
from harness.hosts.ssh import SshMachine
from harness.hosts.undoing import remember, restore
from harness.hosts.verbs import SPARE, HostVerbs, leftovers
from harness.machines.opening import open_machine
from harness.model.machine import Machine, MachineReference
from harness.model.recipe import Recipe
from harness.model.verbs import Verb, deeds, in_effect
from harness.provision.provisioner import Owner, Role
from harness.system.waiting import QUIET
from tests.labs import LabHost, Notes, cpu, inventory, lab_host, system, virtual_machines

SERVE = "setsid busybox httpd -p 8080 -h /etc </dev/null >/dev/null 2>&1"


def reaches(machine: Machine, address: str) -> bool:
    """Whether a server on another host answers."""
    done = machine.run(f"timeout 2 bash -c ': </dev/tcp/{address}/8080'")
    assert done.rc in (0, 1, 124), done.text
    return done.ok


@pytest.fixture(scope="module")
def labs() -> Iterator[tuple[LabHost, LabHost]]:
    engine = Engine("contract")
    network = f"harness-contract-{secrets.token_hex(4)}"
    engine.create_network(network, engine.labels("contract", "1", ""))
    options: dict[str, Any] = {
        "packages": ("busybox", "iptables", "iproute2"),
        "network": network,
        "cap_add": ["NET_ADMIN", "SYS_ADMIN"],
        "security_opt": ["apparmor=unconfined", "seccomp=unconfined"],
        "tmpfs": {"/srv/data": "size=64m"},
    }
    try:
        with (
            lab_host("debian-12", "x86_64", alias="product", **options) as product,
            lab_host("debian-12", "x86_64", alias="database", **options) as database,
        ):
            for lab in (product, database):
                assert lab.inside.run(SERVE).ok
            yield product, database
    finally:
        engine.remove_network(network)


@pytest.fixture
def hosts(labs: tuple[LabHost, LabHost], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    plain = []
    for lab, os in zip(labs, ("debian-12", "debian-13"), strict=True):
        monkeypatch.setenv(f"KEY_{lab.alias}", lab.key)
        address = {"address": lab.address, "port": 22} if lab.alias == "database" else {}
        plain.append(
            lab.plain(key=f"env:KEY_{lab.alias}", labels={"cpu": "x86-64", "os": os}, watch=["/opt", "/srv"], **address)
        )
    (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"hosts": plain}))
    return inventory(tmp_path / "known_hosts", *plain)


@pytest.fixture
def machine(hosts: Inventory, labs: tuple[LabHost, LabHost], tmp_path: Path) -> Iterator[SshMachine]:
    opened = SshMachine(hosts, "product", mark=secrets.token_hex(8), deeds=tmp_path / "deeds")
    opened.peers = {"database": labs[1].address}
    yield opened
    opened.close()


def test_the_network_between_two_hosts_is_cut_and_healed(machine: SshMachine, labs: tuple[LabHost, LabHost]) -> None:
    assert Verb.CUT in machine.verbs.can
    assert reaches(labs[1].inside, labs[0].address)
    assert reaches(machine, labs[1].address)
    for peer in ("", "database"):
        machine.verbs.cut_network(peer)
        assert not reaches(machine, labs[1].address)
        assert not reaches(labs[1].inside, labs[0].address)
        assert machine.run("echo still").out == "still\n", "the way to the host itself goes on"
        assert leftovers(machine) == ["packets to machines of the cell are dropped"]
        machine.verbs.cut_network(peer)  # once more changes nothing
        machine.verbs.heal_network()
        assert reaches(machine, labs[1].address)
        assert leftovers(machine) == []
    assert in_effect(deeds(machine.deeds), "product") == set()
    assert [deed.verb for deed in deeds(machine.deeds) if not deed.ends] == [Verb.CUT] * 4


def test_what_would_cut_off_the_host_itself_is_refused(
    hosts: Inventory, machine: SshMachine, labs: tuple[LabHost, LabHost]
) -> None:
    for peer in ("middleware", "application"):
        with pytest.raises(UnsupportedVerb, match="the cell has no machine"):
            machine.verbs.cut_network(peer)
    machine.peers = {"database": "localhost"}
    with pytest.raises(UnsupportedVerb, match=r"the way to the host goes through (127\.0\.0\.1|::1)"):
        machine.verbs.cut_network("database")
    machine.peers = {}
    with pytest.raises(UnsupportedVerb, match="this lab host has no verb cut"):
        machine.verbs.cut_network()
    for refused in (
        lambda: machine.verbs.move_clock(5),
        lambda: machine.verbs.limit_memory(1 << 20),
        machine.verbs.restore_clock,
        machine.verbs.restore_memory,
    ):
        with pytest.raises(UnsupportedVerb):
            refused()
    way = [
        {
            **host.model_dump(mode="json", exclude_defaults=True),
            **({"jump": "database"} if host.host == "product" else {}),
        }
        for host in hosts.hosts.hosts
    ]
    way[0] |= {"address": labs[0].address, "port": 22}
    behind = SshMachine(inventory(hosts.known_hosts, *way), "product", mark="ab")
    behind.peers = {"database": labs[1].address}
    with pytest.raises(UnsupportedVerb, match="the way to the host goes through"):
        behind.verbs.cut_network()
    behind.close()
    assert leftovers(machine) == []


def test_the_network_is_slowed_where_the_kernel_can(machine: SshMachine, labs: tuple[LabHost, LabHost]) -> None:
    if machine.verbs.can & {Verb.DELAY, Verb.LOSS}:
        machine.verbs.slow_network(loss=1.0)
        assert not reaches(machine, labs[1].address)
        assert machine.run("echo still").out == "still\n"
        assert "packets are slowed on" in leftovers(machine)[0]
        machine.verbs.slow_network(delay=0.01)
        assert reaches(machine, labs[1].address)
        machine.verbs.heal_network()
    else:
        with pytest.raises(UnsupportedVerb, match="this lab host has no verb delay"):
            machine.verbs.slow_network(delay=0.1)
    with pytest.raises(ValueError, match="a part from 0 to 1"):
        machine.verbs.slow_network(loss=20)
    assert leftovers(machine) == []


#: Another machine on a cable of its own, inside of the virtual machine.
PEER = """
modprobe -a sch_netem sch_prio cls_u32 veth && ip netns add peer && ip link add cable type veth peer name end &&
ip link set end netns peer && ip addr add 10.99.0.1/24 dev cable && ip link set cable up &&
ip netns exec peer ip addr add 10.99.0.2/24 dev end && ip netns exec peer ip link set end up
"""
#: A refusal takes a round trip; gives the status and the milliseconds.
TRIP = (
    "s=$(date +%s%N); timeout 6 bash -c ': </dev/tcp/10.99.0.2/9' 2>/dev/null; "
    "echo $? $((($(date +%s%N) - s) / 1000000))"
)


@pytest.mark.full
def test_packets_wait_or_are_lost_on_a_kernel_that_can(tmp_path: Path) -> None:
    """In a virtual machine, whose kernel has what this machine's may lack."""
    recipe = Recipe(name="netem", os="debian-12", architecture="x86_64", packages=("kmod", "iptables", "iproute2"))
    role = Role(name="application", os=system("debian-12"), cpu=cpu("hygon-c86"), recipe=recipe)
    maker, names = virtual_machines(tmp_path), Owner(campaign="contract", cell=secrets.token_hex(4), attempt="1")
    environment = maker.environment(role, Notes())
    with maker.hold((role,), names, Notes(), QUIET) as held, held.machines({role.name: environment}) as machines:
        machine = machines.application
        done = machine.run(PEER)
        assert done.ok, done.text

        def trip() -> tuple[str, int]:
            status, milliseconds = machine.run(TRIP).out.split()
            return status, int(milliseconds)

        verbs = HostVerbs(machine, peers={"database": "10.99.0.2"})
        assert verbs.can == {Verb.CUT, Verb.DELAY, Verb.LOSS, Verb.FILL}
        queue = machine.run("tc qdisc show dev cable").out
        assert trip()[0] == "1", "the peer refuses"
        verbs.slow_network(delay=1.5)
        status, milliseconds = trip()
        assert (status, milliseconds >= 1500) == ("1", True)
        assert leftovers(machine) == ["packets are slowed on cable"]
        verbs.slow_network(loss=1.0)
        assert trip()[0] == "124"
        assert machine.run("echo still").out == "still\n"
        verbs.cut_network()
        verbs.heal_network()
        assert trip()[0] == "1"
        assert machine.run("tc qdisc show dev cable").out == queue
        assert leftovers(machine) == []
        machine.run("tc qdisc add dev cable root handle 7: prio")
        with pytest.raises(InfrastructureError, match="cable has a queue of its own"):
            verbs.slow_network(delay=0.1)
        assert leftovers(machine) == []


def test_a_disk_is_filled_and_freed(machine: SshMachine) -> None:
    free = "df -B1 --output=avail /srv/data | tail -n 1"
    before = int(machine.run(free).out)
    machine.verbs.fill_disk(path="/srv/data")
    assert int(machine.run(free).out) <= SPARE
    assert not machine.run(f"head -c {2 * SPARE} /dev/zero >/srv/data/more").ok
    machine.run("rm -f /srv/data/more")
    machine.verbs.fill_disk(path="/srv/data")  # it is full: nothing happens
    assert leftovers(machine) == ["its disk is filled"]
    machine.verbs.free_disk()
    assert int(machine.run(free).out) == before
    machine.verbs.fill_disk(path="/srv/data", leave=before // 2)
    assert abs(int(machine.run(free).out) - before // 2) < 1 << 20
    machine.verbs.free_disk()
    assert leftovers(machine) == []


STATES = "for p in $(pgrep -f 'sleep 98[7]'); do sed -n 's/^State:.\\(.\\).*/\\1/p' /proc/$p/status; done"


def test_programs_of_the_cell_are_paused_and_no_others(machine: SshMachine, labs: tuple[LabHost, LabHost]) -> None:
    with pytest.raises(UnsupportedVerb, match="no program of the cell was found"):
        machine.verbs.pause()
    labs[0].inside.run("setsid sleep 654 </dev/null >/dev/null 2>&1 &")
    machine.run("setsid sh -c 'sleep 987 & wait' </dev/null >/dev/null 2>&1 &")
    machine.verbs.pause()
    assert set(machine.run(STATES).out.split()) == {"T"}
    other = machine.run("sed -n 's/^State:.\\(.\\).*/\\1/p' /proc/$(pgrep -f 'sleep 65[4]')/status").out
    assert other == "S\n"
    machine.verbs.resume()
    assert set(machine.run(STATES).out.split()) == {"S"}
    machine.run("pkill -f 'sleep 98[7]'; pkill -f 'sleep 65[4]'")


def test_another_process_has_the_same_verbs(machine: SshMachine, labs: tuple[LabHost, LabHost]) -> None:
    """Suites are processes of their own."""
    again = open_machine(MachineReference.model_validate_json(machine.reference.model_dump_json()))
    again.verbs.cut_network("database")
    assert not reaches(machine, labs[1].address)
    machine.verbs.undo()
    assert reaches(again, labs[1].address)
    again.close()


def test_whatever_is_in_effect_is_undone_with_the_cell(
    machine: SshMachine, hosts: Inventory, labs: tuple[LabHost, LabHost], tmp_path: Path
) -> None:
    """At teardown, and after a controller that was killed."""
    host = hosts.host("product")
    for by in ("teardown", "clean"):
        memory = remember(machine, host, machine.mark)
        mark_dirty(machine, "a cell worked here")
        machine.run("setsid sleep 987 </dev/null >/dev/null 2>&1 &")
        machine.verbs.cut_network()
        machine.verbs.fill_disk(path="/srv/data")
        machine.verbs.pause()
        if by == "teardown":
            assert restore(machine, host, memory) == []
            labs[0].inside.run(f"rm {PLACE}/dirty")
        else:
            done = CliRunner().invoke(cli, ["hosts", "clean", "product", "--hosts", str(tmp_path / "hosts.yaml")])
            assert done.exit_code == 0, done.output
        assert leftovers(machine) == []
        assert reaches(machine, labs[1].address)
        assert machine.run("pgrep -f 'sleep 98[7]'").out == ""
        assert not machine.run("ls /srv/data/.harness-fill").ok


def test_the_hosts_of_a_cell_know_each_other(hosts: Inventory, labs: tuple[LabHost, LabHost]) -> None:
    roles = tuple(
        Role(name=name, os=system(os), cpu=cpu("x86-64"), recipe=Recipe(name=name, os=os, architecture="x86_64"))
        for name, os in (("application", "debian-12"), ("database", "debian-13"))
    )
    names = Owner(campaign="verbs", cell="1", attempt="1")
    with LabHosts(hosts).hold(roles, names, Notes(), QUIET) as held, held.machines({}) as machines:
        assert machines.application.reference.peers == {"database": labs[1].address}
        assert machines.on("database").reference.peers == {"application": "127.0.0.1"}
        machines.application.verbs.cut_network("database")
        assert not reaches(machines.application, labs[1].address)
        with pytest.raises(UnsupportedVerb, match="goes through"):
            machines.on("database").verbs.cut_network("application")
    assert reaches(labs[0].inside, labs[1].address)
