"""System calls that a sandboxed program is refused: those that make namespaces, mounts, keys and other large machinery.

A program of seccomp(2) in the classic BPF of the kernel, as bubblewrap takes it. Numbers: the kernel's tables
``syscall_64.tbl`` and ``asm-generic/unistd.h``.
"""

from __future__ import annotations

import errno
import platform
import struct

_NAMES = "keyctl add_key request_key bpf perf_event_open userfaultfd unshare setns mount ptrace clone".split()
_GENERIC = dict(zip(_NAMES, (219, 217, 218, 280, 241, 282, 97, 268, 40, 117, 220), strict=True))
_X86_64 = dict(zip(_NAMES, (250, 248, 249, 321, 298, 323, 272, 308, 165, 101, 56), strict=True))
#: Machine -> AUDIT_ARCH of linux/audit.h, and numbers of system calls.
_MACHINES = {
    "x86_64": (0xC000003E, _X86_64),
    "aarch64": (0xC00000B7, _GENERIC),
    "loongarch64": (0xC0000102, _GENERIC),
    "riscv64": (0xC00000F3, _GENERIC),
}
_EVERYWHERE = {"io_uring_setup": 425, "clone3": 435, "open_tree": 428, "move_mount": 429, "fsopen": 430}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NEW_NAMESPACES = 0x7E020000  #: flags of clone(2): CLONE_NEWNS, …CGROUP, …UTS, …IPC, …USER, …PID, …NET
_X32 = 0x40000000  #: numbers of the second table that x86-64 has


def program() -> bytes:
    """The filter for this machine; empty where its numbers are not known here."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return b""
    architecture, numbers = machine
    steps = [_step(_LOAD, 4), _step(_EQUAL, architecture, 1, 0), _step(_RETURN, _KILL), _step(_LOAD, 0)]
    steps += _refused(_X32, errno.ENOSYS, _AT_LEAST) if platform.machine() == "x86_64" else []
    for name, number in {**numbers, **_EVERYWHERE}.items():
        if name != "clone":
            # The C library asks clone3 first, and takes clone where it does not exist.
            steps += _refused(number, errno.ENOSYS if name == "clone3" else errno.EPERM)
    steps += [
        _step(_EQUAL, numbers["clone"], 0, 3),
        _step(_LOAD, 16),
        _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        _step(_RETURN, _REFUSE | errno.EPERM),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(steps)


def _refused(number: int, error: int, test: int = _EQUAL) -> list[bytes]:
    return [_step(test, number, 0, 1), _step(_RETURN, _REFUSE | error)]


def _step(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    """One instruction: ``struct sock_filter`` of linux/filter.h."""
    return struct.pack("=HBBI", code, true, false, value)
