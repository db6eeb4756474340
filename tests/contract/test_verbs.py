"""Verbs of every kind of machine: what it can is in effect and can be taken back; what it cannot is refused."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator

import pytest

from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from harness.containers.machine import ContainerMachine
from harness.errors import HarnessError, UnsupportedVerb
from harness.hosts import ssh
from harness.model.machine import Machine
from harness.model.verbs import Verb, deeds
from harness.system.wait import wait_until
from tests.labs import Notes, system, virtual

#: Answers to whoever asks, with the little that a base image has.
SERVE = "setsid perl -MIO::Socket::INET -e 's()' >/dev/null 2>&1 &".replace(
    "s()",
    "$s = IO::Socket::INET->new(Listen => 9, LocalPort => 8080, ReuseAddr => 1);"
    ' while ($c = $s->accept) { print $c "here\\n"; close $c }',
)
ASK = "timeout 3 bash -c 'cat </dev/tcp/{}/8080'"
WAYS = ("docker", pytest.param("vm", marks=pytest.mark.full))


@pytest.fixture(scope="module", params=WAYS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, ...]]:
    """Two containers in one network that both serve; of virtual machines one."""
    folder = tmp_path_factory.mktemp("verbs")
    if request.param == "vm":
        with virtual("debian-12", "phytium-ft2000plus", folder) as machine:
            machine.run(SERVE)
            yield (machine,)
        return
    engine, name = Engine("verbs"), f"harness-verbs-{secrets.token_hex(4)}"
    base = BaseImages(engine, cache_folder()).ensure(system("debian-12"), "x86_64", Notes())
    made: list[ContainerMachine] = []
    engine.create_network(name, engine.labels("verbs", "1", ""))
    try:
        for role in ("application", "database"):
            identity = engine.create_container(
                f"{name}-{role}",
                base.id,
                labels=engine.labels("verbs", "1", role),
                memory=128 << 20,
                cpus=1,
                processes=64,
                network=name,
                alias=role,
                environment={},
            )
            made.append(ContainerMachine(engine, identity, role, deeds=folder / "deeds"))
            made[-1].run(SERVE)
        yield tuple(made)
    finally:
        for role in ("application", "database"):
            engine.remove_container(f"{name}-{role}")
        engine.remove_network(name)


@pytest.fixture
def machine(pair: tuple[Machine, ...]) -> Iterator[Machine]:
    yield pair[0]
    pair[0].verbs.undo()


def answers(machine: Machine, who: str) -> bool:
    return "here" in machine.run(ASK.format(who)).out


def test_each_verb_that_is_named_is_had_and_every_other_is_refused(machine: Machine) -> None:
    verbs, can = machine.verbs, machine.verbs.can
    assert {Verb.CUT, Verb.PAUSE} <= can
    calls = {
        Verb.DELAY: lambda: verbs.slow_network(delay=0.01),
        Verb.LOSS: lambda: verbs.slow_network(loss=0.01),
        Verb.NAMES: verbs.lose_names,
        Verb.FILL: lambda: verbs.fill_disk(leave=1 << 30),
        Verb.CLOCK: lambda: verbs.move_clock(0),
        Verb.MEMORY: lambda: verbs.limit_memory(64 << 20),
    }
    for verb, call in calls.items():
        with contextlib.nullcontext() if verb in can else pytest.raises(UnsupportedVerb, match=verb.value):
            call()
    verbs.undo()
    noted = deeds(machine.reference.deeds)
    assert {deed.verb for deed in noted if not deed.ends} == calls.keys() & can
    assert {deed.machine for deed in noted} == {machine.name}


def test_a_network_is_cut_and_healed(
    pair: tuple[Machine, ...], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if len(pair) == 1:  # the harness reaches a virtual machine by the network that is cut
        machine.verbs.cut_network()
        with monkeypatch.context() as impatient:
            impatient.setattr(ssh, "GRACE_SECONDS", 5.0)  # it asks again for a minute after a lost connection
            with pytest.raises(HarnessError):
                machine.run("true", timeout=3)
        machine.verbs.heal_network()
        assert machine.run("true", timeout=60).ok
        return
    _, other = pair
    assert answers(machine, "database")
    assert answers(other, "application")
    machine.verbs.cut_network()
    assert not answers(machine, "database")
    assert not answers(other, "application")
    machine.verbs.heal_network()
    assert answers(machine, "database")
    assert answers(other, "application")
    machine.verbs.cut_network("database")
    assert not answers(machine, "database")
    machine.verbs.undo()
    assert answers(machine, "database")


def test_lost_packets_come_late_or_not(pair: tuple[Machine, ...], machine: Machine) -> None:
    if Verb.LOSS not in machine.verbs.can or len(pair) == 1:
        with pytest.raises(UnsupportedVerb) if Verb.LOSS not in machine.verbs.can else contextlib.nullcontext():
            machine.verbs.slow_network(loss=0.01)
        return
    machine.verbs.slow_network(loss=0.99)
    assert not answers(machine, "database")
    machine.verbs.heal_network()
    assert answers(machine, "database")


def test_names_are_lost_and_come_back(machine: Machine) -> None:
    if Verb.NAMES not in machine.verbs.can:
        with pytest.raises(UnsupportedVerb, match="has no verb names"):
            machine.verbs.lose_names()
        return
    ask = "timeout 3 getent hosts database"
    address = machine.run(ask).out.split()[0]
    machine.verbs.lose_names()
    assert not machine.run(ask).ok
    assert answers(machine, address)
    machine.verbs.heal_network()
    assert machine.run(ask).ok
    machine.verbs.lose_names()
    machine.verbs.undo()
    assert machine.run(ask).ok


def test_a_pause_stops_everything_and_ends(machine: Machine) -> None:
    machine.run("rm -f /tmp/beat; setsid sh -c 'while :; do echo x >>/tmp/beat; sleep 0.1; done' >/dev/null 2>&1 &")
    wait_until(lambda: machine.run("test -s /tmp/beat").ok, seconds=30, what="a first beat")
    machine.verbs.pause()
    time.sleep(2)
    machine.verbs.resume()
    beats = int(machine.run("wc -l </tmp/beat").out)
    wait_until(lambda: int(machine.run("wc -l </tmp/beat").out) > beats, seconds=60, what="another beat")
    machine.verbs.pause()
    machine.verbs.undo()
    assert machine.run("pkill -f beat || kill $(pgrep -f beat) 2>/dev/null; true", timeout=60).rc in (0, 143)


def test_memory_is_limited_and_given_back(machine: Machine) -> None:
    if Verb.MEMORY not in machine.verbs.can:
        with pytest.raises(UnsupportedVerb):
            machine.verbs.limit_memory(1 << 20)
        return
    take = "perl -e '$x = \"y\" x (48 << 20); print length $x'"
    assert machine.run(take).ok
    machine.verbs.limit_memory(32 << 20)
    assert not machine.run(take).ok
    machine.verbs.restore_memory()
    assert machine.run(take).ok


def test_a_clock_is_moved_and_a_disk_filled_where_they_are_its_own(machine: Machine) -> None:
    if Verb.CLOCK not in machine.verbs.can:
        with pytest.raises(UnsupportedVerb, match="a container has no verb"):
            machine.verbs.move_clock(60)
        return
    machine.verbs.move_clock(3600)
    assert float(machine.run("date +%s").out) - time.time() > 3000
    machine.verbs.fill_disk()
    write = "dd if=/dev/zero of=/var/more bs=1M count=20 2>/dev/null; r=$?; rm -f /var/more; exit $r"
    assert not machine.run(write).ok
    machine.verbs.undo()
    assert abs(float(machine.run("date +%s").out) - time.time()) < 30
    assert machine.run(write).ok
