"""What is installed on the product's machine: packages of both families, and the product's own programs by digest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from harness.control.deployment import Deployment
from harness.control.installation import Installation
from harness.errors import InfrastructureError
from harness.system import shell

#: dpkg-query(1) and rpm(8), queryformat. The source package is what advisories of Debian name.
_DPKG = "${db:Status-Abbrev}\\t${Package}\\t${Version}\\t${Architecture}\\t${source:Package}\\t${source:Version}\\n"
_RPM = (
    "ii \\t%{NAME}\\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SOURCERPM}\\t"
    "%|DSAHEADER?{%{DSAHEADER:pgpsig}}:{%|RSAHEADER?{%{RSAHEADER:pgpsig}}:{%|SIGGPG?{%{SIGGPG:pgpsig}}:"
    "{%|SIGPGP?{%{SIGPGP:pgpsig}}:{}|}|}|}|\\n"
)
#: Lower only for an rpm that knows epochs.
_PROOF = ("2-proof", "1:1-proof")
#: Pairs of versions that one command compares: an argument list has a limit.
_PAIRS = 500


@dataclass(frozen=True, order=True)
class InstalledPackage:
    """A package that is installed in whole. ``signature``: what rpm says of it, empty where there is none; dpkg keeps
    no signatures."""

    name: str
    version: str
    architecture: str
    source: str  #: name of the source package
    source_version: str
    signature: str = ""


@dataclass(frozen=True, order=True)
class ProgramFile:
    """A program, library or Java archive of the product."""

    path: str
    sha256: str
    kind: Literal["elf", "jar"]


@dataclass(frozen=True)
class Parts:
    """Asks the product's machine what it is made of."""

    deployment: Deployment
    installation: Installation

    def family(self) -> Literal["deb", "rpm"]:
        """The family of its packages.

        Raises:
            InfrastructureError: it has neither dpkg nor rpm.
        """
        out = self._run("command -v dpkg-query >/dev/null && echo deb || { command -v rpm >/dev/null && echo rpm; }")
        if (word := out.strip()) in ("deb", "rpm"):
            return "deb" if word == "deb" else "rpm"
        raise self._unknown("its packages", "it has neither dpkg-query nor rpm")

    def system(self) -> dict[str, str]:
        """os-release(5): ``ID``, ``VERSION_ID`` and the others. Raises InfrastructureError where it cannot be read."""
        out = self._run("cat /etc/os-release /usr/lib/os-release 2>/dev/null | head -c 20000")
        pairs = re.findall(r"^([A-Z_]+)=[\"']?(.*?)[\"']?$", out, re.MULTILINE)
        if not pairs:
            raise self._unknown("its system", "there is no os-release")
        return dict(reversed(pairs))

    def packages(self) -> list[InstalledPackage]:
        """Every package that is installed in whole, the system's too.

        Raises:
            InfrastructureError: they could not be listed.
        """
        deb = self.family() == "deb"
        query = f"dpkg-query -W -f {shell.quote(_DPKG)}" if deb else f"rpm -qa --qf {shell.quote(_RPM)}"
        out = self._run(f"LC_ALL=C.UTF-8 {query} && echo proof")
        *lines, proof = out.splitlines() or [""]
        rows = [line.split("\t") for line in lines]
        if proof != "proof" or not rows or any(len(row) != 6 for row in rows):
            raise self._unknown("its packages", out[-200:])
        whole = [row[1:] for row in rows if row[0].startswith("ii") and row[1] != "gpg-pubkey"]
        if deb:
            return sorted(InstalledPackage(*row) for row in whole)
        return sorted(
            InstalledPackage(name, version, architecture, _source_name(source), version, signed)
            for name, version, architecture, source, signed in whole
        )

    def programs(self) -> list[ProgramFile]:
        """The product's own programs, libraries and Java archives, with their SHA-256.

        Raises:
            InfrastructureError: they could not all be looked at.
        """
        script = (
            'for f; do [ -f "$f" ] && [ ! -L "$f" ] || continue; k=; '
            'case "$f" in *.jar|*.war|*.ear) k=jar ;; *) '
            '[ "$(head -c 4 "$f" 2>/dev/null | tail -c 3)" != ELF ] || k=elf ;; esac; [ -n "$k" ] || continue; '
            'd=$(sha256sum <"$f"); printf "%s\\0%s\\0%s\\0" "$f" "${d%% *}" "$k"; done'
        )
        files = sorted({*self.installation.files(), *(self.installation.made_files() or ())})
        parts = self.installation.each(script, files, seconds=180)
        programs = [
            ProgramFile(path, digest, "jar" if kind == "jar" else "elf")
            for path, digest, kind in zip(*[iter(parts)] * 3, strict=True)
        ]
        if wrong := [each.path for each in programs if not re.fullmatch(r"[0-9a-f]{64}", each.sha256)]:
            raise self._unknown("the digests of the product's programs", ", ".join(wrong[:3]))
        return sorted(programs)

    def less(self, pairs: set[tuple[str, str]]) -> dict[tuple[str, str], bool]:
        """Of each pair of versions whether the first is lower, by the rules of the machine's own package manager
        (deb-version(7); rpm-version(7)).

        Raises:
            InfrastructureError: they could not all be compared.
        """
        if not pairs:
            return {}
        every, deb = sorted(pairs), self.family() == "deb"
        if not deb:
            every.insert(0, _PROOF)
        known: dict[tuple[str, str], bool] = {}
        for begin in range(0, len(every), _PAIRS):
            some = every[begin : begin + _PAIRS]
            words = shell.join([word for pair in some for word in pair])
            if deb:
                loop = 'while [ $# -gt 0 ]; do dpkg --compare-versions "$1" lt "$2"; echo $?; shift 2; done'
                out = self._run(f"set -- {words}; {loop}")
            else:
                alike = [_alike(*pair) for pair in some]
                calls = "".join(f"print(rpm.vercmp({_lua(a)},{_lua(b)}) < 0 and '0 ' or '1 ')" for a, b in alike)
                out = self._run(f"rpm --eval {shell.quote(f'%{{lua: {calls} }}')}")
            answers = out.split()
            if len(answers) != len(some) or set(answers) - {"0", "1"}:
                raise self._unknown("versions of its packages", out[-200:])
            known |= {pair: answer == "0" for pair, answer in zip(some, answers, strict=True)}
        if not deb and not known.pop(_PROOF):
            raise self._unknown("versions of its packages", "its rpm compares no epochs (it is older than 4.16)")
        return known

    def unverified_sources(self) -> list[str]:
        """Why packages of its repositories may have come without a signature that was verified: lines of its sources
        and its configuration. Raises InfrastructureError where they cannot be read."""
        if self.family() == "deb":
            script = (
                "grep -rnisE '^[^#]*trusted[=:] *yes' /etc/apt/sources.list /etc/apt/sources.list.d; "
                "apt-config dump 2>/dev/null | grep -iE "
                "'^(APT::Get::AllowUnauthenticated|Acquire::Allow(Insecure|Weak)Repositories) \"?(1|true|yes)'; "
                "echo proof"
            )
        else:
            files = "/etc/yum.repos.d /etc/dnf/dnf.conf /etc/yum.conf"
            script = f"grep -rnisE '^ *(repo_)?gpgcheck *= *(0|no|false)' {files}; echo proof"
        *lines, proof = self._run(script).splitlines() or [""]
        if proof != "proof":
            raise self._unknown("its sources of packages", proof)
        return lines

    def _run(self, command: str) -> str:
        machine = self.deployment.machine
        return machine.run(f"{command}\n", timeout=120 * self.deployment.context.factor).out

    def _unknown(self, what: str, text: str) -> InfrastructureError:
        return InfrastructureError(
            f"{self.deployment.machine.name}: {what} could not be read: {text.strip()[-200:]}",
            advice="the machine needs sh, dpkg or rpm, and sha256sum",
        )


def _source_name(file: str) -> str:
    """``openssl-3.0.12-1.src.rpm`` -> ``openssl``."""
    return file.removesuffix(".src.rpm").rsplit("-", 2)[0]


def _alike(first: str, second: str) -> tuple[str, str]:
    """Both without an epoch where only one has it: advisories of some distributions leave it out."""
    if (":" in first) != (":" in second) and (first, second) != _PROOF:
        return first.rpartition(":")[2], second.rpartition(":")[2]
    return first, second


def _lua(text: str) -> str:
    return '"' + re.sub(r"[^\w.+~^:-]", "", text) + '"'
