"""One virtual machine: QEMU's process, its monitor, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import InfrastructureError, StepTimeout
from harness.model.plan import ROLES
from harness.system.canonical import read_json
from harness.system.process import background
from harness.system.wait import wait_until
from harness.virtual.rights import give, groups_of, opened, user_of

#: Printed by the guest on its console when its SSH server is about to start.
READY = "HARNESS-READY"
_NO_ROOT = "HARNESS-NO-ROOT"
STATE = "qemu.json"  #: in a machine's folder: who it belongs to
DEEDS = "deeds"  #: in a machine's folder: the verbs that a suite used on it
#: In a machine's folder: what QEMU writes, and what it only must not stand in the way of.
_WRITTEN, _KEPT = ("disk.qcow2", "console.log"), (STATE, "pid", "qemu.log", DEEDS)

#: A cable to another machine: the name of this machine's socket, and the name of the other machine's socket, both
#: relative to the folder that holds the folders of the machines. None for a card without a cable.
Link = tuple[str, str] | None
#: Network cards for such cables.
CARDS = len(ROLES)

#: Machine, firmware and console by architecture.
BOARDS = {
    "x86_64": ("qemu-system-x86_64", "q35", "ttyS0"),
    "aarch64": ("qemu-system-aarch64", "virt,gic-version=3", "ttyAMA0"),
    "loongarch64": ("qemu-system-loongarch64", "virt", "ttyS0"),
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The shape of a virtual machine, which must be the same when a snapshot is restored. ``memory`` in MiB."""

    architecture: str
    model: str
    memory: int = 1024
    processors: int = 2
    accelerator: str = "tcg"

    @property
    def program(self) -> str:
        """QEMU's program for the architecture."""
        return BOARDS[self.architecture][0]

    def plain(self) -> list[Any]:
        """Everything that a snapshot depends on, as plain values."""
        return [
            self.architecture,
            self.model,
            self.memory,
            self.processors,
            self.accelerator,
            BOARDS[self.architecture],
        ]


@dataclass(frozen=True, kw_only=True)
class Boot:
    """Kernel, RAM disk and firmware (loongarch64 does not reach a disk without), and the first program."""

    kernel: Path
    initrd: Path
    image: Path  #: the disk below the machine's own
    firmware: Path | None = None
    init: str = "/sbin/harness-init"


#: Calls of the kernel that QEMU cannot make once it runs (seccomp): a guest that breaks out of its devices starts no
#: program and becomes nobody else.
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


class Qemu:
    """A running QEMU in ``folder``, whose ``disk.qcow2`` it uses.

    ``ports``: port of the guest -> port of 127.0.0.1. ``links``: cables to other machines of the cell. The kernel ends
    the process with the thread that started it, so that a killed harness leaves no machine behind; one that is
    ``lasting`` may be left standing.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        shape: Shape,
        boot: Boot,
        ports: dict[int, int],
        links: Sequence[Link] = (),
        *,
        owner: dict[str, str] | None = None,
        restore: str = "",
        lasting: bool = False,
    ) -> None:
        if shutil.which(shape.program) is None:
            raise InfrastructureError(
                f"{shape.program} is missing: no virtual machine of {shape.architecture}",
                advice="install it with: make setup",
            )
        self.folder, self.name, self.shape, self.ports = folder, name, shape, ports
        (folder / STATE).write_text(json.dumps({"name": name, **(owner or {})}))
        # The monitor's path must be short (unix(7): 108 bytes), so all paths are relative to the folder.
        user = user_of(name)
        give(folder, _WRITTEN, _KEPT, user)
        self._log = (folder / "qemu.log").open("ab")
        with opened([boot.image, boot.kernel, boot.initrd, *filter(None, [boot.firmware])]) as files:
            self.process = background(
                self._arguments(boot, files, links, restore),
                cwd=folder,
                log=self._log,
                user=user,
                groups=groups_of(shape.accelerator),
                descriptors=files,
                lasting=lasting,
            )
        (folder / "pid").write_text(str(self.process.pid))

    def _arguments(self, boot: Boot, files: Sequence[int], links: Sequence[Link], restore: str) -> list[str]:
        """The command line of QEMU. ``files``: descriptors of disk, kernel, RAM disk and firmware."""
        program, _, console = BOARDS[self.shape.architecture]
        options = {
            "-serial": "file:console.log",
            "-qmp": "unix:monitor,server=on,wait=off",
            "-rtc": "base=utc",
            "-add-fd": f"fd={files[0]},set=1",
            "-drive": "file=disk.qcow2,if=none,id=d0,cache=unsafe,discard=unmap,backing.driver=raw,"
            "backing.file.driver=file,backing.file.filename=/dev/fdset/1",
            "-kernel": f"/proc/self/fd/{files[1]}",
            "-initrd": f"/proc/self/fd/{files[2]}",
            "-append": f"console={console} net.ifnames=0 root=/dev/vda rw init={boot.init} panic=-1 quiet nowatchdog",
        }
        if boot.firmware is not None:
            options["-bios"] = f"/proc/self/fd/{files[3]}"
        if restore:
            options["-loadvm"] = restore
        argv = [program, "-name", self.name, "-nodefaults", "-display", "none", "-sandbox", SANDBOX]
        for option, value in (self._board() | options).items():
            argv += [option, value]
        # The order of the devices is the order in which the guest counts them.
        return [
            *argv,
            *("-device", "virtio-blk-pci,drive=d0"),
            *self._network(),
            *_cables(links),
            *("-device", "virtio-rng-pci"),
        ]

    def _board(self) -> dict[str, str]:
        """Board, processors and memory (MiB)."""
        shape = self.shape
        return {
            "-M": BOARDS[shape.architecture][1],
            "-accel": shape.accelerator + (",thread=multi,tb-size=256" if shape.accelerator == "tcg" else ""),
            "-cpu": shape.model,
            "-smp": str(shape.processors),
            "-m": str(shape.memory),
        }

    def _network(self) -> tuple[str, ...]:
        """The card to this machine. Nothing of the guest reaches out: what it offers is forwarded from 127.0.0.1."""
        forward = "".join(f",hostfwd=tcp:127.0.0.1:{here}-:{there}" for there, here in self.ports.items())
        return (
            *("-netdev", f"user,id=n0,restrict=on{forward}"),
            *("-device", "virtio-net-pci,netdev=n0,romfile=,mac=52:54:00:00:00:01"),
        )

    def console(self) -> str:
        """What the guest printed on its console; empty where there is nothing."""
        with contextlib.suppress(OSError):
            return (self.folder / "console.log").read_text(errors="replace")
        return ""

    def wait_booted(self, seconds: float, cancel: threading.Event | None = None) -> float:
        """Wait until the guest says on its console that it has booted; gives the seconds that it took.

        Raises:
            Canceled: ``cancel`` was set meanwhile.
            InfrastructureError: it ended, found no disk, or said nothing in time.
        """
        started = time.monotonic()

        def is_ready() -> bool:
            console = self.console()
            if READY not in console and (self.process.poll() is not None or _NO_ROOT in console):
                raise self.trouble("the virtual machine ended while it booted")
            return READY in console

        try:
            wait_until(
                is_ready, seconds=seconds, what=f"the boot of {self.name}", interval=0.05, longest=0.05, cancel=cancel
            )
        except StepTimeout:
            raise self.trouble(f"the virtual machine did not boot within {seconds:.0f} s") from None
        return time.monotonic() - started

    def trouble(self, what: str) -> InfrastructureError:
        """The error for a machine that fails, with the last words of QEMU and of the guest."""
        log = (self.folder / "qemu.log").read_text(errors="replace").strip()[-400:]
        last = " / ".join(self.console().strip().splitlines()[-3:])[-400:]
        return InfrastructureError(
            f"{self.name}: {what}; QEMU: {log or 'nothing'}; its console: {last or 'nothing'}",
            advice="see console.log in the evidence; then: harness resume",
        )

    @property
    def running(self) -> bool:
        """Whether QEMU runs."""
        return self.process.poll() is None

    def monitor(self, command: str) -> str:
        """Give a command to QEMU's monitor (QMP, human-monitor-command); gives what it prints.

        Raises:
            InfrastructureError: QEMU does not answer, or says that it failed.
        """
        try:
            return ask_monitor(self.folder, command)
        except InfrastructureError as error:
            raise self.trouble(error.message) from error

    def leave(self) -> None:
        """Let it run on; ``remove`` ends it, from any process."""
        self._log.close()

    def stop(self) -> None:
        """End it at once; nothing of its disk is kept."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        self.process.wait()
        self._log.close()


def ask_monitor(folder: Path, command: str) -> str:
    """Give a command to the monitor of the QEMU in ``folder``, from any process; gives what it prints.

    Raises:
        InfrastructureError: QEMU does not answer, or says that it failed.
    """
    answer = ""
    try:
        with _connected(folder / "monitor") as file:
            _read(file)  # the greeting
            for request in (
                {"execute": "qmp_capabilities"},
                {"execute": "human-monitor-command", "arguments": {"command-line": command}},
            ):
                file.write(json.dumps(request).encode() + b"\n")
                file.flush()
                answer = str(_read(file))
    except (OSError, ValueError) as error:
        raise InfrastructureError(
            f"the monitor does not answer to {command!r} ({error})", advice="see console.log in the evidence"
        ) from error
    if "Error" in answer or "not found" in answer:
        raise InfrastructureError(f"the monitor refused {command!r}: {answer.strip()}", advice="see qemu.log")
    return answer


def _cables(links: Sequence[Link]) -> list[str]:
    """The cell's own network. A machine has the same cards whatever they lead to, or no snapshot of it could be
    restored."""
    argv = []
    for number in range(1, CARDS + 1):
        link = links[number - 1] if number <= len(links) else None
        end = f"hubport,id=n{number},hubid={number}"
        if link is not None:
            own, other = link
            end = f"dgram,id=n{number},local.type=unix,local.path=../{own},remote.type=unix,remote.path=../{other}"
        card = f"virtio-net-pci,netdev=n{number},romfile=,mac=52:54:00:00:00:{number + 1:02x}"
        argv += ["-netdev", end, "-device", card]
    return argv


@contextlib.contextmanager
def _connected(path: Path) -> Any:
    """The monitor of a machine as a file, once the machine listens there.

    Raises:
        OSError: it does not within ten seconds.
    """
    folder = os.open(path.parent, os.O_PATH)
    trouble: list[OSError] = []

    def connect() -> socket.socket | None:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(120)
        try:
            sock.connect(f"/proc/self/fd/{folder}/{path.name}")
        except OSError as error:
            sock.close()
            trouble[:] = [error]
            return None
        return sock

    try:
        try:
            sock = wait_until(connect, seconds=10, what=path.name, interval=0.05, longest=0.05)
        except StepTimeout:
            raise trouble[0] from None
        with sock, sock.makefile("rwb") as file:
            yield file
    finally:
        os.close(folder)


def _read(file: Any) -> Any:
    """The next answer; events are passed over."""
    while line := file.readline():
        message = read_json(line)
        if "event" not in message:
            if "error" in message:
                raise ValueError(message["error"].get("desc", "refused"))
            return message.get("return", "")
    raise ValueError("it closed the connection")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now. Whoever binds it next may lose a race: then QEMU says so and ends."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def standing(folder: Path) -> list[tuple[Path, dict[str, str]]]:
    """Folders of virtual machines below ``folder``, with what they were made for; running or not."""
    machines = []
    for state in sorted(folder.glob(f"*/{STATE}")):
        with contextlib.suppress(OSError, ValueError):
            machines.append((state.parent, read_json(state.read_text())))
    return machines


def end(folder: Path) -> None:
    """End the QEMU of a folder where one runs."""
    with contextlib.suppress(OSError, ValueError):
        pid, name = int((folder / "pid").read_text()), read_json((folder / STATE).read_text())["name"]
        # Process ids are used again: it is ours only if its command line says so.
        if f"-name\0{name}\0".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def remove(folder: Path) -> bool:
    """End the QEMU of a folder where one runs, and remove the folder; False where there was none."""
    if not folder.exists():
        return False
    end(folder)
    # Renamed first, so that a folder that is half removed is never taken for a machine.
    gone = folder.with_name(f".gone-{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    return True
