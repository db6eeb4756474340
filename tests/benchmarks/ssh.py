"""A lab host over SSH: round trips against asyncssh, bulk copies against the pipe of OpenSSH; one sshd serves all."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import asyncssh

from harness.hosts.ssh import SshMachine
from tests.labs import LabHost, inventory, lab_host

ROUNDS = 60
MIB = 64
COPIES = 7
#: What ``SshMachine.run`` has the host do for ``true``, so that both clients wait for the same work there.
SCRIPT = """\
umask 077; d=/tmp/.bench-$$; mkdir $d || exit 1
printf %s true >$d/cmd && cat >$d/in && [ $(wc -c <$d/in) -eq 0 ] || exit 1
setsid sh -c "trap '' HUP; echo $$ >$d/pid; timeout -k 5 60.0 sh $d/cmd <$d/in >$d/out 2>$d/err; echo 0 >$d/rc.part
mv $d/rc.part $d/rc" </dev/null >/dev/null 2>&1 & wait $!; cat $d/out; cat $d/err >&2; cat $d/rc >&2; rm -rf $d"""


def main() -> None:
    """Print medians and ratios; goals: a round trip at most 1.3 of asyncssh's, a copy at least 0.9 of the pipe's."""
    with tempfile.TemporaryDirectory() as scratch, lab_host("debian-12", "x86_64") as lab:
        key = Path(scratch, "key")
        key.touch(mode=0o600)
        key.write_text(lab.key)
        os.environ["LAB_KEY"] = lab.key
        machine = SshMachine(inventory(Path(scratch, "known_hosts"), lab.plain()), lab.alias)
        asyncio.run(_trips(machine, lab, key))
        _copies(machine, lab, key, Path(scratch))
        machine.close()


async def _trips(machine: SshMachine, lab: LabHost, key: Path) -> None:
    ours: list[float] = []
    theirs: list[float] = []
    bare: list[float] = []
    async with asyncssh.connect(
        "127.0.0.1", lab.port, username="root", client_keys=[str(key)], known_hosts=None
    ) as other:
        for _ in range(ROUNDS):  # in turn, so that what else the machine does meets all of them
            started = time.perf_counter()
            machine.run("true")
            ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            await other.run(SCRIPT, stdin=asyncssh.DEVNULL)
            theirs.append(time.perf_counter() - started)
            started = time.perf_counter()
            await other.run("true")
            bare.append(time.perf_counter() - started)
    mine, same, least = (statistics.median(values[5:]) * 1000 for values in (ours, theirs, bare))
    print(
        f"round trip, supervised: {mine:.1f} ms; asyncssh, the same work {same:.1f} ms, a bare true {least:.1f} ms; "
        f"ratio {mine / same:.2f} (goal 1.3), {mine / least:.2f} of the bare one"
    )


def _copies(machine: SshMachine, lab: LabHost, key: Path, scratch: Path) -> None:
    """The pipe does the same work: bytes of this process go there and come back. Beside it, the pipe between a file
    and nothing, which only moves them."""
    data = os.urandom(MIB << 20)
    file = scratch / "data"
    file.write_bytes(data)
    ssh = [
        "ssh",
        "-p",
        str(lab.port),
        "-i",
        str(key),
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "LogLevel=ERROR",
        "-o",
        f"UserKnownHostsFile={scratch}/known",
        "-o",
        f"ControlPath={scratch}/control",
        "root@127.0.0.1",
    ]
    there, back = [*ssh, "cat >/opt/data"], [*ssh, "cat /opt/data"]
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        started = time.perf_counter()
        work()
        seconds.setdefault(name, []).append(time.perf_counter() - started)

    subprocess.run([*ssh[:1], "-M", "-N", "-f", *ssh[1:]], check=True)  # its connection stands too
    try:
        for _ in range(COPIES):
            timed("to", lambda: machine.put("/opt/data", data))
            timed("to, pipe", lambda: subprocess.run(there, input=data, check=True))
            with file.open("rb") as source:
                timed("to, file", lambda: subprocess.run(there, stdin=source, check=True))
            timed("from", lambda: machine.get("/opt/data"))
            timed("from, pipe", lambda: subprocess.run(back, stdout=subprocess.PIPE, check=True))
            timed("from, file", lambda: subprocess.run(back, stdout=subprocess.DEVNULL, check=True))
    finally:
        subprocess.run([*ssh[:1], "-O", "exit", *ssh[1:]], check=False, capture_output=True)
    for word in ("to", "from"):
        own, pipe, bare = (MIB / statistics.median(seconds[f"{word}{which}"]) for which in ("", ", pipe", ", file"))
        print(
            f"{MIB} MiB {word} the host: {own:.0f} MiB/s; OpenSSH's pipe {pipe:.0f} MiB/s, ratio {own / pipe:.2f} "
            f"(goal 0.9); with {'a file' if word == 'to' else 'nobody'} at its other end {bare:.0f} MiB/s, "
            f"ratio {own / bare:.2f}"
        )
