"""What a file is by its first bytes, so that whoever gives it to the wrong command reads which one takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.errors import UsageError
from harness.system.files import open_plain

Kind = Literal["medium", "disk", "tar", ""]
#: The first volume descriptor of ISO 9660 is sector 16; its identifier follows one byte (ECMA-119, 8.1).
_DESCRIPTOR = 16 * 2048 + 1
_DISKS = (b"QFI\xfb", b"KDMV", b"vhdx", b"conectix", b"<<< ")
_PACKED = (b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd")
#: Kind -> what it is, and the command for it.
_WORDS = {
    "medium": ("an installation medium (ISO 9660)", "of the RPM family: harness targets import rpm --medium FILE"),
    "disk": ("a disk image", "harness targets import disk FILE"),
    "tar": (
        "an archive",
        "a root file system: harness targets import root FILE; container images: harness targets import archive FILE",
    ),
}


def kind_of(path: Path) -> Kind:
    """What a file begins like; empty where that says nothing.

    Raises:
        OSError: it cannot be read.
    """
    with open_plain(path) as file:
        head = file.read(_DESCRIPTOR + 5)
    if head[_DESCRIPTOR:] == b"CD001":  # before the boot sector, which many media have too
        return "medium"
    if head[257:262] == b"ustar" or head.startswith(_PACKED):
        return "tar"
    return "disk" if head.startswith(_DISKS) or head[510:512] == b"\x55\xaa" else ""


def demand_kind(path: Path, wanted: Kind) -> None:
    """Refuse a file that is plainly of another kind.

    Raises:
        UsageError: it is; the advice names the command for it.
        OSError: it cannot be read.
    """
    kind = kind_of(path)
    if kind not in ("", wanted):
        words, command = _WORDS[kind]
        raise UsageError(f"{path.name} is {words}, and not {_WORDS[wanted][0]}", advice=command)
