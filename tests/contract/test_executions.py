"""Programs of another architecture that run in a container are known, however they run and however briefly."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.containers.executions import ExecutionWatch
from harness.containers.machine import ContainerMachine
from tests.labs import container

SYSTEMS = {"aarch64": "debian-12", "loongarch64": "debian-forky"}
SOURCE = '#include <unistd.h>\nint main(int c, char **v) { write(1, "ran\\n", 4); if (c > 1) sleep(3); return 0; }\n'
#: Runs a program out of memory alone: no file of the container is executed.
MEMORY = r"""
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>
#include <fcntl.h>
extern char **environ;
int main(int c, char **v) {
  char data[65536]; int in = open(v[1], O_RDONLY), out = memfd_create("payload", 0); ssize_t n;
  while ((n = read(in, data, sizeof data)) > 0) write(out, data, n);
  char *argv[] = {"payload", "wait", 0};
  return fexecve(out, argv, environ);
}
"""


@contextlib.contextmanager
def watched(architecture: str) -> Iterator[tuple[ContainerMachine, ExecutionWatch]]:
    with container(SYSTEMS[architecture], architecture, {"QEMU_CPU": "max"}) as machine:
        inspected = machine.engine.client.api.inspect_container(machine.container)
        watch = ExecutionWatch(machine.container, inspected["State"]["Pid"], architecture)
        try:
            yield machine, watch
        finally:
            watch.close()


@pytest.fixture(scope="module", params=SYSTEMS)
def lab(request: pytest.FixtureRequest) -> Iterator[tuple[ContainerMachine, ExecutionWatch]]:
    with watched(request.param) as made:
        yield made


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("programs")
    made = {}
    for name, options, source in (
        ("static", ["-static"], SOURCE),
        ("dynamic", [], SOURCE),
        ("memory", ["-static"], MEMORY),
    ):
        code = folder / f"{name}.c"
        code.write_text(source)
        subprocess.run(["gcc", "-O1", *options, "-o", folder / name, code], check=True)
        made[name] = (folder / name).read_bytes()
    return made


def paths(watch: ExecutionWatch) -> dict[str, str]:
    return {program.path: program.architecture for program in watch.executions().foreign}


def test_what_a_good_product_runs_is_nothing_foreign(lab: tuple[ContainerMachine, ExecutionWatch]) -> None:
    machine, watch = lab
    assert machine.run("for i in 1 2 3; do ls / >/dev/null; done; sh -c 'id; uname -m'; perl -e 1").ok
    time.sleep(1.2)  # two looks at the list of processes, while the engine starts commands
    assert machine.run("sleep 0.7").ok
    assert watch.executions().limit == ""
    assert paths(watch) == {}


def test_a_static_program_that_is_gone_at_once(
    lab: tuple[ContainerMachine, ExecutionWatch], programs: dict[str, bytes]
) -> None:
    machine, watch = lab
    machine.put("/opt/one shot/static", programs["static"], mode="0755")
    assert "ran" in machine.run("'/opt/one shot/static' && rm '/opt/one shot/static'").out
    assert {path.removesuffix(" (deleted)"): arch for path, arch in paths(watch).items()} == {
        "/opt/one shot/static": "x86_64"
    }


def test_a_program_started_late_by_a_process_of_the_product(
    lab: tuple[ContainerMachine, ExecutionWatch], programs: dict[str, bytes]
) -> None:
    machine, watch = lab
    machine.put("/srv/late", programs["static"], mode="0755")
    machine.run("(sleep 1; exec /srv/late wait) >/dev/null 2>&1 &")
    time.sleep(2.5)
    late = next(program for program in watch.executions().foreign if program.path == "/srv/late")
    assert "/srv/late wait" in late.command
    assert late.process > 0


def test_a_program_without_its_loader_was_only_tried(
    lab: tuple[ContainerMachine, ExecutionWatch], programs: dict[str, bytes]
) -> None:
    machine, watch = lab
    machine.put("/opt/dynamic", programs["dynamic"], mode="0755")
    assert not machine.run("/opt/dynamic").ok
    assert "/opt/dynamic" in [program.path for program in watch.executions().tried]
    assert "/opt/dynamic" not in paths(watch)


def test_a_dynamic_program_that_brings_its_own_libraries(programs: dict[str, bytes]) -> None:
    with watched("aarch64") as (machine, watch):
        machine.put("/lib64/ld-linux-x86-64.so.2", Path("/lib64/ld-linux-x86-64.so.2").read_bytes(), mode="0755")
        library = Path("/lib/x86_64-linux-gnu/libc.so.6").read_bytes()
        machine.put("/opt/lib/libc.so.6", library, mode="0755")
        machine.put("/opt/dynamic", programs["dynamic"], mode="0755")
        assert "ran" in machine.run("LD_LIBRARY_PATH=/opt/lib /opt/dynamic").out
        assert "ran" in machine.run("/lib64/ld-linux-x86-64.so.2 --library-path /opt/lib /opt/dynamic").out
        assert paths(watch)["/opt/dynamic"] == "x86_64"


def test_a_program_out_of_memory_and_on_other_mounts(programs: dict[str, bytes]) -> None:
    with watched("aarch64") as (machine, watch):
        machine.put("/opt/static", programs["static"], mode="0644")
        machine.run("cp /opt/static /dev/run && chmod 755 /dev/run && /dev/run")
        machine.put("/opt/memory", programs["memory"], mode="0755")
        assert "ran" in machine.run("/opt/memory /opt/static").out
        assert {"/dev/run", "/opt/memory"} <= paths(watch).keys()
        assert any("payload" in path for path in paths(watch))


def test_an_emulated_program_in_a_container_of_this_machine(tmp_path: Path) -> None:
    """A program for ARM runs on an x86-64 target as well as the other way round, and must not."""
    with container("debian-12", "aarch64") as foreign, container("debian-12", "x86_64") as machine:
        program = foreign.run("ldd /usr/bin/true >/dev/null; base64 -w0 /lib/ld-linux-aarch64.so.1").out
        inspected = machine.engine.client.api.inspect_container(machine.container)
        watch = ExecutionWatch(machine.container, inspected["State"]["Pid"], "x86_64")
        try:
            assert machine.run("base64 -d >/opt/arm && chmod 755 /opt/arm", stdin=program).ok
            assert machine.run("/opt/arm --version; true").ok
            assert paths(watch) == {"/opt/arm": "aarch64"}
        finally:
            watch.close()
