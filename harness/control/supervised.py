"""A product that runs in the foreground under a shell of ours, which notes how it ended.

``control.sh`` does the work on the machine: the product has a session of its own, apart from the shell that waits for
it, and each start and each end is kept in files there. What leaves that session is known by a cgroup, in a container by
its parent: what a product's orphans come to is a process of that start alone (decision 21).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.control.ends import End
from harness.control.fault import ProductFault
from harness.errors import InfrastructureError, LostOutput
from harness.model.context import CellContext
from harness.model.definitions import Application, Service
from harness.model.machine import Machine
from harness.model.templating import render
from harness.system import shell
from harness.system.process import Completed

RUN = "/run/harness"
#: Made when the product is about to be started for the first time: what is newer came of its running.
BEGAN = f"{RUN}/began"
LOGS = "/var/log/harness"
LOG = f"{LOGS}/app.log"
STARTS = f"{LOGS}/starts"
SCRIPT = Path(__file__).with_name("control.sh")
#: Where a machine may have cgroups: those of version 2, beside version 1 too; of version 1 what holds processes and
#: nothing else. And what the names of those begin with that products have.
CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup/pids")
GROUP = "harness-"
#: What Docker puts before the first program of a container, which is there for programs of the container too.
REAPER = "/sbin/docker-init"
#: How long a product's first process waits to be put into its cgroup; without one nobody waits.
ENTER_TENTHS = 300
#: How often what a command printed may be lost until that is the machine's trouble.
LOOKS = 3
_HELD = 97  #: status of ``start``: a declared port is held by what an earlier start left behind


@dataclass(frozen=True, kw_only=True)
class Process:
    """What is started and watched: the product, or with a ``name`` a service of it. ``ports`` are numbers."""

    name: str = ""
    start: str
    user: str
    environment: Mapping[str, str]
    stop: str
    ports: tuple[int, ...]

    @classmethod
    def of(cls, application: Application) -> Process:
        """The product's only process."""
        return cls(
            start=application.start or "false",
            user=application.user,
            environment=application.environment,
            stop=application.stop,
            ports=tuple(application.ports.values()),
        )

    @classmethod
    def of_service(cls, application: Application, service: Service) -> Process:
        """One of the product's processes."""
        return cls(
            name=service.service,
            start=service.start,
            user=service.user or application.user,
            environment={**application.environment, **service.environment},
            stop=service.stop,
            ports=tuple(application.ports[name] for name in service.ports),
        )

    @property
    def run(self) -> str:
        """Folder of the scripts that start it; of its user alone."""
        return f"{RUN}/services/{self.name}" if self.name else RUN

    @property
    def starts(self) -> str:
        """Folder of what is noted of its starts and ends."""
        return f"{STARTS}/{self.name}" if self.name else STARTS

    @property
    def log(self) -> str:
        """File of what it prints."""
        return f"{LOGS}/service-{self.name}.log" if self.name else LOG


@dataclass
class Supervised:
    """Implements ``Control`` with one ``Process``."""

    context: CellContext
    machine: Machine
    process: Process

    def install(self) -> None:
        process = self.process
        user, run = shell.quote(process.user), process.run
        header = f"H={run}\nD={process.starts}\nLOG={process.log}\n"
        script = f"{header}{SCRIPT.read_text(encoding='utf-8')}"
        answer = self.machine.run(
            f"mkdir -p {run} {process.starts} && touch {process.log}\n[ -e {BEGAN} ] || : >{BEGAN}\n"
            f"cat >{run}/control.sh {shell.here(script, 'HARNESS_CONTROL')}"
            f"cat >{run}/start.sh {shell.here(self._start_script(), 'HARNESS_START')}"
            f"chmod 0700 {run}/start.sh && chown -R {user} {run} {process.starts} {process.log}",
            timeout=60 * self.context.factor,
        )
        if not answer.ok:
            raise InfrastructureError(
                f"{self.machine.name}: the scripts that start the product cannot be written: {answer.text[-300:]}",
                advice="check the machine's disk, and that the product's user exists",
            )
        prepare = self._grouping() if self._group else self._adopting()
        self.machine.run(prepare, timeout=60 * self.context.factor)

    @property
    def command(self) -> str:
        """The command as the definition gives it, with its templates filled."""
        return render(self.process.start, self.context.values(), where="start").strip()

    def _start_script(self) -> str:
        """The product's first process: a shell, which the last program takes the place of where that is safe."""
        values = self.context.values()
        variables = {
            name: render(value, values, where="environment") for name, value in self.process.environment.items()
        }
        command = self.command
        return (
            f"echo $$ >{self.process.starts}/$1.pid\necho $$ >{self.process.run}/app.pid\n"
            f"{self._until_grouped()}set --\n"
            f"{shell.exports(variables)}{shell.replacing(command) or command}\n"
        )

    def start(self) -> bool:
        ports = " ".join(f"{port:04X}" for port in self.process.ports)
        name = f"{self._key}-{secrets.token_hex(4)}"
        verb = shell.join(("start", name, ports))
        answer = self._run(verb, seconds=60)
        if not answer.ok and not self.machine.run(f"test -f {self.process.run}/control.sh", timeout=60).ok:
            self.install()  # the machine was restarted, or the product's removal took the folder
            answer = self._run(verb, seconds=60)
        if answer.ok and self._group:
            self._enter(name)
        if answer.rc == _HELD:
            left = self._look("left", seconds=60).out.strip()
            raise ProductFault(
                f"it cannot be started again: its port is still held by what an earlier start left running: "
                f"{left.splitlines()[0] if left else 'a process that cannot be named'}",
                "无法再次启动：端口仍被此前启动遗留的进程占用",
                left or self.log(40),
            )
        return answer.ok

    def exit_code(self) -> int | None:
        _, _, status = self.state()
        return int(status) if status.isdigit() else None

    def pid(self) -> int:
        return self.state()[0]

    def running(self) -> bool:
        return self.state()[1]

    def log(self, lines: int) -> str:
        return self.machine.run(f"tail -c 4000000 {self.process.log} 2>/dev/null | tail -n {lines}", timeout=60).out

    def stop(self, seconds: float) -> tuple[float, int | None]:
        whom = "process" if shell.replacing(self.command) else "group"
        verb = f"stop {self.process.stop} {int(seconds * 10)} {whom}"
        answer = self._run(verb, seconds=seconds * 3 + 60)
        text = answer.out.strip()
        return answer.seconds, int(text) if text.isdigit() else None

    def kill(self) -> bool:
        return self._run("kill", seconds=60).ok

    def asked(self) -> None:
        self._run("asked")

    def ends(self) -> list[End]:
        answer = self._noted()
        if answer.rc == 127 or "control.sh" in answer.err:
            self.install()
            answer = self._noted()
        if not re.search(r"^starts [1-9]", answer.out, re.MULTILINE):
            raise InfrastructureError(
                f"{self.machine.name}: what the harness noted of the product's starts and ends is gone from "
                f"{self.process.starts}: {answer.text.strip()[-200:]}",
                advice="see what removed it: the product's removal, or something else on the machine",
            )
        ends = []
        for line in answer.out.splitlines():
            if match := re.fullmatch(r"(\S+) (\d+|lost) (\d+) (\d+)", line):
                name, status, memory, at = match.groups()
                number = None if status == "lost" else int(status)
                # A killed process that was counted with the kernel's is one of its own killing.
                ends.append(
                    End(
                        start=name,
                        service=self.process.name,
                        status=number,
                        memory=int(memory) > 0 and number in (None, 137),
                        at=float(at),
                    )
                )
        return sorted(ends, key=lambda end: end.at or float("inf"))

    def _noted(self) -> Completed:
        """What was noted of starts and ends. Where the product's removal took its account, root reads the notes."""
        user = self.process.user
        if user != "root" and not self.machine.run(f"id {shell.quote(user)} >/dev/null 2>&1", timeout=60).ok:
            user = "root"
        return self._look(f"ends {self._key}", user=user)

    def said(self, start: str, lines: int) -> str:
        return self._look(f"said {shell.quote(start)} {lines}").out

    def left(self) -> list[str]:
        lines = dict.fromkeys(self._look("left").out.splitlines())  # those of a cgroup are of no one start
        return [line.partition(" ")[2].strip() for line in lines]

    def listening(self) -> str:
        return self._look("listening").out

    def remove(self) -> None:
        """What it wrote lies in the harness's own folders, which go with the cell; the cgroup does not."""
        if self._group:
            self.machine.run(f"rmdir {self._folders} 2>/dev/null", timeout=60)

    @property
    def _group(self) -> str:
        """Name of the cgroup that the product has for itself; empty in a container, which may make none."""
        if self.machine.reference.kind == "container":
            return ""
        return f"{GROUP}{self._key}{f'-{self.process.name}' if self.process.name else ''}"

    @property
    def _folders(self) -> str:
        """Where it may be, as words of a shell."""
        return " ".join(f"{place}/{self._group}" for place in CGROUPS)

    def group(self) -> str:
        if not self._group:
            adopts = self.machine.run(f"test -s {self.process.run}/reaper", timeout=60).ok
            return f"in a container, where {REAPER} adopts its orphans" if adopts else ""
        ask = f"for g in {self._folders}; do grep -q . $g/cgroup.procs && echo $g; done 2>/dev/null"
        return self.machine.run(ask, timeout=60).out.strip().partition("\n")[0]

    def _grouping(self) -> str:
        """Shell text for root: make the cgroup, where the machine lets root, and note it; remove empty ones of ended
        runs."""
        mark = f"{self.process.run}/grouped"
        return (
            f"rm -f {mark}; for c in {' '.join(CGROUPS)}; do [ -w $c/cgroup.procs ] || continue\n"
            f"for g in $c/{GROUP}*; do case $g in *{self._key}*) ;; *) rmdir $g 2>/dev/null ;; esac; done\n"
            f"mkdir -p $c/{self._group} 2>/dev/null || continue\necho $c/{self._group} >{mark}; break; done"
        )

    def _adopting(self) -> str:
        """Shell text for root of a container: note the engine's first program, where it can be what the orphans of a
        start come to. An image may bring another program of that name."""
        mark = f"{self.process.run}/reaper"
        return f"rm -f {mark}; [ {REAPER} -ef /proc/1/exe ] && {REAPER} -s -- true && echo {REAPER} >{mark}; true"

    def _until_grouped(self) -> str:
        """Shell text of the product's first process: wait until root has put it into the cgroup, so that what it starts
        is born there."""
        if not self._group:
            return ""
        return (
            f"n=0; while [ -e {self.process.run}/grouped ] && [ $n -lt {ENTER_TENTHS} ] && "
            f"! grep -q {self._group} /proc/self/cgroup; do sleep 0.1; n=$((n+1)); done\n"
        )

    def _enter(self, name: str) -> None:
        """Put the first process of a start into the cgroup. What it is, its own user could have written: no other
        user's process is put there."""
        mark = f"{self.process.run}/grouped"
        self.machine.run(
            f"[ -e {mark} ] || exit 0; read -r p <{self.process.starts}/{name}.pid; "
            f"case $p in ''|*[!0-9]*) rm -f {mark}; exit 0 ;; esac; "
            f'[ "$(stat -c %u /proc/$p)" = "$(id -u {shell.quote(self.process.user)})" ] || '
            f"{{ rm -f {mark}; exit 0; }}; "
            f"for g in {self._folders}; do [ -d $g ] && echo $p >$g/cgroup.procs && exit 0; done; rm -f {mark}",
            timeout=60 * max(1.0, self.context.factor),
        )

    @property
    def _key(self) -> str:
        """Begins the names of all starts of this attempt."""
        whose = f"{self.context.campaign}/{self.context.cell}/{self.context.attempt}"
        return hashlib.sha256(whose.encode()).hexdigest()[:12]

    def state(self) -> tuple[int, bool, str]:
        """Process id, whether it lives, and exit status of the present start: ``-`` while it runs, ``lost`` where
        nobody saw its end."""
        words = self._look("state").out.split()
        if len(words) != 4:
            return 0, False, "-"
        return int(words[1]), words[2] == "1", words[3]

    def _look(self, verb: str, *, seconds: float = 30, user: str = "") -> Completed:
        """One verb that changes nothing; asked again where the engine loses the answer, as a busy one does."""
        for _ in range(LOOKS - 1):
            with contextlib.suppress(LostOutput):
                return self._run(verb, seconds=seconds, user=user)
        return self._run(verb, seconds=seconds, user=user)

    def _run(self, verb: str, *, seconds: float = 30, user: str = "") -> Completed:
        """One verb of the script, as the process's user: only that may look into its processes."""
        return self.machine.run(
            f"sh {self.process.run}/control.sh {verb}",
            timeout=seconds * max(1.0, self.context.factor),
            user=user or self.process.user,
        )
