"""Disks of virtual machines: an installed environment, with a kernel, a way in, and a first program.

Made of the same images as containers, so that an environment is installed once for both.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.containers.cache import mark_used
from harness.containers.engine import Engine
from harness.containers.engine_errors import engine_errors
from harness.containers.environments import Environments
from harness.errors import Canceled, ProvisionError
from harness.model.definitions import Os
from harness.model.ledger import Ledger
from harness.system.canonical import digest_of
from harness.system.makers import own_name
from harness.system.process import run
from harness.system.roots import (
    link_in_root,
    make_folder_in_root,
    names_in_root,
    open_in_root,
    remove_in_root,
    write_in_root,
)
from harness.virtual.kernels import FIRMWARE, kernel_of
from harness.virtual.qemu import READY, Boot

#: Of the SSH server, below the root.
CONFIG = "etc/ssh/sshd_config.d/harness.conf"
#: Raised when the way disks are made changes.
REVISION = 1
#: Free space that a product finds on a disk beside what is installed, in MiB; the file is sparse.
FREE = 2048
#: What a virtual machine needs beside the environment: a way in, and its network.
PACKAGES = ("openssh-server", "iproute2")
#: And where services are started by systemd.
SYSTEMD_PACKAGES = ("systemd", "systemd-sysv", "dbus")

FIRST = f"""#!/bin/sh
# The first program: what a product may expect to be mounted, the network, the way in.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc; mount -t sysfs sys /sys
[ -c /dev/null ] || mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run /sys/fs/cgroup
mount -t devpts devpts /dev/pts; mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=0755 tmpfs /mnt && cp -a /run/. /mnt && mount --move /mnt /run  # what was installed there stays
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
mkdir -p /run/sshd /run/lock; chmod 1777 /run/lock /tmp
hostname machine
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
/usr/sbin/sshd
echo {READY} $(cat /proc/uptime)
# The shell reaps orphans while it waits; nothing else is left to do.
while :; do sleep 1000000; done
"""
#: As ``FIRST``, for a machine whose first program is systemd: it reaches ``harness.target`` and no further, so that no
#: service of a product runs before it is configured. Units as of systemd.unit(5).
NETWORK = f"""#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
mkdir -p /run/sshd
/usr/sbin/sshd
echo {READY} $(cat /proc/uptime) >/dev/console
"""
UNITS = {
    "harness.target": "[Unit]\nRequires=basic.target harness.service\nAfter=basic.target harness.service\n"
    "AllowIsolate=yes\n",
    "harness.service": "[Unit]\nAfter=basic.target\n[Service]\nType=forking\nExecStart=/usr/sbin/harness-network\n"
    "KillMode=process\nTimeoutStartSec=infinity\n",
    "ssh.service": "",
    "ssh.socket": "",
    "systemd-networkd.service": "",
    "systemd-timesyncd.service": "",
    "getty.target": "",
    "systemd-networkd.socket": "",
    "apt-daily.timer": "",
    "apt-daily-upgrade.timer": "",
    "dpkg-db-backup.timer": "",
    "fstrim.timer": "",
    "e2scrub_all.timer": "",
    "systemd-tmpfiles-clean.timer": "",
}
SSHD = """HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
UsePAM no
MaxStartups 100
"""


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A disk that is never written to, and how it is booted; ``key`` changes with whatever is on it."""

    key: str
    image: Path
    boot: Boot
    host_key: str  #: as a line of known_hosts, without the name
    kernel: str  #: version


@dataclass
class Disks:
    """Makes and finds disks in ``folder``."""

    engine: Engine
    environments: Environments
    folder: Path

    @property
    def identity(self) -> Path:
        """Private key that every disk made here lets in as root; made on the first call."""
        path = self.folder / "id_ed25519"
        with self.environments.images.locked("vm-identity"):
            if not path.is_file():
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                _write(path, _new_key()[0].encode(), 0o600)
        return path

    def ensure(self, image: str, system: Os, architecture: str, ledger: Ledger, *, systemd: bool = False) -> Disk:
        """The disk of an environment's image, which has ``PACKAGES``, and ``SYSTEMD_PACKAGES`` with ``systemd``.

        Raises:
            ProvisionError: the system has no kernel for it, programs or rights are missing, or the disk is full.
        """
        kernel = kernel_of(self.environments, self.folder, system, architecture, ledger)
        imported = system.import_of(architecture) is not None
        programs = _programs(imported=imported)
        first: list[object] = [programs[1], UNITS] if systemd else [programs[0]]
        key = digest_of([REVISION, image, kernel.name, *first, SSHD, FREE])[:24]
        final = self.folder / "disks" / key
        with self.environments.images.locked(f"disk-{key}"):
            if not (final / "disk.raw").is_file():
                if os.geteuid() != 0:
                    raise ProvisionError(
                        "making the disk of a virtual machine needs root: owners of files are kept",
                        advice="run it as root, or take containers: prefer [container]",
                    )
                ledger.intent("disk", key)
                self._make(image, kernel, final, programs, systemd=systemd)
                ledger.created("disk", key, str(final))
            mark_used(final)
        boot = Boot(
            kernel=kernel / "vmlinuz",
            image=final / "disk.raw",
            initrd=kernel / "initrd",
            firmware=kernel / "firmware" if architecture in FIRMWARE else None,
            init=_command_line(systemd=systemd, imported=imported),
        )
        return Disk(
            key=key,
            image=final / "disk.raw",
            boot=boot,
            kernel=(kernel / "version").read_text(),
            host_key=(final / "host_key.pub").read_text().strip(),
        )

    def _make(self, image: str, kernel: Path, final: Path, programs: tuple[str, str], *, systemd: bool) -> None:
        part = final.with_name(f".{final.name}-{own_name()}-{secrets.token_hex(3)}")
        root = part / "root"
        root.mkdir(parents=True, mode=0o700)
        try:
            self._unpack(image, root)
            version = (kernel / "version").read_text()
            _put_modules(root, kernel / "modules", version)
            host_key = _furnish(root, self.identity, programs[0])
            if systemd:
                _furnish_systemd(root, programs[1])
            _write(part / "host_key.pub", f"{host_key}\n".encode(), 0o644)
            used = sum(f.lstat().st_size for f in root.rglob("*") if not f.is_symlink() and f.is_file()) // 2**20
            raw = part / "disk.raw"
            answer = run(
                [
                    "mke2fs",
                    "-q",
                    "-t",
                    "ext4",
                    "-m",
                    "0",
                    "-E",
                    "lazy_itable_init=0,lazy_journal_init=0",
                    "-d",
                    str(root),
                    str(raw),
                    f"{int(used * 1.2) + FREE}M",
                ],
                timeout=600,
                cancel=self.environments.cancel,
            )
            if not answer.ok:
                raise ProvisionError(
                    f"mke2fs could not make a disk: {answer.text.strip()[-300:]}",
                    advice="free space on the disk, then repeat",
                )
            shutil.rmtree(root)
            final.parent.mkdir(parents=True, exist_ok=True)
            part.rename(final)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _unpack(self, image: str, root: Path) -> None:
        """All files of an image; its container is never started."""
        name = f"harness-export-{secrets.token_hex(6)}"
        tar = root.with_name("root.tar")
        try:
            with engine_errors("exporting an image"):
                client = self.engine.client
                container = client.containers.create(
                    image, ["true"], name=name, labels=self.engine.labels("build", name, "export")
                )
                with tar.open("wb") as file:
                    for chunk in client.api.export(str(container.id), chunk_size=1 << 20):
                        self._check_cancel()
                        file.write(chunk)
        finally:
            self.engine.remove_container(name)
        answer = run(
            ["tar", "-xf", str(tar), "-C", str(root), "--numeric-owner", "--exclude=.dockerenv"],
            timeout=600,
            cancel=self.environments.cancel,
        )
        tar.unlink()
        if not answer.ok:
            raise ProvisionError(f"an image could not be unpacked: {answer.text.strip()[-300:]}", advice="free space")

    def _check_cancel(self) -> None:
        if self.environments.cancel.is_set():
            raise Canceled("stopped while the disk of a virtual machine was made")


def _programs(*, imported: bool) -> tuple[str, str]:
    """The first program, and the one that systemd starts. The SSH server of an imported system may be one whose own
    configuration reads no further files, so it gets ours alone."""
    ours = f"/usr/sbin/sshd -f /{CONFIG}\n" if imported else "/usr/sbin/sshd\n"
    first, network = (text.replace("/usr/sbin/sshd\n", ours) for text in (FIRST, NETWORK))
    return first, network


def _command_line(*, systemd: bool, imported: bool) -> str:
    """What the kernel starts, and what it is told beside that: files of an import have no labels of SELinux."""
    init = "/lib/systemd/systemd systemd.unit=harness.target" if systemd else "/sbin/harness-init"
    return f"{init} selinux=0" if imported else init


def _furnish(root: Path, identity: Path, first: str) -> str:
    """Put in what lets the harness in, and the first program; gives the public host key."""
    private, public = _new_key()
    login = serialization.load_ssh_private_key(identity.read_bytes(), None)
    line = login.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    for name in names_in_root(root, "etc/ssh"):
        if name.startswith("ssh_host_"):
            remove_in_root(root, f"etc/ssh/{name}")
    for name, text, mode in (
        ("root/.ssh/authorized_keys", line.decode() + "\n", 0o600),
        ("etc/ssh/ssh_host_ed25519_key", private, 0o600),
        ("etc/ssh/ssh_host_ed25519_key.pub", public + "\n", 0o644),
        (CONFIG, SSHD, 0o644),
        ("usr/sbin/harness-init", first, 0o755),
        ("etc/hostname", "machine\n", 0o644),
        ("etc/hosts", "127.0.0.1 localhost machine\n", 0o644),
        ("etc/fstab", "/dev/vda / ext4 rw,noatime 0 1\n", 0o644),
    ):
        write_in_root(root, name, text.encode(), mode)
    make_folder_in_root(root, "root/.ssh", 0o700)
    remove_in_root(root, "usr/sbin/policy-rc.d")
    return public


def _put_modules(root: Path, modules: Path, version: str) -> None:
    """Copy a kernel's modules to ``/lib/modules`` of a root, which may be a link in it."""
    make_folder_in_root(root, "lib/modules")
    folder = open_in_root(root, "lib/modules", os.O_RDONLY | os.O_DIRECTORY)
    try:
        target = Path(f"/proc/self/fd/{folder}") / version
        if target.is_symlink() or target.is_file():
            target.unlink()
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(modules, target, symlinks=True)
    finally:
        os.close(folder)


def _furnish_systemd(root: Path, network: str) -> None:
    """Put in the units that bring up network and way in; services that nobody asked for stay out."""
    write_in_root(root, "usr/sbin/harness-network", network.encode(), 0o755)
    for name, text in UNITS.items():
        if text:
            write_in_root(root, f"etc/systemd/system/{name}", text.encode())
        else:
            link_in_root(root, f"etc/systemd/system/{name}", "/dev/null")  # masked
    write_in_root(root, "etc/machine-id", b"uninitialized\n", 0o444)


def _new_key() -> tuple[str, str]:
    """Private key (OpenSSH's format) and public line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


def _write(path: Path, data: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)  # what an image had there may be a link that leads out
    path.touch(mode=0o600)
    path.write_bytes(data)
    path.chmod(mode)
