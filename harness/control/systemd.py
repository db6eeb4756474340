"""A product that systemd starts, as on its customers' machines: the vendor's own unit, and a drop-in for the time of
the cell (systemd.unit(5))."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass

from harness.control.fault import ProductFault
from harness.control.supervised import RUN
from harness.model.context import CellContext
from harness.model.machine import Machine
from harness.model.templating import render
from harness.system.wait import Deadline

_SHOW = "ActiveState,Result,MainPID,ExecMainPID,ExecMainCode,ExecMainStatus,Job,LoadState,ConditionResult"
#: CLD_EXITED of waitid(2), which ExecMainCode gives; the others are ends by a signal.
_EXITED = 1


@dataclass
class Systemd:
    """Implements ``Control`` with systemctl(1); a unit that restarts by itself is kept from it, so that every end of
    the product is seen."""

    context: CellContext
    machine: Machine
    unit: str

    @property
    def _drop_in(self) -> str:
        return f"/run/systemd/system/{self.unit}.d"

    def install(self) -> None:
        application, values = self.context.application, self.context.values()
        variables = "".join(
            f"{name}={_quoted(render(value, values, where='environment'))}\n"
            for name, value in application.environment.items()
        )
        self.machine.put(f"{RUN}/app.env", variables.encode(), mode="0600")
        limit = application.stop_seconds * self.context.factor
        text = f"[Service]\nEnvironmentFile=-{RUN}/app.env\nRestart=no\nTimeoutStopSec={limit:.0f}\n"
        self.machine.put(f"{self._drop_in}/90-harness.conf", text.encode())
        done = self.machine.run(
            f"systemctl daemon-reload && systemctl cat {shlex.quote(self.unit)}", timeout=60 * self.context.factor
        )
        if not done.ok:
            raise ProductFault(
                f"the installed product has no service {self.unit}",
                f"安装后的产品缺少服务 {self.unit}",
                done.text[-600:],
            )

    def start(self) -> bool:
        # --no-block: a unit that says itself when it is ready may take long, and readiness is ours to watch.
        unit = shlex.quote(self.unit)
        done = self.machine.run(
            f"systemctl reset-failed {unit} 2>/dev/null; systemctl start --no-block {unit}",
            timeout=60 * self.context.factor,
        )
        if not done.ok:
            raise ProductFault(
                f"systemd does not start {self.unit}: {done.text.strip()[-300:]}",
                f"systemd 无法启动 {self.unit}",
                self.log(40),
            )
        return self.running()

    def exit_code(self) -> int | None:
        seen = self._seen()
        if seen.get("Job", "0") not in ("", "0") or seen.get("ActiveState") not in ("failed", "inactive"):
            return None
        if seen.get("ConditionResult") == "no" or seen.get("ExecMainPID", "0") == "0":
            # Nothing of it ever ran: what it needs is missing, or a command before it failed.
            return None if seen.get("ActiveState") == "inactive" and seen.get("ConditionResult") != "no" else 1
        status = int(seen.get("ExecMainStatus") or 0)
        return status if int(seen.get("ExecMainCode") or _EXITED) == _EXITED else 128 + status

    def pid(self) -> int:
        return int(self._seen().get("MainPID") or 0)

    def running(self) -> bool:
        seen = self._seen()
        return seen.get("ActiveState") in ("active", "activating", "reloading") and seen.get("MainPID", "0") != "0"

    def log(self, lines: int) -> str:
        return self.machine.run(
            f"journalctl -u {shlex.quote(self.unit)} -n {lines} --no-pager -o cat 2>/dev/null",
            timeout=60 * self.context.factor,
        ).out

    def stop(self, seconds: float) -> tuple[float, int | None]:
        done = self.machine.run(f"systemctl stop {shlex.quote(self.unit)}", timeout=seconds * 3 + 30)
        seen = self._seen()
        if not done.ok or seen.get("Result") == "timeout" or seen.get("ActiveState") not in ("inactive", "failed"):
            return done.seconds, None
        # What systemd takes for a clean end (SuccessExitStatus=, SIGTERM) is one.
        return done.seconds, 0 if seen.get("Result") == "success" else self.exit_code()

    def kill(self) -> bool:
        self.machine.run(f"systemctl kill -s KILL {shlex.quote(self.unit)}", timeout=60 * self.context.factor)
        deadline = Deadline(10 * self.context.factor)
        while self._seen().get("ActiveState") not in ("inactive", "failed"):
            if deadline.passed > 10 * self.context.factor:
                return False
            time.sleep(0.1)
        return True

    def remove(self) -> None:
        self.machine.run(f"rm -rf {shlex.quote(self._drop_in)} && systemctl daemon-reload", timeout=60)

    def _seen(self) -> dict[str, str]:
        done = self.machine.run(f"systemctl show -p {_SHOW} {shlex.quote(self.unit)}", timeout=60 * self.context.factor)
        return dict(re.findall(r"^(\w+)=(.*)$", done.out, re.MULTILINE))


def _quoted(value: str) -> str:
    """A value as an EnvironmentFile= takes it: systemd.exec(5)."""
    return '"' + re.sub(r'([\\"$`])', r"\\\1", value) + '"'
