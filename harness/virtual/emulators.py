"""What emulates a whole machine here: QEMU's programs, and the machine that stands for a CPU class."""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
from pathlib import Path

from harness.attest.architecture import Emulator
from harness.errors import ProvisionError
from harness.model.definitions import Cpu
from harness.system.process import run
from harness.virtual.qemu import Shape


@functools.cache
def system_emulator(program: str) -> Emulator:
    """QEMU as it emulates whole machines.

    Raises:
        ProvisionError: it is missing.
    """
    path = shutil.which(program)
    if path is None:
        raise ProvisionError(f"{program} is missing", advice="install it with: make setup")
    version = re.search(r"version (\S+)", run([program, "--version"], timeout=20).out)
    return Emulator(
        path=path,
        version=version[1] if version else "unknown",
        kind="qemu-system",
        sha256=hashlib.sha256(Path(path).read_bytes()).hexdigest(),
    )


def shape_of(cpu: Cpu, memory: int, accelerator: str = "tcg") -> Shape:
    """The machine that stands for a CPU class. ``memory`` in MiB."""
    model = "host" if accelerator == "kvm" else cpu.emulation.system or ""
    # Firmware of LoongArch and the kernels themselves take a good part of what is smaller.
    return Shape(architecture=cpu.architecture, model=model, memory=max(memory, 768), accelerator=accelerator)
