"""Roots made of repositories, or of an installation medium, of the RPM family: dnf --installroot in a container.

Scripts of the packages run there, as root in the new root. So the container has no network but a way to repositories
that were named, the capabilities of builds and chroot, and nothing of this machine but the medium, to be read.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import docker.types

from harness.attest.architecture import NAMES, host_architecture
from harness.containers.carried import PieceStream
from harness.containers.engine import BUILD_CAPABILITIES
from harness.containers.engine_errors import engine_errors
from harness.containers.environments import Environments
from harness.containers.machine import ContainerMachine
from harness.containers.outlet import Outlet
from harness.containers.sources import sources_in
from harness.errors import AttestationMismatch, ProvisionError, UsageError
from harness.importing.media import Medium, medium_of
from harness.model.definitions import Os, Repository
from harness.model.ledger import Ledger
from harness.model.recipe import Recipe
from harness.provision.dnf import scripts_in
from harness.provision.trouble import trouble_of
from harness.system import shell
from harness.system.process import Completed

#: What the container has beside a base system: Debian's dnf 4, and what unpacks ISO 9660.
TOOLS = ("dnf", "rpm", "libarchive-tools")
#: Enough for a target: what says which release it is, a shell with its programs, the package manager.
PACKAGES = ("system-release", "bash", "coreutils", "rpm", "dnf")
PLACE, ROOT, MEDIUM = "/srv/harness", "/srv/harness/root", "/srv/harness/medium"
SECONDS = 3600
#: A root has these from the machine that it runs on.
LEFT_OUT = (
    "./dev/*",
    "./proc/*",
    "./sys/*",
    "./run/*",
    "./tmp/*",
    "./srv/harness",
    "./var/cache/dnf",
    "./var/log/dnf*",
    "./var/log/hawkey*",
)
#: The root's own rpm may keep its packages elsewhere than Debian's, or in another form: then they are carried over.
DATABASE = f"""
own=$(chroot {ROOT} rpm -qa 2>/dev/null | sort); all=$(rpm --root {ROOT} -qa | sort)
[ "$own" = "$all" ] && exit 0
rpmdb --root {ROOT} --exportdb >{PLACE}/packages && chroot {ROOT} rpmdb --initdb &&
  chroot {ROOT} rpmdb --importdb <{PLACE}/packages
[ "$(chroot {ROOT} rpm -E %_dbpath)" = /var/lib/rpm ] || rm -rf {ROOT}/var/lib/rpm
[ "$(chroot {ROOT} rpm -qa | sort)" = "$all" ]
"""


@dataclass(frozen=True, kw_only=True)
class RootSource:
    """What a root is made of: ``repositories`` on web servers, or a ``medium`` (an ISO image, or its folder), whose
    packages ``gpgkey`` (armored text) signs, or which are taken ``unsigned`` for a reason.

    ``architecture``: empty for that of this machine.
    """

    repositories: tuple[Repository, ...] = ()
    medium: Path | None = None
    gpgkey: str = ""
    unsigned: str = ""
    packages: tuple[str, ...] = PACKAGES
    releasever: str = ""
    architecture: str = ""


@dataclass(frozen=True, kw_only=True)
class Rooter:
    """Makes roots. ``system``: of the container, one of Debian's whose packages hold dnf."""

    environments: Environments
    system: Os
    ledger: Ledger

    def make(self, source: RootSource, out: Path) -> str:
        """Write the root as a tar to ``out``; gives where it is from, for people.

        Raises:
            UsageError: the medium has no repository.
            AttestationMismatch: it is of another architecture.
            ProvisionError: a repository or a package fails.
        """
        architecture = source.architecture or host_architecture()
        recipe = Recipe(name="dnf", os=self.system.os, architecture=host_architecture(), packages=TOOLS)
        image = self.environments.ensure(recipe, self.system, self.ledger).image
        model = NAMES[architecture].baseline if architecture != host_architecture() else ""
        with self.environments.build_container(
            image, model, _mounts(source.medium), self.ledger, "root", (*BUILD_CAPABILITIES, "SYS_CHROOT")
        ) as machine:
            medium = _opened(machine, source.medium) if source.medium is not None else None
            if medium is not None and medium.architecture not in ("", architecture):
                raise AttestationMismatch(
                    f"{source.medium} is a {medium.words} for {medium.architecture}, wanted is {architecture}",
                    advice="take the medium of that architecture, or say which it is: --arch",
                )
            places = _written(machine, source, medium)
            addresses = "\n".join(repository.baseurl for repository in source.repositories)
            outlet = Outlet(self.environments.images, self.environments.campaign)
            with outlet.way(machine, sources_in(addresses, public=False), self.ledger):
                failed = _install(machine, source, medium, architecture)
            _packed(machine, out)
        signed = f"not verified: {source.unsigned}" if source.unsigned else "verified with the key that was given"
        return f"dnf --installroot of {', '.join(source.packages)} from {places}, {signed}{failed}"


def _mounts(medium: Path | None) -> list[docker.types.Mount]:
    """The medium, to be read, and the device files without which scripts fail: a container may make none."""
    mounts = [
        docker.types.Mount(f"{ROOT}/dev/{name}", f"/dev/{name}", type="bind") for name in ("null", "zero", "urandom")
    ]
    if medium is not None:
        target = MEDIUM if medium.is_dir() else f"{MEDIUM}.iso"
        mounts.append(docker.types.Mount(target, str(medium.resolve()), type="bind", read_only=True))
    return mounts


def _opened(machine: ContainerMachine, path: Path) -> Medium:
    """The medium, unpacked where it is an image: mounting it takes a loop device, which a container has not.

    Raises:
        UsageError: it is none, or holds no repository.
    """
    if not path.is_dir():
        _step(machine, f"unpack {path.name}", f"mkdir -p {MEDIUM} && bsdtar -xf {MEDIUM}.iso -C {MEDIUM}", path.name)
    script = (
        f"cd {MEDIUM} && find . -maxdepth 5 -path '*/repodata/repomd.xml' | "
        "sed 's|/repodata/repomd.xml$||; s|^\\./||'; "
        "for f in .treeinfo .discinfo; do echo == $f; head -c 65536 $f 2>/dev/null; echo; done"
    )
    listed, _, rest = machine.run(script, timeout=600).out.partition("== .treeinfo\n")
    treeinfo, _, discinfo = rest.partition("== .discinfo\n")
    medium = medium_of(treeinfo, discinfo, tuple(listed.split("\n")[:-1]))
    if not medium.repositories:
        raise UsageError(
            f"{path} has no repository: no folder of it holds repodata/repomd.xml",
            advice="give an installation medium of the RPM family (its DVD, not its network installer), or its folder",
        )
    return medium


def _written(machine: ContainerMachine, source: RootSource, medium: Medium | None) -> str:
    """Write the files of the repositories; gives their places, for people."""
    machine.put("/etc/rpm/macros", b"%_dbpath /var/lib/rpm\n")  # Debian's is in the home of its user
    places = {f"harness-{each.repository}": (each.baseurl, each.gpgkey) for each in source.repositories}
    for number, folder in enumerate(medium.repositories if medium is not None else ()):
        places[f"medium-{number}"] = (f"file://{MEDIUM}/{folder.removeprefix('.')}".rstrip("/"), source.gpgkey)
    for name, (address, key) in places.items():
        check = "gpgcheck=0"
        if key:
            machine.put(f"{PLACE}/keys/{name}", key.encode())
            check = f"gpgcheck=1\ngpgkey=file://{PLACE}/keys/{name}"
        text = f"[{name}]\nname={name}\nbaseurl={address}\nenabled=1\n{check}\n"
        machine.put(f"{PLACE}/repos/{name}.repo", text.encode())
    if medium is not None:
        return f"{medium.words} ({', '.join(folder.strip('.') or '/' for folder in medium.repositories)[:120]})"
    return ", ".join(address for address, _ in places.values())


def _install(machine: ContainerMachine, source: RootSource, medium: Medium | None, architecture: str) -> str:
    """Put the packages into the root; gives the scripts that failed, for people. Raises as ``Rooter.make``."""
    version = source.releasever or (medium.version if medium is not None else "")
    options = {
        "installroot": ROOT,
        "forcearch": architecture if architecture != host_architecture() else "",
        "releasever": version or "1",
    }
    words = [f"--{key}={value}" for key, value in options.items() if value]
    settings = {
        "reposdir": f"{PLACE}/repos",
        "cachedir": f"{PLACE}/cache",
        "logdir": f"{PLACE}/log",
        "tsflags": "nodocs",
        "install_weak_deps": "False",
    }
    words += [f"--setopt={key}={value}" for key, value in settings.items()]
    command = (
        f"mkdir -p {PLACE}/log && LC_ALL=C.UTF-8 dnf -q -y {shell.join(words)} install {shell.join(source.packages)}"
    )
    answer = _step(machine, "dnf --installroot", command, "the repositories", source.packages)
    _step(machine, "packages as the root's own rpm knows them", DATABASE, "the root")
    failed = scripts_in(answer.text)
    return f"; scripts failed: {', '.join(failed)[:120]}" if failed else ""


def _step(machine: ContainerMachine, title: str, command: str, what: str, packages: Sequence[str] = ()) -> Completed:
    answer = machine.run(command, timeout=SECONDS)
    if answer.ok:
        return answer
    recipe = Recipe(name="root", os=what, architecture=host_architecture(), packages=tuple(packages))
    trouble = trouble_of(title, answer, recipe, "config")
    if trouble.cause == "config":
        raise UsageError(trouble.message, advice="correct what was given: packages, key, release, medium; see --help")
    raise ProvisionError(trouble.message, advice="check the repositories, the disk and the network of this machine")


def _packed(machine: ContainerMachine, out: Path) -> None:
    """Copy the root out as a tar with the numbers of its users, without what belongs to the machine that it runs on."""
    excluded = " ".join(f"--exclude={shell.quote(pattern)}" for pattern in LEFT_OUT)
    tar = f"{PLACE}/root.tar"
    words = "--format=posix --numeric-owner --xattrs --xattrs-include=security.capability"
    _step(machine, "pack the root", f"tar -C {ROOT} {words} {excluded} -cf {tar} .", "the root")
    with engine_errors("reading a root"), out.open("wb") as file:
        pieces, _ = machine.engine.client.api.get_archive(machine.container, tar)
        _member(pieces, file)


def _member(pieces: Iterable[bytes], file: IO[bytes]) -> None:
    """The content of the only file of an archive that comes in pieces."""
    with tarfile.open(fileobj=io.BufferedReader(PieceStream(iter(pieces)), 1 << 20), mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                shutil.copyfileobj(content, file)
