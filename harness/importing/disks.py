"""A disk image becomes a target: it is booted as it is, logged into, asked what it is, and its files are taken."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import paramiko

from harness.errors import InfrastructureError, StepTimeout, UsageError
from harness.hosts.inventory import Connection, HostUnreachable, Inventory
from harness.importing.entries import Wanted
from harness.importing.importing import Import, Prove, import_root, importing
from harness.model.definitions import Host, Hosts
from harness.system import shell
from harness.system.printable import one_line
from harness.system.wait import wait_until
from harness.virtual.foreign import (
    FILES,
    MOST_FILES,
    SERIAL,
    Format,
    Start,
    accelerators,
    demand_whole,
    foreign_machine,
    format_of,
    last_words,
)
from harness.virtual.qemu import free_port

#: The longest trial boot with KVM; the limit of the boot without is the caller's.
KVM_SECONDS = 120.0
HOST = "disk"
#: Everything of the machine but what its kernel makes, what is of this boot, and memory that was written out.
_LEFT_OUT = ("proc/*", "sys/*", "dev/*", "run/*", "tmp/*", "swapfile", "swap.img")
#: Writes a tar archive to the disk that was added for it, and prints its bytes.
TAKE = """\
export LC_ALL=C; to=
for d in /sys/block/*; do [ "$(cat $d/serial 2>/dev/null)" = {serial} ] && to=/dev/${{d##*/}}; done
[ -b "$to" ] || exit 3
tar -C / --numeric-owner {left_out} -cf - . 2>/dev/null | dd of=$to bs=1M iflag=fullblock conv=fsync 2>&1 \
  | sed -n 's/ bytes.*//p'
""".format(serial=SERIAL, left_out=" ".join(f"--exclude='./{each}'" for each in _LEFT_OUT))
#: Until a guest that listens says so, on a slow emulator.
GREETING_SECONDS = 5.0
#: Nothing comes while a large disk is read.
LONGEST_SILENCE = 1800.0


@dataclass(frozen=True, kw_only=True)
class Account:
    """How a disk is logged into. ``key`` and ``password`` are references, ``env:NAME`` or ``file:PATH``; ``sudo``: the
    login becomes root by sudo, without a password."""

    user: str = "root"
    key: str | None = None
    password: str | None = None
    sudo: bool = False


def import_disk(
    path: Path, wanted: Wanted, prove: Prove, account: Account, start: Start, *, seconds: float, cache: Path
) -> Import:
    """Import a disk image (qcow2 or raw). ``seconds``: how long it may take until its SSH server answers.

    Raises:
        UsageError: it is no such image; else as ``import_root``.
        AttestationMismatch: it is not what it is said to be.
        InfrastructureError: it does not boot, refuses the login, or the disk here is full.
    """
    if (account.key is None) == (account.password is None):
        raise UsageError("a disk is logged into with a key or a password", advice="give one of --key and --password")
    with importing(path, "disk", cache) as (_, folder, digest):
        form = format_of(path, start)
        if form == "qcow2":
            demand_whole(path)
        accelerator, place, kernel = _booted(path, form, start, account, folder, seconds)
        origin = f"disk {one_line(path.name, 80)}, SHA-256 {digest}, booted by QEMU ({accelerator}), kernel {kernel}"
        wanted = dataclasses.replace(wanted, architecture=start.architecture)
        more = {"kernel": kernel}
        return import_root(
            place / FILES, wanted, prove, origin=origin, origin_sha256=digest, kernel=kernel, more=more, cache=cache
        )


class _Ended(InfrastructureError):
    """QEMU ended before its guest was asked anything."""


def _booted(
    path: Path, form: Format, start: Start, account: Account, folder: Path, seconds: float
) -> tuple[str, Path, str]:
    """Boot a disk and take its files: what ran it, the folder with ``FILES``, the release of its kernel.

    An emulator that ends by itself is started once more: QEMU 10.0 stopped at an assertion of its own once in some
    twenty boots.

    Raises:
        InfrastructureError: it does not boot, or does not let in.
    """
    ways = list(accelerators(start))
    ways.append(ways[-1])
    for number, accelerator in enumerate(ways):
        place, last = folder / f"vm-{number}", number + 2 >= len(ways)
        limit = seconds if last else min(seconds, KVM_SECONDS)
        port = free_port()
        try:
            with foreign_machine(path, form, start, accelerator, port, place) as process:
                kernel = _taken(path.name, account, port, process, place, limit, start.architecture)
        except _Ended:
            if number + 1 == len(ways):
                raise
        except InfrastructureError:
            if last:
                raise
        else:
            return accelerator, place, kernel
    raise AssertionError


def _taken(
    what: str,
    account: Account,
    port: int,
    process: Popen[bytes],
    place: Path,
    seconds: float,
    architecture: str,
) -> str:
    """Have a machine that boots write its files to ``FILES`` in ``place``, as a tar archive, and end it; gives the
    release of its kernel."""
    with _login(what, account, port, process, place, seconds) as connection:
        kernel, machine, *_ = [*_asked(connection, account, "uname -r; uname -m").split("\n"), "", ""]
        if machine.strip() != architecture:
            raise UsageError(
                f"{what} is of {one_line(machine, 40)}, booted as {architecture}", advice="say what it is: --arch"
            )
        size = _asked(connection, account, TAKE).strip()
    process.kill()
    process.wait()
    if not size.isdigit() or not 0 < int(size) < MOST_FILES:
        raise InfrastructureError(
            f"{what} did not give its files: it says {one_line(size, 80) or 'nothing'}",
            advice="it needs GNU tar, dd and sed, and a kernel with virtio disks",
        )
    os.truncate(place / FILES, int(size))
    return one_line(kernel, 80)


@contextlib.contextmanager
def _login(
    what: str, account: Account, port: int, process: Popen[bytes], place: Path, seconds: float
) -> Iterator[Connection]:
    """A connection, once the SSH server answers. Its key is taken as it is: it is this machine's own emulator.

    Raises:
        InfrastructureError: QEMU ended, the server does not answer in time, or refuses the login.
    """
    host = Host(
        host=HOST,
        address="127.0.0.1",
        port=port,
        user=account.user,
        key=account.key,
        password=account.password,
        labels={},
    )

    def key() -> str | None:
        if process.poll() is not None:
            raise _Ended(
                f"{what}: the virtual machine ended; {last_words(place)}", advice="check the image and how it is booted"
            )
        with contextlib.suppress(HostUnreachable, OSError):
            if not _speaks(port):
                return None
            offered = Inventory(Hosts(hosts=(host,)), Path()).offered_key(HOST)
            return f"{offered.get_name()} {offered.get_base64()}"
        return None

    try:
        line = wait_until(key, seconds=seconds, what=f"the SSH server of {what}", longest=1.0)
    except StepTimeout:
        raise InfrastructureError(
            f"{what}: no SSH server answered within {seconds:.0f} s of its start; {last_words(place)}",
            advice="it must start sshd and ask for an address (DHCP) when it boots; --seconds waits longer",
        ) from None
    known = Inventory(Hosts(hosts=(host.model_copy(update={"host_key": line}),)), Path())
    try:
        connection = known.connect(HOST)
    except InfrastructureError as error:
        raise InfrastructureError(f"{what}: {error.message}", advice="check --user, and --key or --password") from error
    with contextlib.closing(connection):
        yield connection


def _speaks(port: int) -> bool:
    """Whether an SSH server is behind a port: QEMU itself takes connections before its guest does.

    Raises:
        OSError: it said nothing.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=GREETING_SECONDS) as sock:
        return sock.recv(4) == b"SSH-"


def _asked(connection: Connection, account: Account, command: str) -> str:
    output = io.BytesIO()
    _run(connection, account, command, output)
    return output.getvalue().decode(errors="replace")


def _run(connection: Connection, account: Account, command: str, output: io.BufferedIOBase) -> None:
    """Run a command as root, its output to a file. Raises as ``_login``."""
    status = -1
    try:
        with connection.transport.open_session(timeout=LONGEST_SILENCE) as channel:
            channel.settimeout(LONGEST_SILENCE)
            channel.exec_command(f"sudo -n sh -c {shell.quote(command)}" if account.sudo else command)
            while piece := channel.recv(1 << 20):
                output.write(piece)
            status = channel.recv_exit_status()
    except (paramiko.SSHException, EOFError, TimeoutError) as error:
        raise InfrastructureError(
            f"the connection to the machine was lost while it was asked: {error or type(error).__name__}",
            advice="repeat; --memory gives it more memory",
        ) from error
    if status != 0:
        raise InfrastructureError(
            f"the machine did not do what it was asked (status {status}): {command[:80]}",
            advice="the login must be root, or become root by sudo without a password (--sudo), and have GNU tar",
        )
