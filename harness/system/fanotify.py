"""Which files are opened to be executed, as the kernel tells it (fanotify(7), FAN_OPEN_EXEC, Linux 5.0)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE, _UNLIMITED_MARKS = 0x1, 0x2, 0x10, 0x20
_MARK_ADD, _MARK_MOUNT = 0x1, 0x10
_OPEN_EXEC, _OVERFLOW = 0x1000, 0x4000
_AT_FDCWD = -100
_EVENT = struct.Struct("IBBHQii")  #: struct fanotify_event_metadata
_BUFFER = 1 << 16


@dataclass(frozen=True)
class OpenedFile:
    """A file that a process opened to execute it; ``file`` is open for reading while the event is looked at."""

    process: int
    file: int

    @property
    def path(self) -> str:
        """Its path as the process names it, in the mount that is watched."""
        with contextlib.suppress(OSError):
            return str(Path(f"/proc/self/fd/{self.file}").readlink())
        return "?"


class ExecutionEvents:
    """Events of the mounts that were added. Nothing is held up by them.

    Raises:
        OSError: the kernel lacks them (``ENOSYS``), or this process lacks CAP_SYS_ADMIN (``EPERM``).
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = _CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE | _UNLIMITED_MARKS
        self.descriptor = self._libc.fanotify_init(flags, os.O_RDONLY | os.O_CLOEXEC)
        self.lost = False  #: the kernel dropped events
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "fanotify_init")

    def add_mount(self, path: str) -> None:
        """Watch the mount that ``path`` lies in.

        Raises:
            OSError: it cannot be watched.
        """
        status = self._libc.fanotify_mark(
            self.descriptor, _MARK_ADD | _MARK_MOUNT, ctypes.c_uint64(_OPEN_EXEC), _AT_FDCWD, os.fsencode(path)
        )
        if status:
            raise OSError(ctypes.get_errno(), "fanotify_mark", path)

    def read(self) -> Iterator[OpenedFile]:
        """The events since the last call; none is waited for."""
        while True:
            try:
                data = os.read(self.descriptor, _BUFFER)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.ETXTBSY, errno.EACCES, errno.ENOENT, errno.ESTALE):
                    self.lost = True  # the file of an event could not be opened for us
                    continue
                raise
            yield from self._events(data)

    def _events(self, data: bytes) -> Iterator[OpenedFile]:
        offset = 0
        while offset + _EVENT.size <= len(data):
            length, _, _, _, mask, file, process = _EVENT.unpack_from(data, offset)
            offset += max(length, _EVENT.size)
            if mask & _OVERFLOW:
                self.lost = True
            if file < 0:
                continue
            try:
                yield OpenedFile(process, file)
            finally:
                os.close(file)

    def close(self) -> None:
        os.close(self.descriptor)
