"""The names of an architecture in each tool, and whether this machine can run it."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ProvisionError
from harness.system.process import run


@dataclass(frozen=True, kw_only=True)
class ArchitectureNames:
    """One architecture: Debian's name, the engine's, the loader's path, the multiarch triplet."""

    debian: str
    docker: str
    loader: str
    triplet: str
    baseline: str  #: QEMU model that programs of the distribution may rely on


NAMES = {
    "x86_64": ArchitectureNames(
        debian="amd64", docker="amd64", loader="/lib64/ld-linux-x86-64.so.2", triplet="x86_64-linux-gnu", baseline=""
    ),
    "aarch64": ArchitectureNames(
        debian="arm64",
        docker="arm64",
        loader="/lib/ld-linux-aarch64.so.1",
        triplet="aarch64-linux-gnu",
        baseline="cortex-a72",
    ),
    "loongarch64": ArchitectureNames(
        debian="loong64",
        docker="loong64",
        loader="/lib64/ld-linux-loongarch-lp64d.so.1",
        triplet="loongarch64-linux-gnu",
        baseline="la464",
    ),
}

BINFMT = Path("/proc/sys/fs/binfmt_misc")


def host_architecture() -> str:
    """This machine's architecture by our name."""
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


@dataclass(frozen=True, kw_only=True)
class Emulator:
    """A program that runs programs of another architecture: the kernel's interpreter for them, or a whole machine."""

    path: str
    version: str
    sha256: str
    kind: str = "qemu-user"


def emulator(architecture: str) -> Emulator | None:
    """The emulator of a foreign architecture; None where the machine runs it itself.

    Raises:
        ProvisionError: the kernel does not know how to run that architecture.
    """
    if architecture == host_architecture():
        return None
    entry = BINFMT / f"qemu-{architecture}"
    advice = "register it with: make setup (it installs qemu-user-static and its binfmt entry)"
    try:
        text = entry.read_text()
    except OSError:
        raise ProvisionError(
            f"no binfmt entry for {architecture}: expected {entry}, found none: its programs cannot run here",
            advice=advice,
        ) from None
    if not text.startswith("enabled"):
        raise ProvisionError(f"the binfmt entry for {architecture} is disabled", advice=advice)
    flags = re.search(r"^flags: (\S*)", text, re.MULTILINE)
    if flags is None or "F" not in flags.group(1):
        raise ProvisionError(
            f"the binfmt entry for {architecture} lacks flag F: containers could not use it", advice=advice
        )
    path = (re.search(r"^interpreter (.+)$", text, re.MULTILINE) or [entry, ""])[1]
    file = Path(str(path))
    if not file.is_file() or shutil.which(str(file)) is None:
        raise ProvisionError(f"the emulator {file} named by {entry} is missing", advice=advice)
    # Through the name that the kernel uses it would take --version for a program to run.
    output = run([str(file.resolve()), "--version"], timeout=20).out
    version = (re.search(r"version (\S+)", output) or ["", "unknown"])[1]
    return Emulator(path=str(file), version=version, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
