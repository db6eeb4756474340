"""What a product left on its machine: files, linked libraries, processes, ports."""

from __future__ import annotations

import fnmatch
import re
import shlex
from dataclasses import dataclass

from harness.model.context import CellContext
from harness.model.machine import Machine
from harness.model.templating import render
from harness.product.deployment import RUN, ProductFault


@dataclass(frozen=True)
class Installation:
    """The installed product on the application's machine of a cell."""

    context: CellContext
    machine: Machine

    def files(self) -> list[str]:
        """Files of the product: of its packages, its copied artifacts and its rendered templates."""
        own = [a.to for a in self.context.application.artifacts if a.to]
        own += [t.path for t in self.context.application.templates]
        if self.context.installed:
            names = " ".join(shlex.quote(name) for name in self.context.installed)
            listed = self.machine.run(f"dpkg-query -L {names}", timeout=60 * self.context.factor).out.splitlines()
            own += self.existing([path for path in listed if path.startswith("/")])
        return sorted(set(own))

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
        processes = [args for pid, args in self.machine.processes().items()
                     if pid not in self.context.ran_before and f"{RUN}/supervise.sh" not in args]  # fmt: skip
        table = self.machine.run("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null", timeout=30).out
        listening = {int(port, 16) for port in re.findall(r":([0-9A-F]{4}) [0-9A-F]+:0000 0A ", table)}
        return processes, sorted(listening & set(self.context.application.ports.values()))

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
                raise ProductFault(f"removal failed (exit {done.rc}): {line}", f"卸载失败（状态码 {done.rc}）：{line}",
                                   done.text[-1500:])  # fmt: skip
        return "\n".join(texts)
