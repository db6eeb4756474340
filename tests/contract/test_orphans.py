"""In a container what a product starts is its own, wherever it went: its session, environment and parents are gone, it
holds no port, and stop, kill and the list of what is left reach it all the same. Nothing else is reached."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.containers.executions import ExecutionWatch
from harness.containers.machine import ContainerMachine
from harness.control.deployment import Deployment
from harness.model.machine import Machine
from harness.system.wait import wait_until
from tests.contract.test_control import AWAY, deployed, ended
from tests.labs import container

#: What is no product's: a command of a suite that stays, and a server that was there first and is started anew.
OTHERS = (
    "setsid setsid env -i sh -c 'exec sleep 8800' </dev/null >/dev/null 2>&1 &",
    "env -i setsid setsid sh -c 'sleep 8801 & exec sleep 8801' </dev/null >/dev/null 2>&1 &",
)


def seen(machine: Machine, seconds: str) -> int:
    text = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null"
    return sum(line.endswith(f"sleep {seconds} ") for line in machine.run(text).out.splitlines())


def left(product: Deployment) -> list[str]:
    """Under emulation a command line begins with the emulator."""
    return [line[line.rindex("sleep") :] for line in product.control.left()]


def end(machine: Machine, seconds: str) -> None:
    machine.run(f"kill $(grep -lsa 'sl[e]ep.{seconds}' /proc/[0-9]*/cmdline | cut -d/ -f3)")
    until(machine, seconds, 0)


def until(machine: Machine, seconds: str, count: int) -> None:
    wait_until(lambda: seen(machine, seconds) == count or None, seconds=60, what=f"{count} of sleep {seconds}")


@pytest.fixture(scope="module", params=["x86_64", pytest.param("aarch64", marks=pytest.mark.full)])
def machine(request: pytest.FixtureRequest) -> Iterator[ContainerMachine]:
    with container("debian-12", request.param) as bare:
        yield bare


@pytest.mark.parametrize("user", ["root", "games"])
def test_what_leaves_session_environment_and_parents_is_reached(machine: ContainerMachine, user: str) -> None:
    product = deployed(machine, f"orphans-{user}", 1, AWAY % "exec sleep 1000", user=user)
    machine.run(OTHERS[0])
    for deed in (product.kill, product.stop):
        assert product.start()
        machine.run(OTHERS[1])  # while it runs: what is newer than the product is no product for that
        until(machine, "7654", 1)
        assert "sleep 7654" in left(product)
        deed()
        if deed == product.stop:  # a signal to the first process ends no other; what is left is named
            assert left(product) == ["sleep 7654"]
            product.kill()
        until(machine, "7654", 0)
        assert left(product) == []
        until(machine, "8800", 1)
        until(machine, "8801", 2)
        end(machine, "8801")
    end(machine, "8800")
    assert product.unasked_ends() == []
    until_alone(machine)


def test_orphans_of_a_product_that_has_ended_are_still_its_own(machine: ContainerMachine) -> None:
    """Of each of two starts: their first process is gone, and with it whoever knew them."""
    product = deployed(machine, "ended", 1, AWAY % "exit 3")
    for count in (1, 2):
        product.start()
        assert ended(product, count) == [3] * count
        until(machine, "7654", count)
    assert left(product) == ["sleep 7654"] * 2
    product.kill()  # the present start alone, as the word says
    until(machine, "7654", 1)
    end(machine, "7654")
    until_alone(machine)


def test_each_service_has_its_own_orphans(machine: ContainerMachine) -> None:
    services = [
        {"service": name, "start": AWAY.replace("7654", number) % "exec sleep 1000", "ready": {"command": "true"}}
        for name, number in (("one", "7001"), ("two.x", "7002"), ("three", "7003"))
    ]
    product = deployed(machine, "services", 1, None, services=services)
    machine.run(OTHERS[0])
    assert product.start()
    for number in ("7001", "7002", "7003"):
        until(machine, number, 1)
    one, two, _ = product.services
    one.kill()
    until(machine, "7001", 0)
    assert (seen(machine, "7002"), seen(machine, "7003")) == (1, 1)
    assert any("7002" in line for line in two.left())
    assert not any("7003" in line for line in two.left())
    product.kill()
    for number in ("7002", "7003"):
        until(machine, number, 0)
    until(machine, "8800", 1)
    end(machine, "8800")
    until_alone(machine)


def until_alone(machine: ContainerMachine) -> None:
    """The supervision itself ends with what it watches."""
    wait_until(lambda: not machine.processes() or None, seconds=30, what="an empty container")


def test_a_program_of_that_name_in_an_image_is_not_taken_for_the_engines(machine: ContainerMachine) -> None:
    """The engine's program is told by its file. Without it all works as it did, and the orphan is not claimed."""
    product = deployed(machine, "named", 1, AWAY % "exec sleep 1000")
    assert "docker-init" in product.control.group()
    machine.run("rm /run/harness/reaper; printf '#!/bin/sh\\nexit 9\\n' >/tmp/docker-init; chmod 755 /tmp/docker-init")
    assert not machine.run("[ /tmp/docker-init -ef /proc/1/exe ]").ok
    assert product.start()
    assert product.control.group() == "", "nothing is claimed"
    until(machine, "7654", 1)
    assert "sleep 7654" not in left(product)
    product.kill()
    end(machine, "7654")
    until_alone(machine)


def test_the_supervision_is_no_foreign_program_of_the_product() -> None:
    """It is a program of this machine in a container of another architecture."""
    with container("debian-12", "aarch64") as machine:
        watch = ExecutionWatch(machine.container, machine.engine.first_process(machine.container), "aarch64")
        try:
            product = deployed(machine, "foreign", 1, AWAY % "exec sleep 1000")
            assert product.start()
            until(machine, "7654", 1)
            executions = watch.executions()
            assert executions.foreign == ()
            assert executions.tried == ()
            product.kill()
        finally:
            watch.close()
        assert executions.limit == ""
