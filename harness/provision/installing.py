"""Installs a recipe on a machine: packages of its system's family, the product's own packages and files, commands."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import Canceled, DeploymentError, ProvisionError
from harness.model.definitions import Os
from harness.model.ledger import Ledger
from harness.model.machine import Machine
from harness.model.recipe import PackageFact, Recipe, RecipeFile
from harness.provision.apt import Apt
from harness.provision.dnf import IN_CONTAINERS, Dnf
from harness.provision.repositories import SET_ASIDE, is_repository
from harness.provision.system_state import BEFORE, LIST, OTHERS, joined
from harness.provision.trouble import trouble_of
from harness.provision.unpacking import UnfitArchive, plain_tar
from harness.provision.wheels import fetched
from harness.system import shell
from harness.system.process import Completed

PACKAGES_DIR = "/var/cache/harness"
#: On a host: ids of container images that were loaded for the cell and were not there before.
LOADED = "/run/harness/images"
#: The longest step on this machine; on one that is slower, so many times longer (``Recipe.patience``).
SECONDS = 1800
#: Statuses of a step that was ended at its limit, and killed there.
_ENDED = (124, 137)
#: Clocks of two machines differ by less.
_NEARLY = 0.98
#: No services are started while packages are installed: the harness starts what it tests.
POLICY = "/usr/sbin/policy-rc.d"


#: For what asks for other places than the mirror.
ADVICE = (
    "deliver what it fetches with the application (artifacts), or name a mirror that has it: --mirror URI, or "
    "`repositories` of the system's definition"
)


class InstallFailed(DeploymentError):
    """The packages or commands of an environment failed; ``cause`` says whose it is (``product`` for its own), or
    ``timeout``."""

    def __init__(self, message: str, *, step: str, log: str, cause: str, advice: str = "") -> None:
        super().__init__(message, step=step, log=log, advice=advice)
        self.cause = cause


@dataclass
class Installer:
    """One installation on ``machine``; ``log`` holds what every step printed.

    ``keep``: the machine is kept afterwards, so caches of its package manager are left alone.
    """

    machine: Machine
    recipe: Recipe
    manager: str = "apt"
    keep: bool = False
    over: bool = False  #: another version is there: nothing is fetched that it did not need too
    downgrade: bool = False  #: that is a later one
    #: What is installed is listed as what the product adds to the system; else it joins a list that is there, as the
    #: system that the product came to: a server on the same host, what a virtual machine needs.
    listed: bool = True
    cancel: threading.Event = field(default_factory=threading.Event)
    log: list[str] = field(default_factory=list)

    def install(self) -> list[PackageFact]:
        """Everything, in order: files that must be there before, packages, the product's own, commands.

        Raises:
            InstallFailed: a step failed.
            InfrastructureError: the machine does not answer.
            Canceled: ``cancel`` was set meanwhile.
        """
        recipe, machine = self.recipe, self.machine
        family = Apt(self) if self.manager == "apt" else Dnf(self)
        if self.manager == "apt":
            machine.put(POLICY, b"#!/bin/sh\nexit 101\n", mode="0755")
        elif not self.keep:
            self.step("let scripts of packages run in containers", IN_CONTAINERS, cause="infra")
        for file in recipe.before:
            machine.put(file.path, file.content.encode(), mode=file.mode)
        if any(is_repository(file.path) for file in recipe.before):
            self.step("set the image's own repositories aside", SET_ASIDE, cause="infra")
        if not self.listed:
            self._list_others()
        facts: list[PackageFact] = []
        if recipe.packages or (recipe.package_files and not self.over):
            family.update(needed=bool(recipe.packages) or self.manager == "apt")
        own = tuple(name for name in recipe.packages if name not in recipe.beneath)
        for names, cause in ((recipe.beneath, "config"), (own, "product")):
            if cause == "product" and self.listed and not self.over:
                self._list_system()
            if names:
                facts += family.packages(names, cause)
        for command in recipe.beneath_commands:
            self.step(command, command, cause="config")
        if recipe.package_files:
            facts += family.files(recipe.package_files)
        facts += self._files()
        for file in recipe.images:
            facts.append(self._load(file))
        for command in recipe.commands:
            self.step(command, command)
        if not self.listed:
            self._join_others()
        if self.keep:
            policy = POLICY if self.manager == "apt" else ""
            self.step("clean", f"rm -rf {PACKAGES_DIR} {policy}", check=False)
        else:
            self.step("clean", f"{family.CLEAN}; rm -rf {PACKAGES_DIR}", check=False)
        return facts

    def step(self, title: str, command: str, *, check: bool = True, cause: str = "product") -> Completed:
        """One step, logged. Raises as ``install``."""
        if self.cancel.is_set():
            raise Canceled("stopped while an environment was installed")
        answer = self.machine.run(command, timeout=self._limit)
        self.log.append(f"$ {title}  [{answer.seconds:.1f} s, exit {answer.rc}]\n{answer.text}")
        if check and not answer.ok:
            raise self.failure(title, answer, cause)
        return answer

    @property
    def _limit(self) -> float:
        return SECONDS * self.recipe.patience

    def _list_system(self) -> None:
        """Write down what of the system the product may change, before it comes."""
        folder = BEFORE.rpartition("/")[0]
        self.step("list the system", f"mkdir -p {folder} && {{ {LIST}}} >{BEFORE}", check=False, cause="infra")

    def _list_others(self) -> None:
        """Write down the same before something else comes, where the product is there already."""
        command = f"rm -f {OTHERS}; [ ! -e {BEFORE} ] || {{ {LIST}}} >{OTHERS}"
        self.step("list the system beside the product", command, check=False, cause="infra")

    def _join_others(self) -> None:
        """Add what came since to the list of what was there before the product: it is not the product's."""
        try:
            before, others = self.machine.get(BEFORE), self.machine.get(OTHERS)
        except FileNotFoundError:
            return
        self.step("list the system again", f"{{ {LIST}}} >{OTHERS}", check=False, cause="infra")
        self.machine.put(BEFORE, joined(before, others, self.machine.get(OTHERS)))
        self.step("remove the other list", f"rm -f {OTHERS}", check=False, cause="infra")

    def _files(self) -> list[PackageFact]:
        """Copy and unpack the product's own files."""
        recipe, machine = self.recipe, self.machine
        facts: list[PackageFact] = []
        for file in recipe.copies:
            data = file.source.read_bytes() if file.source else b""
            machine.put(file.path, data, mode=file.mode)
            facts.append(
                PackageFact(name=Path(file.path).name, version="", architecture=recipe.architecture, sha256=file.sha256)
            )
        for file in recipe.archives:
            self._unpack(file)
            facts.append(
                PackageFact(
                    name=file.wheel.partition("==")[0] or (file.source.name if file.source else file.path),
                    version=file.wheel.partition("==")[2],
                    architecture=recipe.architecture,
                    sha256=file.sha256,
                )
            )
        return facts

    def _unpack(self, file: RecipeFile) -> None:
        if file.wheel:
            title = f"fetch {file.wheel}"
            try:
                with fetched(file.wheel, file.sha256, self.recipe.architecture, cancel=self.cancel) as wheel:
                    self._unpack_from(wheel, file)
            except ProvisionError as error:
                self.log.append(f"$ {title}\n{error.message}")
                raise InstallFailed(
                    error.message, step=title, log="\n".join(self.log), cause="infra", advice=error.advice
                ) from error
        elif file.source is None:
            raise ProvisionError(f"artifact {file.path} has no source")
        else:
            self._unpack_from(file.source, file)

    def _unpack_from(self, source: Path, file: RecipeFile) -> None:
        title, there = f"unpack {source.name}", f"{PACKAGES_DIR}/archive.tar"
        cause = "config" if file.beneath else "product"
        try:
            data = plain_tar(source, file.strip)
        except UnfitArchive as error:
            raise InstallFailed(
                error.message, step=title, log="\n".join(self.log), cause=cause, advice=error.advice
            ) from error
        self.machine.put(there, data)
        folder = shell.quote(file.path)
        self.step(title, f"mkdir -p {folder} && tar -xf {there} -C {folder} --no-same-owner && rm {there}", cause=cause)

    def _load(self, file: RecipeFile) -> PackageFact:
        """Load container images of the vendor into the machine's own engine."""
        there = self.put(file)
        name = Path(there).name
        answer = self.step("find a container engine", "command -v docker || command -v podman", check=False)
        engine = answer.out.strip()
        if not engine:
            raise InstallFailed(
                "the machine has no container engine for the images of the product",
                step=f"load {name}",
                log="\n".join(self.log),
                cause="config",
                advice="take a host with docker or podman",
            )
        known = f"{engine} images -q --no-trunc | sort -u"
        path = shell.quote(there)
        self.step(
            f"load {name}",
            f"mkdir -p {LOADED.rpartition('/')[0]} && {known} >{LOADED}.before && {engine} load -i {path} "
            f"&& rm {path} && {known} | comm -13 {LOADED}.before - >>{LOADED}",
        )
        return PackageFact(name=name, version="", architecture=self.recipe.architecture, sha256=file.sha256)

    def put(self, file: RecipeFile) -> str:
        """Bring a package file of the product there; gives its place.

        Raises:
            ProvisionError: it has no source.
        """
        if file.source is None:
            raise ProvisionError(f"artifact {file.path} has no source")
        # By its digest too: two of the product's files may have one name.
        target = f"{PACKAGES_DIR}/{file.sha256[:12] or 'file'}/{file.source.name}"
        self.machine.put(target, file.source.read_bytes())
        return target

    def failed(self, message: str, *, step: str, cause: str, advice: str) -> InstallFailed:
        """The error for what a step has shown, with the log so far."""
        return InstallFailed(message, step=step, log="\n".join(self.log), cause=cause, advice=advice)

    def failure(self, title: str, answer: Completed, cause: str) -> DeploymentError:
        """The error for a step that failed, with its cause: ``cause``, unless the output shows another."""
        # A command may end with such a status by itself, long before.
        late = answer.rc in _ENDED and answer.seconds >= _NEARLY * self._limit
        trouble = trouble_of(title, answer, self.recipe, cause, limit=self._limit if late else None)
        return InstallFailed(
            trouble.message, step=title, log="\n".join(self.log), cause=trouble.cause, advice=trouble.advice
        )


def install_over(
    machine: Machine, recipe: Recipe, system: Os, ledger: Ledger, *, downgrade: bool, cancel: threading.Event
) -> list[PackageFact]:
    """Install a version of the product over another one. Raises as ``Installer.install``."""
    installer = Installer(machine, recipe, manager_of(system), keep=True, over=True, downgrade=downgrade, cancel=cancel)
    try:
        return installer.install()
    finally:
        way = "downgrade" if downgrade else "upgrade"
        ledger.keep(f"{way}-{recipe.name}-{recipe.architecture}.log", "\n".join(installer.log).encode())


def in_vain(refused: Sequence[str]) -> str:
    """What is to be said of a failed step that asked for what it may not reach."""
    return f"an installation reaches the mirror alone, and was refused: {', '.join(refused[:5])}"


def explained(error: InstallFailed, refused: Sequence[str]) -> InstallFailed:
    """``error``, with what was asked for in vain: that it was asked for is a matter of the definitions."""
    if not refused:
        return error
    hosts = [host[1] for words in refused if (host := re.match(r"\w+ (?:\w+://)?([^/:\s]+)", words))]
    own = error.cause == "product" or any(f"//{host}" in error.message for host in hosts)
    return InstallFailed(
        f"{error.message}; {in_vain(refused)}",
        step=error.step,
        log=error.log,
        cause="config" if own else error.cause,
        advice=ADVICE,
    )


def manager_of(system: Os) -> str:
    """``apt``, or ``dnf`` for the RPM family."""
    return "apt" if system.family == "debian" else "dnf"
