"""Recipes on machines of the RPM family: dnf for real, from a repository of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.containers.machine import ContainerMachine
from harness.control.packages import files_of, state_of
from harness.model.recipe import Recipe, RecipeFile
from harness.provision.installing import Installer, InstallFailed
from tests.labs import lab_host

SPEC = """\
Name: seeded-{name}
Version: 1.0
Release: 1
Summary: seeded
License: none
{more}
%description
seeded
%install
mkdir -p %{{buildroot}}/opt/{name}
echo {name} >%{{buildroot}}/opt/{name}/file
%files
/opt/{name}
"""


def rpm(folder: Path, name: str, arch: str = "noarch", more: str = "") -> Path:
    spec = folder / f"{name}.spec"
    spec.write_text(SPEC.format(name=name, more=more if arch != "noarch" else f"BuildArch: noarch\n{more}"))
    argv = [
        "rpmbuild",
        "-bb",
        "--quiet",
        "--define",
        f"_topdir {folder}/top",
        "--define",
        "debug_package %{nil}",
        "--define",
        "__os_install_post %{nil}",
        "--target",
        arch,
        str(spec),
    ]
    subprocess.run(argv, check=True, capture_output=True)
    (path,) = (folder / "top" / "RPMS" / arch).glob(f"seeded-{name}-*.rpm")
    return path


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerMachine]:
    """A host with dnf and a repository of two packages, one of which needs the other."""
    folder = tmp_path_factory.mktemp("rpm")
    with lab_host("debian-12", "x86_64", packages=("dnf", "createrepo-c", "rpm"), mem_limit=1 << 30) as lab:
        machine = lab.inside
        for path in (rpm(folder, "lib"), rpm(folder, "app", more="Requires: seeded-lib")):
            machine.put(f"/opt/repo/{path.name}", path.read_bytes())
        machine.put("/etc/yum.repos.d/own.repo", b"[own]\nname=own\nbaseurl=file:///opt/repo\nenabled=1\ngpgcheck=0\n")
        done = machine.run("createrepo_c -q /opt/repo", timeout=120)
        assert done.ok, done.text
        yield machine


def recipe(*packages: str, file: Path | None = None) -> Recipe:
    files = (RecipeFile(path=file.name, source=file, sha256="0" * 64),) if file is not None else ()
    return Recipe(name="seeded", os="openeuler-22.03", architecture="x86_64", packages=packages, package_files=files)


def test_packages_come_with_what_they_need(host: ContainerMachine) -> None:
    (fact,) = Installer(host, recipe("seeded-app"), "dnf", keep=True).install()
    assert (fact.name, fact.version, fact.architecture) == ("seeded-app", "1.0-1", "noarch")
    assert host.get("/opt/lib/file") == b"lib\n"
    host.run("rpm -e seeded-app seeded-lib")


def test_a_package_of_the_product_itself(host: ContainerMachine, tmp_path: Path) -> None:
    (fact,) = Installer(host, recipe(file=rpm(tmp_path, "own", more="Requires: seeded-lib")), "dnf").install()
    assert (fact.name, fact.version) == ("seeded-own", "1.0-1")
    assert host.get("/opt/own/file") == b"own\n"


def test_a_package_that_is_not_there_is_a_matter_of_the_definition(host: ContainerMachine) -> None:
    with pytest.raises(InstallFailed) as error:
        Installer(host, recipe("seeded-nothing"), "dnf", keep=True).install()
    assert error.value.cause == "config"
    assert "has no package seeded-nothing" in error.value.message


def test_a_package_of_another_architecture_is_the_products(host: ContainerMachine, tmp_path: Path) -> None:
    with pytest.raises(InstallFailed) as error:
        Installer(host, recipe(file=rpm(tmp_path, "foreign", "aarch64")), "dnf", keep=True).install()
    assert error.value.cause == "product"
    assert "architecture" in error.value.message


def test_what_rpm_knows_of_a_product_is_asked_of_rpm(host: ContainerMachine) -> None:
    """The host knows dpkg too, as a system of this family does not: what dpkg does not know, rpm is asked for."""
    Installer(host, recipe("seeded-app"), "dnf", keep=True).install()
    assert "/opt/app/file" in files_of(host, ["seeded-app"], seconds=60)
    whole = state_of(host, ["seeded-app"], seconds=60)
    assert (whole.listed, whole.incomplete, whole.changed) == ("ii  seeded-app 1.0-1\n", (), ())
    host.run("echo changed >/opt/app/file")
    (difference,) = state_of(host, ["seeded-app"], seconds=60).changed
    assert difference[1] == "/opt/app/file"
    host.run("rpm -e seeded-app")
    assert state_of(host, ["seeded-app"], seconds=60).incomplete, "it is told that it is not there"


def test_what_dpkg_knows_of_a_product(host: ContainerMachine) -> None:
    whole = state_of(host, ["dash"], seconds=60)
    assert whole.listed.startswith("ii  dash ")
    assert (whole.incomplete, whole.changed) == ((), ())
    assert "/bin/dash" in files_of(host, ["dash"], seconds=60) or "/usr/bin/dash" in files_of(
        host, ["dash"], seconds=60
    )
    assert state_of(host, ["not-there"], seconds=60).incomplete
