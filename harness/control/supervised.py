"""A product that runs in the foreground under a shell of ours, which notes how it ended."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from harness.model.context import CellContext
from harness.model.machine import Machine
from harness.model.templating import render

RUN = "/run/harness"
LOG = "/var/log/harness/app.log"


def _end(seconds: float) -> str:
    """Shell text that waits for the end of the present start and prints its status."""
    return (
        f"e={RUN}/app.exit.$(cat {RUN}/app.run); n=0; "
        f"while [ ! -s $e ] && [ $n -lt {int(seconds * 10)} ]; do sleep 0.1; n=$((n+1)); done; cat $e"
    )


@dataclass
class Supervised:
    """Implements ``Control`` with ``application.start``."""

    context: CellContext
    machine: Machine
    _run: str = field(default="", repr=False)  #: names the start whose end is looked for

    def install(self) -> None:
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
        command = render(application.start or "false", values, where="start").strip()
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
        self._run = secrets.token_hex(4)
        # One command for all of it, because each costs the engine a twentieth of a second, and an emulated one more.
        done = self.machine.run(
            f"{self._control() if self._own_control else ''}"
            f"rm -f {RUN}/app.pid; echo {self._run} >{RUN}/app.run\n"
            f"setsid sh {RUN}/supervise.sh {self._run} </dev/null >/dev/null 2>&1 &\n"
            f"n=0; while [ ! -s {RUN}/app.pid ] && [ $n -lt 50 ]; do sleep 0.02; n=$((n+1)); done\n"
            f"kill -0 $(cat {RUN}/app.pid) 2>/dev/null",
            timeout=30 * self.context.factor,
            user=self.context.application.user,
        )
        return done.ok

    def exit_code(self) -> int | None:
        # Another process may have started it since; and our own start may not have been noted yet.
        own = self._run or "none"
        pending = f'[ "$r" != {own} ] && [ {own} != none ] && [ ! -e {RUN}/app.exit.{own} ]'
        done = self.machine.run(f"r=$(cat {RUN}/app.run); {pending} || cat {RUN}/app.exit.$r 2>/dev/null", timeout=30)
        text = done.out.strip()
        return int(text) if text.isdigit() else None

    def pid(self) -> int:
        text = self.machine.run(f"cat {RUN}/app.pid 2>/dev/null", timeout=30).out.strip()
        return int(text) if text.isdigit() else 0

    def running(self) -> bool:
        return self.machine.run(f"kill -0 $(cat {RUN}/app.pid) 2>/dev/null", timeout=30).ok

    def log(self, lines: int) -> str:
        return self.machine.run(f"tail -n {lines} {LOG} 2>/dev/null", timeout=30).out

    def stop(self, seconds: float) -> tuple[float, int | None]:
        signal = self.context.application.stop
        done = self.machine.run(
            f"kill -{signal} $(cat {RUN}/app.pid) 2>/dev/null; {_end(seconds)}", timeout=seconds * 3 + 30
        )
        text = done.out.strip()
        return done.seconds, int(text) if text.isdigit() else None

    def kill(self) -> bool:
        return self.machine.run(f"kill -9 $(cat {RUN}/app.pid); {_end(10)}", timeout=60).ok

    def remove(self) -> None:
        """What it wrote lies in the harness's own folders, which go with the cell."""
