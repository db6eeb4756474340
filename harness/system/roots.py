"""Paths inside a foreign root: an unpacked image, or the root of a container.

Whoever made the root may have put links into it. A link that leads to ``/etc`` means the root's own ``etc``, never
that of this machine. So a path is walked folder by folder, each opened without following links, and links are
resolved by hand against the root, as chroot(2) would. No kernel feature is needed (openat2(2) came with Linux 5.6).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

#: As many links as the kernel follows (path_resolution(7)).
MOST_LINKS = 40
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_in_root(root: Path, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
    """Open ``path`` (with or without a leading slash) inside ``root``; gives a descriptor, the caller's to close.

    Raises:
        OSError: it cannot be opened there.
    """
    with _parent(root, path) as (folder, name):
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)


def write_in_root(root: Path, path: str, data: bytes, mode: int = 0o644) -> None:
    """Write a file inside ``root``; folders are made, and what had that name is replaced, a link itself too.

    Raises:
        OSError: it cannot be written there.
    """
    with _parent(root, path, make=True, follow=False) as (folder, name):
        _remove(folder, name)
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        with os.fdopen(file, "wb") as out:
            out.write(data)
            os.fchmod(out.fileno(), mode)


def link_in_root(root: Path, path: str, target: str) -> None:
    """Make a symbolic link inside ``root`` in place of what has that name. Raises as ``write_in_root``."""
    with _parent(root, path, make=True, follow=False) as (folder, name):
        _remove(folder, name)
        os.symlink(target, name, dir_fd=folder)


def make_folder_in_root(root: Path, path: str, mode: int = 0o755) -> None:
    """Make a folder inside ``root`` with those above it, and set its mode. Raises as ``write_in_root``."""
    with _parent(root, f"{path}/.", make=True) as (folder, name):
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)


def remove_in_root(root: Path, path: str) -> None:
    """Remove a file or link inside ``root``, where there is one. Raises ``OSError``: it is a folder, or refused."""
    with contextlib.suppress(FileNotFoundError), _parent(root, path, follow=False) as (folder, name):
        os.unlink(name, dir_fd=folder)


def names_in_root(root: Path, path: str) -> list[str]:
    """Names in a folder inside ``root``; none where there is no such folder."""
    try:
        folder = open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  # it is open, and has no path to be trusted
    finally:
        os.close(folder)


def _remove(folder: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


@contextlib.contextmanager
def _parent(root: Path, path: str, *, make: bool = False, follow: bool = True) -> Iterator[tuple[int, str]]:
    """The open folder in which ``path`` ends, and its last name; ``follow``: a last link is followed."""
    opened = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        yield _walk(opened, path, make=make, follow=follow)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _walk(opened: list[int], path: str, *, make: bool, follow: bool) -> tuple[int, str]:
    """Walk from ``opened[0]``; all descriptors that are open stand in ``opened``, the last is the folder reached."""
    todo = [part for part in reversed(path.split("/")) if part]
    links = 0
    while todo:
        part = todo.pop()
        if part == ".":
            continue
        if part == "..":  # the root's own parent is the root
            if len(opened) > 1:
                os.close(opened.pop())
            continue
        last = not todo
        if (follow or not last) and (target := _link(part, opened[-1])) is not None:
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                while len(opened) > 1:
                    os.close(opened.pop())
            todo += [piece for piece in reversed(target.split("/")) if piece]
            continue
        if last:
            return opened[-1], part
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=opened[-1])
        opened.append(os.open(part, _FOLDER, dir_fd=opened[-1]))
    return opened[-1], "."


def _link(name: str, folder: int) -> str | None:
    """Where a link leads; None where there is no link of that name."""
    try:
        state = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return os.readlink(name, dir_fd=folder) if stat.S_ISLNK(state.st_mode) else None
