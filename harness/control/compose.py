"""A product that its vendor delivers as a compose file and images, on a machine that has an engine of its own."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from dataclasses import dataclass

from harness.control.ends import End
from harness.control.fault import ProductFault
from harness.control.supervised import RUN, STARTS
from harness.errors import AttestationMismatch, HarnessError, InfrastructureError, StepTimeout
from harness.model.context import CellContext
from harness.model.definitions import ComposeFile
from harness.model.machine import Machine
from harness.model.templating import render
from harness.system import shell
from harness.system.process import Completed
from harness.system.wait import wait_until

UP_SECONDS = 300.0
ENGINE_SECONDS = 30.0
_NO_ENVIRONMENT = 97  #: status of a command for which the variables are not there
#: Succeeds where the engine answers. Podman has no daemon, so it always answers.
_ENGINE = "if command -v docker >/dev/null; then docker version; else podman version; fi >/dev/null 2>&1"
#: Compose as a plugin of the engine, or as the program of its own that it was before.
_FIND = (
    'e=$(command -v docker || command -v podman) && { $e compose version >/dev/null 2>&1 && echo "$e compose" '
    "|| command -v docker-compose || command -v podman-compose; }"
)


@dataclass
class Compose:
    """Implements ``Control``: process and status are those of the service that ``file`` names as the product's."""

    context: CellContext
    machine: Machine
    file: ComposeFile
    _words: str = ""

    @property
    def project(self) -> str:
        """The name of the compose project, which owns the containers, networks and volumes."""
        return f"harness-{self.context.campaign}-{self.context.cell.rpartition('#')[2]}-{self.context.attempt}".lower()

    def install(self) -> None:
        self._put_environment()
        if not self.machine.run(f"test -f {shell.quote(self.file.file)}", timeout=30).ok:
            raise ProductFault(f"the installed product has no {self.file.file}", f"安装后的产品缺少 {self.file.file}")
        answer = self._compose("config -q", timeout=120)
        if not answer.ok:
            output = answer.text.strip()[-600:]
            raise ProductFault(
                f"{self.file.file} is no compose file that is understood here: {output}",
                f"{self.file.file} 无法被 compose 解析",
                output,
            )

    def _put_environment(self) -> None:
        values = self.context.values()
        variables = {
            name: render(value, values, where="environment")
            for name, value in self.context.application.environment.items()
        }
        self.machine.put(self._environment, shell.exports(variables).encode(), mode="0600")

    def start(self) -> bool:
        with contextlib.suppress(StepTimeout):  # a machine that was restarted answers before its engine does
            wait_until(
                lambda: self.machine.run(_ENGINE, timeout=60).ok,
                seconds=ENGINE_SECONDS * self.context.factor,
                what="the container engine",
                interval=0.5,
            )
        self._note()
        self.machine.run(f"rm -f {self._key}.asked {self._key}.container", timeout=60)
        answer = self._compose("up -d", timeout=UP_SECONDS * self.context.factor)
        if not answer.ok:
            output = answer.text.strip()[-600:]
            raise ProductFault(
                f"compose does not start {self.file.service}: {output[-300:]}",
                f"compose 无法启动 {self.file.service}",
                output,
            )
        state = self._state()
        if state.container:
            self._written(f"echo {shell.quote(state.container)} >{self._key}.container")
        return state.status == "running"

    def exit_code(self) -> int | None:
        state = self._state()
        return state.code if state.over else None

    def pid(self) -> int:
        return self._state().pid

    def running(self) -> bool:
        return self._state().status == "running"

    def log(self, lines: int) -> str:
        return self._compose(f"logs --no-color --tail {lines} | tail -c 4000000", timeout=60).out

    def stop(self, seconds: float) -> tuple[float, int | None]:
        self.asked()
        answer = self._compose(f"stop -t {max(1, int(seconds))}", timeout=seconds * 3 + 60)
        code = self.exit_code()
        # The engine kills a container that does not end in time; status 137 shows that.
        return answer.seconds, None if code == 137 else code

    def kill(self) -> bool:
        self.asked()
        self._compose("kill -s SIGKILL", timeout=60)
        return not self.running()

    def asked(self) -> None:
        if not self._note().over:
            self._written(f": >{self._key}.asked")

    def ends(self) -> list[End]:
        state = self._note()
        answer = self.machine.run(
            f"echo container $(cat {self._key}.container); cat {self._key}.ends 2>/dev/null", timeout=60
        )
        started = answer.out.partition("\n")[0].removeprefix("container").strip()
        # What was stopped because somebody asked for it may be removed then; what replaces it has ends of its own.
        if not started or started != (state.container or (started if state.asked else "")):
            raise InfrastructureError(
                f"{self.machine.name}: the container of {self.file.service} that was started "
                f"({started[:12] or 'not noted'}) is not the one there now ({state.container[:12] or 'none'}): "
                f"how it ended was not seen {answer.err.strip()[-200:]}",
                advice=f"see what removed or replaced the container, or the notes in {STARTS}: the product, or "
                "somebody on the host",
            )
        ends = []
        for line in answer.out.splitlines()[1:]:
            if len(words := line.split()) == 4:
                at, code, memory, restarted = words
                ends.append(
                    End(
                        start=self.file.service,
                        status=int(code),
                        memory=memory == "true",
                        at=_seconds(at),
                        restarted=restarted == "restarted",
                    )
                )
        return ends

    def said(self, start: str, lines: int) -> str:
        return self.log(lines)

    def left(self) -> list[str]:
        return []

    def listening(self) -> str:
        """Ports are published by the engine: nothing of them is known to be the product's own."""
        return ""

    @property
    def _key(self) -> str:
        whose = f"{self.context.campaign}/{self.context.cell}/{self.context.attempt}"
        return f"{STARTS}/{hashlib.sha256(whose.encode()).hexdigest()[:12]}"

    @property
    def _environment(self) -> str:
        """Variables for the compose file, which may use them or hand them on to its services."""
        return f"{RUN}/compose.env"

    def _written(self, command: str) -> None:
        """Raises InfrastructureError where a note could not be written: without it an end would be misunderstood."""
        answer = self.machine.run(f"mkdir -p {STARTS} && {{ {command}; }}", timeout=60)
        if not answer.ok:
            raise InfrastructureError(
                f"{self.machine.name}: what is seen of the product's ends cannot be noted in {STARTS}: "
                f"{answer.text.strip()[-200:]}",
                advice="check the machine's disk",
            )

    def _note(self) -> _State:
        """Write down an end that nobody asked for, and restarts that the engine made by itself; each of them once."""
        state = self._state()
        lines = [f"{state.finished} {state.code} {state.memory} ended"] if state.over and not state.asked else []
        lines += [f"restart/{n} {state.code} {state.memory} restarted" for n in range(state.restarts)]
        for line in lines:
            quoted = shell.quote(line)
            self._written(f"grep -qxsF -- {quoted} {self._key}.ends || echo {quoted} >>{self._key}.ends")
        return state

    def group(self) -> str:
        return "that of the engine"

    def remove(self) -> None:
        with contextlib.suppress(HarnessError):
            self._compose("down -v --remove-orphans", timeout=120)

    def _compose(self, words: str, *, timeout: float) -> Completed:
        """Raises:
        AttestationMismatch: the machine has no compose, which is not the product's fault.
        InfrastructureError: its engine does not answer.
        """
        if not self._words:
            self._words = self.machine.run(_FIND, timeout=60).out.strip()
        if not self._words:
            raise AttestationMismatch(
                f"{self.machine.name} has no container engine with compose",
                advice="install docker compose (or podman-compose) on the host",
            )
        command = (
            f"[ -f {self._environment} ] || exit {_NO_ENVIRONMENT}; . {self._environment}; "
            f"{self._words} -p {self.project} -f {shell.quote(self.file.file)} {words}"
        )
        answer = self.machine.run(command, timeout=timeout)
        if answer.rc == _NO_ENVIRONMENT:  # the machine was restarted
            self._put_environment()
            answer = self.machine.run(command, timeout=timeout)
        # Each version of compose reports a missing engine in its own way, so the engine itself is asked.
        if not answer.ok and not self.machine.run(_ENGINE, timeout=60).ok:
            raise InfrastructureError(
                f"{self.machine.name}: its container engine does not answer",
                advice="start the engine on the host, then: harness resume",
            )
        return answer

    def _state(self) -> _State:
        """State of the service's container.

        Raises:
            InfrastructureError: the engine does not say.
        """
        answer = self.machine.run(
            "e=$(command -v docker || command -v podman)\nfor l in com.docker.compose io.podman.compose; do "
            f"c=$($e ps -aq --filter label=$l.project={self.project} --filter label=$l.service={self.file.service}) "
            f'|| exit 1; [ -z "$c" ] || $e inspect -f {shell.quote(_FORM)} $c | head -n 1; done\n'
            f"[ ! -e {self._key}.asked ] || echo asked\necho looked",
            timeout=60,
        )
        words = answer.out.split()
        if words[-1:] != ["looked"]:
            raise InfrastructureError(
                f"{self.machine.name}: its container engine does not say how the product is: "
                f"{answer.text.strip()[-200:]}",
                advice="start the engine on the host, then: harness resume",
            )
        asked = "asked" in words[-2:]
        if len(words) < 8:
            return _State(asked=asked)
        return _State(
            container=words[0],
            status=words[1],
            code=int(words[2]),
            pid=int(words[3]),
            restarts=int(words[4]) if words[4].isdigit() else 0,
            memory=words[5],
            finished=words[6],
            asked=asked,
        )


_FORM = (
    "{{.Id}} {{.State.Status}} {{.State.ExitCode}} {{.State.Pid}} {{.RestartCount}} {{.State.OOMKilled}} "
    "{{if .State.FinishedAt}}{{json .State.FinishedAt}}{{else}}-{{end}}"
)


@dataclass(frozen=True)
class _State:
    """The state of a service's container, as its engine gives it; ``finished`` names its last end."""

    container: str = ""  #: its id; empty where there is none
    status: str = ""
    code: int = 0
    pid: int = 0
    restarts: int = 0
    memory: str = "false"
    finished: str = "-"
    asked: bool = False

    @property
    def over(self) -> bool:
        return self.status in ("exited", "dead", "stopped")


def _seconds(moment: str) -> float:
    """Seconds since 1970 of an engine's time, in quotation marks; 0 for one that cannot be read."""
    try:
        return datetime.datetime.fromisoformat(moment.strip('"').partition(".")[0].rstrip("Z") + "+00:00").timestamp()
    except ValueError:
        return 0.0
