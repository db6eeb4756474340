"""Every machine keeps the promises of ``harness.model.machine.Machine``, on every architecture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.errors import InfrastructureError
from harness.machines import ContainerMachine, Engine
from harness.model.machine import Machine
from tests.contract.conftest import container, over_ssh

KINDS = [("debian-12", "x86_64"), ("debian-12", "aarch64"), ("debian-forky", "loongarch64")]


@pytest.fixture(
    scope="module", params=[(way, *kind) for way in ("docker", "ssh") for kind in KINDS],
    ids=[f"{way} {arch}" for way in ("docker", "ssh") for _, arch in KINDS],
)  # fmt: skip
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    way, os, architecture = request.param
    if way == "docker":
        with container(os, architecture) as made:
            yield made
        return
    with (
        pytest.MonkeyPatch.context() as monkey,
        over_ssh(os, architecture, tmp_path_factory.mktemp("ssh") / "known_hosts", monkey) as reached,
    ):
        yield reached


@pytest.fixture(scope="module")
def bare() -> Iterator[ContainerMachine]:
    with container(*KINDS[0]) as made:
        yield made


def test_run_gives_status_output_and_error(machine: Machine) -> None:
    done = machine.run("echo out; echo err >&2; exit 7")
    assert (done.rc, done.out, done.err) == (7, "out\n", "err\n")


def test_the_architecture_is_the_declared_one(machine: Machine, request: pytest.FixtureRequest) -> None:
    assert machine.run("uname -m").out.strip() in request.node.name


@pytest.mark.parametrize("size", [10, 70_000, 400_000])
def test_input_of_any_size(machine: Machine, size: int) -> None:
    text = "生僻字𬱖'\"$`\\ \n" * (size // 20)
    assert machine.run("cat", stdin=text).out.rstrip("\n") == text.rstrip("\n")


def test_a_command_ends_at_its_limit(machine: Machine) -> None:
    assert machine.run("sleep 30", timeout=1).rc == 124


def test_files_come_back_as_they_went(machine: Machine) -> None:
    data = bytes(range(256)) * 100
    machine.put("/opt/new folder/file", data, mode="0640", owner="root:daemon")
    assert machine.get("/opt/new folder/file") == data
    assert machine.run("stat -c '%a %G' '/opt/new folder/file'").out == "640 daemon\n"
    with pytest.raises(FileNotFoundError):
        machine.get("/no/such/file")


def test_a_link_is_followed(machine: Machine) -> None:
    machine.run("mkdir -p /opt/l && echo there >/opt/l/target && ln -sf target /opt/l/link")
    assert machine.get("/opt/l/link") == b"there\n"


def test_commands_run_as_the_user_asked_for(machine: Machine) -> None:
    assert machine.run("id -un", user="daemon").out == "daemon\n"


def test_published_ports_are_on_this_machine_only(bare: ContainerMachine) -> None:
    host, port = bare.address(8080)
    assert host == "127.0.0.1"
    assert port > 0
    with pytest.raises(InfrastructureError, match="does not publish"):
        bare.address(9999)


def test_limits_are_set(bare: ContainerMachine) -> None:
    settings = bare.engine.client.api.inspect_container(bare.container)["HostConfig"]
    assert settings["Memory"] == settings["MemorySwap"] == 256 * 2**20
    assert settings["NanoCpus"] == 10**9
    assert settings["PidsLimit"] == 64
    assert settings["CapDrop"] == ["ALL"]
    assert not settings["Privileged"]


def test_a_machine_that_is_gone_is_the_labs_trouble() -> None:
    gone = ContainerMachine(Engine(), "0" * 64, "gone")
    with pytest.raises(InfrastructureError):
        gone.run("true")
    with pytest.raises(InfrastructureError):
        gone.address(80)
