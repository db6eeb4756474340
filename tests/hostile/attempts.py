"""What a hostile vendor tries. Each function takes one thing, or raises; this module is copied into a vendor's folder.

``PREY`` is JSON beside it: paths, ports and process ids that the test has laid out on this machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

PREY = json.loads(Path(__file__).with_name("prey.json").read_text())
LIBC = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The attempt took nothing."""


def read(path: str) -> str:
    return Path(path).read_text(errors="replace")[:200]


def write(path: str) -> str:
    Path(path).write_text("hostile")
    return f"wrote {path}"


def connect(family: int, address: object, kind: int = socket.SOCK_STREAM) -> str:
    with socket.socket(family, kind) as end:
        end.settimeout(2)
        end.connect(address)
        if kind == socket.SOCK_DGRAM:
            end.send(b"x")
            end.recv(1)
    return f"connected to {address}"


def called(number: int, name: str) -> str:
    if number == -1:
        raise OSError(ctypes.get_errno(), name)
    return f"{name} gave {number}"


def ran(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, timeout=20, check=False)
    if done.returncode != 0:
        raise Refused(done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="replace")[:200] or "it ran"


def environment_of_anybody() -> str:
    """Environments of all processes that can be seen: none may hold the passphrase."""
    for place in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if PREY["passphrase"].encode() in place.read_bytes():
                return f"{place} has it"
    raise Refused("no process shows it")


def processes_of_the_machine() -> str:
    seen = [place.name for place in Path("/proc").glob("[0-9]*") if place.name == str(PREY["process"])]
    commands = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline")]
    if not any(PREY["marker"].encode() in command for command in commands):
        raise Refused(f"only its own processes are seen, {len(commands)}")
    return f"it is seen: {seen}"


def through_the_root_of_another_process() -> str:
    for place in Path("/proc").glob("[0-9]*/root"):
        with contextlib.suppress(OSError):
            return read(f"{place}{PREY['files']['in a home']}")
    raise Refused("no root leads there")


def descriptors_of_others() -> str:
    own = str(os.getpid())
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if place.parts[2] != own and any(word in str(place.readlink()) for word in ("docker", "journal.sqlite")):
                return f"{place} is open"
    raise Refused("none is of use")


def a_temporary_folder_without_end() -> str:
    """Fill the temporary folder beyond its size."""
    with Path("/tmp/full").open("wb") as out:
        for _ in range(3 * 1024):
            out.write(bytes(2**20))
    return "3 GiB fit"


def more_memory_than_a_suite_needs() -> str:
    return f"{len(bytearray(6 * 2**30))} bytes"


def to_outlive_the_harness_without_memory() -> str:
    if (score := read("/proc/self/oom_score_adj").strip()) == "1000":
        raise Refused("the kernel ends it first")
    return score


def a_device(name: str) -> str:
    return called(LIBC.mknod(f"/tmp/{name}".encode(), 0o060666, 0xFE00), "mknod")


def attempts() -> dict[str, Callable[[], object]]:
    """Every attempt by its name."""
    files: dict[str, str] = PREY["files"]
    found: dict[str, Callable[[], object]] = {
        f"read a file {what}": (lambda path=path: read(path)) for what, path in files.items()
    }
    found |= {f"write a file {what}": (lambda path=path: write(path)) for what, path in files.items()}
    found |= {
        "list the home of the operator": lambda: os.listdir(PREY["home"]) or 1 / 0,  # noqa: PTH208
        "read the passphrase of its environment": lambda: os.environ["HARNESS_PASSPHRASE"],
        "read the passphrase of another process": environment_of_anybody,
        "see the processes of the machine": processes_of_the_machine,
        "end the harness": lambda: os.kill(PREY["process"], signal.SIGTERM) or "sent",
        "follow the root of another process": through_the_root_of_another_process,
        "use a descriptor of another process": descriptors_of_others,
        "call the container engine": lambda: connect(socket.AF_UNIX, PREY["engine"]),
        "call an abstract socket of the machine": lambda: connect(socket.AF_UNIX, PREY["abstract"]),
        "reach a port of another cell": lambda: connect(socket.AF_INET, ("127.0.0.1", PREY["port"])),
        "reach the machine by its own address": lambda: connect(socket.AF_INET, (PREY["address"], PREY["port"])),
        "reach another network": lambda: connect(socket.AF_INET, ("192.0.2.1", 80)),
        "reach another network by datagrams": lambda: connect(socket.AF_INET, ("192.0.2.1", 53), socket.SOCK_DGRAM),
        "capture packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "open a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "be root in a namespace": lambda: called(LIBC.unshare(0x10000000), "unshare"),
        "be root in a namespace by a program": lambda: ran("unshare", "-Ur", "id"),
        "mount": lambda: called(LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None), "mount"),
        "make the system writable": lambda: called(LIBC.mount(None, b"/usr", None, 0x1020, None), "remount"),
        "become root": lambda: os.setuid(0) or "is root",
        "become root by a program": lambda: ran("setpriv", "--reuid=0", "id"),
        "become root by su": lambda: ran("su", "-c", "id"),
        "trace the process that it came from": lambda: called(LIBC.ptrace(16, os.getppid(), 0, 0), "ptrace"),
        "read keys of the kernel": lambda: called(LIBC.syscall(PREY["keyctl"], 0, -4, 1), "keyctl"),
        "change a setting of the kernel": lambda: write("/proc/sys/kernel/core_pattern"),
        "restart the machine": lambda: write("/proc/sysrq-trigger"),
        "read the memory of the machine": lambda: os.close(os.open("/proc/kcore", os.O_RDONLY)) or "opened",
        "make a device": lambda: a_device("disk"),
        "change the harness": lambda: write(PREY["code"]),
        "change its own suite": lambda: write(str(Path(__file__).with_name("planted.py"))),
        "change the system": lambda: write("/usr/planted"),
        "change the home of the operator": lambda: write(f"{PREY['home']}/planted"),
        "read the users of the machine": lambda: read("/etc/shadow"),
        "read the host keys of the machine": lambda: read("/etc/ssh/ssh_host_ed25519_key"),
        "take all of the disk": a_temporary_folder_without_end,
        "take all of the memory": more_memory_than_a_suite_needs,
        "outlive the harness where memory ends": to_outlive_the_harness_without_memory,
    }
    return found


def taken() -> dict[str, str]:
    """What each attempt took, by its name; those that were refused are not in it."""
    loot: dict[str, str] = {}
    for name, attempt in attempts().items():
        try:
            loot[name] = str(attempt())[:200]
        except (Refused, OSError, KeyError, ArithmeticError, MemoryError, subprocess.SubprocessError, ValueError):
            continue
    return loot
