"""Recipes on machines of the RPM family: dnf 4, dnf 5 and yum for real, from a signed repository."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.containers.machine import ContainerMachine
from harness.control.packages import files_of, state_of
from harness.hosts.state import look
from harness.hosts.undoing import new_keys, remove_packages
from harness.model.definitions import Host
from harness.model.recipe import PackageFact, Recipe, RecipeFile
from harness.provision.installing import Installer, InstallFailed
from tests.distribution import Key, comps, defaults, image, repository, rpm, running, stream
from tests.labs import lab_host

MANAGERS = ("dnf4", "dnf5")
#: yum too, which openEuler has as a link to dnf.
with_yum = pytest.mark.parametrize("manager", [*MANAGERS, "yum"], indirect=True)
REPO = "[{name}]\nname={name}\nbaseurl=file://{place}\nenabled=1\ngpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/test\n"
EXACT = "Requires: seeded-{other} = {version}"


@dataclass
class Made:
    """Packages and keys of this module: ``repository`` is whole, ``key`` signs it, ``other`` is a stranger's."""

    folder: Path
    key: Key
    other: Key
    repository: Path

    def package(
        self,
        name: str,
        version: str = "1.0",
        *,
        key: Key | None = None,
        more: str = "",
        arch: str = "noarch",
        scripts: str = "",
    ) -> Path:
        path = rpm(self.folder / "own", f"seeded-{name}", version, more=more, arch=arch, scripts=scripts)
        if key is not None:
            key.sign(path)
        return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("rpm")
    key, other = Key.new(folder / "key"), Key.new(folder / "other")
    names = ("lib", "tool-a", "tool-b", "member-lib")
    packages = [rpm(folder, f"seeded-{name}") for name in names]
    packages.append(rpm(folder, "seeded-app", more="Requires: seeded-lib\nProvides: seeded-capability"))
    packages += [rpm(folder, "seeded-db", version) for version in ("1.0", "2.0")]
    key.sign(*packages)
    modules = "".join(stream("seeded-db", number, f"seeded-db-0:{number}.0-1.noarch") for number in ("1", "2"))
    modules += defaults("seeded-db")
    place = repository(
        folder / "repo", *packages, comps=comps("seeded-tools", "seeded-tool-a", "seeded-tool-b"), modules=modules
    )
    return Made(folder, key, other, place)


@pytest.fixture(params=MANAGERS)
def manager(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(manager: str, made: Made) -> Iterator[ContainerMachine]:
    """A bare system of the test distribution, with the repository beside it."""
    mounts = {str(made.folder): {"bind": "/media", "mode": "ro"}}
    with running(image("dnf5" if manager == "dnf5" else "dnf4"), volumes=mounts) as machine:
        machine.put("/etc/pki/rpm-gpg/test", made.key.text.encode())
        offer(machine, "own", "/media/repo")
        if manager == "yum":  # as openEuler has it, there without dnf
            done = machine.run("ln -s dnf-3 /usr/bin/yum && rm /usr/bin/dnf")
            assert done.ok, done.text
        yield machine


def offer(machine: ContainerMachine, name: str, place: str) -> None:
    machine.put(f"/etc/yum.repos.d/{name}.repo", REPO.format(name=name, place=place).encode())


def recipe(*packages: str, files: tuple[Path, ...] = (), beneath: tuple[str, ...] = ()) -> Recipe:
    return Recipe(
        name="seeded",
        os="harness-test",
        architecture="x86_64",
        packages=packages,
        package_files=tuple(
            RecipeFile(path=file.name, source=file, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
            for file in files
        ),
        beneath=beneath,
    )


def install(
    machine: ContainerMachine, *packages: str, files: tuple[Path, ...] = (), **more: bool
) -> dict[str, PackageFact]:
    facts = Installer(machine, recipe(*packages, files=files), "dnf", **more).install()
    return {fact.name: fact for fact in facts}


def refused(machine: ContainerMachine, *packages: str, files: tuple[Path, ...] = (), **more: bool) -> InstallFailed:
    with pytest.raises(InstallFailed) as error:
        install(machine, *packages, files=files, **more)
    return error.value


@with_yum
def test_packages_groups_modules_and_capabilities_of_a_repository(
    machine: ContainerMachine, made: Made, manager: str
) -> None:
    """Each comes with what it needs, verified; and the facts name the packages, whatever was asked for."""
    (app,) = install(machine, "seeded-app").values()
    assert (app.name, app.version, app.architecture, app.asked) == ("seeded-app", "1.0-1", "noarch", "")
    assert machine.get("/opt/seeded-lib/file") == b"seeded-lib 1.0\n"
    group = install(machine, "@seeded-tools")
    assert group.keys() == {"seeded-tool-a", "seeded-tool-b"}
    assert {fact.asked for fact in group.values()} == {"@seeded-tools"}
    (given,) = install(machine, "seeded-capability").values()
    assert (given.name, given.asked) == ("seeded-app", "seeded-capability")
    assert given.came_for(["seeded-capability"])
    if manager == "dnf5":
        without = refused(machine, "@seeded-db:1")
        assert (without.cause, "dnf 5 installs no streams" in without.message) == ("config", True), without.log
        return
    (db,) = install(machine, "@seeded-db:1").values()
    assert (db.name, db.version, db.asked) == ("seeded-db", "1.0-1", "@seeded-db:1")


def test_a_package_or_group_that_is_not_there_is_a_matter_of_the_definition(machine: ContainerMachine) -> None:
    missing = refused(machine, "seeded-nothing")
    assert (missing.cause, "has no package seeded-nothing" in missing.message) == ("config", True)
    group = refused(machine, "@seeded-nothing")
    assert (group.cause, "seeded-nothing" in group.message) == ("config", True), group.log
    number = refused(machine, "@seeded-db:9")
    assert (number.cause, "no group or module @seeded-db:9" in number.message) == ("config", True), number.log


def test_what_cannot_be_verified_is_never_the_products(machine: ContainerMachine, made: Made) -> None:
    """A stranger's signature may be a wrong key in the definition; a lacking or broken one is the repository's."""
    strange, unsigned = made.package("strange", key=made.other), made.package("unsigned")
    changed = made.package("changed", key=made.key)
    place = repository(made.folder / "untrue", strange, unsigned, changed)
    data = (place / changed.name).read_bytes()
    (place / changed.name).write_bytes(data[:-40] + bytes(40))
    offer(machine, "untrue", "/media/untrue")
    for name, cause in (("strange", "config"), ("unsigned", "infra"), ("changed", "infra")):
        own = refused(machine, f"seeded-{name}")
        assert own.cause == cause, f"{name}: {own.message}\n{own.log}"
    # The same, where a package of the product pulls it in: its own file is not what is verified.
    needing = made.package("needing", more="Requires: seeded-unsigned")
    own = refused(machine, files=(needing,))
    assert own.cause == "infra", own.log


@with_yum
def test_a_host_is_as_before_with_its_keys_too(machine: ContainerMachine, made: Made) -> None:
    """dnf takes over the key of a repository with the first package of it; another of that name may be there."""
    machine.put("/var/tmp/other-key", made.other.text.encode())
    assert machine.run("rpm --import /var/tmp/other-key").ok
    host = Host(host="lab", address="127.0.0.1", labels={"cpu": "x86-64"})
    before = look(machine, host)
    install(machine, "seeded-app", keep=True)
    now = look(machine, host, roots=before.roots)
    assert len(new_keys(before, now)) == 1, now.since(before)
    assert now.packages - before.packages > {"seeded-app.noarch 1.0-1", "seeded-lib.noarch 1.0-1"}
    remove_packages(machine, before, now)
    left = look(machine, host, roots=before.roots).since(before)
    assert [words for words in left if words.startswith("package") or "/var/lib/" in words] == []


def test_a_repository_that_is_away_is_the_labs(machine: ContainerMachine, made: Made) -> None:
    """Also in the step that installs the product's own file over another version, before which nothing is fetched."""
    machine.run("rm /etc/yum.repos.d/own.repo")
    offer(machine, "away", "/nowhere")
    assert refused(machine, "seeded-app").cause == "infra"
    late = refused(machine, files=(made.package("late", more="Requires: seeded-lib"),), over=True)
    assert late.cause == "infra", late.log


@with_yum
def test_files_of_the_product_that_need_one_another(machine: ContainerMachine, made: Made) -> None:
    """They come in one transaction, up and down; one that did not change, and one of the same name, do no harm."""
    versions = {
        version: (
            made.package("server", version, more=EXACT.format(other="common", version=version)),
            made.package("common", version, more=EXACT.format(other="server", version=version)),
            made.package("fonts", "7"),
        )
        for version in ("1.0", "1.10")
    }

    def there() -> str:
        return machine.run("rpm -q --qf '%{VERSION} ' seeded-server seeded-common seeded-fonts").out.strip()

    facts = install(machine, files=versions["1.0"])
    assert {fact.signature.partition(" 未")[0] for fact in facts.values()} == {"not signed"}
    assert there() == "1.0 1.0 7"
    machine.run("rm /opt/seeded-fonts/file")
    install(machine, files=versions["1.10"], over=True)
    assert there() == "1.10 1.10 7"
    assert machine.get("/opt/seeded-fonts/file") == b"seeded-fonts 7\n", "it was installed, though it bears one version"
    install(machine, files=versions["1.0"], over=True, downgrade=True)
    assert there() == "1.0 1.0 7"
    assert machine.run("rpm -V seeded-server seeded-common seeded-fonts").ok


#: As the macros of systemd write them into packages of the family; no systemd runs while a container is installed.
SCRIPTS = """\
%post
if [ $1 -eq 1 ]; then systemctl --no-reload preset seeded-{name}.service || :; fi
%preun
if [ $1 -eq 0 ]; then systemctl --no-reload disable --now seeded-{name}.service || :; fi
"""
UNIT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"


def test_a_unit_is_enabled_as_its_package_and_the_systems_presets_say(machine: ContainerMachine, made: Made) -> None:
    """Two packages with a unit each, one of which the system's presets leave off; an upgrade keeps what an
    administrator has changed, a removal takes the links."""
    machine.put(
        "/usr/lib/systemd/system-preset/50-test.preset", b"enable seeded-on.service\ndisable seeded-off.service\n"
    )

    def package(name: str, version: str) -> Path:
        files = {f"/usr/lib/systemd/system/seeded-{name}.service": f"{UNIT}# {version}\n"}
        return rpm(made.folder / "own", f"seeded-{name}", version, scripts=SCRIPTS.format(name=name), files=files)

    def enabled() -> list[str]:
        return machine.run("systemctl is-enabled seeded-on.service seeded-off.service").out.split()

    def of(version: str) -> tuple[Path, ...]:
        return package("on", version), package("off", version)

    assert install(machine, files=of("1.0")).keys() == {"seeded-on", "seeded-off"}
    assert enabled() == ["enabled", "disabled"]
    wants = "/etc/systemd/system/multi-user.target.wants"
    assert machine.run(f"ls {wants} | grep seeded").out.split() == ["seeded-on.service"]
    assert "/usr/lib/systemd/system/seeded-on.service" in files_of(machine, ["seeded-on"], seconds=60)
    machine.run("systemctl enable seeded-off.service; systemctl disable seeded-on.service")
    install(machine, files=of("1.1"), over=True)
    assert enabled() == ["disabled", "enabled"]
    assert "# 1.1" in machine.get("/usr/lib/systemd/system/seeded-on.service").decode()
    install(machine, files=of("1.0"), over=True, downgrade=True)
    assert enabled() == ["disabled", "enabled"]
    assert machine.run("rpm -e seeded-on seeded-off").ok
    assert machine.run(f"ls {wants} 2>/dev/null | grep seeded").out == ""


def test_what_is_said_of_the_signature_of_the_products_file(machine: ContainerMachine, made: Made) -> None:
    """It is no reason to refuse what is tested; a package that is not what was signed or built is."""
    own = made.package("own", more="Requires: seeded-lib", key=made.other)
    (fact,) = install(machine, files=(own,)).values()
    assert "which the system does not know" in fact.signature, fact
    assert (fact.name, fact.version) == ("seeded-own", "1.0-1")
    assert machine.get("/opt/seeded-lib/file") == b"seeded-lib 1.0\n"
    known = made.package("known", key=made.key, scripts="%pre\necho ran >/opt/script\n")
    assert "which the system knows" in install(machine, files=(known,))["seeded-known"].signature, "dnf took the key"
    assert machine.get("/opt/script") == b"ran\n"
    assert machine.run("rpm -e seeded-known").ok
    foreign = refused(machine, files=(made.package("foreign", arch="aarch64"),))
    assert (foreign.cause, "architecture" in foreign.message) == ("product", True), foreign.log
    broken = made.folder / "broken.rpm"
    broken.write_bytes(known.read_bytes()[:-30] + bytes(30))
    damaged = refused(machine, files=(broken,))
    assert (damaged.cause, "broken.rpm is damaged" in damaged.message) == ("product", True), damaged.log


def test_what_rpm_knows_of_a_product_is_asked_of_rpm(machine: ContainerMachine, made: Made) -> None:
    config = rpm(
        made.folder / "own", "seeded-conf", files={"%config(noreplace) /etc/seeded.conf": "a=1\n", "/opt/a b": "x\n"}
    )
    install(machine, "seeded-app", files=(config,))
    assert "/opt/seeded-app/file" in files_of(machine, ["seeded-app"], seconds=60)
    whole = state_of(machine, ["seeded-app", "seeded-conf"], seconds=60)
    assert whole.listed == "ii  seeded-app 1.0-1\nii  seeded-conf 1.0-1\n"
    assert (whole.incomplete, whole.changed) == ((), ())
    machine.run("echo a=2 >/etc/seeded.conf; echo changed >'/opt/a b'; rpm -e --nodeps seeded-lib")
    changed = state_of(machine, ["seeded-app", "seeded-conf"], seconds=60)
    assert {path for _, path in changed.changed} == {"/etc/seeded.conf", "/opt/a b"}
    assert any("seeded-lib" in line for line in changed.incomplete), "what it needs is gone, and rpm says so"
    machine.run("rpm -e seeded-app")
    assert state_of(machine, ["seeded-app"], seconds=60).incomplete, "it is told that it is not there"


def test_what_dpkg_knows_of_a_product() -> None:
    with lab_host("debian-12", "x86_64") as lab:
        whole = state_of(lab.inside, ["dash"], seconds=60)
        assert whole.listed.startswith("ii  dash ")
        assert (whole.incomplete, whole.changed) == ((), ())
        files = files_of(lab.inside, ["dash"], seconds=60)
        assert "/bin/dash" in files or "/usr/bin/dash" in files
        assert state_of(lab.inside, ["not-there"], seconds=60).incomplete
