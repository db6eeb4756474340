"""A disk image that others made, booted as it is: nothing is written to it, and nothing of it reaches out."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Literal

from harness.attest.architecture import host_architecture
from harness.errors import InfrastructureError, ProvisionError, UsageError
from harness.system.canonical import read_json
from harness.system.process import background, run
from harness.virtual.qemu import BOARDS, SANDBOX
from harness.virtual.rights import give, groups_of, user_of

Format = Literal["qcow2", "raw"]
#: Formats that are told by their first bytes, and that QEMU is not given.
_OTHERS = {b"KDMV": "VMDK", b"vhdx": "VHDX", b"cone": "VHD", b"<<< ": "VDI"}
#: Incompatible features of qcow2 that lead to another file (docs/interop/qcow2.rst of QEMU): external data.
_EXTERNAL = 1 << 2
#: Firmware without which an architecture boots from no disk.
FIRMWARE = {
    "aarch64": Path("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
    "loongarch64": Path("/usr/share/qemu-efi-loongarch64/QEMU_EFI.fd"),
}
#: Processors that run what a distribution may rely on, where nothing is this machine's own.
MODELS = {"x86_64": "EPYC", "aarch64": "cortex-a72", "loongarch64": "la464"}
#: A second disk of the machine, for what it gives: known there by its serial number, and faster than SSH.
FILES, SERIAL, MOST_FILES = "files.raw", "harness-files", 64 << 30
#: How long a disk may be looked through, in seconds; statuses of qemu-img check: whole, and whole with leaks.
CHECK_SECONDS, _WHOLE = 600.0, (0, 3)
_WRITTEN, _KEPT = ("disk.qcow2", "console.log", FILES), ("qemu.log",)


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a disk is booted: by its own loader, or with a kernel that is given beside it. ``memory`` in MiB."""

    architecture: str
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    firmware: Path | None = None
    memory: int = 2048
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"


def format_of(path: Path, start: Start) -> Format:
    """The format of a disk image; one that leads to another file of this machine is refused.

    Raises:
        UsageError: it is no disk image, or one that is not read here.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if other := _OTHERS.get(head[:4]):
        raise UsageError(
            f"{path.name} is a disk image of the format {other}", advice="qemu-img convert -O qcow2 makes a qcow2 of it"
        )
    if head[:4] == b"QFI\xfb":
        (backing,) = struct.unpack_from(">Q", head.ljust(512, b"\0"), 8)
        (features,) = struct.unpack_from(">Q", head.ljust(512, b"\0"), 72)
        if backing or features & _EXTERNAL:
            raise UsageError(
                f"{path.name} leads to another file, which it was made over",
                advice="make it whole where it was made: qemu-img convert -O qcow2 OLD NEW",
            )
        return "qcow2"
    if start.kernel is None and head[510:512] != b"\x55\xaa":
        raise UsageError(
            f"{path.name} is neither a qcow2 nor a raw disk with a boot sector",
            advice="give a disk image that boots, or the kernel that boots it: --kernel, --initrd, --append",
        )
    return "raw"


def demand_whole(path: Path) -> None:
    """See that a qcow2 is whole, before it is booted; clusters that nothing uses are no damage. A cut within the last
    cluster of a table is not seen.

    Raises:
        UsageError: it is cut off or damaged, or nothing is on it.
        InfrastructureError: qemu-img is missing.
        StepTimeout: it is not looked through in time.
    """
    words = ["qemu-img", "check", "-U", "--output=json", "-f", "qcow2", str(path.absolute())]
    answer = run(words, timeout=CHECK_SECONDS)
    said = (answer.err.strip().splitlines() or ["qemu-img says so"])[0].removeprefix("ERROR: ")[:200]
    # Without its first table, a disk looks like one that nothing was written to.
    if answer.rc in _WHOLE and not read_json(answer.out).get("allocated-clusters"):
        said = "nothing is on it: it is empty, or cut off"
    elif answer.rc in _WHOLE:
        return
    raise UsageError(
        f"{path.name} is no whole qcow2: {said}",
        advice="copy it again, and compare its SHA-256 with that of whoever made it",
    )


def accelerators(start: Start) -> tuple[str, ...]:
    """What may run a machine here, the best first: a device of KVM proves nothing, so the other follows."""
    if start.accelerator != "auto":
        return (start.accelerator,)
    kvm = start.architecture == host_architecture() and os.access("/dev/kvm", os.R_OK | os.W_OK)
    return ("kvm", "tcg") if kvm else ("tcg",)


@contextlib.contextmanager
def foreign_machine(
    disk: Path, form: Format, start: Start, accelerator: str, port: int, place: Path
) -> Iterator[Popen[bytes]]:
    """QEMU with such a disk, whose SSH server is behind ``port`` of 127.0.0.1; gone afterwards. The folder
    ``place`` is made and stays, with what the machine wrote to its second disk (``FILES``).

    Raises:
        InfrastructureError: QEMU or its firmware is missing, or the disk is full.
        UsageError: a file that is named is not there.
    """
    program = BOARDS[start.architecture][0]
    if shutil.which(program) is None:
        raise InfrastructureError(f"{program} is missing", advice="install it with: make setup")
    place.mkdir(parents=True, mode=0o700)
    given = _copied(start, place)
    answer = run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", str(disk.absolute()), "disk.qcow2"],
        timeout=60,
        cwd=place,
    )
    if not answer.ok:
        raise ProvisionError(
            f"qemu-img makes nothing of {disk.name}: {answer.text.strip()[-300:]}",
            advice="check the image with: qemu-img check",
        )
    user = user_of(f"{place.name}-import")
    give(place, _WRITTEN, _KEPT, user)
    os.truncate(place / FILES, MOST_FILES)
    descriptor = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with (place / "qemu.log").open("ab") as log:
            process = background(
                [program, *_arguments(form, start, given, accelerator, port, descriptor)],
                cwd=place,
                log=log,
                user=user,
                groups=groups_of(accelerator),
                descriptors=[descriptor],
            )
    finally:
        os.close(descriptor)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def last_words(place: Path) -> str:
    """What QEMU and the console of a machine said last."""
    texts = []
    for name in ("qemu.log", "console.log"):
        with contextlib.suppress(OSError):
            lines = (place / name).read_text(errors="replace").strip().splitlines()
            texts += [f"{name}: {' / '.join(lines[-3:])[-300:]}"] if lines else []
    return "; ".join(texts) or "it said nothing"


def _copied(start: Start, place: Path) -> dict[str, str]:
    """Kernel, RAM disk and firmware beside the machine, which reads nothing elsewhere: option of QEMU -> name."""
    firmware = start.firmware
    if firmware is None and start.kernel is None:
        firmware = FIRMWARE.get(start.architecture)
        if firmware is not None and not firmware.is_file():
            raise InfrastructureError(
                f"{start.architecture} boots from no disk without firmware: {firmware} is missing",
                advice=f"install {firmware.parent.name}, or name one: --firmware",
            )
    given = {}
    for option, path in (("-kernel", start.kernel), ("-initrd", start.initrd), ("-bios", firmware)):
        if path is None:
            continue
        if not path.is_file():
            raise UsageError(f"{path} is no file", advice=f"name the file that QEMU gets as {option}")
        name = option.lstrip("-")
        shutil.copyfile(path, place / name)
        (place / name).chmod(0o644)
        given[option] = name
    return given


def _arguments(
    form: Format, start: Start, given: dict[str, str], accelerator: str, port: int, descriptor: int
) -> Sequence[str]:
    """The options of QEMU. The disk is read by its descriptor: whoever QEMU runs as cannot reach its folder."""
    options = {
        "-M": BOARDS[start.architecture][1],
        "-accel": accelerator + (",thread=multi" if accelerator == "tcg" else ""),
        "-cpu": "host" if accelerator == "kvm" else MODELS[start.architecture],
        "-smp": "2",
        "-m": str(start.memory),
        "-serial": "file:console.log",
        "-rtc": "base=utc",
        "-add-fd": f"fd={descriptor},set=1",
        "-drive": f"file=disk.qcow2,if=none,id=d0,cache=unsafe,discard=unmap,backing.driver={form},"
        "backing.file.driver=file,backing.file.filename=/dev/fdset/1",
        "-blockdev": f"driver=raw,node-name=d1,file.driver=file,file.filename={FILES}",
        "-netdev": f"user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
        **given,
    }
    if start.kernel is not None and start.append:
        options["-append"] = start.append
    argv = ["-nodefaults", "-display", "none", "-sandbox", SANDBOX]
    for option, value in options.items():
        argv += [option, value]
    devices = (
        "virtio-blk-pci,drive=d0",
        f"virtio-blk-pci,drive=d1,serial={SERIAL}",
        "virtio-net-pci,netdev=n0,romfile=",
        "virtio-rng-pci",
    )
    return [*argv, *(word for device in devices for word in ("-device", device))]
