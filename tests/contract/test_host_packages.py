"""Packages of a lab host after a product: what the product brought goes, and nothing else; dpkg and rpm for real."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.containers.machine import ContainerMachine
from harness.hosts.undoing import remember, restore
from harness.model.definitions import Host
from tests.distribution import image, rpm, running
from tests.labs import lab_host

Pack = Callable[[str, str, str], Path]  #: name, version, name of the package that it needs -> file
HOST = Host.model_validate({"host": "lab", "address": "127.0.0.1", "labels": {}})


@pytest.fixture(params=["dpkg", "rpm"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(family: str) -> Iterator[ContainerMachine]:
    if family == "rpm":
        with running(image("dnf4")) as machine:
            yield machine
    else:
        with lab_host("debian-12", "x86_64") as lab:
            yield lab.inside


@pytest.fixture
def pack(family: str, tmp_path: Path) -> Pack:
    def packed(name: str, version: str, needs: str) -> Path:
        if family == "rpm":
            return rpm(tmp_path, name, version, more=f"Requires: {needs}" if needs else "")
        tree = tmp_path / f"{name}-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        depends = f"Depends: {needs}\n" if needs else ""
        (tree / "DEBIAN" / "control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: T <t@example.invalid>\n{depends}"
            "Description: seeded\n"
        )
        path = tmp_path / f"{name}-{version}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, path], check=True, capture_output=True)
        return path

    return packed


def put_in(machine: ContainerMachine, family: str, *files: Path) -> None:
    for file in files:
        machine.put(f"/tmp/{file.name}", file.read_bytes())  # in the container
    names = " ".join(f"/tmp/{file.name}" for file in files)
    done = machine.run(f"dpkg -i {names}" if family == "dpkg" else f"rpm -U --nosignature {names}", timeout=120)
    assert done.ok, done.text
    machine.run(f"rm {names}")


def installed(machine: ContainerMachine, family: str) -> set[str]:
    listing = (
        "dpkg-query -W -f '${Package} ${Version}\\n'" if family == "dpkg" else "rpm -qa --qf '%{NAME} %{VERSION}\\n'"
    )
    return {line for line in machine.run(listing).out.splitlines() if line.startswith("seeded-")}


def test_a_package_of_the_host_that_was_upgraded_stays_with_all_that_need_it(
    machine: ContainerMachine, family: str, pack: Pack
) -> None:
    """It cannot be put back, which makes the host dirty; to remove it would remove what the host needs."""
    put_in(machine, family, pack("seeded-lib", "1.0", ""), pack("seeded-user", "1.0", "seeded-lib"))
    memory = remember(machine, HOST, "")
    put_in(machine, family, pack("seeded-lib", "2.0", ""), pack("seeded-product", "1.0", "seeded-lib"))
    left = restore(machine, HOST, memory)
    assert installed(machine, family) == {"seeded-lib 2.0", "seeded-user 1.0"}
    assert any("seeded-lib" in line for line in left), left
    assert not any("seeded-product" in line for line in left), left


def test_what_the_host_needs_now_stays_and_the_rest_goes(machine: ContainerMachine, family: str, pack: Pack) -> None:
    """A package of the host may need a new one in its new version: that one stays, and what hangs on nothing goes."""
    put_in(machine, family, pack("seeded-user", "1.0", ""))
    memory = remember(machine, HOST, "")
    new = [pack(name, "1.0", needs) for name, needs in (("seeded-a", ""), ("seeded-b", "seeded-a"), ("seeded-c", ""))]
    put_in(machine, family, *new, pack("seeded-user", "2.0", "seeded-c"))
    left = restore(machine, HOST, memory)
    assert installed(machine, family) == {"seeded-user 2.0", "seeded-c 1.0"}
    assert any("seeded-c" in line for line in left), left
