"""A product that systemd starts, as on its customers' machines: the vendor's own unit, and a drop-in for the time of
the cell (systemd.unit(5))."""

from __future__ import annotations

import hashlib
import re
import signal
from dataclasses import dataclass

from harness.control.ends import End
from harness.control.fault import ProductFault
from harness.control.supervised import BEGAN, RUN, STARTS
from harness.errors import AttestationMismatch, InfrastructureError, StepTimeout
from harness.model.context import CellContext
from harness.model.machine import Machine
from harness.model.templating import render
from harness.system import shell
from harness.system.wait import wait_until

_SHOW = "ActiveState,Result,MainPID,ControlPID,ExecMainPID,ExecMainCode,ExecMainStatus,Job,LoadState,ConditionResult"
#: CLD_EXITED of waitid(2), which ExecMainCode gives; the others are ends by a signal.
_EXITED = 1
#: Where cgroups are: of version 2, or of version 1 those that systemd names its units by.
CGROUPS = "/sys/fs/cgroup"
#: The processes of the unit, and of cgroups that it was given to divide (Delegate=): into $m.
_MEMBERS = """g=$(systemctl show -p ControlGroup {unit} | sed -n 's/^ControlGroup=//p')
m=$([ -z "$g" ] || find {cgroups}$g {cgroups}/systemd$g {cgroups}/unified$g -name cgroup.procs -exec cat {{}} + \\
  2>/dev/null | sort -un)
"""
#: Drop-ins apply in the order of their names, whatever folder they lie in (systemd.unit(5)): ours must be the last.
DROP_IN = "zzzz-harness.conf"
#: Run by systemd before each start (ExecStartPre=, systemd.service(5)), so that a missing end is known to be missing.
#: Where the disk is full, the memory of the machine takes the note.
_STARTED = """echo start >>{starts} || echo start >>{spare}.starts
exit 0
"""
#: Run by systemd after each end (ExecStopPost=); those that somebody asked for are only counted.
_ENDED = """how="${{EXIT_CODE:-none}} ${{EXIT_STATUS:-none}} ${{SERVICE_RESULT:-none}} $(date +%s)"
[ ! -e {asked} ] || how=asked
echo "$how" >>{ends} || echo "$how" >>{spare}.ends
exit 0
"""
#: Ends that the machine's own end brought leave no line: they are as that was, asked for or not.
_ACCOUNT = """n() {{ cat "$@" 2>/dev/null | grep -vc ^lost; }}
[ ! -e {asked} ] || while [ $(n {ends} {spare}.ends) -lt $(n {starts} {spare}.starts) ]; do
  echo asked >>{ends} || echo asked >>{spare}.ends || break
done
"""
#: A unit that stays active after its command (RemainAfterExit=, as every init script has it) has no end for systemd
#: when its processes end.
_LOST = f"""s=$(systemctl show -p ActiveState -p MainPID -p RemainAfterExit {{unit}})
case $s in *ActiveState=active*) case $s in *RemainAfterExit=yes*) case $s in *MainPID=0*) {_MEMBERS}
  if [ -z "$m" ] && [ -e {{alive}} ] && [ ! -e {{asked}} ]; then
    echo "lost $(date +%s)" >>{{ends}} || echo "lost $(date +%s)" >>{{spare}}.ends
    rm -f {{alive}}
  fi ;; esac ;; esac ;; esac
"""
#: What runs before the drop-in is there (a package has started it, or the machine, which was restarted) has neither its
#: environment nor what was configured since.
_EARLY = f"""case $(systemctl is-active {{unit}}) in active|activating|reloading)
  if ! systemctl show -p DropInPaths {{unit}} | grep -q {DROP_IN}; then
    : >{{spare}}.early; echo start >>{{starts}}
  fi ;; esac
"""
#: As the verb of control.sh; two of each brace because names are filled in.
_LISTENING = f"""{_MEMBERS}
for p in $m; do
  if [ -e /proc/$p/cwd ]; then echo "member $p"; ls -l /proc/$p/fd
  elif read -r l </proc/$p/stat; then
    case "${{{{l##*) }}}}" in Z*|X*) ;; *) echo "hidden $p" ;; esac
  fi
done 2>/dev/null | sed -n 's/.*socket:\\[\\([0-9]*\\)\\].*/socket \\1/p; /^member [0-9]*$/p; /^hidden [0-9]*$/p'
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null
[ -s /proc/net/if_inet6 ] && echo has-ipv6
"""


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
        text = (
            f"[Service]\nEnvironmentFile=-{RUN}/app.env\nRestart=no\nTimeoutStopSec={limit:.0f}\n"
            f"ExecStartPre=-+/bin/sh {RUN}/started.sh\nExecStopPost=+/bin/sh {RUN}/ended.sh\n"
        )
        self.machine.put(f"{self._drop_in}/{DROP_IN}", text.encode())
        self.machine.put(f"{RUN}/started.sh", self._noting(_STARTED).encode())
        self.machine.put(f"{RUN}/ended.sh", self._noting(_ENDED).encode())
        answer = self.machine.run(
            f"mkdir -p {STARTS} && {{ [ -e {BEGAN} ] || : >{BEGAN}; }} && {self._noting(_EARLY)}"
            f"systemctl daemon-reload && systemctl cat {shell.quote(self.unit)}",
            timeout=60 * self.context.factor,
        )
        if not answer.ok:
            raise ProductFault(
                f"the installed product has no service {self.unit}",
                f"安装后的产品缺少服务 {self.unit}",
                answer.text[-600:],
            )
        self._demand_watched()

    def _demand_watched(self) -> None:
        """Raises AttestationMismatch where the unit's ends would not be seen, for all that the drop-in says."""
        answer = self.machine.run(
            f"systemctl show -p Restart -p ExecStartPre -p ExecStopPost -p DropInPaths {shell.quote(self.unit)}",
            timeout=60 * self.context.factor,
        )
        kept = re.search(r"^Restart=no$", answer.out, re.MULTILINE)
        noted = all(f"{RUN}/{script}.sh" in answer.out for script in ("started", "ended"))
        if not kept or not noted:
            paths = re.findall(r"^DropInPaths=(.*)$", answer.out, re.MULTILINE)
            raise AttestationMismatch(
                f"{self.machine.name}: the ends of {self.unit} cannot be seen: systemd does not take over what "
                f"{DROP_IN} says (Restart=, ExecStartPre=, ExecStopPost=): {answer.err.strip()[-200:]} "
                f"its drop-ins: {' '.join(paths) or 'not named'}",
                advice=f"take a machine with systemd 231 or newer, and no drop-in whose name comes after {DROP_IN}",
            )

    def _install_again(self) -> None:
        """Where the machine was restarted, what lay in /run is gone."""
        paths = (f"{self._drop_in}/{DROP_IN}", *(f"{RUN}/{name}" for name in ("app.env", "started.sh", "ended.sh")))
        present = " && ".join(f"[ -e {shell.quote(path)} ]" for path in paths)
        look = f"{{ {present}; }} || echo missing\n[ ! -e {self._spare}.early ] || echo early"
        answer = self.machine.run(look, timeout=60 * self.context.factor)
        if "missing" in answer.out:
            self.install()
            answer = self.machine.run(look, timeout=60 * self.context.factor)
        if "early" in answer.out:
            self._settle()
            self.machine.run(f"rm -f {self._spare}.early", timeout=60 * self.context.factor)

    def start(self) -> bool:
        self._install_again()
        # --no-block: a unit that says itself when it is ready may take long, and readiness is ours to watch.
        unit = shell.quote(self.unit)
        if self._properties().get("ActiveState") == "active" and not self.running():
            self.machine.run(self._noting(_LOST), timeout=60 * self.context.factor)
            self._settle()
        answer = self.machine.run(
            f"{self._noting(_ACCOUNT)}rm -f {self._asked} {self._key}.alive\n"
            f"systemctl reset-failed {unit} 2>/dev/null; systemctl start --no-block {unit}",
            timeout=60 * self.context.factor,
        )
        if not answer.ok:
            raise ProductFault(
                f"systemd does not start {self.unit}: {answer.text.strip()[-300:]}",
                f"systemd 无法启动 {self.unit}",
                self.log(40),
            )
        return self.running()

    def exit_code(self) -> int | None:
        properties = self._properties()
        if properties.get("Job", "0") not in ("", "0") or properties.get("ActiveState") not in ("failed", "inactive"):
            return None
        if properties.get("ConditionResult") == "no" or properties.get("ExecMainPID", "0") == "0":
            # Nothing of it ever ran: what it needs is missing, or a command before it failed.
            return (
                None if properties.get("ActiveState") == "inactive" and properties.get("ConditionResult") != "no" else 1
            )
        status = int(properties.get("ExecMainStatus") or 0)
        return status if int(properties.get("ExecMainCode") or _EXITED) == _EXITED else 128 + status

    def pid(self) -> int:
        return next(iter(self._processes(self._properties())), 0)

    def running(self) -> bool:
        properties = self._properties()
        return properties.get("ActiveState") in ("active", "activating", "reloading") and bool(
            self._processes(properties)
        )

    def _processes(self, properties: dict[str, str]) -> list[int]:
        """Its main process; else what prepares or starts it; else, as systemd need not know which process is the main
        one (init scripts, Type=oneshot, several daemons), all of its cgroup."""
        for name in ("MainPID", "ControlPID"):
            if properties.get(name, "0") not in ("", "0"):
                return [int(properties[name])]
        answer = self.machine.run(
            f'{self._noting(_MEMBERS)}[ -z "$m" ] || {{ mkdir -p {STARTS}; : >{self._key}.alive; }}; echo $m',
            timeout=60 * self.context.factor,
        )
        return [int(word) for word in answer.out.split() if word.isdigit()]

    def log(self, lines: int) -> str:
        return self.machine.run(
            f"journalctl -u {shell.quote(self.unit)} -n {lines} --no-pager -o cat 2>/dev/null | tail -c 4000000",
            timeout=60 * self.context.factor,
        ).out

    def stop(self, seconds: float) -> tuple[float, int | None]:
        self.asked()
        answer = self.machine.run(f"systemctl stop {shell.quote(self.unit)}", timeout=seconds * 3 + 30)
        properties = self._properties()
        if (
            not answer.ok
            or properties.get("Result") == "timeout"
            or properties.get("ActiveState") not in ("inactive", "failed")
        ):
            return answer.seconds, None
        # What systemd takes for a clean end (SuccessExitStatus=, SIGTERM) is one.
        return answer.seconds, 0 if properties.get("Result") == "success" else self.exit_code()

    def kill(self) -> bool:
        self.asked()
        self.machine.run(f"systemctl kill -s KILL {shell.quote(self.unit)}", timeout=60 * self.context.factor)
        try:
            wait_until(self._gone, seconds=10 * self.context.factor, what="the end of the unit")
        except StepTimeout:
            return False
        if self._properties().get("ActiveState") == "active":  # for systemd; it would not start it again
            self._settle()
        return True

    def _gone(self) -> bool:
        properties = self._properties()
        return properties.get("ActiveState") in ("inactive", "failed") or (
            properties.get("ActiveState") == "active" and not self._processes(properties)
        )

    def _settle(self) -> None:
        """Have systemd take for stopped what it takes for active: an order to start it does nothing before."""
        limit = self.context.application.stop_seconds * self.context.factor
        self.machine.run(
            f"mkdir -p {STARTS}; : >{self._asked}; systemctl stop {shell.quote(self.unit)}", timeout=limit * 3 + 30
        )

    def asked(self) -> None:
        # A unit that is over already has ended by itself, and what notes that has run.
        self.machine.run(
            f"{self._noting(_LOST)}case $(systemctl is-active {shell.quote(self.unit)}) in inactive|failed|unknown) ;; "
            f"*) mkdir -p {STARTS}; : >{self._asked} ;; esac",
            timeout=60 * self.context.factor,
        )

    def ends(self) -> list[End]:
        # The state comes first: what ends after that is noted for the next look.
        answer = self.machine.run(
            f"{self._noting(_LOST)}echo state $(systemctl show -p ActiveState {shell.quote(self.unit)})\n"
            f"[ ! -e {self._asked} ] || echo pending\n"
            f"cat {self._starts} {self._spare}.starts {self._ends} {self._spare}.ends 2>/dev/null",
            timeout=60 * self.context.factor,
        )
        lines = answer.out.splitlines()
        starts, asked = lines.count("start"), lines.count("asked")
        ends = [
            End(start=self.unit, status=_status(code, status), memory=result == "oom-kill", at=float(at))
            for code, status, result, at in (line.split() for line in lines if re.fullmatch(r"(\S+ ){3}\d+", line))
        ]
        state = re.search(r"^state ActiveState=(\S+)", answer.out, re.MULTILINE)
        # One end may yet come: that of the present start; or nothing could note it, and somebody asked for it.
        open_end = state is not None and (state[1] not in ("inactive", "failed") or "pending" in lines)
        missing = starts - len(ends) - asked - open_end
        if state is None or not (starts or ends) or missing > 0:
            raise InfrastructureError(
                f"{self.machine.name}: not every start and end of {self.unit} is noted in {STARTS}: {starts} starts, "
                f"{len(ends) + asked} ends: {answer.err.strip()[-200:]}",
                advice="see what removed the notes (the product's removal, a full disk), or which command of "
                "ExecStopPost= of the unit fails, so that those after it are not run",
            )
        ends += [End(start=self.unit, status=None, at=float(line[5:])) for line in lines if line.startswith("lost ")]
        return sorted(ends, key=lambda end: end.at or float("inf"))

    def said(self, start: str, lines: int) -> str:
        return self.log(lines)

    def left(self) -> list[str]:
        return []

    def listening(self) -> str:
        return self.machine.run(self._noting(_LISTENING), timeout=60 * self.context.factor).out

    @property
    def _key(self) -> str:
        whose = f"{self.context.campaign}/{self.context.cell}/{self.context.attempt}"
        return f"{STARTS}/{hashlib.sha256(whose.encode()).hexdigest()[:12]}"

    @property
    def _asked(self) -> str:
        """There while the next end is one that was asked for."""
        return f"{self._key}.asked"

    @property
    def _starts(self) -> str:
        """A line for each start."""
        return f"{self._key}.starts"

    @property
    def _ends(self) -> str:
        """A line for each end: how it came, or that it was asked for."""
        return f"{self._key}.ends"

    @property
    def _spare(self) -> str:
        """Begins the names of the files for what the disk did not take."""
        return f"{RUN}/{self._key.rpartition('/')[2]}"

    def _noting(self, script: str) -> str:
        """A script with the names of the unit and of its notes filled in."""
        return script.format(
            unit=shell.quote(self.unit),
            cgroups=CGROUPS,
            asked=self._asked,
            alive=f"{self._key}.alive",
            starts=self._starts,
            ends=self._ends,
            spare=self._spare,
        )

    def group(self) -> str:
        return "that of systemd"

    def remove(self) -> None:
        self.machine.run(f"rm -rf {shell.quote(self._drop_in)} && systemctl daemon-reload", timeout=60)

    def _properties(self) -> dict[str, str]:
        answer = self.machine.run(
            f"systemctl show -p {_SHOW} {shell.quote(self.unit)}", timeout=60 * self.context.factor
        )
        return dict(re.findall(r"^(\w+)=(.*)$", answer.out, re.MULTILINE))


def _status(code: str, status: str) -> int | None:
    """Exit status, or 128 + signal, of what systemd gives as $EXIT_CODE and $EXIT_STATUS (systemd.exec(5))."""
    if code == "exited" and status.isdigit():
        return int(status)
    if code in ("killed", "dumped"):
        known = {known_signal.name.removeprefix("SIG"): known_signal.value for known_signal in signal.Signals}
        return 128 + known[status] if status in known else None
    return None


def _quoted(value: str) -> str:
    """A value as an EnvironmentFile= takes it: systemd.exec(5)."""
    return '"' + re.sub(r'([\\"$`])', r"\\\1", value) + '"'
