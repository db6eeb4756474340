"""Disk images as centers have them, made of the harness's own disks."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.virtual.disks import Disk

MIB = 1 << 20
#: Of the partition that the loader reads, in MiB.
LOADER = 64


def run(*words: str | Path, text: str = "") -> None:
    """Run a program to its end, which must be good."""
    subprocess.run(list(map(str, words)), input=text, text=True, check=True, capture_output=True)


def command_line(own: Disk) -> str:
    """What the kernel of such a disk is told."""
    return f"console=ttyS0 net.ifnames=0 root=/dev/vda rw init={own.boot.init} panic=-1 quiet"


def disk_of(own: Disk, folder: Path, *, loader: bool = False) -> Path:
    """A qcow2 with the kernel where systems have it; with ``loader``, one that a BIOS boots: a partition table in the
    first sector, which ext4 leaves alone, and behind the file system a partition with syslinux."""
    raw, disk = folder / "disk.raw", folder / "disk.qcow2"
    run("cp", "--sparse=always", own.image, raw)
    request = f"mkdir /boot\nwrite {own.boot.kernel} /boot/vmlinuz-{own.kernel}\n"
    run("debugfs", "-w", "-f", "-", raw, text=request)
    if loader:
        _add_loader(raw, own, folder / "fat.img")
    run("qemu-img", "convert", "-O", "qcow2", raw, disk)
    raw.unlink()
    return disk


def _add_loader(raw: Path, own: Disk, fat: Path) -> None:
    end = -(-raw.stat().st_size // MIB)
    with raw.open("r+b") as file:
        file.truncate((end + LOADER) * MIB)
    table = f"label: dos\nstart={end}MiB, size={LOADER}MiB, type=c, bootable\n"
    run("sfdisk", "-q", "--no-reread", "--wipe", "never", "--wipe-partitions", "never", raw, text=table)
    code = Path("/usr/lib/syslinux/mbr/mbr.bin").read_bytes()
    configuration = f"SERIAL 0\nDEFAULT l\nLABEL l\n LINUX vmlinuz\n INITRD initrd\n APPEND {command_line(own)}\n"
    run("mkfs.fat", "-C", fat, str(LOADER * 1024))
    (fat.parent / "syslinux.cfg").write_text(configuration)
    for source, name in (
        (own.boot.kernel, "vmlinuz"),
        (own.boot.initrd, "initrd"),
        (fat.parent / "syslinux.cfg", "syslinux.cfg"),
    ):
        run("mcopy", "-i", fat, source, f"::{name}")
    run("syslinux", "--install", fat)
    with raw.open("r+b") as file:
        file.write(code)
        file.seek(end * MIB)
        file.write(fat.read_bytes())
