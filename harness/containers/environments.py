"""Environments: base image plus packages and files, committed once and found again by content.

A foreign environment is installed with this machine's own programs: while packages are installed, the shell,
perl, tar, apt and dpkg-deb of the same release for the host's architecture are mounted over the foreign ones.
dpkg itself stays foreign, so that it knows its architecture. Mounts are not part of what is committed.
Where such an installation fails it is repeated without them, so that the trick is never the product's failure.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import json
import secrets
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker.types

from harness.attest.architecture import NAMES, emulator, host_architecture
from harness.containers.cache import is_own_image, mark_image_used, note_own_image
from harness.containers.engine import BUILD_CAPABILITIES, Engine
from harness.containers.engine_errors import engine_errors
from harness.containers.executions import ExecutionWatch
from harness.containers.first_program import first_program
from harness.containers.images import BaseImage, BaseImages
from harness.containers.machine import ContainerMachine
from harness.containers.outlet import VARIABLES, Outlet
from harness.containers.sources import Source
from harness.errors import Canceled, UsageError
from harness.model.attestation import Executions, ForeignProgram
from harness.model.definitions import Os
from harness.model.ledger import Ledger
from harness.model.recipe import Environment, PackageFact, Recipe, is_brought
from harness.provision.installing import Installer, InstallFailed, explained, manager_of
from harness.provision.provisioner import Role
from harness.provision.repositories import repository_files, repository_notes
from harness.system.abandoning import abandonable
from harness.system.canonical import read_json
from harness.system.makers import own_name

LABEL_MANIFEST = "harness.manifest"
#: Key of the manifest; another name than before, because some programs of the lab were counted under that.
MANIFEST_PROGRAMS = "executions"
#: Programs that maintainer scripts use most. dpkg is not among them: it must stay of the target's architecture.
NATIVE = (
    "dash bash perl sed grep tar gzip find xargs mawk apt-get apt-config dpkg-deb dpkg-split "
    "dpkg-query dpkg-divert dpkg-statoverride dpkg-trigger gpgv sqv debconf-set-selections update- "
    "alternatives cat chmod chown cp ln ls mkdir mv rm rmdir readlink mktemp stat touch test [ tr cut "
    "sort head tail basename dirname id echo true false expr install wc uniq date env sha256sum md5sum "
    "cmp diff tee "
).split()
MEMORY = 4 * 2**30
SECONDS = 1800


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
    _outlet: Outlet = field(init=False)

    def __post_init__(self) -> None:
        self._outlet = Outlet(self.images, self.campaign)

    def ensure(self, recipe: Recipe, system: Os, ledger: Ledger, *, on: Environment | None = None) -> Environment:
        """The environment of ``recipe``; with ``on``, what it adds to that one.

        Raises:
            InstallFailed: something in the recipe does not install.
            InfrastructureError: the engine, the mirror or the disk fails.
        """
        started = time.monotonic()
        vendor = bool(recipe.images) and on is None
        if on is not None:
            base = BaseImage(name=on.image, id=on.image, cached=True, notes=on.notes)
        elif vendor:
            base = self._of_vendor(recipe, ledger)
            recipe = dataclasses.replace(recipe, images=())
        else:
            base = self.images.ensure(system, recipe.architecture, ledger)
            recipe = dataclasses.replace(recipe, before=(*repository_files(system), *recipe.before))
            base = dataclasses.replace(base, notes=(*base.notes, *repository_notes(system)))
        key = recipe.key(base.id)
        tag = f"harness-env:{key[:24]}"
        mark_image_used(self.images.cache, tag)
        with self.images.locked(f"env-{key[:24]}"):
            fresh = not self.no_cache or key in self._fresh
            identity = self.engine.image_id(tag) if fresh else None
            if identity is not None and is_own_image(self.images.cache, tag, identity, brought=self.images.brought):
                return self._describe(tag, key, base, cached=True, seconds=time.monotonic() - started)
            foreign = recipe.architecture != host_architecture()
            tools = self.images.native_tools(system, ledger) if foreign and self.native else None
            sources = self._outlet.sources(system, recipe.architecture, ledger, vendor=vendor)
            make = functools.partial(
                self._build, recipe, base, tag, manager=manager_of(system), sources=sources, listed=on is None
            )
            try:
                make(tools, ledger=ledger)
            except InstallFailed:
                if self.cancel.is_set():  # its machine was ended in the middle of a step
                    raise Canceled("stopped while an environment was installed") from None
                if tools is None:
                    raise
                ledger.event("native-tools-given-up", environment=recipe.name, image=tag)
                make(None, ledger=ledger)
            self._fresh.add(key)
        return self._describe(tag, key, base, cached=False, seconds=time.monotonic() - started)

    def fetch(self, system: Os, architecture: str, packages: list[str], ledger: Ledger) -> Path:
        """Download packages of a system, and those that a package without files of its own stands for; gives the
        archive (tar) that holds them, which is the caller's to remove.

        Raises:
            InstallFailed: no package has that name.
            InfrastructureError: the engine, the mirror or the disk fails.
        """
        base = self.images.ensure(system, architecture, ledger)
        foreign = architecture != host_architecture()
        tools = self.images.native_tools(system, ledger) if foreign and self.native else None
        mounts = _mounts(tools) if tools else None
        debian = NAMES[architecture].debian
        # A kernel's package may be an empty one that leads to others, over several steps.
        script = "".join(
            (
                f"a='-o APT::Architecture={debian}'; mkdir /tmp/debs && cd /tmp/debs || exit 1\n",
                "apt-get $a -q update || exit 1\n",
                f"todo='{' '.join(packages)}'; seen=\n",
                'while [ -n "$todo" ]; do set -- $todo; todo=; for p; do\n',
                'case " $seen " in *" $p "*) continue ;; esac; seen="$seen $p"; apt-get $a -q download $p || exit 1\n',
                'todo="$todo $(apt-cache $a depends $p | ',
                "sed -n 's/^  Depends: //; /^linux-image-/p; /^linux-binary-/p; /^linux-modules-/p')\"; done; done",
            )
        )
        out = self.images.cache / "tmp" / f"packages-{secrets.token_hex(4)}-{own_name()}.tar"
        out.parent.mkdir(parents=True, exist_ok=True)
        sources = self._outlet.sources(system, architecture, ledger)
        with self.build_container(base.id, NAMES[architecture].baseline, mounts, ledger, "download") as machine:
            with self._outlet.way(machine, sources, ledger):
                answer = machine.run(script, timeout=SECONDS)
            ledger.keep(f"download-{system.os}-{architecture}.log", answer.text.encode())
            if not answer.ok:
                output = answer.text.strip()[-300:]
                raise InstallFailed(
                    f"{', '.join(packages)} could not be downloaded: {output}",
                    step="download",
                    log=answer.text,
                    cause="infra",
                    advice="check the mirror",
                )
            with engine_errors("reading packages"), out.open("wb") as file:
                stream, _ = self.engine.client.api.get_archive(machine.container, "/tmp/debs")  # noqa: S108
                for chunk in stream:
                    file.write(chunk)
        return out

    def way(
        self, machine: ContainerMachine, role: Role, names: Collection[str], ledger: Ledger
    ) -> contextlib.AbstractContextManager[Sequence[str]]:
        """A way to the repositories for a machine of a closed network: ``Outlet.way_of_cell``."""
        vendor = bool(role.recipe.images)
        sources = self._outlet.sources(role.os, role.cpu.architecture, ledger, vendor=vendor)
        return self._outlet.way_of_cell(machine, sources, names, ledger)

    def _of_vendor(self, recipe: Recipe, ledger: Ledger) -> BaseImage:
        """The one image of the vendor's archive.

        Raises:
            InstallFailed: the archive holds none or several, or one of another architecture.
        """
        file = recipe.images[0]
        title = f"load {file.source.name if file.source else file.path}"

        def failed(message: str, advice: str) -> InstallFailed:
            return InstallFailed(message, step=title, log=message, cause="product", advice=advice)

        if len(recipe.images) > 1 or file.source is None:
            raise failed(
                "several archives of images, and no compose file that says what they are for",
                "deliver one image for the target's architecture, or name the compose file",
            )
        try:
            source = file.source
            images = abandonable(
                lambda: self.engine.vendor_images(source), what=f"the engine to load {source.name}", cancel=self.cancel
            )
        except UsageError as error:
            raise failed(error.message, error.advice) from error
        if len(images) != 1:
            raise failed(
                f"{file.source.name} holds {len(images)} container images, expected one",
                "write it with: docker save NAME -o FILE",
            )
        identity, architecture, lacking = images[0]
        ledger.event("vendor-image", file=file.source.name, sha256=file.sha256, image=identity)
        wanted = NAMES[recipe.architecture].docker
        if architecture != wanted:
            raise failed(
                f"wrong architecture: the image is built for {architecture}, the target is {wanted}",
                "deliver an image for the target",
            )
        if lacking:
            raise failed(
                f"the image has no {lacking}: nothing on it can be looked at or started by a suite",
                "deliver one with a shell and coreutils, or a compose file for a lab host",
            )
        return BaseImage(
            name=file.source.name, id=identity, cached=True, notes=(f"made of the vendor's image {file.source.name}",)
        )

    def _describe(self, tag: str, key: str, base: BaseImage, *, cached: bool, seconds: float) -> Environment:
        """The notes about the base image come from this campaign's own knowledge of it, never from a cache."""
        with engine_errors(f"reading image {tag}"):
            image = self.engine.client.images.get(tag)
        manifest = read_json(base64.b64decode(image.labels.get(LABEL_MANIFEST, "e30=")))
        return Environment(
            image=str(image.id),
            key=key,
            cached=cached,
            seconds=seconds,
            packages=tuple(PackageFact(**fact) for fact in manifest.get("packages", [])),
            notes=(*base.notes, *manifest.get("notes", [])),
            executions=_executions(manifest.get(MANIFEST_PROGRAMS)),
        )

    def _build(
        self,
        recipe: Recipe,
        base: BaseImage,
        tag: str,
        tools: Path | None,
        *,
        manager: str,
        sources: tuple[Source, ...],
        listed: bool,
        ledger: Ledger,
    ) -> None:
        model = recipe.cpu or NAMES[recipe.architecture].baseline
        emulator(recipe.architecture)
        mounts = _mounts(tools) if tools else None
        ledger.intent("image", tag)
        title = f"environment {recipe.name}"
        brought = frozenset([title] if is_brought(base.notes) else ())
        with (
            self.build_container(base.id, model, mounts, ledger, title) as machine,
            first_program(self.engine, {title: machine.container}, brought=brought),
        ):
            installer = Installer(machine, recipe, manager, listed=listed, cancel=self.cancel)
            lent = {str(mount["Target"]): Path(mount["Source"]) for mount in mounts or ()}
            process = self.engine.first_process(machine.container)
            watch = ExecutionWatch(machine.container, process, recipe.architecture, lent)
            try:
                with self._outlet.way(machine, sources, ledger) as way:
                    try:
                        packages = installer.install()
                    except InstallFailed as error:
                        raise explained(error, way.refused) from error
                executions = watch.executions()
            finally:
                watch.close()
                ledger.keep(f"install-{recipe.name}-{recipe.architecture}.log", "\n".join(installer.log).encode())
            notes = [f"installed with {host_architecture()} programs of {recipe.os}; dpkg emulated"] if tools else []
            manifest = {
                "packages": [
                    {key: value for key, value in vars(fact).items() if value or key == "version"} for fact in packages
                ],
                "notes": notes,
                MANIFEST_PROGRAMS: dataclasses.asdict(executions),
            }
            # Tagged only when it is whole: a run that is killed here must not leave it to be taken from the cache.
            image = self._commit(machine, None if tools else tag, manifest)
        if tools:
            # The engine made empty places for mounts that the foreign root lacks; they must not stay in the image.
            host = NAMES[host_architecture()]
            with self.build_container(image, model, None, ledger, f"environment {recipe.name}") as machine:
                machine.run(
                    f"rm -f {host.loader}; rmdir /usr/lib/{host.triplet} {Path(host.loader).parent} 2>/dev/null"
                )
                image = self._commit(machine, tag, manifest)
        note_own_image(self.images.cache, tag, self.engine.image_id(tag) or image)
        ledger.created("image", tag, image)
        ledger.event("environment", name=recipe.name, image=tag, packages=[vars(fact) for fact in packages])

    @contextlib.contextmanager
    def build_container(
        self,
        image: str,
        model: str,
        mounts: list[docker.types.Mount] | None,
        ledger: Ledger,
        title: str,
        capabilities: Sequence[str] = tuple(BUILD_CAPABILITIES),
    ) -> Iterator[ContainerMachine]:
        """A container of ``image`` without a network, in which commands know where the way out of it would be."""
        name = f"harness-build-{secrets.token_hex(6)}"
        environment = {"DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8"}
        if model:
            environment["QEMU_CPU"] = model
        ledger.intent("container", name)
        try:
            with engine_errors(f"creating {name}"):
                container = self.engine.client.containers.run(
                    image,
                    name=name,
                    **self.engine.waiting(image),
                    labels=self.engine.labels(self.campaign, name, "build"),
                    init=True,
                    detach=True,
                    network_mode="none",
                    mem_limit=MEMORY,
                    memswap_limit=MEMORY,
                    pids_limit=2048,
                    cap_drop=["ALL"],
                    cap_add=list(capabilities),
                    security_opt=["no-new-privileges"],
                    environment=environment,
                    mounts=mounts,
                    ulimits=self.engine.ulimits(),
                )
            ledger.created("container", name, str(container.id))
            yield ContainerMachine(self.engine, str(container.id), title, variables=VARIABLES)
        finally:
            if self.engine.remove_container(name):
                ledger.removed("container", name)

    def _commit(self, machine: ContainerMachine, tag: str | None, manifest: dict[str, object]) -> str:
        repository, _, version = (tag or "").partition(":")
        with engine_errors(f"committing {machine.name}"):
            api = self.engine.client.api
            api.stop(machine.container, timeout=2)
            path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            text = base64.b64encode(json.dumps(manifest).encode()).decode()
            # Podman heeds the changes and not the configuration, Docker both.
            reply = api.commit(
                machine.container,
                repository=repository or None,
                tag=version or None,
                changes=[f"LABEL {LABEL_MANIFEST}={text}", f"ENV {path}", "ENV LANG=C.UTF-8"],
            )
        return str(reply["Id"])


def _executions(kept: Any) -> Executions:
    """What an image's manifest says of the programs that ran while it was installed."""
    if not isinstance(kept, dict):
        return Executions(limit="what ran while it was installed was not watched: an older harness installed it")
    foreign, tried = (
        tuple(ForeignProgram(**program) for program in kept.get(name, ())) for name in ("foreign", "tried")
    )
    return Executions(foreign=foreign, tried=tried, limit=str(kept.get("limit", "")))


def _mounts(tools: Path) -> list[docker.types.Mount]:
    """Programs, libraries and loader of the host's architecture over those of the foreign root.

    Mounts, not volumes: the engine would write volumes into the image's configuration at the commit.
    """
    host = NAMES[host_architecture()]
    library = tools / "usr/lib" / host.triplet
    mounts = {
        library: f"/usr/lib/{host.triplet}",
        library / Path(host.loader).name: host.loader,
        tools / "usr/lib/apt/methods": "/usr/lib/apt/methods",
    }
    for program in NATIVE:
        file = tools / "usr/bin" / program
        if file.is_file() and not file.is_symlink() and _is_elf(file):
            mounts[file] = f"/usr/bin/{program}"
    return [docker.types.Mount(target, str(source), type="bind", read_only=True) for source, target in mounts.items()]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
