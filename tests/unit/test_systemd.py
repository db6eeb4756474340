"""A unit of systemd: what is not seen of its starts and ends is never taken for none. The shell is real, systemctl a
script that answers from files."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from harness.control import systemd
from harness.control.systemd import DROP_IN, Systemd
from harness.errors import AttestationMismatch, InfrastructureError
from harness.system.process import Completed
from tests.here import run_here
from tests.suite_runs import context

SYSTEMCTL = """#!/bin/sh
echo "$@" >>$PLACE/calls
case $1 in
show) names=''
  while [ $# -gt 0 ]; do [ "$1" != -p ] || names="$names|$2"; shift; done
  grep -E "^($(echo "${names#|}" | tr , '|'))=" $PLACE/properties ;;
is-active) sed -n 's/^ActiveState=//p' $PLACE/properties ;;
stop) sed -i 's/^ActiveState=.*/ActiveState=inactive/' $PLACE/properties
  [ ! -e $PLACE/stops-unnoted ] && sh $PLACE/run/ended.sh ;;
kill) find $PLACE/cgroup -name cgroup.procs -exec truncate -s 0 {} + ;;
start) sed -i 's/^ActiveState=.*/ActiveState=active/' $PLACE/properties; sh $PLACE/run/started.sh ;;
esac
exit 0
"""
GOOD = """\
ActiveState=inactive
MainPID=0
ControlPID=0
ControlGroup=/system.slice/x.service
Restart=no
ExecStartPre={{ path=/bin/sh ; argv[]=/bin/sh {0}/run/started.sh ; }}
ExecStopPost={{ path=/bin/sh ; argv[]=/bin/sh {0}/run/ended.sh ; }}
DropInPaths=/etc/systemd/system/x.service.d/override.conf /run/systemd/system/x.service.d/zzzz-harness.conf
"""


class Machine:
    """This machine's shell, with the folders of the harness below ``place``."""

    name = "application"

    def __init__(self, place: Path) -> None:
        self.place, self.written = place, {}  # type: ignore[var-annotated]
        (place / "systemctl").write_text(SYSTEMCTL)
        (place / "systemctl").chmod(0o755)
        self.show(GOOD.format(place))

    def show(self, properties: str) -> None:
        (self.place / "properties").write_text(properties)

    def state(self, word: str) -> None:
        self.has(f"ActiveState={word}")

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        environment = {"PATH": f"{self.place}:{os.environ['PATH']}", "PLACE": str(self.place)}
        return run_here(command, timeout=timeout, environment=environment)

    def put(self, path: str, data: bytes, *, mode: str = "0644", owner: str = "root:root") -> None:
        self.written[path] = data
        if path.startswith(str(self.place)):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(data)

    def processes(self, *pids: int, below: str = "") -> None:
        """Those of the unit's cgroup, or of one that the unit has set up itself."""
        folder = self.place / "cgroup" / "system.slice" / "x.service" / below
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))

    def properties(self) -> str:
        return (self.place / "properties").read_text()

    def has(self, *properties: str) -> None:
        text = self.properties().splitlines()
        names = {each.partition("=")[0] for each in properties}
        kept = [line for line in text if line.partition("=")[0] not in names]
        self.show("".join(f"{line}\n" for line in [*kept, *properties]))

    def crash(self, how: str = "exited 3 exit-code") -> None:
        """As systemd does where the main process ends by itself."""
        code, status, result = how.split()
        self.run(f"EXIT_CODE={code} EXIT_STATUS={status} SERVICE_RESULT={result} sh $PLACE/run/ended.sh")
        self.state("failed")


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(systemd, "RUN", str(tmp_path / "run"))
    monkeypatch.setattr(systemd, "CGROUPS", str(tmp_path / "cgroup"))
    monkeypatch.setattr(systemd, "STARTS", str(tmp_path / "starts"))
    monkeypatch.setattr(systemd, "BEGAN", str(tmp_path / "run" / "began"))
    return Systemd(context(tmp_path), Machine(tmp_path), "x.service")  # type: ignore[arg-type]


def test_a_drop_in_of_the_vendor_does_not_come_after_ours(unit: Any) -> None:
    unit.install()
    assert f"/run/systemd/system/x.service.d/{DROP_IN}" in unit.machine.written
    for vendors in ("override.conf", "restart.conf", "zz-last.conf"):
        assert sorted([DROP_IN, vendors])[-1] == DROP_IN


@pytest.mark.parametrize(
    ("before", "after"), [("Restart=no", "Restart=always"), ("ended.sh", "other.sh"), ("started.sh", "other.sh")]
)
def test_a_unit_that_systemd_would_not_watch_is_refused(unit: Any, before: str, after: str) -> None:
    unit.machine.show(GOOD.format(unit.machine.place).replace(before, after))
    with pytest.raises(AttestationMismatch, match="cannot be seen"):
        unit.install()


def test_ends_that_nobody_asked_for_are_told_over_starts(unit: Any) -> None:
    unit.install()
    unit.start()
    assert unit.ends() == []
    unit.machine.crash()
    unit.start()
    unit.machine.crash("killed SEGV signal")
    assert [end.status for end in unit.ends()] == [3, 139]
    unit.start()
    unit.stop(1)
    assert len(unit.ends()) == 2


def test_ends_without_notes_are_no_proof(unit: Any) -> None:
    unit.install()
    with pytest.raises(InfrastructureError, match="0 starts"):
        unit.ends()
    unit.start()
    (unit.machine.place / "starts").rename(unit.machine.place / "away")
    with pytest.raises(InfrastructureError, match="0 starts"):
        unit.ends()


@pytest.mark.parametrize("started_again", [False, True])
def test_an_end_that_was_not_noted_is_no_proof(unit: Any, started_again: bool) -> None:
    unit.install()
    unit.start()
    unit.machine.state("failed")  # a command of the vendor's before ours failed
    if started_again:
        unit.start()
    with pytest.raises(InfrastructureError, match="ends"):
        unit.ends()


def test_where_the_disk_is_full_the_memory_of_the_machine_takes_the_notes(unit: Any) -> None:
    unit.install()
    for path in (unit._starts, unit._ends):
        Path(path).symlink_to("/dev/full")
    unit.start()
    unit.machine.crash()
    for path in (unit._starts, unit._ends):
        Path(path).unlink()  # /dev/full gives no end of zeros
    assert [end.status for end in unit.ends()] == [3]


def test_what_the_end_of_the_machine_ended_was_asked_for(unit: Any) -> None:
    """A machine that is switched off runs nothing after the end of its units."""
    unit.install()
    unit.start()
    unit.asked()
    unit.machine.state("inactive")
    assert unit.ends() == []
    unit.start()
    assert unit.ends() == []


@pytest.mark.parametrize(
    ("state", "main", "control", "members", "alive", "pid"),
    [
        ("active", 4711, 0, (4711, 4712), True, 4711),
        ("activating", 0, 4711, (4711,), True, 4711),  # ExecStartPre=, or a command that goes into the background
        ("activating", 0, 0, (), False, 0),
        ("active", 0, 0, (4713, 4712), True, 4712),  # an init script, RemainAfterExit=, several daemons
        ("active", 0, 0, (), False, 0),
        ("failed", 0, 0, (), False, 0),
    ],
)
def test_a_unit_runs_while_a_process_of_it_does(
    unit: Any, state: str, main: int, control: int, members: tuple[int, ...], alive: bool, pid: int
) -> None:
    unit.machine.has(f"ActiveState={state}", f"MainPID={main}", f"ControlPID={control}")
    unit.machine.processes(*members)
    assert unit.running() is alive
    assert unit.pid() == pid


def test_processes_in_a_cgroup_that_the_unit_divides_are_its_own(unit: Any) -> None:
    unit.machine.state("active")
    unit.machine.processes()
    unit.machine.processes(4711, below="pool/worker")
    assert unit.running()


@pytest.mark.parametrize("act", ["nothing", "start", "asked"])
def test_the_end_of_an_init_scripts_daemon_is_seen(unit: Any, act: str) -> None:
    """systemd has such a unit active for as long as nobody stops it, and would not start it again."""
    unit.install()
    unit.start()
    unit.machine.has("RemainAfterExit=yes")
    unit.machine.processes(4711)
    assert unit.running()
    unit.machine.processes()
    if act != "nothing":
        getattr(unit, act)()
    assert [end.status for end in unit.ends()] == [None]
    assert len(unit.ends()) == 1
    assert ("stop x.service" in (unit.machine.place / "calls").read_text()) is (act == "start")


def test_a_kill_of_an_init_scripts_daemon_is_one_and_it_starts_again(unit: Any) -> None:
    unit.install()
    unit.start()
    unit.machine.has("RemainAfterExit=yes")
    unit.machine.processes(4711)
    assert unit.running()
    assert unit.kill()
    assert "stop x.service" in (unit.machine.place / "calls").read_text()
    unit.start()
    assert unit.ends() == []


@pytest.fixture
def restarted(unit: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of a machine that was restarted: what lay in /run is gone."""
    drop_in = unit.machine.place / "drop-in"
    monkeypatch.setattr(Systemd, "_drop_in", property(lambda _: str(drop_in)))
    unit.install()
    unit.start()
    unit.asked()
    shutil.rmtree(drop_in)
    shutil.rmtree(unit.machine.place / "run")
    unit.machine.written.clear()
    return unit


@pytest.mark.parametrize("starts_at_boot", [False, True])
def test_after_a_restart_of_the_machine_it_is_watched_and_has_its_environment(
    restarted: Any, starts_at_boot: bool
) -> None:
    machine = restarted.machine
    watched = next(line for line in machine.properties().splitlines() if line.startswith("DropInPaths="))
    machine.has(f"ActiveState={'active' if starts_at_boot else 'inactive'}", "MainPID=4711", "DropInPaths=")
    calls = (machine.place / "calls").read_text()
    restarted.start()
    machine.has(watched)
    assert {Path(path).name for path in machine.written} == {"app.env", DROP_IN, "started.sh", "ended.sh"}
    later = (machine.place / "calls").read_text().removeprefix(calls)
    # What runs without its environment is started anew.
    assert ("stop x.service" in later) is starts_at_boot
    assert restarted.ends() == []
    machine.crash()
    assert [end.status for end in restarted.ends()] == [3]


def test_sockets_are_looked_for_in_every_cgroup_of_the_unit(unit: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        inode = os.fstat(server.fileno()).st_ino
        unit.machine.processes()
        unit.machine.processes(os.getpid(), below="pool/worker")
        lines = unit.listening().splitlines()
    assert f"member {os.getpid()}" in lines
    assert f"socket {inode}" in lines
    assert not [line for line in lines if line.startswith("hidden")]
