"""A product that its vendor delivers as a compose file and images, on a machine that has an engine of its own."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass

from harness.control.fault import ProductFault
from harness.errors import AttestationMismatch, HarnessError, InfrastructureError
from harness.model.context import CellContext
from harness.model.definitions import ComposeFile
from harness.model.machine import Machine
from harness.system.process import Completed

UP_SECONDS = 300.0
#: Whether the engine answers; Podman is none that could be away.
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
        """Whose the containers, networks and volumes are."""
        return f"harness-{self.context.campaign}-{self.context.cell.rpartition('#')[2]}-{self.context.attempt}".lower()

    def install(self) -> None:
        if not self.machine.run(f"test -f {shlex.quote(self.file.file)}", timeout=30).ok:
            raise ProductFault(f"the installed product has no {self.file.file}", f"安装后的产品缺少 {self.file.file}")
        done = self._compose("config -q", timeout=120)
        if not done.ok:
            told = done.text.strip()[-600:]
            raise ProductFault(
                f"{self.file.file} is no compose file that is understood here: {told}",
                f"{self.file.file} 无法被 compose 解析",
                told,
            )

    def start(self) -> bool:
        done = self._compose("up -d", timeout=UP_SECONDS * self.context.factor)
        if not done.ok:
            told = done.text.strip()[-600:]
            raise ProductFault(
                f"compose does not start {self.file.service}: {told[-300:]}",
                f"compose 无法启动 {self.file.service}",
                told,
            )
        return self.running()

    def exit_code(self) -> int | None:
        status, code, _ = self._state()
        return code if status in ("exited", "dead", "stopped") else None

    def pid(self) -> int:
        return self._state()[2]

    def running(self) -> bool:
        return self._state()[0] == "running"

    def log(self, lines: int) -> str:
        return self._compose(f"logs --no-color --tail {lines}", timeout=60).out

    def stop(self, seconds: float) -> tuple[float, int | None]:
        done = self._compose(f"stop -t {max(1, int(seconds))}", timeout=seconds * 3 + 60)
        code = self.exit_code()
        # The engine kills what does not end in time, and 137 tells.
        return done.seconds, None if code == 137 else code

    def kill(self) -> bool:
        self._compose("kill -s SIGKILL", timeout=60)
        return not self.running()

    def remove(self) -> None:
        with contextlib.suppress(HarnessError):
            self._compose("down -v --remove-orphans", timeout=120)

    def _compose(self, words: str, *, timeout: float) -> Completed:
        """Raises:
        AttestationMismatch: the machine has no compose: that is none of the product's faults.
        InfrastructureError: its engine does not answer.
        """
        if not self._words:
            self._words = self.machine.run(_FIND, timeout=60).out.strip()
        if not self._words:
            raise AttestationMismatch(
                f"{self.machine.name} has no container engine with compose",
                advice="install docker compose (or podman-compose) on the host",
            )
        done = self.machine.run(
            f"{self._words} -p {self.project} -f {shlex.quote(self.file.file)} {words}", timeout=timeout
        )
        # Versions of compose tell it in many ways, a traceback among them; the engine itself is asked.
        if not done.ok and not self.machine.run(_ENGINE, timeout=60).ok:
            raise InfrastructureError(
                f"{self.machine.name}: its container engine does not answer",
                advice="start the engine on the host, then: harness resume",
            )
        return done

    def _state(self) -> tuple[str, int, int]:
        """State of the service's container, its exit status and process id."""
        done = self.machine.run(
            "e=$(command -v docker || command -v podman); for l in com.docker.compose io.podman.compose; do "
            f"c=$($e ps -aq --filter label=$l.project={self.project} --filter label=$l.service={self.file.service}); "
            "[ -z \"$c\" ] || $e inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}' $c; done "
            "| head -n 1",
            timeout=60,
        )
        words = done.out.split()
        return (words[0], int(words[1]), int(words[2])) if len(words) == 3 else ("", 0, 0)
