"""Packages on systems of the Debian family: apt-get(8), dpkg-query(1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from harness.attest.architecture import NAMES
from harness.model.recipe import PackageFact, Recipe, RecipeFile
from harness.provision.dnf import PLAIN, Steps
from harness.system import shell
from harness.system.process import Completed

MAN_FOLDERS = " ".join(f"/usr/share/man/man{section}" for section in range(1, 9))
ARCHIVES = "/var/cache/apt/archives"
#: Installed packages with what they provide; one line a package.
QUERY = "${db:Status-Abbrev}\\t${Package}\\t${Version}\\t${Architecture}\\t${Provides}\\n"
#: What apt-get says where it takes a package for a word that is not its name.
_SELECTING = re.compile(r"^Note, selecting '([^']+)' (?:instead of|for \w+) '([^']+)'", re.MULTILINE)
#: What may lack only because a repository is away: apt-get update takes that for no failure.
_LACKING = re.compile(
    r"^E: Unable to locate package|has no installation candidate|unmet dependencies|held broken packages"
    r"|^E: (?:Version|Release) .* was not found|^E: Unable to satisfy dependencies|dependency problems",
    re.MULTILINE,
)
_WRONG = re.compile(r"package architecture \((\S+)\) does not match system \((\S+)\)")


class AptSteps(Steps, Protocol):
    """What does the steps, and for whom."""

    recipe: Recipe
    keep: bool
    over: bool


@dataclass(frozen=True, kw_only=True)
class Row:
    """A package that is installed, as dpkg knows it. ``provides``: names of virtual packages."""

    name: str
    version: str
    architecture: str
    provides: frozenset[str] = frozenset()


class Apt:
    """Installs packages of repositories, and package files of the product."""

    CLEAN = "apt-get clean; rm -rf /var/lib/apt/lists/*"

    def __init__(self, by: AptSteps) -> None:
        self.by = by
        self.apt = (
            f"DEBIAN_FRONTEND=noninteractive {PLAIN} apt-get -q -y -o Dpkg::Use-Pty=0 "
            "-o Dpkg::Options::=--force-confold --no-install-recommends"
        )
        if not by.keep:
            # Native programs stand in for the target's, and nobody misses an environment that a power cut has spoiled.
            debian = NAMES[by.recipe.architecture].debian
            self.apt += f" -o APT::Architecture={debian} -o Dpkg::Options::=--force-unsafe-io"

    def update(self, *, needed: bool) -> None:
        """Fetch what the repositories have. ``needed``: packages of theirs are asked for."""
        if not self.by.keep:
            # Base images leave manual pages out with their folders, and update-alternatives fails without those.
            self.by.step("make folders of manual pages", f"mkdir -p {MAN_FOLDERS}", cause="infra")
        self.by.step("apt-get update", f"{self.apt} update", check=needed, cause="infra")

    def packages(self, names: tuple[str, ...], cause: str) -> list[PackageFact]:
        """Fetch and install packages of the system; ``cause``: whose failure it is where one does not install.

        A name may have a version or release (``nginx=1.22.1-9``, ``nginx/bookworm-backports``), or be one that others
        provide: the facts are those of the packages that came for it.
        """
        words = shell.join(names)
        answer = self._demand("download packages", f"{self.apt} install --download-only {words}", cause="infra")
        selected = selected_in(answer.text)
        digests = self._digests({plain(name).partition(":")[0] for name in names}.union(*selected.values()))
        self._demand("install packages", f"{self.apt} install {words}", cause=cause)
        there, facts = self._there(), list[PackageFact]()
        for word in names:
            rows = rows_for(word, there, selected)
            if not rows:
                raise self.by.failed(
                    f"{self.by.recipe.os} has installed no package for {word}",
                    step="install packages",
                    cause="config",
                    advice="write the names of packages in `packages` and `needs`, as dpkg knows them",
                )
            facts += [
                PackageFact(
                    name=row.name,
                    version=row.version,
                    architecture=row.architecture,
                    sha256=digests.get(f"{row.name}_{row.version}_{row.architecture}", ""),
                    asked=word if word != row.name else "",
                )
                for row in rows
            ]
        return facts

    def files(self, files: Sequence[RecipeFile]) -> list[PackageFact]:
        """Install the product's own package files, all at once: they may need one another."""
        places = [self.by.put(file) for file in files]
        words, names = shell.join(places), " ".join(Path(place).name for place in places)
        answer = self.by.step(f"dpkg -i {names}", f"dpkg -i {words}", check=False)
        if not answer.ok:
            if _WRONG.search(answer.text) is None:
                self._demand("install what it depends on", f"{self.apt} -f install")
            # Says what dpkg says, and fails: after -f the package may have been removed instead of completed.
            self._demand(f"dpkg -i {names} (again)", f"dpkg -i {words}")
        return [self._read(place, file) for place, file in zip(places, files, strict=True)]

    def _demand(self, title: str, command: str, *, cause: str = "product") -> Completed:
        """A step that finds packages. What it lacks is the laboratory's trouble where a repository is away.

        Raises:
            DeploymentError: it failed.
        """
        answer = self.by.step(title, command, check=False)
        if answer.ok:
            return answer
        if _LACKING.search(answer.text) and not self.by.over:  # over another version nothing was fetched
            every = f"{self.apt} -o APT::Update::Error-Mode=any update"
            update = self.by.step("whether every repository answers", every, check=False)
            if not update.ok or "Failed to fetch" in update.text:  # older ones do not know that setting
                raise self.by.failure("whether every repository answers", update, "infra")
        raise self.by.failure(title, answer, cause)

    def _read(self, place: str, file: RecipeFile) -> PackageFact:
        words = self.by.step(
            "read the package",
            f"dpkg-deb -f {shell.quote(place)} Package Version Architecture | sed 's/^[^:]*: //' | tr '\\n' ' '",
        ).out.split()
        return PackageFact(name=words[0], version=words[1], architecture=words[2], sha256=file.sha256)

    def _digests(self, names: Iterable[str]) -> dict[str, str]:
        """SHA-256 of packages that were fetched, by name, version and architecture as their files are called."""
        files = " ".join(f"{ARCHIVES}/{shell.quote(name)}_*.deb" for name in sorted(names))
        lines = self.by.step("digests of packages", f"sha256sum {files}", check=False).out.splitlines()
        pairs = (line.split(maxsplit=1) for line in lines if " " in line)
        return {unquote(Path(path.strip()).name.removesuffix(".deb")): digest for digest, path in pairs}

    def _there(self) -> list[Row]:
        """What is installed. It is asked without names: of a name that it does not know dpkg-query makes an error.

        Raises:
            DeploymentError: it cannot be asked.
        """
        answer: Completed = self.by.machine.run(f"{PLAIN} dpkg-query -W -f '{QUERY}'", timeout=120)
        if not answer.ok:
            raise self.by.failure("list packages", answer, "infra")
        return rows_in(answer.out)


def plain(word: str) -> str:
    """A word for apt-get without version, release, and the mark of a task."""
    return re.split("[=/]", word)[0].removesuffix("^")


def selected_in(text: str) -> dict[str, set[str]]:
    """Word -> packages that apt-get took for it, where they have other names."""
    selected: dict[str, set[str]] = {}
    for name, word in _SELECTING.findall(text):
        selected.setdefault(word, set()).add(name)
    return selected


def rows_in(text: str) -> list[Row]:
    """What is installed, of lines in the form of ``QUERY``; packages of which only settings are left are not."""
    rows = []
    for line in text.splitlines():
        state, name, version, architecture, provides = [*line.split("\t"), "", "", "", ""][:5]
        if state[1:2] == "i" and version:
            names = frozenset(each.split()[0].partition(":")[0] for each in provides.split(",") if each.strip())
            rows.append(Row(name=name, version=version, architecture=architecture, provides=names))
    return rows


def rows_for(word: str, there: Sequence[Row], selected: Mapping[str, set[str]]) -> list[Row]:
    """What is installed for a word of a definition: by its name, as apt-get chose, or because it provides that name."""
    asked = plain(word)
    name, _, architecture = asked.partition(":")
    fit = [row for row in there if architecture in ("", "any", row.architecture) or row.architecture == "all"]
    return (
        [row for row in fit if row.name == name]
        or [row for row in there if row.name in selected.get(asked, ())]
        or [row for row in fit if name in row.provides]
    )
