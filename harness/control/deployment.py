"""The running product on a cell: start, stop, kill, readiness, and what its end means."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field

import httpx

from harness.control.fault import ProductFault
from harness.control.protocol import Control, control_of
from harness.control.servers import CellDatabase, CellServer
from harness.errors import HarnessError, StepTimeout
from harness.machines.opening import open_machine
from harness.model.context import CellContext
from harness.model.machine import Machine, MachineReference
from harness.model.templating import render
from harness.system.wait import Deadline, wait_until

_MEMORY = "cat /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events 2>/dev/null"


@dataclass
class Deployment:
    """Controls the product in ``machine``; made from a context in any process."""

    context: CellContext
    machine: Machine
    database: CellDatabase
    middleware: CellServer | None = None
    _control: Control | None = field(default=None, repr=False)

    @classmethod
    def of(cls, context: CellContext) -> Deployment:
        """Reaches the machines that the context names.

        Raises:
            InfrastructureError: a machine cannot be reached.
        """
        product = open_machine(context.application_machine)

        def reached(reference: MachineReference) -> Machine:
            return product if reference == context.application_machine else open_machine(reference)

        broker = context.middleware_machine
        return cls.on(
            context, product, reached(context.database_machine), reached(broker) if broker is not None else None
        )

    @classmethod
    def on(cls, context: CellContext, product: Machine, server: Machine, broker: Machine | None = None) -> Deployment:
        """On machines that are reached already; ``server`` is the database's and ``broker`` the middleware's, which
        may be the product's."""
        user = context.application.user if context.database.placement == "embedded" else "root"
        database = CellDatabase(server, context.database, context.access, context.factor, user)
        middleware = None
        if broker is not None and context.middleware is not None and context.middleware_access is not None:
            middleware = CellServer(broker, context.middleware, context.middleware_access, context.factor)
        return cls(context, product, database, middleware)

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

    @property
    def control(self) -> Control:
        """The way the product is started and watched; asked of the machine once."""
        if self._control is None:
            self._control = control_of(self.context, self.machine)
        return self._control

    def install_control(self) -> None:
        """Write what starts and watches the product.

        Raises:
            ProductFault: the installed product lacks what it is started by.
            InfrastructureError: the machine does not answer.
        """
        self.control.install()

    def start(self) -> bool:
        """Start the product; whether its process is there within the first second. Raises as ``install_control``."""
        return self.control.start()

    def exit_code(self) -> int | None:
        """How the product ended, None while it runs (or was never started)."""
        return self.control.exit_code()

    def pid(self) -> int:
        """Its process id inside the machine; 0 where there is none."""
        return self.control.pid()

    def running(self) -> bool:
        """Whether its process is there."""
        return self.control.running()

    def log(self, lines: int = 40) -> str:
        """Tail of the product's output."""
        return self.control.log(lines)

    def remove_control(self) -> None:
        """Take away what the harness put beside the product to start it."""
        self.control.remove()

    def is_ready(self) -> bool:
        """Whether it serves now, by the declared readiness."""
        ready = self.context.application.ready
        if ready.path is not None:
            with contextlib.suppress(httpx.HTTPError):
                # The product is on this machine: a proxy of the environment has nothing to do with it.
                answer = httpx.get(
                    self.url(ready.path), headers=self.headers(), trust_env=False, timeout=5 * self.context.factor
                )
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
        seconds, code = self.control.stop(limit)
        if code is None:
            raise ProductFault(
                f"it did not stop within {limit:.0f} s after SIG{application.stop}",
                f"收到 SIG{application.stop} 后 {limit:.0f} 秒内未停止",
                self.log(),
            )
        return seconds, code

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
        if not self.control.kill():
            raise ProductFault("it outlived SIGKILL", "SIGKILL 后进程仍存在", self.log())

    def lab_trouble(self) -> str | None:
        """What is wrong with the machines and servers of the lab; None where a known-good probe finds all well."""
        try:
            if self.machine.run("true", timeout=30).rc != 0:
                return "a known-good command fails on the application's machine"
            if not self.database.ready():
                return f"the database {self.context.database.database} does not answer"
            if self.middleware is not None and not self.middleware.ready():
                return f"the middleware {self.middleware.name} does not answer"
        except HarnessError as error:
            return error.message
        return None

    def ended(self, code: int) -> ProductFault:
        """What an exit status means, told in both languages."""
        log = self.log()
        label = f"{self.context.axes.get('cpu', '')} ({self.context.qemu_cpu or self.context.architecture})"
        if code in (132, 4) or re.search(r"Illegal instruction|uncaught target signal 4", log):
            return ProductFault(
                f"it died with SIGILL (illegal instruction): it uses an instruction that {label} does not have; "
                "build it for this CPU class",
                f"进程因 SIGILL（非法指令）终止：使用了 {label} 不具备的指令；请针对该类 CPU 编译",
                log,
            )
        if code == 126 or "Exec format error" in log or "cannot execute" in log:
            return ProductFault(
                "it cannot be executed: wrong architecture or no executable file",
                "无法执行：架构不符或不是可执行文件",
                log,
            )
        if code == 127:
            return ProductFault(
                "it cannot be executed: program or its ELF interpreter not found",
                "无法执行：找不到程序或其 ELF 解释器",
                log,
            )
        if code == 137 and self.out_of_memory():
            limit = self.context.application.limits.memory
            return ProductFault(
                f"it was killed: it took more memory than its limit of {limit}",
                f"进程被终止：内存超过限额 {limit}",
                log,
            )
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
        return ProductFault(
            f"it runs but never got ready: {asked} gave no good answer within {limit:.0f} s",
            f"进程在运行但未就绪：{limit:.0f} 秒内 {asked_zh} 没有正确响应",
            self.log(),
        )
