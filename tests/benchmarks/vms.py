"""Virtual machines: a cold boot to a login, a restored snapshot to its first command; beside it a container's."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from harness.virtual.emulators import shape_of
from harness.virtual.provisioner import BOOT_SECONDS
from harness.virtual.qemu import Shape
from tests.labs import Notes, container, role, virtual, virtual_machines

ROUNDS = 3
#: Class, system, goals in seconds: cold boot to a login, restored to the first command.
KINDS = (
    ("phytium-ft2000plus", "debian-12", 10, 3),
    ("hygon-c86", "debian-12", 15, 3),
    ("loongson-3a5000", "debian-forky", 20, 3),
)


def main() -> None:
    """Print medians; the machine must be quiet. Disk and snapshot are made before anything is measured."""
    for model, os, boot_goal, goal in KINDS:
        with tempfile.TemporaryDirectory() as scratch:
            maker, wanted = virtual_machines(Path(scratch)), role(os, model, ports=(8080,))
            with virtual(os, model, Path(scratch)):
                pass
            environment = maker.environment(wanted, Notes())
            assert environment is not None
            disk = maker.disks.ensure(environment.image, wanted.os, wanted.cpu.architecture, Notes())
            shape: Shape = shape_of(wanted.cpu, 1216)
            cold, warm, bare = [], [], []
            for _ in range(ROUNDS):
                started = time.perf_counter()
                with maker._booted(disk, shape) as qemu:
                    maker._login(qemu, disk, BOOT_SECONDS).close()
                    cold.append(time.perf_counter() - started)
                started = time.perf_counter()
                with virtual(os, model, Path(scratch)) as machine:
                    machine.run("true")
                    warm.append(time.perf_counter() - started)
                started = time.perf_counter()
                with container(os, wanted.cpu.architecture) as other:
                    other.run("true")
                    bare.append(time.perf_counter() - started)
        first, second, third = (statistics.median(values) for values in (cold, warm, bare))
        print(
            f"{model}: cold boot to a login {first:.1f} s (goal {boot_goal}); restored to the first command "
            f"{second:.1f} s (goal {goal}), {second / third:.1f} of a container's {third:.1f} s"
        )
