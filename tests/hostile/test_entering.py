"""A fork of a prepared process that entered a sandbox has as little as a program that was started in it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.system.entering import open_namespaces
from harness.system.forking import ForkServer
from harness.system.sandbox import Sandbox, WaitingSandbox, variables
from tests.hostile.conftest import CANARY

NOBODY = 65534
#: What it can say of itself. The canary is searched for in its memory in two halves, which are not joined there.
PROBE = """
import json, os
from pathlib import Path

def memory(head, tail):
    hits = 0
    with open("/proc/self/mem", "rb", 0) as all_of_it:
        for line in Path("/proc/self/maps").read_text().splitlines():
            place, rights = line.split()[:2]
            if rights.startswith("rw") and "[v" not in line:
                begin, end = (int(part, 16) for part in place.split("-"))
                all_of_it.seek(begin)
                data = all_of_it.read(end - begin)
                at = data.find(head)
                while at >= 0:
                    hits += data[at + len(head) : at + len(head) + len(tail)] == tail
                    at = data.find(head, at + 1)
    return hits

def tell(kinds, head, tail):
    status = dict(line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    answers = {
        "status": status,
        "groups": os.getgroups(),
        "namespaces": {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in kinds},
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
        "variables": sorted(os.environ),
        "canary": memory(head.encode(), tail.encode()),
        "self": memory(b"i-am-", b"in-memory") if held else 0,
        "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
        "session": os.getsid(0) == os.getpid(),
    }
    try:
        Path(__file__).with_name("planted").write_text("x")
    except OSError as error:
        answers["write"] = error.errno
    print(json.dumps(answers))
    return 7

held = "i-am-" + "".join(["in", "-", "memory"])
"""
#: Makes a sandbox and runs the probe in it; a program of its own, so that it may belong to another user.
MAKER = """
import contextlib, os, sys, json
from pathlib import Path
from harness.system.forking import ForkServer
from harness.system.sandbox import Sandbox, WaitingSandbox, variables
place, head, tail, kinds = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4].split()
kept = os.environ["HARNESS_PASSPHRASE"]
forks = ForkServer(["harness.errors"], environment=variables())
answers = []
with contextlib.closing(forks):
    for number in (1, 2):
        with Sandbox(place / "suite") as box, contextlib.closing(WaitingSandbox(box)) as inside:
            log = place / f"log{number}"
            done = forks.run("probe:tell", [kinds, head, tail], log=log, timeout=120, cwd=place / "suite", env={},
                             inside=inside)
            answers.append([done.rc, done.out])
own = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}
print(json.dumps({"answers": answers, "own": own, "user": os.geteuid()}))
"""
KINDS = ("ipc", "uts", "net", "pid", "mnt")


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder with the harness's code and the probe, which every user of the machine can read."""
    with tempfile.TemporaryDirectory(prefix="entering-") as name:
        place = Path(name)
        shutil.copytree(Path(harness.__file__).parent, place / "code" / "harness")
        (place / "suite").mkdir()
        (place / "suite" / "probe.py").write_text(PROBE)
        (place / "maker.py").write_text(MAKER)
        for path in (place, *place.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.chown(path, NOBODY, NOBODY)
        yield place


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_it_has_nothing_of_the_process_that_it_came_from(open_place: Path, user: str) -> None:
    """Two in turn from the same prepared process, by root and by a user without any right."""
    head, tail = CANARY[:10], CANARY[10:]
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if user == "nobody" else []
    python = "/usr/bin/python3" if user == "nobody" else sys.executable  # this one may lie in a home of root's
    done = subprocess.run(
        [*drop, python, str(open_place / "maker.py"), str(open_place), head, tail, " ".join(KINDS)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(open_place / "code"),
            "XDG_CACHE_HOME": str(open_place / "cache"),
            "HARNESS_PASSPHRASE": CANARY,
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["user"] == (0 if user == "root" else NOBODY)
    seen: list[dict[str, Any]] = []
    for status, text in made["answers"]:
        assert status == 7, text
        seen.append(json.loads(text))
    for answers in seen:
        status = answers["status"]
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert "0" not in status["Uid"].split()
        assert "0" not in status["Gid"].split()
        assert len(set(status["Uid"].split())) == 1
        assert not set(answers["namespaces"].values()) & set(made["own"].values())
        assert answers["descriptors"] == [0, 1, 2]
        assert "HARNESS_PASSPHRASE" not in answers["variables"]
        assert answers["canary"] == 0
        assert answers["self"] > 0, "the search finds what is there"
        assert len(answers["processes"]) <= 4
        assert answers["session"]
        assert answers["write"]
        assert answers["groups"] == [] or user == "nobody"
    assert seen[0]["namespaces"] != seen[1]["namespaces"]


def test_a_process_outside_of_a_sandbox_is_not_entered() -> None:
    """A process id may belong to another process by now: then nothing runs where there is no sandbox."""
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with pytest.raises(OSError, match="is in this machine's own namespace: ipc, mnt"):
            open_namespaces(sleeper.pid)
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    finally:
        sleeper.kill()
        sleeper.wait()
    with pytest.raises(OSError, match="No such file"):
        open_namespaces(sleeper.pid)


@pytest.mark.parametrize("step", ["prctl", "capset", "setns"])
def test_a_step_that_the_kernel_refuses_ends_it(step: str, open_place: Path) -> None:
    """No code of a vendor runs with rights that could not be given up."""
    maker = open_place / "refused.py"
    maker.write_text(
        "import sys, harness.system.forking\n"
        "from harness.system import entering\n"
        f"setattr(entering, '_libc', type('L', (), {{'__getattr__': lambda s, n: (lambda *a: -1) if n == {step!r} "
        "else getattr(entering.ctypes.CDLL(None), n)})())\n"
        "import socket\n"
        "harness.system.forking.serve(socket.socket(fileno=int(sys.argv[1])), [])\n"
    )
    code = (
        "import contextlib, sys\nfrom pathlib import Path\nfrom harness.system import forking\n"
        "from harness.system.sandbox import Sandbox, WaitingSandbox, variables\n"
        f"place = Path({str(open_place)!r})\n"
        "run = forking.subprocess.Popen\n"
        f"forking.subprocess.Popen = lambda argv, **k: run([argv[0], {str(maker)!r}, argv[4]], **k)\n"
        "with contextlib.closing(forking.ForkServer([], environment=variables())) as forks:\n"
        "    forking.subprocess.Popen = run\n"
        "    with Sandbox(place / 'suite') as box, contextlib.closing(WaitingSandbox(box)) as inside:\n"
        "        done = forks.run('probe:tell', [[], 'a', 'b'], log=place / 'log', timeout=60, cwd=place / 'suite',\n"
        "                         env={}, inside=inside)\n"
        "print(done.rc, 'status' in done.out, done.out[-300:])\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(open_place / "code"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 False"), done.stdout
    assert "OSError" in done.stdout


@pytest.mark.parametrize(("lost", "lacking"), [("all", "ipc, uts, net, pid, mnt"), ("that of files", "mnt")])
def test_without_every_namespace_nothing_runs(open_place: Path, lost: str, lacking: str) -> None:
    """A closed sandbox, and descriptors that did not arrive: no code of a vendor runs outside, or half inside."""
    with contextlib.closing(ForkServer([], environment=variables())) as forks:
        for number in (1, 2):
            with Sandbox(open_place / "suite") as box, contextlib.closing(WaitingSandbox(box)) as inside:
                if lost == "all":
                    inside.close()
                else:
                    os.close(inside.namespaces.pop())
                log = open_place / f"log{number}"
                arguments: list[object] = [[], "a", "b"]
                done = forks.run(
                    "probe:tell", arguments, log=log, timeout=60, cwd=open_place / "suite", env={}, inside=inside
                )
                assert done.rc == 1
                assert f"own namespaces lack: {lacking}" in done.out
                assert "descriptors" not in done.out


NUMBERED = """
import contextlib, os, subprocess, sys
from pathlib import Path
from harness.system.sandbox import Sandbox, WaitingSandbox
place, wanted = Path(sys.argv[1]), int(sys.argv[2])
with Sandbox(place / "suite") as box:
    while (number := os.open("/dev/null", os.O_RDONLY)) < wanted - 1:
        pass
    os.close(number)
    with contextlib.closing(WaitingSandbox(box)) as inside:  # the pipe that it makes ends at the wanted number
        entered = len(inside.namespaces)
    answer, end = os.pipe()
    os.write(end, b"passed")
    os.close(end)
    os.dup2(answer, wanted)
    code = f"import os; print(os.read({wanted}, 9))"
    done = subprocess.run(box.command(["/usr/bin/python3", "-c", code]), pass_fds=[wanted], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    print(number, entered >= 5, done.stdout, done.stderr)
"""


@pytest.mark.parametrize("wanted", [8, 9, 10, 11])
def test_no_descriptor_that_is_passed_is_lost(open_place: Path, wanted: int) -> None:
    """The filter of system calls takes no descriptor's place, whatever number that has."""
    maker = open_place / "numbered.py"
    maker.write_text(NUMBERED)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(open_place / "code"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, str(maker), str(open_place), str(wanted)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert done.stdout == f"{wanted - 1} True b'passed'\n \n", done.stderr
