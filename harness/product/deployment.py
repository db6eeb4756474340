"""The running product on a cell: start, stop, kill, readiness, and what its end means."""

from __future__ import annotations

import contextlib
import re
import secrets
from dataclasses import dataclass, field

import httpx

from harness.database import CellDatabase
from harness.errors import HarnessError, StepTimeout
from harness.machines import open_machine
from harness.model.context import CellContext
from harness.model.machine import Machine
from harness.model.templating import render
from harness.system.wait import Deadline, wait_until

RUN = "/run/harness"
LOG = "/var/log/harness/app.log"
_MEMORY = "cat /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events 2>/dev/null"


def _end(seconds: float) -> str:
    """Shell text that waits for the end of the present start and prints its status."""
    return (f"e={RUN}/app.exit.$(cat {RUN}/app.run); n=0; "
            f"while [ ! -s $e ] && [ $n -lt {int(seconds * 10)} ]; do sleep 0.1; n=$((n+1)); done; cat $e")  # fmt: skip


class ProductFault(Exception):
    """The product itself did not do what it must: an observation, not an error of the harness.

    ``zh`` and ``en`` say what happened; ``log`` is the tail of the product's own output.
    """

    def __init__(self, en: str, zh: str, log: str = "") -> None:
        super().__init__(f"{en} / {zh}")
        self.en, self.zh, self.log = en, zh, log


@dataclass
class Deployment:
    """Controls the product in ``machine``; made from a context in any process."""

    context: CellContext
    machine: Machine
    database: CellDatabase
    _run: str = field(default="", repr=False)  #: names the start whose end is looked for

    @classmethod
    def of(cls, context: CellContext) -> Deployment:
        """Reaches the machines that the context names.

        Raises:
            InfrastructureError: a machine cannot be reached.
        """
        product = open_machine(context.application_machine)
        same = context.database_machine == context.application_machine
        return cls.on(context, product, product if same else open_machine(context.database_machine))

    @classmethod
    def on(cls, context: CellContext, product: Machine, server: Machine) -> Deployment:
        """On machines that are reached already; ``server`` is the product's where the database shares it."""
        user = context.application.user if context.database.placement == "embedded" else "root"
        database = CellDatabase(server, context.database, context.access, context.factor, user)
        return cls(context, product, database)

    def url(self, path: str = "") -> str:
        """Where the product's HTTP interface answers on this machine."""
        http = self.context.application.http
        if http is None:
            raise LookupError("the application declares no http section")
        host, port = self.context.ports[http.port]
        return f"http://{host}:{port}{http.base}{path}"

    def headers(self) -> dict[str, str]:
        """Headers that every good request carries."""
        http = self.context.application.http
        given = http.headers if http is not None else {}
        return {key: render(value, self.context.values(), where="http.headers") for key, value in given.items()}

    def install_control(self) -> None:
        """Write the scripts that start and watch the product.

        Raises:
            InfrastructureError: the machine does not answer.
        """
        if not self._own_control:
            self.machine.run(self._control(), timeout=60)

    @property
    def _own_control(self) -> bool:
        """Whether the product's user may write the scripts itself, with the command that starts it."""
        return self.context.application.user == "root"

    def _control(self) -> str:
        """Shell text that writes the scripts."""
        application = self.context.application
        values = self.context.values()
        command = render(application.start, values, where="start").strip()
        exports = "".join(
            f"export {name}='{render(value, values, where='environment')}'\n"
            for name, value in application.environment.items()
        )
        # The inner shell becomes the product, so its pid is the product's; the outer one notes how it ended.
        # Each start has a name, so that the end of an earlier one is never taken for its own.
        start = f"{exports}echo $$ >{RUN}/app.pid\nexec {command}\n"
        supervise = (
            f'echo "--- start $1" >>{LOG}\nsh {RUN}/start.sh >>{LOG} 2>&1 </dev/null\necho $? >{RUN}/app.exit.$1\n'
        )
        return (
            f"mkdir -p {RUN} /var/log/harness && touch {LOG} && chown '{application.user}' {RUN} {LOG}\n"
            f"cat >{RUN}/start.sh <<'HARNESS_START'\n{start}HARNESS_START\n"
            f"cat >{RUN}/supervise.sh <<'HARNESS_START'\n{supervise}HARNESS_START\n"
        )

    def start(self) -> bool:
        """Start the product; whether its process is there within the first second.

        Raises:
            InfrastructureError: the machine does not answer.
        """
        self._run = secrets.token_hex(4)
        # One command for all of it, because each costs the engine a twentieth of a second, and an emulated one more.
        done = self.machine.run(
            f"{self._control() if self._own_control else ''}"
            f"rm -f {RUN}/app.pid; echo {self._run} >{RUN}/app.run\n"
            f"setsid sh {RUN}/supervise.sh {self._run} </dev/null >/dev/null 2>&1 &\n"
            f"n=0; while [ ! -s {RUN}/app.pid ] && [ $n -lt 50 ]; do sleep 0.02; n=$((n+1)); done\n"
            f"kill -0 $(cat {RUN}/app.pid) 2>/dev/null",
            timeout=30 * self.context.factor, user=self.context.application.user,
        )  # fmt: skip
        return done.ok

    def exit_code(self) -> int | None:
        """How the product ended, None while it runs (or was never started)."""
        # Another process may have started it since; and our own start may not have been noted yet.
        own = self._run or "none"
        pending = f'[ "$r" != {own} ] && [ {own} != none ] && [ ! -e {RUN}/app.exit.{own} ]'
        done = self.machine.run(f"r=$(cat {RUN}/app.run); {pending} || cat {RUN}/app.exit.$r 2>/dev/null", timeout=30)
        text = done.out.strip()
        return int(text) if text.isdigit() else None

    def pid(self) -> int:
        """Its process id inside the machine; 0 where there is none."""
        text = self.machine.run(f"cat {RUN}/app.pid 2>/dev/null", timeout=30).out.strip()
        return int(text) if text.isdigit() else 0

    def running(self) -> bool:
        """Whether its process is there."""
        return self.machine.run(f"kill -0 $(cat {RUN}/app.pid) 2>/dev/null", timeout=30).ok

    def log(self, lines: int = 40) -> str:
        """Tail of the product's output."""
        return self.machine.run(f"tail -n {lines} {LOG} 2>/dev/null", timeout=30).out

    def is_ready(self) -> bool:
        """Whether it serves now, by the declared readiness."""
        ready = self.context.application.ready
        if ready.path is not None:
            with contextlib.suppress(httpx.HTTPError):
                # The product is on this machine: a proxy of the environment has nothing to do with it.
                answer = httpx.get(self.url(ready.path), headers=self.headers(), trust_env=False,
                                   timeout=5 * self.context.factor)  # fmt: skip
                return answer.status_code in ready.status
            return False
        command = render(ready.command or "false", self.context.values(), where="ready.command")
        return self.machine.run(command, timeout=30 * self.context.factor).ok

    def wait_ready(self) -> float:
        """Wait until it serves; gives the seconds it took.

        Raises:
            ProductFault: it ended, or did not serve within its declared limit (scaled by the target's factor).
            InfrastructureError: the machine does not answer.
        """
        limit = self.context.application.ready.seconds * self.context.factor
        deadline = Deadline(limit)
        looked = 0.0

        def look() -> bool:
            nonlocal looked
            if self.is_ready():
                return True
            if deadline.passed - looked >= 0.5:  # asking costs a round trip into the container
                looked = deadline.passed
                if (code := self.exit_code()) is not None:
                    raise self.ended(code)
            return False

        try:
            wait_until(look, seconds=limit, what="readiness", interval=0.05, longest=0.1)
        except StepTimeout:
            raise self._never_ready(limit) from None
        return deadline.passed

    def ensure_running(self) -> None:
        """Start it where it does not run. Raises as ``wait_ready``."""
        if self.is_ready():
            return
        if not self.running():
            self.start()
        self.wait_ready()

    def stop(self) -> tuple[float, int]:
        """Send the declared signal and wait; gives seconds and exit status.

        Raises:
            ProductFault: it does not end within its declared limit.
        """
        application = self.context.application
        limit = application.stop_seconds * self.context.factor
        done = self.machine.run(
            f"kill -{application.stop} $(cat {RUN}/app.pid) 2>/dev/null; {_end(limit)}",
            timeout=limit * 3 + 30,
        )
        if not done.out.strip().isdigit():
            raise ProductFault(f"it did not stop within {limit:.0f} s after SIG{application.stop}",
                               f"收到 SIG{application.stop} 后 {limit:.0f} 秒内未停止", self.log())  # fmt: skip
        return done.seconds, int(done.out.strip())

    def restart(self) -> float:
        """Stop, start, wait; gives the seconds until it served again. Raises as those."""
        self.stop()
        self.start()
        return self.wait_ready()

    def kill(self) -> None:
        """SIGKILL to the product and everything it started.

        Raises:
            ProductFault: something of it outlives SIGKILL.
        """
        done = self.machine.run(
            f"kill -9 $(cat {RUN}/app.pid); {_end(10)}",
            timeout=60,
        )
        if not done.ok:
            raise ProductFault("it outlived SIGKILL", "SIGKILL 后进程仍存在", self.log())

    def healthy_lab(self) -> str:
        """Known-good probe of the target; empty where all is well, else what is wrong with the lab."""
        try:
            if self.machine.run("true", timeout=30).rc != 0:
                return "a known-good command fails on the application's machine"
            if not self.database.ready():
                return f"the database {self.context.database.database} does not answer"
        except HarnessError as error:
            return error.message
        return ""

    def ended(self, code: int) -> ProductFault:
        """What an exit status means, told in both languages."""
        log = self.log()
        label = f"{self.context.axes.get('cpu', '')} ({self.context.qemu_cpu or self.context.architecture})"
        if code in (132, 4) or re.search(r"Illegal instruction|uncaught target signal 4", log):
            return ProductFault(
                f"it died with SIGILL (illegal instruction): it uses an instruction that {label} does not have; "
                "build it for this CPU class",
                f"进程因 SIGILL（非法指令）终止：使用了 {label} 不具备的指令；请针对该类 CPU 编译", log)  # fmt: skip
        if code == 126 or "Exec format error" in log or "cannot execute" in log:
            return ProductFault("it cannot be executed: wrong architecture or no executable file",
                                "无法执行：架构不符或不是可执行文件", log)  # fmt: skip
        if code == 127:
            return ProductFault("it cannot be executed: program or its ELF interpreter not found",
                                "无法执行：找不到程序或其 ELF 解释器", log)  # fmt: skip
        if code == 137 and self.out_of_memory():
            limit = self.context.application.limits.memory
            return ProductFault(f"it was killed: it took more memory than its limit of {limit}",
                                f"进程被终止：内存超过限额 {limit}", log)  # fmt: skip
        if code > 128:
            return ProductFault(f"it died with signal {code - 128}", f"进程因信号 {code - 128} 终止", log)
        return ProductFault(f"it exited at once with status {code}", f"进程立即退出，状态码 {code}", log)

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something in the product's container for memory."""
        text = self.machine.run(_MEMORY, timeout=30).out
        return any(int(count) > 0 for count in re.findall(r"^oom_kill (\d+)", text, re.MULTILINE))

    def _never_ready(self, limit: float) -> ProductFault:
        ready = self.context.application.ready
        asked = f"GET {ready.path}" if ready.path is not None else "its readiness command"
        asked_zh = f"GET {ready.path}" if ready.path is not None else "就绪检查命令"
        return ProductFault(f"it runs but never got ready: {asked} gave no good answer within {limit:.0f} s",
                            f"进程在运行但未就绪：{limit:.0f} 秒内 {asked_zh} 没有正确响应", self.log())  # fmt: skip
