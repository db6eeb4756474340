"""Environments: base image plus packages and files, committed once and found again by content.

A foreign environment is installed with this machine's own programs: while packages are installed, the shell,
perl, tar, apt and dpkg-deb of the same release for the host's architecture are mounted over the foreign ones.
dpkg itself stays foreign, so that it knows its architecture. Mounts are not part of what is committed.
Where such an installation fails it is repeated without them, so that the trick is never the product's failure.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import docker.types

from harness.errors import DeploymentError, InfrastructureError, ProvisionError
from harness.machines import ContainerMachine, Engine
from harness.machines.engine import engine_errors
from harness.model.definitions import Os
from harness.model.ledger import Ledger
from harness.model.recipe import Environment, PackageFact, Recipe, RecipeFile
from harness.provision.architecture import NAMES, emulator, host_architecture
from harness.provision.images import BaseImage, BaseImages
from harness.system.process import Completed

LABEL_MANIFEST = "harness.manifest"
#: Programs that maintainer scripts use most. dpkg is not among them: it must stay of the target's architecture.
NATIVE = (
    "dash bash perl sed grep tar gzip find xargs mawk apt-get apt-config dpkg-deb dpkg-split "
    "dpkg-query dpkg-divert dpkg-statoverride dpkg-trigger gpgv sqv debconf-set-selections update- "
    "alternatives cat chmod chown cp ln ls mkdir mv rm rmdir readlink mktemp stat touch test [ tr cut "
    "sort head tail basename dirname id echo true false expr install wc uniq date env sha256sum md5sum "
    "cmp diff tee "
).split()
PACKAGES_DIR = "/var/cache/harness"
MEMORY = 4 * 2**30
SECONDS = 1800


class Step(Protocol):
    """Runs one logged step of an installation."""

    def __call__(self, title: str, command: str, *, check: bool = True, cause: str = "product") -> Completed: ...


class InstallFailed(DeploymentError):
    """The packages or commands of an environment failed; ``cause`` says whose it is (``product`` for its own)."""

    def __init__(self, message: str, *, step: str, log: str, cause: str, advice: str = "") -> None:
        super().__init__(message, step=step, log=log, advice=advice)
        self.cause = cause


@dataclass
class Environments:
    """Makes and finds environments. With ``no_cache`` each is made anew once in the life of this object."""

    engine: Engine
    images: BaseImages
    no_cache: bool = False
    native: bool = True
    cancel: threading.Event = field(default_factory=threading.Event)
    campaign: str = "build"
    _fresh: set[str] = field(default_factory=set)

    def ensure(self, recipe: Recipe, system: Os, ledger: Ledger) -> Environment:
        """The environment of ``recipe``.

        Raises:
            InstallFailed: something in the recipe does not install.
            InfrastructureError: the engine, the mirror or the disk fails.
        """
        started = time.monotonic()
        base = self.images.ensure(system, recipe.architecture, ledger)
        key = recipe.key(base.id)
        tag = f"harness-env:{key[:24]}"
        with self.images.locked(f"env-{key[:24]}"):
            fresh = not self.no_cache or key in self._fresh
            if fresh and self.engine.image_id(tag) is not None:
                return self._describe(tag, key, cached=True, seconds=time.monotonic() - started)
            foreign = recipe.architecture != host_architecture()
            tools = self.images.native_tools(system, ledger) if foreign and self.native else None
            try:
                self._build(recipe, base, tag, tools, ledger)
            except InstallFailed:
                if tools is None:
                    raise
                ledger.event("native-tools-given-up", environment=recipe.name, image=tag)
                self._build(recipe, base, tag, None, ledger)
            self._fresh.add(key)
        return self._describe(tag, key, cached=False, seconds=time.monotonic() - started)

    def _describe(self, tag: str, key: str, *, cached: bool, seconds: float) -> Environment:
        with engine_errors(f"reading image {tag}"):
            image = self.engine.client.images.get(tag)
        manifest = json.loads(image.labels.get(LABEL_MANIFEST, "{}"))
        return Environment(
            image=str(image.id), key=key, cached=cached, seconds=seconds,
            packages=tuple(PackageFact(**fact) for fact in manifest.get("packages", [])),
            notes=tuple(manifest.get("notes", [])),
        )  # fmt: skip

    def _build(self, recipe: Recipe, base: BaseImage, tag: str, tools: Path | None, ledger: Ledger) -> None:
        model = recipe.cpu or NAMES[recipe.architecture].baseline
        emulator(recipe.architecture)
        mounts = _mounts(tools) if tools else None
        ledger.intent("image", tag)
        with self._container(base.id, model, mounts, ledger, f"environment {recipe.name}") as machine:
            log: list[str] = []
            try:
                packages = _install(machine, recipe, log, self.cancel)
            finally:
                ledger.keep(f"install-{recipe.name}-{recipe.architecture}.log", "\n".join(log).encode())
            notes = [*base.notes]
            if tools:
                notes.append(f"installed with {host_architecture()} programs of {recipe.os}; dpkg emulated")
            manifest = {"packages": [vars(fact) for fact in packages], "notes": notes}
            # Tagged only when it is whole: a run that is killed here must not leave it to be taken from the cache.
            image = self._commit(machine, None if tools else tag, manifest)
        if tools:
            # The engine made empty places for mounts that the foreign root lacks; they must not stay in the image.
            host = NAMES[host_architecture()]
            with self._container(image, model, None, ledger, f"environment {recipe.name}") as machine:
                machine.run(
                    f"rm -f {host.loader}; rmdir /usr/lib/{host.triplet} {Path(host.loader).parent} 2>/dev/null"
                )
                image = self._commit(machine, tag, manifest)
        ledger.created("image", tag, image)
        ledger.event("environment", name=recipe.name, image=tag, packages=[vars(fact) for fact in packages])

    @contextlib.contextmanager
    def _container(self, image: str, model: str, mounts: list[docker.types.Mount] | None, ledger: Ledger,
                   title: str) -> Iterator[ContainerMachine]:  # fmt: skip
        name = f"harness-build-{secrets.token_hex(6)}"
        environment = {"DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8"}
        if model:
            environment["QEMU_CPU"] = model
        ledger.intent("container", name)
        try:
            with engine_errors(f"creating {name}"):
                container = self.engine.client.containers.run(
                    image, ["sleep", "infinity"], name=name, labels=self.engine.labels(self.campaign, name, "build"),
                    init=True, detach=True, network_mode="host", mem_limit=MEMORY, memswap_limit=MEMORY,
                    pids_limit=2048, environment=environment, mounts=mounts,
                )  # fmt: skip
            ledger.created("container", name, str(container.id))
            yield ContainerMachine(self.engine, str(container.id), title)
        finally:
            if self.engine.remove_container(name):
                ledger.removed("container", name)

    def _commit(self, machine: ContainerMachine, tag: str | None, manifest: dict[str, object]) -> str:
        repository, _, version = (tag or "").partition(":")
        with engine_errors(f"committing {machine.name}"):
            api = self.engine.client.api
            api.stop(machine.container, timeout=2)
            made = api.commit(
                machine.container, repository=repository or None, tag=version or None,
                conf={"Labels": {LABEL_MANIFEST: json.dumps(manifest)},
                      "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]},
            )  # fmt: skip
        return str(made["Id"])


def _mounts(tools: Path) -> list[docker.types.Mount]:
    """Programs, libraries and loader of the host's architecture over those of the foreign root.

    Mounts, not volumes: the engine would write volumes into the image's configuration at the commit.
    """
    host = NAMES[host_architecture()]
    library = tools / "usr/lib" / host.triplet
    mounts = {library: f"/usr/lib/{host.triplet}", library / Path(host.loader).name: host.loader,
              tools / "usr/lib/apt/methods": "/usr/lib/apt/methods"}  # fmt: skip
    for program in NATIVE:
        file = tools / "usr/bin" / program
        if file.is_file() and not file.is_symlink() and _is_elf(file):
            mounts[file] = f"/usr/bin/{program}"
    return [docker.types.Mount(target, str(source), type="bind", read_only=True) for source, target in mounts.items()]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _install(machine: ContainerMachine, recipe: Recipe, log: list[str], cancel: threading.Event) -> list[PackageFact]:
    debian = NAMES[recipe.architecture].debian
    apt = f"apt-get -q -y -o APT::Architecture={debian} -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io " \
          "-o Dpkg::Options::=--force-confold --no-install-recommends"  # fmt: skip

    def step(title: str, command: str, *, check: bool = True, cause: str = "product") -> Completed:
        if cancel.is_set():
            raise InfrastructureError("canceled while an environment was installed")
        done = machine.run(command, timeout=SECONDS)
        log.append(f"$ {title}  [{done.seconds:.1f} s, exit {done.rc}]\n{done.text}")
        if check and not done.ok:
            raise _failure(recipe, title, done, "\n".join(log), cause)
        return done

    # No init runs in a container, so maintainer scripts must not try to start services.
    machine.put("/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n", mode="0755")
    for file in recipe.before:
        machine.put(file.path, file.content.encode(), mode=file.mode)
    facts: list[PackageFact] = []
    if recipe.packages or recipe.package_files:
        step("apt-get update", f"{apt} update", cause="infra")
    if recipe.packages:
        names = " ".join(recipe.packages)
        step("download packages", f"{apt} install --download-only {names}", cause="infra")
        files = " ".join(f"/var/cache/apt/archives/{name}_*.deb" for name in recipe.packages)
        digests = step("digests of packages", f"sha256sum {files}", check=False).out
        step("install packages", f"{apt} install {names}")
        facts += _facts(machine, recipe.packages, digests)
    for file in recipe.package_files:
        facts.append(_install_file(machine, file, apt, step))
    for file in recipe.copies:
        data = file.source.read_bytes() if file.source else b""
        machine.put(file.path, data, mode=file.mode)
        facts.append(PackageFact(name=Path(file.path).name, version="", architecture=recipe.architecture,
                                 sha256=file.sha256))  # fmt: skip
    for command in recipe.commands:
        step(command, command)
    step("clean", "apt-get clean; rm -rf /var/lib/apt/lists/* /var/cache/harness", check=False)
    return facts


def _install_file(machine: ContainerMachine, file: RecipeFile, apt: str, step: Step) -> PackageFact:
    if file.source is None:
        raise ProvisionError(f"artifact {file.path} has no source")
    target = f"{PACKAGES_DIR}/{file.source.name}"
    machine.put(target, file.source.read_bytes())
    done = step(f"dpkg -i {file.source.name}", f"dpkg -i {target}", check=False)
    if not done.ok:
        wrong = re.search(r"package architecture \((\S+)\) does not match system \((\S+)\)", done.text)
        if wrong is None:
            step("install what it depends on", f"{apt} -f install")
        # Says what dpkg says, and fails: after -f the package may have been removed instead of completed.
        step(f"dpkg -i {file.source.name} (again)", f"dpkg -i {target}")
    name, version, architecture = step(
        "read the package", f"dpkg-deb -f {target} Package Version Architecture | sed 's/^[^:]*: //' | tr '\\n' ' '"
    ).out.split()
    return PackageFact(name=name, version=version, architecture=architecture, sha256=file.sha256)


def _facts(machine: ContainerMachine, names: tuple[str, ...], digests: str) -> list[PackageFact]:
    pairs = [line.split(maxsplit=1) for line in digests.splitlines() if " " in line]
    by_name = {Path(path).name.partition("_")[0]: digest for digest, path in pairs}
    wanted = " ".join(names)
    done = machine.run(f"dpkg-query -W -f '${{Package}} ${{Version}} ${{Architecture}}\\n' {wanted}", timeout=120)
    rows = [line.split() for line in done.out.splitlines() if len(line.split()) == 3]
    return [PackageFact(name=n, version=v, architecture=a, sha256=by_name.get(n, "")) for n, v, a in rows]


def _failure(recipe: Recipe, title: str, done: Completed, log: str, cause: str) -> DeploymentError:
    text = done.text
    advice = "see the installation log in the evidence"
    wrong = re.search(r"package architecture \((\S+)\) does not match system \((\S+)\)", text)
    if "No space left on device" in text:
        return InstallFailed("no space left while packages were installed", step=title, log=log, cause="infra",
                             advice="free space on the engine's disk, then: harness resume")  # fmt: skip
    if missing := re.search(r"(?:Unable to locate package|Package) (\S+?)(?: has no installation candidate|$)", text,
                            re.MULTILINE):  # fmt: skip
        return InstallFailed(f"{recipe.os} for {recipe.architecture} has no package {missing[1]}", step=title, log=log,
                             cause="config", advice="correct `packages`, or exclude this combination")  # fmt: skip
    if wrong is not None:
        message = f"wrong architecture: the package is built for {wrong[1]}, the target is {wrong[2]}"
        return InstallFailed(message, step=title, log=log, cause="product", advice="deliver a package for the target")
    if cause == "infra":
        advice = "check the mirror (apt-get update on this machine), then: harness resume"
    last = " / ".join(line for line in text.splitlines() if line.strip())[-400:]
    return InstallFailed(f"{title} failed (exit {done.rc}): {last}", step=title, log=log, cause=cause, advice=advice)
