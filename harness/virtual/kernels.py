"""Kernels of virtual machines, with modules and a small RAM disk: of a package, or of a disk that was imported."""

from __future__ import annotations

import secrets
import shutil
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

from harness.containers.cache import mark_used
from harness.containers.environments import Environments
from harness.containers.imported import kept_file
from harness.errors import ProvisionError
from harness.model.definitions import Imported, Os
from harness.model.ledger import Ledger
from harness.reading.entries import entry
from harness.system.canonical import digest_of
from harness.system.makers import own_name
from harness.system.process import run
from harness.virtual.initrd import INIT, MODULES, make_initrd

#: Raised when the way kernels are kept changes.
REVISION = 1
FIRMWARE = {"loongarch64": ("qemu-efi-loongarch64", "usr/share/qemu-efi-loongarch64/QEMU_EFI.fd")}
BUSYBOX = "busybox-static"
#: Systems of the catalogue whose packages the RAM disk of an imported kernel is made of.
_LENDERS = {"x86_64": "debian-12", "aarch64": "debian-12", "loongarch64": "debian-forky"}


def kernel_of(environments: Environments, folder: Path, system: Os, architecture: str, ledger: Ledger) -> Path:
    """A folder below ``folder`` with vmlinuz, modules, initrd, version, and firmware where it is needed.

    Raises:
        ProvisionError: the system has none for virtual machines, or it cannot be fetched or unpacked.
    """
    imported = system.import_of(architecture)
    own = imported if imported is not None and imported.kernel else None
    package = system.vm_kernel.get(architecture)
    if own is None and package is None:
        raise ProvisionError(
            f"{system.os} names no kernel for a virtual machine of {architecture}",
            advice=f"name its package under vm_kernel in targets/os/{system.os}.yaml",
        )
    lender = system if own is None else _lender(architecture)
    named = package if own is None and package is not None else f"the imported {own.kernel if own is not None else ''}"
    base = environments.images.ensure(system, architecture, ledger)
    key = digest_of([REVISION, base.id, named, INIT, MODULES])[:16]
    final = folder / "kernels" / key
    with environments.images.locked(f"kernel-{key}"):
        if (final / "version").is_file():
            mark_used(final)
            return final
        ledger.event("kernel", os=system.os, architecture=architecture, package=named)
        wanted = [package] if own is None and package is not None else []
        wanted += [BUSYBOX, *([FIRMWARE[architecture][0]] if architecture in FIRMWARE else [])]
        archive = environments.fetch(lender, architecture, wanted, ledger)
        part = final.with_name(f".{key}-{own_name()}-{secrets.token_hex(3)}")
        part.mkdir(parents=True)
        try:
            unpack_packages(archive, part, environments.cancel)
            if own is not None:
                _unpack_import(kept_file(environments.images.cache, own.sha256), part / "root", own)
            _assemble(part, architecture, environments.cancel)
            final.parent.mkdir(parents=True, exist_ok=True)
            part.rename(final)
        finally:
            archive.unlink(missing_ok=True)
            shutil.rmtree(part, ignore_errors=True)
    return final


def _lender(architecture: str) -> Os:
    system = entry(f"os/{_LENDERS[architecture]}")[2]
    assert isinstance(system, Os)
    return system


def unpack_packages(archive: Path, part: Path, cancel: threading.Event) -> None:
    """Unpack an archive of packages (tar) into ``part / "root"``.

    Raises:
        ProvisionError: a package cannot be unpacked.
        Canceled: ``cancel`` was set.
    """
    root = part / "root"
    root.mkdir()
    with tarfile.open(archive) as tar:
        tar.extractall(part / "debs", filter="data")
    for deb in sorted((part / "debs").rglob("*.deb")):
        answer = run(["dpkg-deb", "-x", str(deb), str(root)], timeout=300, cancel=cancel)
        if not answer.ok:
            raise ProvisionError(f"{deb.name} cannot be unpacked: {answer.text.strip()[-300:]}", advice="repeat")
    shutil.rmtree(part / "debs")


def _unpack_import(kept: Path, root: Path, imported: Imported) -> None:
    """Kernel and modules of an imported root, beside what packages put there; plain files alone."""
    if not kept.is_file():
        raise ProvisionError(
            f"the kernel of what was imported ({imported.origin}) is not on this machine: {kept}",
            advice="import the same again here: harness targets import",
        )
    with tarfile.open(kept) as tar:
        tar.extractall(root, members=_of_kernel(tar, imported.kernel), filter="data")


def _of_kernel(tar: tarfile.TarFile, version: str) -> Iterator[tarfile.TarInfo]:
    folders = (f"lib/modules/{version}", f"usr/lib/modules/{version}")
    kernels = (f"boot/vmlinuz-{version}", f"boot/vmlinux-{version}")
    for member in tar:
        name = member.name.removeprefix("./").lstrip("/")
        if member.isreg() and (name in kernels or name.startswith(tuple(f"{folder}/" for folder in folders))):
            member.name = name
            yield member


def _assemble(part: Path, architecture: str, cancel: threading.Event) -> None:
    """vmlinuz, modules, initrd, firmware and version of what lies in ``part / "root"``, which goes."""
    root = part / "root"
    # /boot/vmlinuz-VERSION and /lib/modules, or both in /usr/lib/modules/VERSION.
    module_folders = [path for base in (root, root / "usr") for path in sorted((base / "lib/modules").glob("*"))]
    kernels = [
        (modules, kernel)
        for modules in module_folders
        for kernel in (modules / "vmlinuz", *(root / "boot").glob(f"vmlinu[xz]-{modules.name}"))
        if kernel.is_file()
    ]
    if not kernels:
        raise ProvisionError("the kernel's package holds no kernel", advice="correct vm_kernel of the system")
    modules, kernel = kernels[-1]
    version, base = modules.name, modules.parents[2]
    answer = run(["depmod", "-b", str(base), version], timeout=120, cancel=cancel)
    if not answer.ok:
        raise ProvisionError(f"depmod failed: {answer.text.strip()[-300:]}", advice="install kmod, or: make setup")
    busybox = next(path for path in (root / "usr/bin/busybox", root / "bin/busybox") if path.is_file())
    (part / "initrd").write_bytes(make_initrd(modules, busybox))
    shutil.copy(kernel, part / "vmlinuz")
    if architecture in FIRMWARE:
        shutil.copy(root / FIRMWARE[architecture][1], part / "firmware")
    shutil.move(modules, part / "modules")
    shutil.rmtree(root)
    (part / "version").write_text(version)  # last: a folder without it is not whole
