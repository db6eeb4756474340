"""Packages on systems of the RPM family, by dnf 4 or 5, or by yum where that is what there is: dnf(8), rpm(8)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from harness.errors import DeploymentError
from harness.model.machine import Machine
from harness.model.recipe import PackageFact, RecipeFile
from harness.system import shell
from harness.system.process import Completed

#: In front of commands whose words are read: systems of the RPM family translate them.
PLAIN = "LC_ALL=C.UTF-8"
TOOL = "$(command -v dnf || echo yum)"
#: Name, version with release, architecture; one line a package.
QUERY = "%{NAME} %{VERSION}-%{RELEASE} %{ARCH}\\n"
#: As ``QUERY``, with the epoch: two packages that agree in all of it are the same version for dnf.
WHOLE = "%{NAME} %{EPOCHNUM}:%{VERSION}-%{RELEASE}.%{ARCH}\\n"
#: Where dnf 4, dnf 5 and yum keep what they fetch.
CACHES = "/var/cache/dnf /var/cache/libdnf5 /var/cache/yum"
#: Whether a signature of the product's own file is known stands in the facts, and is no reason to refuse it;
#: what it pulls in from repositories is verified.
OWN = "--setopt=localpkg_gpgcheck=False"
_SIGNATURE = re.compile(r"signature,\s+key (?:id|fingerprint):?\s+([0-9a-f]+):\s*(\w+)", re.IGNORECASE)
#: Reasons of dnf 4 and dnf 5 for a package that nothing else asked for.
_OF_A_GROUP = ("group", "user", "external user")
#: What may lack only because a repository is passed over (`skip_if_unavailable`), of which dnf says no word.
_LACKING = re.compile(
    r"nothing provides|Unable to find a match|No match for argument|No package .* available|not available"
)
_SCRIPT = re.compile(r"Error in (\S+) scriptlet(?: in rpm package|:) (\S+)")
_DAMAGED = re.compile(r"^\s*(.*(?:digest|signature\b.*)): ((?:BAD|NOT OK)\b.*)$", re.MULTILINE | re.IGNORECASE)


#: rpm 6 gives scripts of packages namespaces of their own, which takes more than root of a container may: without this
#: every script fails there, also those of a removal.
IN_CONTAINERS = (
    "[ -z \"$(rpm -E '%{?__transaction_unshare}' 2>/dev/null)\" ] || "
    "{ mkdir -p /etc/rpm && echo '%__transaction_unshare %{nil}' >/etc/rpm/macros.harness; }"
)


class Steps(Protocol):
    """What does the steps of an installation and keeps their log (``installing.Installer``)."""

    machine: Machine
    downgrade: bool

    def step(self, title: str, command: str, *, check: bool = True, cause: str = "product") -> Completed:
        """One step, logged."""
        ...

    def put(self, file: RecipeFile) -> str:
        """Bring a package file of the product there; gives its place."""
        ...

    def failure(self, title: str, answer: Completed, cause: str) -> DeploymentError:
        """The error for a step that failed, with its cause."""
        ...

    def failed(self, message: str, *, step: str, cause: str, advice: str) -> DeploymentError:
        """The error for what a step has shown."""
        ...


class Dnf:
    """Installs packages of repositories, and package files of the product."""

    CLEAN = f"{TOOL} -q clean all"

    def __init__(self, by: Steps) -> None:
        self.by = by
        self.dnf = f"{PLAIN} {TOOL} -q -y --setopt=install_weak_deps=False"

    def update(self, *, needed: bool) -> None:
        """Fetch what the repositories have. ``needed``: packages of theirs are asked for; what the product brings may
        need none, and a system may have no repository."""
        self.by.step("dnf makecache", f"{self.dnf} makecache", check=needed, cause="infra")

    def packages(self, names: tuple[str, ...], cause: str) -> list[PackageFact]:
        """Fetch and install packages of the system; ``cause``: whose failure it is where one does not install.

        A name may be that of a group or module (``@tools``, ``@nodejs:18``), a file or a capability: the facts are
        those of the packages that came for it.
        """
        words = shell.join(names)
        groups = [name for name in names if name.startswith("@")]
        before = self._wanted() if groups else set()
        self._demand("download packages", f"{self.dnf} install --downloadonly {words}", cause="infra")
        digests = self._digests()
        self._demand("install packages", f"{self.dnf} install {words}", cause=cause)
        asked = {name: self._given(name) for name in names if name not in groups}
        if groups:
            known = {row[0] for rows in asked.values() for row in rows}
            members = sorted(self._wanted() - before - known)
            asked[" ".join(groups)] = self._rows(members) if members else []
        return [
            PackageFact(
                name=name,
                version=version,
                architecture=architecture,
                sha256=digests.get(f"{name}-{version}.{architecture}.rpm", ""),
                asked=word if word != name else "",
            )
            for word, rows in asked.items()
            for name, version, architecture in rows
        ]

    def files(self, files: Sequence[RecipeFile]) -> list[PackageFact]:
        """Install the product's own package files, all of a kind in one transaction: they may need one another."""
        places = {self.by.put(file): file for file in files}
        facts = [self._read(place, file) for place, file in places.items()]
        whole = self._lines(f"rpm -q --qf '{WHOLE}' {shell.join([fact.name for fact in facts])}")
        there = {line.split()[0] for line in whole}
        by_verb: dict[str, list[str]] = {}
        for place, fact in zip(places, facts, strict=True):
            (own,) = self._lines(f"rpm -qp --nosignature --qf '{WHOLE}' {shell.quote(place)}")[-1:] or [""]
            # What the repositories gave may bear the very name and version of the product's own package.
            same = own in whole
            verb = "downgrade" if self.by.downgrade and fact.name in there else "install"
            by_verb.setdefault("reinstall" if same else verb, []).append(place)
        for verb in ("install", "downgrade", "reinstall"):
            if group := by_verb.get(verb):
                names = " ".join(Path(place).name for place in group)
                answer = self._demand(
                    f"{verb} {names}", f"{self.dnf} {OWN} {verb} {shell.join(group)}", cause="product"
                )
                facts = [
                    replace(fact, signature=fact.signature + _scripts_in(answer.text, fact.name)) for fact in facts
                ]
        return facts

    def _read(self, place: str, file: RecipeFile) -> PackageFact:
        """What a package file says of itself, once it has been compared with its own digests.

        Raises:
            DeploymentError: it is no package, or is damaged.
        """
        name = Path(place).name
        command = f"rpm -qp --nosignature --qf '{QUERY}' {shell.quote(place)}"
        words = self.by.step("read the package", f"{PLAIN} {command}").out.split()
        answer = self.by.step(f"verify {name}", f"{PLAIN} rpm -Kv {shell.quote(place)}", check=False)
        if damaged := _DAMAGED.search(answer.text):
            raise self.by.failed(
                f"{name} is damaged: {damaged[1].strip()}: {damaged[2].strip()[:200]}",
                step=f"verify {name}",
                cause="product",
                advice="deliver the package as it was built and signed",
            )
        return PackageFact(
            name=words[0],
            version=words[1],
            architecture=words[2],
            sha256=file.sha256,
            signature=signature_in(answer.text),
        )

    def _demand(self, title: str, command: str, *, cause: str) -> Completed:
        """A step that finds packages. What it lacks is the laboratory's trouble where a repository is away.

        Raises:
            DeploymentError: it failed.
        """
        answer = self.by.step(title, command, check=False)
        if answer.ok:
            return answer
        if _LACKING.search(answer.text):
            every = f"{self.dnf} '--setopt=*.skip_if_unavailable=False' makecache"
            self.by.step("whether every repository answers", every, cause="infra")
        raise self.by.failure(title, answer, cause)

    def _wanted(self) -> set[str]:
        """Names of the packages that were not only installed because others need them."""
        rows = self._lines(f"{self.dnf} repoquery --installed --qf '%{{name}} %{{reason}}\\n'")
        pairs = (row.partition(" ") for row in rows)
        return {name for name, _, reason in pairs if reason.lower() in _OF_A_GROUP}

    def _given(self, word: str) -> list[list[str]]:
        """The packages that are installed for a word: by their name, or by what they provide."""
        return self._rows([word]) or self._rows([word], "--whatprovides ")

    def _rows(self, words: Sequence[str], how: str = "") -> list[list[str]]:
        lines = self._lines(f"rpm -q {how}--qf '{QUERY}' {shell.join(words)}")
        return [line.split() for line in lines if len(line.split()) == 3]

    def _lines(self, command: str) -> list[str]:
        text = self.by.machine.run(f"{PLAIN} {command} 2>/dev/null", timeout=120).out
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _digests(self) -> dict[str, str]:
        """SHA-256 of each package that was fetched, by the name of its file."""
        command = f"find {CACHES} -name '*.rpm' -exec sha256sum {{}} + 2>/dev/null"
        lines = self.by.step("digests of packages", command, check=False).out.splitlines()
        pairs = (line.split(maxsplit=1) for line in lines if " " in line)
        return {Path(path.strip()).name: digest for digest, path in pairs}


def scripts_in(text: str) -> list[str]:
    """Packages of which dnf says that a script failed (it goes on, and ends well), with the kind of the script."""
    return [f"{name} {kind}" for kind, name in _SCRIPT.findall(text)]


def _scripts_in(text: str, name: str) -> str:
    failed = [words.split()[1] for words in scripts_in(text) if words.startswith((f"{name} ", f"{name}-"))]
    return f"; its script failed 其脚本失败: {', '.join(failed)}" if failed else ""


def signature_in(text: str) -> str:
    """What ``rpm -Kv`` says of the signatures of a package, in a few words."""
    known = _SIGNATURE.findall(text)
    if not known:
        return "not signed 未签名"
    key, state = next((pair for pair in known if pair[1] != "OK"), known[0])
    if state == "OK":
        return f"signed with key {key}, which the system knows 由系统已知的密钥签名"
    return f"signed with key {key}, which the system does not know: not verified 由系统未知的密钥签名，未验证"
