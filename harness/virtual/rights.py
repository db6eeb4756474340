"""Who an emulator runs as: where the harness is root, a user who owns nothing but what the machine itself needs.

A guest that breaks out of its devices is that user: it reads no file of root's, and no disk of another cell.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import InfrastructureError
from harness.system.sandbox import IDS

KVM = Path("/dev/kvm")


def user_of(name: str) -> int:
    """The user id of the machine ``name``; 0 where the harness is not root, and the emulator is who that is.

    The machines of a cell share it, or no cable led from one to the other: their names differ in what is behind the
    last dash.
    """
    if os.geteuid() != 0:
        return 0
    return IDS[zlib.crc32(name.rpartition("-")[0].encode()) % len(IDS)]


def groups_of(accelerator: str) -> tuple[int, ...]:
    """Groups that the user needs beside its own: that of the device of KVM, where it is not root's."""
    if accelerator != "kvm" or not KVM.exists():
        return ()
    return tuple(filter(None, (KVM.stat().st_gid,)))


def give(folder: Path, written: Sequence[str], kept: Sequence[str], user: int) -> None:
    """Let ``user`` write the files ``written`` of a machine's folder, and make sockets beside them.

    The folder and its files stay the harness's, and those of ``kept`` are there before the emulator is: it can neither
    replace them nor lay a link in their way. Folders of other machines beside it are no more than passed through.
    """
    for name in (*written, *kept):
        (folder / name).touch(mode=0o600)
    if user:
        folder.parent.chmod(0o711)
        for name in written:
            os.chown(folder / name, -1, user)
            (folder / name).chmod(0o660)
        os.chown(folder, -1, user)
        folder.chmod(0o1770)


@contextlib.contextmanager
def opened(paths: Sequence[Path]) -> Iterator[list[int]]:
    """Descriptors of files that are read only, for a user who cannot reach the folders that they lie in.

    Raises:
        InfrastructureError: one of them is gone.
    """
    with contextlib.ExitStack() as stack:
        descriptors = []
        for path in paths:
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                message = f"{path} cannot be opened: {error.strerror}"
                raise InfrastructureError(message, advice="repeat: what is missing is made again") from error
            stack.callback(os.close, descriptor)
            if os.geteuid() == 0:  # kernels of some systems are for root alone, and all of them are public
                os.fchmod(descriptor, os.fstat(descriptor).st_mode & 0o777 | 0o444)
            descriptors.append(descriptor)
        yield descriptors
