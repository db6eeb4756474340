"""What a product left on its machine: files, linked libraries, processes, ports."""

from __future__ import annotations

import fnmatch
import re
import shlex
from dataclasses import dataclass

from harness.control.fault import ProductFault
from harness.control.packages import PackageState, files_of, state_of
from harness.control.supervised import RUN
from harness.model.context import CellContext
from harness.model.machine import Machine
from harness.model.templating import render


@dataclass(frozen=True)
class Installation:
    """The installed product on the application's machine of a cell."""

    context: CellContext
    machine: Machine

    def files(self) -> list[str]:
        """Files of the product: of its packages, its copied artifacts and its rendered templates."""
        artifacts = self.context.application.artifacts
        own = [a.to for a in artifacts if a.to and a.install == "copy"]
        folders = " ".join(shlex.quote(a.to) for a in artifacts if a.to and a.install == "archive")
        if folders:
            found = self.machine.run(f"find {folders} -type f -o -type l", timeout=60 * self.context.factor)
            own += found.out.splitlines()
        own += [t.path for t in self.context.application.templates]
        if self.context.installed:
            own += self.existing(files_of(self.machine, self.context.installed, seconds=60 * self.context.factor))
        return sorted(set(own))

    def packages(self) -> PackageState:
        """What the package manager says of the product's packages."""
        return state_of(self.machine, self.context.installed, seconds=60 * self.context.factor)

    def existing(self, paths: list[str]) -> list[str]:
        """Those of ``paths`` that are files (or links) now."""
        if not paths:
            return []
        script = 'while read -r f; do if [ -f "$f" ] || [ -L "$f" ]; then echo "$f"; fi; done'
        return self.machine.run(script, stdin="\n".join(paths), timeout=60 * self.context.factor).out.splitlines()

    def linked(self) -> str:
        """``ldd -r`` of every ELF file of the product; a line ``== PATH`` before each."""
        # Only what can be loaded or run is looked at: two processes a file are dear on an emulated target.
        script = (
            'while read -r f; do case "$f" in *.so|*.so.*) ;; *) [ -x "$f" ] || continue ;; esac; '
            '[ "$(head -c 4 "$f" 2>/dev/null | tail -c 3)" = ELF ] || continue; echo "== $f"; ldd -r "$f" 2>&1; done'
        )
        return self.machine.run(script, stdin="\n".join(self.files()), timeout=120 * self.context.factor).out

    def plugins(self) -> list[tuple[list[str], str]]:
        """For each declared group of plugins: their files, and the program that loads them."""
        files = self.files()
        return [([f for f in files if fnmatch.fnmatch(f, p.files)], p.host) for p in self.context.application.plugins]

    def remains(self) -> tuple[list[str], list[int]]:
        """Processes that still run on the machine and came after it, and declared ports that still listen."""
        new = {
            pid: args
            for pid, args in self.machine.processes().items()
            if pid not in self.context.ran_before and f"{RUN}/control.sh" not in args
        }
        context = self.context
        own = context.application_machine
        shared = (
            context.database.placement == "server" and context.database_machine == own
        ) or context.middleware_machine == own
        foreign = self._of_others(new) if shared else set()
        processes = [args for pid, args in new.items() if pid not in foreign]
        table = self.machine.run("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null", timeout=30).out
        listening = {int(port, 16) for port in re.findall(r":([0-9A-F]{4}) [0-9A-F]+:0000 0A ", table)}
        return processes, sorted(listening & set(self.context.application.ports.values()))

    def _of_others(self, processes: dict[int, str]) -> set[int]:
        """Processes of a database server that shares the machine: of a program that belongs to no package of the
        product, and all that such a program, or one that ran before the product came, has started."""
        if not processes:
            return set()
        pids, programs = " ".join(map(str, processes)), {args.split()[0] for args in processes.values() if args}
        paths = " ".join(shlex.quote(program) for program in sorted(programs) if program.startswith("/"))
        done = self.machine.run(
            f"for p in {pids}; do q=$p; printf '%s' $p; while [ ${{q:-0}} -gt 1 ]; do "
            "q=$(sed -n 's/^PPid:[^0-9]*//p' /proc/$q/status 2>/dev/null); printf ' %s' $q; done; echo; done\n"
            f"for f in {paths}; do o=$(dpkg-query -S $f 2>/dev/null || rpm -qf --qf '%{{NAME}}: ' $f 2>/dev/null) "
            '&& echo "= $f ${o%%:*}"; done',
            timeout=60,
        )
        lines = [line.split() for line in done.out.splitlines()]
        owners = {words[1]: words[2] for words in lines if words[:1] == ["="] and len(words) == 3}
        others = {path for path, package in owners.items() if package not in self.context.installed}
        roots = {pid for pid, args in processes.items() if args.split()[0] in others}
        roots |= set(self.context.ran_before) - {1}
        chains = [[int(word) for word in words] for words in lines if words and words[0] != "="]
        return {chain[0] for chain in chains if roots & set(chain)}

    def uninstall(self) -> str:
        """Run the declared removal; gives its output.

        Raises:
            ProductFault: a command fails.
        """
        texts = []
        for command in self.context.application.uninstall:
            line = render(command, self.context.values(), where="uninstall")
            done = self.machine.run(f"export DEBIAN_FRONTEND=noninteractive; {line}", timeout=120 * self.context.factor)
            texts.append(f"$ {line}\n{done.text}")
            if not done.ok:
                raise ProductFault(
                    f"removal failed (exit {done.rc}): {line}",
                    f"卸载失败（状态码 {done.rc}）：{line}",
                    done.text[-1500:],
                )
        return "\n".join(texts)
