"""What a running product lays open on its machine: sockets, permissions of files, secrets, root's rights.

What is looked at is the product's own: its files, its processes. Of the machine's system nothing is said.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from harness.containers.machine import waits
from harness.control.deployment import Deployment
from harness.control.installation import Installation
from harness.control.listening import Listener, bound, listeners
from harness.errors import InfrastructureError
from harness.provision import posix
from harness.system import shell

#: Shorter secrets may be part of any text.
SHORTEST = 8


@dataclass(frozen=True, order=True)
class Mode:
    """A file and its permissions, as chmod(1) writes them: ``4755``."""

    path: str
    mode: str

    def __str__(self) -> str:
        return f"{self.path} ({self.mode})"


@dataclass(frozen=True)
class Exposure:
    """Looks at a deployed product from its own machine, as root."""

    deployment: Deployment
    installation: Installation

    def open_sockets(self) -> tuple[list[Listener], list[Listener]] | None:
        """TCP sockets that listen and UDP sockets that take what comes, of the product's processes, but for those that
        only its own machine reaches. None where it is not known which are its own: no process of it is known, or one
        may not be looked into (root of a container may not where a process has changed its user) while there are
        sockets that may be that one's and are not declared.

        Raises:
            InfrastructureError: the machine does not say.
        """
        text = self.deployment.control.listening()
        if not re.search(r"^(member|hidden) \d+$", text, re.MULTILINE):
            return None
        tables = self._udp_tables()
        own = re.findall(r"^socket \d+$", text, re.MULTILINE)
        tcp, more_tcp = _apart(listeners, re.sub(r"^socket \d+$", "", text, flags=re.MULTILINE), own)
        udp, more_udp = _apart(bound, tables, own)
        if not re.search(r"^hidden \d+$", text, re.MULTILINE):
            return tcp, udp
        declared = set(self.deployment.context.application.ports.values())
        if {each.port for each in more_tcp + more_udp} <= declared or {each.port for each in tcp + udp} - declared:
            return (
                sorted(tcp + [each for each in more_tcp if each.port in declared]),
                sorted(udp + [each for each in more_udp if each.port in declared]),
            )
        return None

    def bound_udp_ports(self) -> list[int]:
        """UDP ports of the machine, whoever has them, that take what comes from elsewhere.

        Raises:
            InfrastructureError: the machine does not say.
        """
        return sorted({each.port for each in bound(self._udp_tables()) if not each.loopback})

    def _udp_tables(self) -> str:
        machine = self.deployment.machine
        tables = machine.run(
            "cat /proc/net/udp /proc/net/udp6 2>/dev/null", timeout=60 * self.deployment.context.factor
        )
        if "local_address" not in tables.out:
            raise InfrastructureError(
                f"{machine.name}: its open ports could not be read", advice="the machine needs sh and cat"
            )
        return tables.out

    def files(self) -> list[str]:
        """The product's files: installed, and made while it ran."""
        return sorted({*self.installation.files(), *(self.installation.made_files() or ())})

    def loose_files(self) -> tuple[list[Mode], list[Mode]]:
        """Files that everybody may write to, and programs that run with the rights of their owner or group.

        Raises:
            InfrastructureError: they could not all be looked at.
        """
        script = (
            'for f; do [ -L "$f" ] || find "$f" -prune -type f '
            "\\( -perm -0002 -o -perm -4000 -o -perm -2000 \\) -printf '%m %p\\0' 2>/dev/null; done"
        )
        self._demand('[ "$(find / -prune -printf %d)" = 0 ]', "find with -printf")
        modes = [
            Mode(path, mode)
            for mode, path in (each.split(" ", 1) for each in self.installation.each(script, self.files()))
        ]
        loose = {each.path: each for each in modes if int(each.mode[-1]) & 2}
        writable = [loose[path] for path in self._reachable(list(loose))]
        rights = [each for each in modes if int(each.mode, 8) & 0o6000]
        return sorted(writable), sorted(rights)

    def _reachable(self, paths: list[str]) -> list[str]:
        """Those of ``paths`` that everybody comes to: no folder above the file, wherever a link leads to it, is kept
        from others. Raises InfrastructureError where they could not all be looked at."""
        if paths:
            self._demand('[ "$(readlink -f /proc/..)" = / ]', "readlink with -f")
        script = (
            'for f; do r=$(readlink -f "$f") && d=${r%/*} || d=; while [ -n "$d" ]; do '
            '[ -n "$(find "$d" -prune -perm -0001)" ] || continue 2; d=${d%/*}; done; printf "%s\\0" "$f"; done'
        )
        return self.installation.each(script, paths)

    def secrets_in_files(self) -> list[str]:
        """Files of the product that hold a secret of the cell and that everybody may read.

        Raises:
            InfrastructureError: they could not all be looked at.
        """
        words = self._words()
        if not words:
            return []
        machine, place = self.deployment.machine, f"/tmp/.words-{secrets.token_hex(6)}"  # noqa: S108  # in the target
        machine.put(place, "".join(f"{word}\n" for word in words).encode(), mode="0600")
        try:
            # The file of the words holds them: what does not find them there would find them nowhere.
            known = f'grep -qaFf {place} -- {place} && [ -n "$(find {place} -prune -perm 0600)" ]'
            self._demand(known, "find with -perm and grep with -a, -F and -f")
            script = (
                'for f; do [ -f "$f" ] && [ -n "$(find -H "$f" -prune -perm -0004)" ] && '
                f'grep -qaFf {shell.quote(place)} -- "$f" && printf \'%s\\0\' "$f"; done; true'
            )
            return sorted(self._reachable(self.installation.each(script, self.files())))
        finally:
            machine.run(f"rm -f {shell.quote(place)}", timeout=60)

    def processes(self) -> dict[int, tuple[int, str]]:
        """The product's processes by their id on its machine: the user id that each has now, and its command line.

        Raises:
            InfrastructureError: they cannot be listed, or there is none.
        """
        context, machine = self.deployment.context, self.deployment.machine
        running = {pid: words for pid, words in posix.processes(machine).items() if not waits(words)}
        known = self.installation.own_processes(running, self.deployment.control)
        script = (
            "for p; do while read -r k r e x; do [ $k = Uid: ] && echo $p $e; done </proc/$p/status; done 2>/dev/null"
        )
        command = f"set -- {' '.join(map(str, known))}; {script}; true"
        answer = machine.run(command, timeout=60 * context.factor)
        users = dict(pair.split() for pair in answer.out.splitlines() if re.fullmatch(r"\d+ \d+", pair))
        own = {pid: (int(users[str(pid)]), words) for pid, words in sorted(known.items()) if str(pid) in users}
        if not own:
            raise InfrastructureError(
                f"{machine.name}: no process of the product could be looked at: {answer.text.strip()[-200:]}",
                advice="see whether /proc of the machine shows the processes of others",
            )
        return own

    def secrets_in_processes(self) -> list[str]:
        """Command lines of the product that hold a secret of the cell, with the secret masked.

        Raises:
            InfrastructureError: the processes cannot be listed.
        """
        lines, words = [], self._words()
        for _, line in self.processes().values():
            masked = line
            for word in words:
                masked = masked.replace(word, "***")
            if masked != line:
                lines.append(masked)
        return sorted(lines)

    def _demand(self, command: str, tools: str) -> None:
        """See that the machine has what a look needs: what is not found by tools that do not work is not absent."""
        machine = self.deployment.machine
        answer = machine.run(command, timeout=60 * self.deployment.context.factor)
        if not answer.ok:
            raise InfrastructureError(
                f"{machine.name}: the product's files cannot be looked at: {answer.text.strip()[-200:]}",
                advice=f"the machine needs {tools}",
            )

    def _words(self) -> list[str]:
        """Secrets of the cell that are long enough to be known again."""
        lines = [line.strip() for text in self.deployment.context.hidden() for line in text.splitlines()]
        return sorted({line for line in lines if len(line) >= SHORTEST and not line.startswith("-----")})


def _apart(look: Callable[[str], list[Listener]], table: str, own: list[str]) -> tuple[list[Listener], list[Listener]]:
    """Sockets of a kernel's table that are ``own`` (lines ``socket INODE``), and all others; without those that only
    the machine itself reaches."""
    every = [socket for socket in look(table) if not socket.loopback]
    lines = "\n".join(own)
    known = [socket for socket in look(f"{lines}\n{table}") if not socket.loopback] if own else []
    return known, [socket for socket in every if socket not in known]
