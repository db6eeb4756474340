"""Virtual machines: what stands for a CPU class is one, in child processes too; snapshots, links, reboots."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import InfrastructureError
from harness.provision.boots import BootWatch
from harness.provision.provisioner import Owner
from harness.system.sandbox import IDS
from harness.system.wait import wait_until
from harness.virtual.machine import VirtualMachine
from harness.virtual.qemu import standing
from tests.contract.test_control import AWAY, deployed, until_away
from tests.labs import Notes, role, virtual, virtual_machines

PROGRAM = """
#include <stdio.h>
int main(void) { __asm__ volatile ("%s"); puts("ran"); return 0; }
"""
AVX2, AVX512 = "vpaddd %ymm0, %ymm1, %ymm2", "vpaddd %zmm0, %zmm1, %zmm2"


@pytest.fixture(scope="module")
def hygon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMachine]:
    with virtual("debian-12", "hygon-c86", tmp_path_factory.mktemp("vm")) as made:
        yield made


def compiled(folder: Path, instruction: str) -> bytes:
    source, program = folder / "p.c", folder / "p"
    source.write_text(PROGRAM % instruction)
    subprocess.run(["gcc", "-static", "-O0", "-o", str(program), str(source)], check=True, capture_output=True)
    return program.read_bytes()


@pytest.fixture(scope="module")
def zhaoxin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMachine]:
    with virtual("debian-12", "zhaoxin-kh40000", tmp_path_factory.mktemp("vm")) as made:
        yield made


@pytest.fixture(params=["hygon", "zhaoxin"])
def domestic(request: pytest.FixtureRequest) -> VirtualMachine:
    """Each of the x86 classes whose processors a container here cannot show."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, VirtualMachine)
    return found


@pytest.mark.parametrize("way", ["/opt/p", "sh -c /opt/p", "xargs -n 1 sh -c /opt/p </etc/hostname"])
def test_an_avx512_program_dies_and_an_avx2_one_runs_in_child_processes_too(
    domestic: VirtualMachine, tmp_path: Path, way: str
) -> None:
    domestic.put("/opt/p", compiled(tmp_path, AVX2), mode="0755")
    done = domestic.run(way)
    assert (done.rc, done.out) == (0, "ran\n"), done.text
    domestic.put("/opt/p", compiled(tmp_path, AVX512), mode="0755")
    done = domestic.run(way)
    assert done.rc != 0
    assert "ran" not in done.out


def test_it_has_a_kernel_and_processors_of_its_own(hygon: VirtualMachine, zhaoxin: VirtualMachine) -> None:
    assert "HygonGenuine" in hygon.run("cat /proc/cpuinfo").out
    assert "CentaurHauls" in zhaoxin.run("cat /proc/cpuinfo").out
    assert hygon.run("uname -r").out.strip().endswith("cloud-amd64")


def test_a_product_there_has_a_cgroup_of_its_own(hygon: VirtualMachine) -> None:
    """Nothing else finds a process that left its session, its environment and its parents."""
    product = deployed(hygon, "away", 1, AWAY % "exec sleep 1000", user="games")
    assert product.start()
    until_away(hygon, 1)
    assert product.control.group().startswith("/sys/fs/cgroup/harness-")
    product.kill()
    until_away(hygon, 0)


def test_qemu_has_no_power_over_this_machine(hygon: VirtualMachine) -> None:
    found = Path(f"/proc/{hygon.reference.process}")
    status = dict(line.split(":\t", 1) for line in (found / "status").read_text().splitlines() if ":\t" in line)
    assert {status[key] for key in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_qemu_is_a_user_of_its_own(hygon: VirtualMachine, zhaoxin: VirtualMachine) -> None:
    """It is not root, is in no group of another, and differs from cell to cell; what it need not write, it cannot."""
    users = set()
    for machine in (hygon, zhaoxin):
        status = Path(f"/proc/{machine.reference.process}/status").read_text()
        ids = {line.split(":")[0]: line.split()[1:] for line in status.splitlines() if ":" in line}
        (user,), (group,) = set(ids["Uid"]), set(ids["Gid"])
        assert user == group
        assert int(user) in IDS
        assert ids["Groups"] in ([], [user])
        users.add(user)
        drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--bounding-set=-all"]
        script = "for each in *; do test -w $each && echo $each; mv $each x 2>/dev/null && echo moved; done; true"
        answer = subprocess.check_output([*drop, "sh", "-c", script], cwd=machine.reference.folder, text=True)
        assert answer.split() == ["console.log", "disk.qcow2", "monitor", "moved"], "a socket is QEMU's own"
        (machine.reference.folder / "x").rename(machine.reference.folder / "monitor")
    assert len(users) == 2


def test_nothing_of_it_reaches_out(hygon: VirtualMachine) -> None:
    """The user network is restricted: the machine that runs the harness is not reached from inside."""
    done = hygon.run("timeout 3 bash -c '</dev/tcp/10.0.2.2/22' 2>&1; echo status $?")
    assert "status 0" not in done.out


def test_a_port_that_was_not_asked_for_is_not_there(hygon: VirtualMachine) -> None:
    host, port = hygon.address(8080)
    assert (host, port > 0) == ("127.0.0.1", True)
    with pytest.raises(InfrastructureError, match="does not publish"):
        hygon.address(9999)


def test_machines_of_a_cell_see_each_other_and_differ(tmp_path: Path) -> None:
    """Two restored from one snapshot: names, other random numbers, the right time, a cable between them."""
    maker = virtual_machines(tmp_path)
    roles = (role("debian-12", "hygon-c86"), role("debian-12", "hygon-c86", name="database"))
    environments = {one.name: maker.environment(one, Notes()) for one in roles}
    with maker.machines(roles, environments, Owner(campaign="c", cell="two", attempt="1"), Notes()) as made:
        first, second = made.application, made.on("database")
        seen = first.run("ping -c 1 -W 5 database || bash -c '</dev/tcp/database/22 && echo open'", timeout=30)
        assert seen.ok, seen.text
        assert second.run("bash -c '</dev/tcp/application/22'", timeout=30).ok
        numbers = {one.run("head -c 32 /dev/urandom | od -An -tx1").out for one in (first, second)}
        assert len(numbers) == 2
        clock = int(first.run("date +%s").out)
        assert abs(clock - int(subprocess.check_output(["date", "+%s"]))) <= 2
        assert len(standing(tmp_path)) == 2
    assert not list(tmp_path.iterdir()), "nothing of them is left"


def test_a_reboot_is_awaited(tmp_path: Path) -> None:
    with virtual("debian-12", "hygon-c86", tmp_path) as machine:
        machine.put("/opt/kept", b"written before")
        machine.run("touch /run/gone")
        boots = BootWatch({"application": machine})
        assert machine.reboot(seconds=120) > 1
        assert boots.restarts() == [], "the suite asked for it"
        assert machine.get("/opt/kept") == b"written before"
        assert not machine.run("test -e /run/gone").ok
        assert boots.restarts() == []
        # What nobody asked for is the laboratory's: the guest restarts by itself, and no verb was noted.
        with contextlib.suppress(InfrastructureError):  # the answer may be cut off
            machine.run("sync; (sleep 0.2; echo b >/proc/sysrq-trigger) </dev/null >/dev/null 2>&1 &")
        (words,) = wait_until(lambda: restarted(boots), seconds=120, what="the restart", interval=0.5)
        assert f"the machine of application ({machine.name}) was restarted" in words


def restarted(boots: BootWatch) -> list[str] | None:
    """Restarts that were seen; a machine that does not answer is still on its way up."""
    with contextlib.suppress(InfrastructureError):
        return boots.restarts() or None
    return None


def test_a_machine_that_ends_is_the_labs_trouble(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        machine = stack.enter_context(virtual("debian-12", "hygon-c86", tmp_path))
        subprocess.run(["kill", "-9", str(machine.reference.process)], check=True)
        with pytest.raises(InfrastructureError):
            machine.run("true", timeout=5)
    assert not list(tmp_path.iterdir())


@pytest.mark.full
def test_sixteen_kilobyte_pages_of_loongarch(tmp_path: Path) -> None:
    """What no container on this kernel can show."""
    with virtual("debian-forky", "loongson-3a5000", tmp_path) as machine:
        assert machine.run("getconf PAGESIZE").out == "16384\n"
        assert "Loongson-3A5000" in machine.run("cat /proc/cpuinfo").out
