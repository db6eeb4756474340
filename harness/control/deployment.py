"""The running product on a cell: start, stop, kill, readiness, and what its end means."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.containers.machine import ContainerMachine
from harness.control import ending
from harness.control.ends import End, words
from harness.control.fault import ProductFault
from harness.control.limits import HarnessLimit, full_of_processes, harness_limit
from harness.control.listening import explained, listeners
from harness.control.protocol import Control, control_of
from harness.control.readiness import Answer, ask
from harness.control.servers import CellDatabase, CellServer
from harness.control.several import ServiceControl, Several
from harness.control.tls import ProductTls
from harness.errors import HarnessError, StepTimeout
from harness.machines.brokered import BrokeredMachine
from harness.machines.opening import open_machine
from harness.model.context import CellContext
from harness.model.definitions import Database
from harness.model.machine import Machine, MachineReference
from harness.model.templating import render
from harness.provision.provisioner import Outlet, no_outlet
from harness.system.addresses import in_url
from harness.system.wait import Deadline, wait_until

#: A disk with less free space, in KiB, is full.
FULL_KIB = 16 * 1024


@dataclass(frozen=True)
class Diagnosis:
    """Whose failure it is: ``product``, ``infra``, ``config``, or empty where only ``text`` is to be added to it."""

    cause: Literal["", "product", "infra", "config"]
    text: str


@dataclass
class Deployment:
    """Controls the product in ``machine``; made from a context in any process."""

    context: CellContext
    machine: Machine
    servers: Mapping[str, CellServer]  #: by role
    cancel: threading.Event = field(default_factory=threading.Event, repr=False)  #: ends long work on the controller
    trusts_code: bool = False  #: whether playbooks run here without a sandbox
    outlet: Outlet = no_outlet
    starts: int = 0  #: how often it was started, or waited for since a part of it was: connections of before are old
    _control: Control | None = field(default=None, repr=False)
    _known_ends: list[End] = field(default_factory=list, repr=False)  #: that a diagnosis has named
    _answer: Answer = field(default=Answer(ready=False), repr=False)  #: what was seen when readiness was last asked
    _tls: ProductTls | None = field(default=None, repr=False)

    @classmethod
    def of(cls, context: CellContext) -> Deployment:
        """Reaches the machines that the context names.

        Raises:
            InfrastructureError: a machine cannot be reached.
        """
        product = open_machine(context.application_machine)

        def reached(reference: MachineReference) -> Machine:
            return product if reference == context.application_machine else open_machine(reference)

        return cls.on(context, product, {role: reached(server.machine) for role, server in context.servers.items()})

    @classmethod
    def on(cls, context: CellContext, product: Machine, machines: Mapping[str, Machine]) -> Deployment:
        """On machines that are reached already: the product's, and that of each server by role."""
        servers: dict[str, CellServer] = {}
        for role, server in context.servers.items():
            machine, definition, access = machines[role], server.definition, server.access
            user = context.application.user if server.embedded else server.user
            asks = open_machine(server.asks) if server.asks is not None else None
            servers[role] = (
                CellDatabase(machine, definition, access, context.factor, user, server.restart_seconds, asks)
                if isinstance(definition, Database)
                else CellServer(machine, definition, access, context.factor, user, server.restart_seconds)
            )
        return cls(context, product, servers)

    @property
    def database(self) -> CellDatabase:
        """The database of the cell."""
        database = self.servers["database"]
        assert isinstance(database, CellDatabase)
        return database

    @property
    def middleware(self) -> CellServer | None:
        """The middleware of the cell, where it is a server."""
        return self.servers.get("middleware")

    def url(self, path: str = "") -> str:
        """Where the product's HTTP interface answers here. Raises LookupError where the application declares none."""
        http = self.context.application.http
        if http is None:
            raise LookupError("the application declares no http section")
        host, port = self.context.ports[http.port]
        return f"{'https' if http.tls is not None else 'http'}://{in_url(host)}:{port}{http.base}{path}"

    @property
    def tls(self) -> ProductTls | None:
        """How HTTPS is spoken with the product; None where it is plain HTTP."""
        if self._tls is None:
            self._tls = ProductTls.of(self.context, self.machine)
        return self._tls

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

    @property
    def services(self) -> tuple[ServiceControl, ...]:
        """The services of a product that consists of several processes, in the order of their start; else empty."""
        return self.control.services if isinstance(self.control, Several) else ()

    def install_control(self) -> None:
        """Write what starts and watches the product. Raises as ``Control.install``."""
        self.control.install()

    def start(self) -> bool:
        """Start the product; whether its process is there within the first second. Raises as ``install_control``."""
        self.starts += 1
        return self.control.start()

    def exit_code(self) -> int | None:
        """How the product ended, None while it runs (or was never started)."""
        return self.control.exit_code()

    def pid(self) -> int:
        """Its process id inside the machine (of its first service), 0 where there is none."""
        return self.control.pid()

    def pids(self) -> tuple[int, ...]:
        """The process id of each of its services; of the only process where it has none."""
        return tuple(service.pid() for service in self.services) or (self.pid(),)

    def running(self) -> bool:
        """Whether its process is there."""
        return self.control.running()

    def log(self, lines: int = 40) -> str:
        """Tail of the product's output."""
        return self.control.log(lines)

    def logs(self, lines: int) -> dict[str, str]:
        """Tail of the output of each service by its name; under ``application`` that of the only process."""
        return {f"service-{service.name}": service.log(lines) for service in self.services} or {
            "application": self.log(lines)
        }

    def remove_control(self) -> None:
        """Take away what the harness put beside the product to start it."""
        self.control.remove()

    def is_ready(self) -> bool:
        """Whether it serves now, by the declared readiness."""
        self._answer = ask(self.context, self.machine, self.tls, self.url, self.headers)
        return self._answer.ready

    @property
    def last_answer(self) -> str:
        """What the question for readiness was answered with the last time, in words; empty where nothing was asked."""
        return self._answer.words

    def wait_ready(self) -> float:
        """Wait until it serves; gives the seconds it took.

        Raises:
            ProductFault: it ended, or did not serve within its declared limit (scaled by the target's factor).
            UsageError: it cannot be asked by what the application declares for HTTPS.
            InfrastructureError: the machine does not answer.
        """
        self.starts += 1
        limit = self.context.application.readiness.seconds * self.context.factor
        deadline = Deadline(limit)
        try:
            self._until_ready(limit)
        except StepTimeout:
            raise self._never_ready(limit, deadline) from None
        passed = deadline.passed
        # An answer counts for the process that was started: an earlier one's children may hold the port.
        if (code := self.exit_code()) is not None:
            fault = self.ended(code)
            if self.services:  # the others may well answer
                raise fault
            raise ProductFault(
                f"something answers, but not what was started: {fault.en}",
                f"有进程应答，但不是本次启动的进程：{fault.zh}",
                fault.log,
            )
        return passed

    def _until_ready(self, seconds: float) -> None:
        """Raises ProductFault where it ended, StepTimeout where it did not serve within ``seconds``."""
        deadline, looked = Deadline(seconds), 0.0

        def look() -> bool:
            nonlocal looked
            if self.is_ready():
                return True
            if deadline.passed - looked >= 0.5:  # asking costs a round trip into the container
                looked = deadline.passed
                if (code := self.exit_code()) is not None:
                    raise self.ended(code)
            return False

        wait_until(look, seconds=seconds, what="readiness", interval=0.05, longest=0.1)

    def ensure_running(self) -> None:
        """Start it where it does not run. Raises as ``wait_ready``."""
        if self.is_ready() and (not self.services or self.running()):
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
        limit = application.stop_seconds * self.context.factor  # a service has a limit of its own
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

    def expect_end(self) -> None:
        """Say that the caller is about to end the product by other means than ``stop`` and ``kill``: the end that
        follows is asked for. Raises InfrastructureError where the machine does not answer."""
        self.control.asked()

    def unasked_ends(self) -> list[End]:
        """Every end since the cell's product was first started that nobody asked for, whether or not it was started
        again since. Raises InfrastructureError where the machine does not answer."""
        return self.control.ends()

    def unasked(self, ends: list[End]) -> ProductFault:
        """The failure that such ends are, with how each came, and the last lines that the product said before it."""
        limit = self.context.memory_limit
        logs = [f"--- before the end of {end.start}:\n{self.control.said(end.start, 20)}".rstrip() for end in ends[:3]]
        return ending.unasked(ends, [words(end, limit) for end in ends], logs)

    def demand_no_end(self) -> None:
        """Raises:
        ProductFault: the product has ended by itself since it was first started.
        InfrastructureError: the machine does not answer.
        """
        if ends := self.unasked_ends():
            raise self.unasked(ends)

    def lab_trouble(self) -> str | None:
        """What is wrong with the machines and servers of the lab; None where a known-good probe finds all well.

        A machine that is full of the product's own processes is none of the lab's troubles: see ``limit_reached``.
        """
        try:
            for machine in (self.machine, *(server.machine for server in self.servers.values())):
                if isinstance(machine, ContainerMachine | BrokeredMachine) and (disturbance := machine.disturbance()):
                    return disturbance
            probe = self.machine.run("df -Pk / 2>/dev/null || true", timeout=30)
            if probe.rc != 0 and self.limit_reached() is None:
                return "a known-good command fails on the application's machine"
            # A container has no disk of its own: what is full is the engine's, by whomever.
            free = re.search(r"^\S+ +\d+ +\d+ +(\d+) +\d+% ", probe.out, re.MULTILINE)
            if free is not None and int(free[1]) < FULL_KIB and self.context.application_machine.kind == "container":
                return f"the disk of the container engine is full: {int(free[1])} KiB are free"
            for role, server in self.servers.items():
                if words := server.trouble():
                    return f"the {role} {words}"
                if trouble := server.no_way_from(self.machine, role):
                    return trouble
        except HarnessError as error:
            return error.message if self.limit_reached() is None else None
        return None

    def limit_reached(self) -> str | None:
        """A limit of its own machine that the product has used up, so that nothing works there any more."""
        limits = self.context.application.limits
        if not full_of_processes(self.machine, limits):
            return None
        return (
            f"the product has filled its process limit of {limits.processes} (limits.processes of the application): "
            f"nothing more can be started on its machine / 产品进程数已达上限 {limits.processes}（limits.processes）"
        )

    def diagnose(self, said: str) -> Diagnosis:
        """Whose failure it is that a case or a step ended with the text ``said``, as far as the machines tell it."""
        if reached := self.limit_reached():
            return Diagnosis("product", reached)
        if trouble := self.lab_trouble():
            return Diagnosis("infra", trouble)
        limit = self.harness_limit(said)
        if limit is not None and limit.certain:
            return Diagnosis("config", str(limit))
        notes = [str(limit)] if limit is not None else []
        with contextlib.suppress(HarnessError):
            if fresh := [end for end in self.unasked_ends() if end not in self._known_ends]:
                self._known_ends += fresh
                notes.append(str(self.unasked(fresh)))
        return Diagnosis("", "; ".join(notes))

    def harness_limit(self, said: str) -> HarnessLimit | None:
        """The limit of the harness or the lab that the text of a failure speaks of, if any."""
        if (limit := harness_limit(said, self.machine, has_ipv6=False)) is None or "IPv6" not in limit.en:
            return limit
        with contextlib.suppress(HarnessError):
            return harness_limit(said, self.machine, has_ipv6="has-ipv6" in self.control.listening())
        return None

    def ended(self, code: int, log: str | None = None) -> ProductFault:
        """What an exit status of the present start means, in both languages; ``log``: of a program beside it.

        Raises:
            InfrastructureError: the emulator says that it failed itself.
        """
        if log is None and isinstance(self.control, Several) and (service := self.control.ended()) is not None:
            return service.ended(code)
        memory = code == 137 and any(end.memory for end in self.unasked_ends()[-1:])
        left = self.control.left() if code == 0 else []
        log = self.log() if log is None else log
        return ending.ended(self.context, self.machine, code, log, memory=memory, left=left)

    def terms_of_ready(self) -> str:
        """The limit of readiness in words: which factor was used, and where it comes from."""
        seconds, factor, declared = (
            self.context.application.readiness.seconds,
            self.context.factor,
            self.context.declared_factor,
        )
        origin = "as declared" if factor == declared else f"as measured; declared is {declared:g}"
        return f"the limit is {seconds * factor:.1f} s ({seconds:g} s x {factor:g}, {origin})"

    def _never_ready(self, limit: float, deadline: Deadline) -> ProductFault:
        """What was seen instead of readiness; it is asked for a little longer, to know whether it only comes late."""
        last = self._answer
        late = min(20.0, max(3.0, limit / 2))
        try:
            self._until_ready(late)
        except StepTimeout:
            pass
        else:
            over = deadline.passed - limit
            return ProductFault(
                f"it got ready, but {over:.1f} s too late: {self.terms_of_ready()}",
                f"已就绪，但晚了 {over:.1f} 秒：限时 {limit:.1f} 秒",
                self.log(),
            )
        if last.wrong is not None:
            raise last.wrong
        words, words_zh = last.explained(self.context, self.tls)
        where, where_zh = explained(listeners(self.control.listening()), self.context.application.ports.values())
        more, more_zh = (f"; {where}", f"；{where_zh}") if where else ("", "")
        return ProductFault(
            f"it runs but never got ready within {limit:.0f} s: {words}{more}",
            f"进程在运行，但 {limit:.0f} 秒内未就绪：{words_zh}{more_zh}",
            self.log(),
        )
