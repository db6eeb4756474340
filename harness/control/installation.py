"""What a product left on its machine: files, linked libraries, processes, ports."""

from __future__ import annotations

import base64
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.control.before import older
from harness.control.fault import ProductFault
from harness.control.owners import owners
from harness.control.packages import PackageState, files_of, state_of
from harness.control.protocol import Control, control_of
from harness.control.supervised import BEGAN, RUN
from harness.errors import InfrastructureError
from harness.model.context import CellContext
from harness.model.machine import Machine
from harness.model.templating import render
from harness.system import shell

#: Most files made at run time that are looked at of each kind.
MAX_MADE = 2000
#: Where programs and libraries lie: what stays there would still be run or loaded.
_PROGRAM = re.compile(r"/(usr/)?(local/)?(s?bin|lib\w*|libexec)/.|/opt/.")
#: Where products have both programs and data.
_MIXED = "/opt/"
#: Of copies that rpm and dpkg keep of a configuration file that somebody has changed.
KEPT_ENDINGS = (".rpmsave", ".rpmnew", ".rpmorig", ".dpkg-old", ".dpkg-dist", ".dpkg-new")
#: Command line of the harness's shell that starts the product and waits for it.
SUPERVISOR = re.compile(rf"{RUN}/(services/[^/ ]+/)?control\.sh")
#: Of the kernel, of the machine itself, of the harness, or temporary by its place.
_NOT_LOOKED_AT = (
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/cache", "/var/lib/dpkg", "/var/lib/apt"),  # noqa: S108
    # Of dnf and yum: what an installation or a removal leaves there is the package manager's, and not the product's.
    *("/var/lib/rpm", "/usr/lib/sysimage", "/var/lib/dnf", "/var/lib/yum", "/var/log/dnf*", "/var/log/yum*"),
    *("/var/log/hawkey.log", "/var/log/apt", "/var/log/dpkg.log"),
    *("/var/log/harness", "/etc/ld.so.cache", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname"),
)


#: What ldd of glibc or musl says of every ELF file that it can read.
_OF_LDD = re.compile(r"\(0x[0-9a-f]+\)|statically linked|not a dynamic executable|Not a valid dynamic program")


def is_program(path: str) -> bool:
    """Whether a path is where programs and libraries lie."""
    return _PROGRAM.match(path) is not None


@dataclass(frozen=True)
class LinkedFile:
    """An ELF file: its first 20 bytes, and what ``ldd -d -r`` prints of it."""

    path: str
    head: bytes
    text: str

    @property
    def machine(self) -> int:
        """``e_machine`` of its header."""
        order = "little" if self.head[5] == 1 else "big"
        return int.from_bytes(self.head[18:20], order)  # type: ignore[arg-type]

    @property
    def missing(self) -> list[str]:
        """Names of libraries that are not found, in the words of glibc and of musl."""
        return re.findall(r"(\S+) => not found", self.text) + re.findall(
            r"^Error loading shared library (\S+):", self.text, re.MULTILINE
        )

    @property
    def versions(self) -> list[str]:
        """Versions of symbols that a library which is there does not have: ``GLIBC_2.38 of /lib/libc.so.6``."""
        lines = re.findall(r"(\S+): version [`']([^`']+)' not found", self.text)
        return [f"{version} of {library}" for library, version in lines]

    @property
    def examined(self) -> bool:
        """Whether the text is an answer of ldd on the file: where ldd is missing or breaks, it is none."""
        return bool(self.missing or self.versions) or _OF_LDD.search(self.text) is not None

    @property
    def undefined(self) -> set[str]:
        """Symbols that nothing defines, without their versions."""
        names = re.findall(r"undefined symbol:? (\S+)", self.text)
        names += re.findall(r"^Error relocating .*: (\S+): symbol not found", self.text, re.MULTILINE)
        return {name.split("@")[0].rstrip(",") for name in names}


@dataclass(frozen=True)
class Installation:
    """The installed product on the application's machine of a cell."""

    context: CellContext
    machine: Machine

    def files(self) -> list[str]:
        """Files of the product: of its packages, its copied artifacts and its rendered templates.

        Raises:
            InfrastructureError: they could not all be listed.
        """
        artifacts = [artifact for artifact in self.context.application.artifacts if not artifact.beneath]
        own = [a.to for a in artifacts if a.to and a.install == "copy"]
        folders = " ".join(shell.quote(a.to) for a in artifacts if a.to and a.install == "archive")
        if folders:
            command = f"find {folders} \\( -type f -o -type l \\) -print0; printf 'proof\\0'"
            answer = self.machine.run(command, timeout=60 * self.context.factor)
            *unpacked, proof = answer.out.split("\0")[:-1] or [""]
            if proof != "proof":
                raise InfrastructureError(
                    f"{self.machine.name}: the product's files could not be listed: {answer.text[-300:]}",
                    advice="the machine needs sh and find",
                )
            own += unpacked
        own += [t.path for t in self.context.application.templates]
        own += self.files_of(self.context.installed)
        return sorted(set(own))

    def files_of(self, packages: Sequence[str]) -> list[str]:
        """Files of installed packages. Raises InfrastructureError where they could not all be looked at."""
        if not packages:
            return []
        return self.existing(files_of(self.machine, packages, seconds=60 * self.context.factor))

    def packages(self) -> PackageState:
        """What the package manager says of the product's packages."""
        return state_of(self.machine, self.context.installed, seconds=60 * self.context.factor)

    def existing(self, paths: Sequence[str]) -> list[str]:
        """Those of ``paths`` that are files (or links) now.

        Raises:
            InfrastructureError: they could not all be looked at.
        """
        script = 'for f; do if [ -f "$f" ] || [ -L "$f" ]; then printf "%s\\0" "$f"; fi; done'
        return self.each(script, paths)

    def linked(self) -> list[LinkedFile]:
        """Every ELF file of the product that can be loaded or run, with what ``ldd -d -r`` says of it.

        Raises:
            InfrastructureError: they could not all be looked at.
        """
        # Only what can be loaded or run is looked at: two processes a file are dear on an emulated target.
        script = (
            'for f; do case "$f" in *.so|*.so.*|*.node) ;; *) [ -x "$f" ] || continue ;; esac; '
            '[ -f "$f" ] || continue; '
            'h=$(od -An -v -tx1 -N20 "$f" | tr -d " \\n"); [ "${h#7f454c46}" != "$h" ] || continue; '
            'printf "%s\\0%s\\0%s\\0" "$f" "$h" "$(ldd -d -r "$f" 2>&1)"; done'
        )
        parts = self.each(f"{self._library_path()}{script}", self.files(), seconds=120)
        return [
            LinkedFile(path, bytes.fromhex(head), text) for path, head, text in zip(*[iter(parts)] * 3, strict=True)
        ]

    def libraries_of(self, program: str) -> list[str]:
        """``program`` and every library that is loaded with it, as paths.

        Raises:
            InfrastructureError: the machine does not answer.
        """
        answer = self.machine.run(
            f"{self._library_path()}ldd {shell.quote(program)} 2>&1", timeout=60 * self.context.factor
        )
        libraries = re.findall(r"(?:=>|^)\s*(/\S+) \(0x", answer.out, re.MULTILINE)
        return list(dict.fromkeys([program, *libraries]))

    def mapped(self, paths: Sequence[str]) -> dict[str, set[str]]:
        """Of those of ``paths`` that running processes have mapped: every ELF file that these processes have mapped
        too, by path without links (proc(5), /proc/PID/maps). What may not be looked into is left out.

        Raises:
            InfrastructureError: they could not all be looked at.
        """
        real = self.each('for f; do printf "%s\\0" "$(readlink -f "$f")"; done', paths)
        wanted: dict[str, list[str]] = {}  # a library mostly goes by several names, which are links to one file
        for path, there in zip(paths, real, strict=True):
            if "\n" not in there:
                wanted.setdefault(there, []).append(path)
        names = "".join(f"{there}\n" for there in wanted)
        application = self.context.application
        # A process is looked into by its own user: root of a container may not look into those of others.
        users = dict.fromkeys(
            ["root", application.user, *(service.user or application.user for service in application.services)]
        )
        mapped: dict[str, set[str]] = {}
        for user in users if names else ():
            answer = self.machine.run(
                "grep -lsFf - /proc/[0-9]*/maps | while read -r m; do echo process; cat $m 2>/dev/null; done\n"
                "echo proof",
                stdin=names,
                timeout=60 * self.context.factor,
                user=user,
            )
            if not answer.out.rstrip().endswith("proof"):
                raise InfrastructureError(
                    f"{self.machine.name}: what the running product has loaded could not be read: {answer.text[-300:]}",
                    advice="the machine needs sh, grep, cat and /proc",
                )
            for process in answer.out.split("process\n"):
                files = set(re.findall(r"^\S+ r\S+ \S+ \S+ [1-9]\d*\s+(/.*)$", process, re.MULTILINE))
                for path in (path for there in files & wanted.keys() for path in wanted[there]):
                    mapped.setdefault(path, set()).update(files)
        script = 'for f; do [ "$(head -c 4 "$f" 2>/dev/null | tail -c 3)" != ELF ] || printf "%s\\0" "$f"; done'
        elves = set(self.each(script, sorted(set().union(*mapped.values()))))
        return {path: files & elves for path, files in mapped.items()}

    def _library_path(self) -> str:
        """Shell text that sets where the product's own environment looks for libraries."""
        value = self.context.application.environment.get("LD_LIBRARY_PATH")
        if value is None:
            return ""
        text = render(value, self.context.values(), where="environment")
        return f"export LD_LIBRARY_PATH={shell.quote(text)}; "

    def each(self, script: str, paths: Sequence[str], *, seconds: float = 60) -> list[str]:
        """Run ``script`` over ``paths`` as its arguments; gives what it prints, split at NUL.

        A path may hold anything but NUL, the last is not lost, and that all were looked at is proved by a number.

        Raises:
            InfrastructureError: they could not all be looked at.
        """
        if not paths:
            return []
        given = base64.b64encode("".join(f"{path}\0" for path in paths).encode(errors="surrogateescape")).decode()
        command = shell.quote(f"{script}; printf 'looked %d\\0' $#")
        answer = self.machine.run(
            f"base64 -d | xargs -0 sh -c {command} sh", stdin=given, timeout=seconds * self.context.factor
        )
        parts = answer.out.split("\0")[:-1]
        proofs = [part for part in parts if re.fullmatch(r"looked \d+", part)]
        if sum(int(proof.split()[1]) for proof in proofs) != len(paths):
            raise InfrastructureError(
                f"{self.machine.name}: {len(paths)} files could not all be looked at: {answer.text[-300:]}",
                advice="the machine needs sh, base64, xargs, od and tr",
            )
        return [part for part in parts if part not in proofs]

    def usable(self) -> bool:
        """Whether the machine still runs commands at all."""
        try:
            return "usable" in self.machine.run("echo usable | cat", timeout=60 * self.context.factor).out
        except InfrastructureError:
            return False

    def still_installed(self) -> list[str]:
        """Packages of the product that are installed in whole now."""
        listed = self.packages().listed if self.context.installed else ""
        return [line.split()[1].split(":")[0] for line in listed.splitlines() if line.startswith("ii ")]

    def own_files(self) -> list[str]:
        """Files that are the product's without any doubt: of its artifacts, and its templates; not those of packages
        from the system's repositories. Raises InfrastructureError where they could not all be looked at."""
        return Installation(self.context.model_copy(update={"installed": self.context.shipped}), self.machine).files()

    def programs(self, paths: Sequence[str]) -> list[str]:
        """Those of ``paths`` that would still be run or loaded. A product keeps its data below /opt, too: there the
        file itself decides. Raises InfrastructureError where they could not all be looked at."""
        mixed = [path for path in paths if path.startswith(_MIXED)]
        script = (
            'for f; do case "$f" in *.so|*.so.*|*.node|*.jar|*.war|*.class|*.py|*.pyc|*.js|*.php) ;; '
            '*) h=$(head -c 4 "$f" 2>/dev/null | od -An -tx1 | tr -d " \\n"); '
            '[ -x "$f" ] || [ "$h" = 7f454c46 ] || continue ;; esac; printf "%s\\0" "$f"; done'
        )
        own = {*self.each(script, mixed), *(path for path in paths if path not in mixed and is_program(path))}
        return [path for path in paths if path in own]

    def kept_configuration(self, files: Sequence[str]) -> list[str]:
        """Copies of configuration ``files`` that the package manager keeps where somebody had changed them: rpm(8),
        dpkg(1). Raises InfrastructureError where they could not all be looked at."""
        return self.existing([f"{path}{ending}" for path in files for ending in KEPT_ENDINGS])

    def made_files(self) -> list[str] | None:
        """Files that came into being since the product was first started and belong to no package, nor lie in what
        the product stands on; None where that cannot be asked (a lab host has run for long, and is watched
        otherwise)."""
        if self.machine.reference.kind not in ("container", "vm"):
            return None
        beneath = [shell.quote(a.to) for a in self.context.application.artifacts if a.beneath and a.to]
        skipped = " -o ".join(f"-path {path}" for path in (*map(shell.quote, _NOT_LOOKED_AT), *beneath))
        answer = self.machine.run(
            f"r={BEGAN}; [ -e $r ] || touch -d @$(stat -c %Z /proc/1) $r && "
            f"find / -xdev \\( {skipped} \\) -prune -o \\( -type f -o -type l \\) -cnewer $r "
            "! -path '*/__pycache__/*' -print0; printf 'proof\\0'",
            timeout=120 * self.context.factor,
        )
        paths = answer.out.split("\0")[:-1]
        if not paths or paths[-1] != "proof" or not answer.ok:
            return None
        programs = [path for path in paths[:-1] if is_program(path)]
        of_packages = owners(self.each, programs)
        return [path for path in programs if path not in of_packages][:MAX_MADE] + [
            path for path in paths[:-1] if not is_program(path)
        ][:MAX_MADE]

    def plugins(self) -> list[tuple[list[str], str]]:
        """For each declared group of plugins: their files, and the program that loads them."""
        files = self.files()
        return [([f for f in files if fnmatch.fnmatch(f, p.files)], p.host) for p in self.context.application.plugins]

    def remains(self) -> tuple[list[str], list[int]]:
        """Processes that still run on the machine and came after it, and declared ports that still listen.

        Raises:
            InfrastructureError: the machine does not answer, or hides its ports.
        """
        processes = list(self.own_processes(self.machine.processes()).values())
        table = self.machine.run("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null", timeout=30).out
        if "local_address" not in table:
            raise InfrastructureError(
                f"{self.machine.name}: its open ports could not be read", advice="the machine needs sh and cat"
            )
        listening = {int(port, 16) for port in re.findall(r":([0-9A-F]{4}) [0-9A-F]+:0000 0A ", table)}
        return processes, sorted(listening & set(self.context.application.ports.values()))

    def own_processes(self, processes: dict[int, str], control: Control | None = None) -> dict[int, str]:
        """Those of ``processes``, as they are on the machine now, that came after the product and are not of a server
        that shares the machine. What the product's control knows as its own is the product's in any case.

        Raises:
            InfrastructureError: the machine does not answer.
        """
        context = self.context
        before = older(context.ran_before, self.machine, processes)
        new = {pid: args for pid, args in processes.items() if pid not in before and not SUPERVISOR.search(args)}
        place = context.application_machine
        if not any(server.machine == place and not server.embedded for server in context.servers.values()):
            return new
        text = (control or control_of(context, self.machine)).listening()
        members = {int(pid) for pid in re.findall(r"^(?:member|hidden) (\d+)$", text, re.MULTILINE)}
        foreign = self._of_others(new, before) - members
        return {pid: args for pid, args in new.items() if pid not in foreign}

    def _of_others(self, processes: dict[int, str], before: set[int]) -> set[int]:
        """Processes of a database server that shares the machine: of a program that belongs to no package of the
        product, and all that such a program, or one that ran before the product came (``before``), has started."""
        if not processes:
            return set()
        programs = sorted({word for args in processes.values() for word in args.split()[:1] if word.startswith("/")})
        answer = self.machine.run(
            f"for p in {' '.join(map(str, processes))}; do q=$p; printf '%s' $p; while [ ${{q:-0}} -gt 1 ]; do "
            "q=$(sed -n 's/^PPid:[^0-9]*//p' /proc/$q/status 2>/dev/null); printf ' %s' $q; done; echo; done",
            timeout=60,
        )
        packages = owners(self.each, programs)
        others = {path for path, names in packages.items() if not names.intersection(self.context.installed)}
        # A process may have overwritten its arguments with nothing.
        roots = {pid for pid, args in processes.items() if others.intersection(args.split()[:1])}
        roots |= before - {1}
        chains = [[int(word) for word in line.split()] for line in answer.out.splitlines() if line.strip()]
        return {chain[0] for chain in chains if roots & set(chain)}

    def uninstall(self) -> str:
        """Run the declared removal; gives its output.

        Raises:
            ProductFault: a command fails.
        """
        texts = []
        for command in self.context.application.uninstall:
            line = render(command, self.context.values(), where="uninstall")
            answer = self.machine.run(
                f"export DEBIAN_FRONTEND=noninteractive; {line}", timeout=120 * self.context.factor
            )
            texts.append(f"$ {line}\n{answer.text}")
            if not answer.ok:
                raise ProductFault(
                    f"removal failed (exit {answer.rc}): {line}",
                    f"卸载失败（状态码 {answer.rc}）：{line}",
                    answer.text[-1500:],
                )
        return "\n".join(texts)
