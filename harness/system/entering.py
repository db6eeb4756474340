"""A process that exists enters a sandbox that was made, and cannot leave it: how a fork of a prepared process gets in.

Programs that are started in a sandbox would import all of pytest again, for each suite. The order is of setns(2):
user namespaces from the outermost, then the others, of which that of processes holds for children alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path

_NS_GET_PARENT, _NS_GET_NSTYPE = 0xB702, 0xB703  # ioctl_ns(2)
_KINDS = ("ipc", "uts", "net", "cgroup", "pid", "mnt")
#: Of these, by the flags of clone(2), all but that of control groups: bubblewrap goes without where there is none.
_NEEDED = {"ipc": 0x08000000, "uts": 0x04000000, "net": 0x40000000, "pid": 0x20000000, "mnt": 0x00020000}
_SET_PDEATHSIG, _SET_DUMPABLE, _SET_SECCOMP, _DROP_BOUND, _SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38  # prctl(2)
_FILTER, _CAPABILITIES_3 = 2, 0x20080522  # seccomp(2), capset(2)
_LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")
_FIRST_TO_END = Path("/proc/self/oom_score_adj")

_libc = ctypes.CDLL(None, use_errno=True)


def open_namespaces(process: int) -> list[int]:
    """Descriptors of the namespaces of a process, in the order in which they can be entered.

    Raises:
        OSError: it is gone, or shares a namespace that a sandbox must not share with this process.
    """
    place, own = Path(f"/proc/{process}/ns"), Path("/proc/self/ns")
    kinds = [kind for kind in _KINDS if (place / kind).readlink() != (own / kind).readlink()]
    if shared := _NEEDED.keys() - set(kinds):
        raise OSError(f"process {process} is in this machine's own namespace: {', '.join(sorted(shared))}")
    users = _users(place / "user")
    opened: list[int] = []
    try:
        for kind in kinds:
            opened.append(os.open(place / kind, os.O_RDONLY | os.O_CLOEXEC))
    except BaseException:
        close_all([*users, *opened])
        raise
    return [*users[:1], *opened, *users[1:]]


def _users(path: Path) -> list[int]:
    """Its user namespaces that are not this process's own, the outermost first."""
    own = Path("/proc/self/ns/user").stat().st_ino
    opened = [os.open(path, os.O_RDONLY | os.O_CLOEXEC)]
    if os.fstat(opened[0]).st_ino == own:
        os.close(opened[0])
        return []
    while True:
        try:
            parent = fcntl.ioctl(opened[0], _NS_GET_PARENT)
        except OSError:
            close_all(opened)
            raise
        if os.fstat(parent).st_ino == own:
            os.close(parent)
            return opened
        opened.insert(0, parent)


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors, of which some may be closed already."""
    for each in descriptors:
        with contextlib.suppress(OSError):
            os.close(each)


def enter(namespaces: Sequence[int]) -> None:
    """Enter namespaces in their order; what this process forks from then on is in that of processes.

    Raises:
        OSError: one cannot be entered, or is not among them: the sandbox is closed, or a descriptor was lost on its way
            to a process without room for it (unix(7), MSG_CTRUNC). Then this process must end.
    """
    types = {fcntl.ioctl(each, _NS_GET_NSTYPE) for each in namespaces}
    if lacking := [kind for kind, flag in _NEEDED.items() if flag not in types]:
        raise OSError(f"the sandbox's own namespaces lack: {', '.join(lacking)}")
    for each in namespaces:
        _check(_libc.setns(each, 0), "entering a namespace")
    close_all(namespaces)


def give_up_rights(user: int, filter_program: bytes, *, programs: int, file_bytes: int, memory_bytes: int) -> None:
    """Become ``user`` for good, without capabilities, with limits and the filter of system calls (seccomp(2), BPF).

    Where the machine runs out of memory, the kernel ends it before anything else (proc(5), oom_score_adj).

    Raises:
        OSError: the kernel refuses a step: then this process must end.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    _FIRST_TO_END.write_text("1000")
    for number in range(int(_LAST_CAPABILITY.read_text()) + 1):
        _check(_libc.prctl(_DROP_BOUND, number, 0, 0, 0), "dropping a capability")
    if os.geteuid() == 0:
        resource.setrlimit(resource.RLIMIT_NPROC, (programs, programs))
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "giving up capabilities")
    _check(_libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "setting no_new_privs")
    # A change of user took both: its files in /proc are its own again, and it ends with who forked it.
    _check(_libc.prctl(_SET_DUMPABLE, 1, 0, 0, 0), "setting dumpable")
    _check(_libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "setting the signal of a parent's end")
    if filter_program:
        steps = ctypes.create_string_buffer(filter_program, len(filter_program))
        program = _Program(len(filter_program) // 8, ctypes.addressof(steps))
        _check(_libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0), "setting the filter of system calls")


class _Program(ctypes.Structure):
    """``struct sock_fprog`` of linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]  # as ctypes wants it


def _check(answer: int, doing: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{doing}: {os.strerror(number)}")
