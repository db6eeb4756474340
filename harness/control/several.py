"""A product that consists of several processes: each of its services, and all of them as one product."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.control import ending
from harness.control.ends import End
from harness.control.fault import ProductFault
from harness.control.listening import explained, listeners
from harness.control.supervised import Process, Supervised
from harness.errors import StepTimeout
from harness.model.context import CellContext
from harness.model.definitions import Service
from harness.model.machine import Machine
from harness.model.templating import render
from harness.system.wait import wait_until

#: Statuses of a process that ended in order after its signal.
CLEAN = (0, 143, 130, 131)


@dataclass(frozen=True)
class ServiceControl:
    """One service of a product, which suites start, stop and kill apart from the others."""

    context: CellContext
    machine: Machine
    service: Service
    control: Supervised

    @classmethod
    def of(cls, context: CellContext, machine: Machine, service: Service) -> ServiceControl:
        """The service on its machine."""
        return cls(
            context, machine, service, Supervised(context, machine, Process.of_service(context.application, service))
        )

    @property
    def name(self) -> str:
        """Its name, by which messages and logs tell it from the others."""
        return self.service.service

    @property
    def ports(self) -> tuple[int, ...]:
        """Numbers of the ports on which it is declared to listen."""
        return self.control.process.ports

    @property
    def stop_limit(self) -> float:
        """Seconds that its end may take."""
        return self.service.stop_seconds * self.context.factor

    def start(self) -> float:
        """Start it and wait until it is ready; gives the seconds it took.

        Raises:
            ProductFault: it ended, or was not ready within its declared limit (scaled by the target's factor).
            InfrastructureError: the machine does not answer.
        """
        limit = self.service.ready_seconds * self.context.factor
        try:
            self.control.start()
            return wait_until(self._ready, seconds=limit, what=f"service {self.name}", interval=0.05, longest=0.2)
        except StepTimeout:
            where, where_zh = explained(listeners(self.control.listening()), self.ports)
            raise ProductFault(
                f"service {self.name} runs and was not ready within {limit:.0f} s"
                + (f": {where}" if where else f": {self.service.ready.command}" if self.service.ready else ""),
                f"服务 {self.name} 在运行，但 {limit:.0f} 秒内未就绪" + (f"：{where_zh}" if where_zh else ""),
                self.log(40),
            ) from None
        except ProductFault as fault:
            raise self.named(fault) from fault

    def _ready(self) -> bool:
        """Raises ProductFault where it has ended."""
        _, running, status = self.control.state()
        if status.isdigit():
            raise self.ended(int(status))
        if not running:
            return False
        if (ready := self.service.ready) is not None:
            command = render(ready.command or "false", self.context.values(), where="services.ready.command")
            return self.machine.run(command, timeout=30 * self.context.factor).ok
        if not self.ports:
            return True
        return set(self.ports) <= {socket.port for socket in listeners(self.control.listening())}

    def ended(self, code: int) -> ProductFault:
        """What the exit status of its present start means.

        Raises:
            InfrastructureError: the emulator says that it failed itself, or the machine does not answer.
        """
        control = self.control
        memory = code == 137 and any(end.memory for end in control.ends()[-1:])
        left = control.left() if code == 0 else []
        return self.named(ending.ended(self.context, self.machine, code, self.log(40), memory=memory, left=left))

    def named(self, fault: ProductFault) -> ProductFault:
        """The same fault, as the service's."""
        if fault.en.startswith(f"service {self.name}"):
            return fault
        return ProductFault(
            f"service {self.name}: {fault.en}", f"服务 {self.name}：{fault.zh}", fault.log, certain=fault.certain
        )

    def stop(self) -> tuple[float, int]:
        """Send the declared signal and wait; gives seconds and exit status.

        Raises:
            ProductFault: it does not end within its declared limit.
        """
        seconds, code = self.control.stop(self.stop_limit)
        if code is None:
            raise ProductFault(
                f"service {self.name} did not stop within {self.stop_limit:.0f} s after SIG{self.service.stop}",
                f"服务 {self.name} 收到 SIG{self.service.stop} 后 {self.stop_limit:.0f} 秒内未停止",
                self.log(40),
            )
        return seconds, code

    def kill(self) -> None:
        """SIGKILL to it and everything it started.

        Raises:
            ProductFault: something of it outlives SIGKILL.
        """
        if not self.control.kill():
            raise ProductFault(
                f"service {self.name} outlived SIGKILL", f"服务 {self.name} 在 SIGKILL 后仍存在", self.log(40)
            )

    def pid(self) -> int:
        """Its process id inside the machine; 0 where there is none."""
        return self.control.pid()

    def left(self) -> list[str]:
        """Command lines of what it started and still runs."""
        return self.control.left()

    def log(self, lines: int) -> str:
        """Tail of its output."""
        return self.control.log(lines)


@dataclass
class Several:
    """Implements ``Control`` for all services of a product, in their order."""

    context: CellContext
    machine: Machine
    services: tuple[ServiceControl, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.services = tuple(
            ServiceControl.of(self.context, self.machine, service) for service in self.context.application.services
        )

    def install(self) -> None:
        for service in self.services:
            service.control.install()

    def start(self) -> bool:
        for service in self.services:
            if not service.control.running():
                service.start()
        return True

    def ended(self) -> ServiceControl | None:
        """The first service that has ended; None while all run, or were never started."""
        return next((service for service in self.services if service.control.exit_code() is not None), None)

    def exit_code(self) -> int | None:
        codes = (service.control.exit_code() for service in self.services)
        return next((code for code in codes if code is not None), None)

    def pid(self) -> int:
        """Of the first service."""
        return self.services[0].pid()

    def running(self) -> bool:
        return all(service.control.running() for service in self.services)

    def log(self, lines: int) -> str:
        return "".join(f"=== service {service.name}\n{service.log(lines).rstrip()}\n" for service in self.services)

    def stop(self, seconds: float) -> tuple[float, int | None]:
        """The last first, each within its own limit. Gives the first status that is no clean end, if there is one.

        Raises:
            ProductFault: services did not end within their limits; the others are stopped nevertheless.
        """
        spent, status, faults = 0.0, 0, []
        for service in reversed(self.services):
            pid, _, ended = service.control.state()
            if not pid or ended.isdigit():  # it was never started, or has ended by itself
                continue
            try:
                took, code = service.stop()
            except ProductFault as fault:
                faults.append(fault)
                continue
            spent += took
            status = code if code not in CLEAN and status == 0 else status
        if faults:
            raise ProductFault(
                "; ".join(fault.en for fault in faults),
                "；".join(fault.zh for fault in faults),
                "\n".join(fault.log for fault in faults),
            )
        return spent, status

    def kill(self) -> bool:
        gone = [service.control.kill() for service in self.services if service.pid()]  # what was started
        return all(gone)

    def asked(self) -> None:
        for service in self.services:
            service.control.asked()

    def ends(self) -> list[End]:
        ends = [end for service in self.services for end in service.control.ends()]
        return sorted(ends, key=lambda end: end.at or float("inf"))

    def said(self, start: str, lines: int) -> str:
        return "".join(service.control.said(start, lines) for service in self.services)

    def left(self) -> list[str]:
        return [line for service in self.services for line in service.left()]

    def listening(self) -> str:
        return "".join(service.control.listening() for service in self.services)

    def group(self) -> str:
        groups = [service.control.group() for service in self.services]
        return ", ".join(groups) if all(groups) else ""

    def remove(self) -> None:
        """What was written lies in the harness's own folders, which go with the cell; cgroups do not."""
        for service in self.services:
            service.control.remove()
