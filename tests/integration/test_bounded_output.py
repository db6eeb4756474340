"""What a product prints costs the controller no memory: measured as the highest resident size of a process (VmHWM)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.labs import container

#: More than a controller may take; a tenth of it is what each way may add to the interpreter and its imports.
PRINTED = 400 * 2**20
ADDED_MIB = 60

LOCAL = """
from harness.hosts.local import LocalMachine
machine = LocalMachine()
"""
CONTAINER = """
from harness.machines.opening import open_machine
from harness.model.machine import MachineReference
machine = open_machine(MachineReference.model_validate_json({reference!r}))
"""
MEASURE = """
import re
def highest():
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
machine.run("true")
before = highest()
{work}
print(before, highest() - before)
"""
ONE_LINE = """
done = machine.run("head -c {size} /dev/zero | tr '\\\\000' x; echo ends", timeout=300)
assert done.out.endswith("ends\\n")
"""
IN_LINES = """
done = machine.run("yes 0123456789abcdef | head -c {size} >&2; echo ends", timeout=300)
assert done.out == "ends\\n"
"""


@pytest.mark.parametrize("work", [ONE_LINE, IN_LINES], ids=["one line", "lines on the error output"])
@pytest.mark.parametrize("way", ["local", "container"])
def test_output_of_any_length_takes_a_bounded_part_of_memory(way: str, work: str) -> None:
    if way == "local":
        added = _added(LOCAL, work)
    else:
        with container("debian-12", "x86_64") as machine:
            added = _added(CONTAINER.format(reference=machine.reference.model_dump_json()), work)
    assert added < ADDED_MIB, f"{PRINTED // 2**20} MiB of output added {added:.0f} MiB"


def _added(opening: str, work: str) -> float:
    script = opening + MEASURE.format(work=work.format(size=PRINTED))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == 0, done.stderr
    match = re.fullmatch(r"(\S+) (\S+)\n", done.stdout)
    assert match is not None, done.stdout
    assert float(match[1]) + float(match[2]) < 200, "the controller stays below 200 MiB"
    return float(match[2])
