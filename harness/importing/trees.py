"""A file system as archives describe it: what is where and where links lead, without anything being unpacked.

What an archive says is somebody else's word. Nothing of it is written but one copy of the whole, beside which the names
are looked at: what leads out of the root is refused, here and not by whoever unpacks it later.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
import tarfile
from dataclasses import dataclass, field
from typing import IO, Any, Literal, Protocol

import zstandard

from harness.errors import InfrastructureError, UsageError
from harness.importing.members import Members
from harness.scan import elf
from harness.scan.limits import Unreadable
from harness.scan.streams import decompressed
from harness.system.archives import DAMAGED, Marked
from harness.system.printable import one_line

MOST_MEMBERS = 1_000_000
MOST_BYTES = 64 << 30  #: of a root, once nothing compresses it
MOST_LINKS = 40  #: that a path may lead through, as of path_resolution(7)
PIECE = 1 << 20
#: Bytes at the beginning of a program that say for what machine it is (elf(5)).
HEAD = 20
MAGIC = b"\x7fELF"
#: Files whose text is read, by their last name, up to so many bytes.
TEXTS = {"os-release": 1 << 16}
_LIBC = re.compile(r"^libc(\.so\.6|-2\.\d+\.so)$")
_MOST_LIBC = 32 << 20
#: Programs and libraries that are read whole: those that every machine needs are among them.
_PROGRAM = re.compile(r"(usr/)?s?bin/[^/]+|(usr/)?lib[^/]*/([^/]+-linux-[^/]+/)?[^/]+\.so(\.[^/]*)?")
_MOST_PROGRAM = 4 << 20
_RELEASE = re.compile(rb"GNU C Library [^\n]{0,200}?release version (\d+\.\d+)")

Kind = Literal["file", "folder", "link"]
#: What readers of damaged archives raise.
BROKEN = (*DAMAGED, zstandard.ZstdError)


@dataclass(frozen=True, slots=True)
class Node:
    """What is at a path: ``target`` of a link, as written; first bytes (``head``), text, size where they matter; the
    loader and the libraries that a program or library needs (DT_NEEDED of elf(5)), and what runs a script, where it is
    one by its place."""

    kind: Kind
    target: str = ""
    head: bytes = b""
    text: bytes = b""
    size: int = 0
    loader: str = ""
    script: str = ""
    needed: tuple[str, ...] = ()


_FILE, _FOLDER = Node("file"), Node("folder")


@dataclass
class Tree:
    """A file system of one archive, or of the layers of an image from the lowest to the highest (``layered``).

    ``nodes``: path without the first slash -> what is there.
    """

    layered: bool = False
    nodes: dict[str, Node] = field(default_factory=dict)
    glibc: str = ""  #: version that its C library says of itself
    _folders: dict[str, str] = field(default_factory=dict)

    def add(self, stream: IO[bytes], what: str) -> None:
        """Take in a tar archive, plain, to its end mark. ``what`` names it in messages.

        Raises:
            UsageError: it is damaged, cut off or too large, or something in it leads out of the root.
        """
        layer = Members(what, self.layered)
        try:
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=Marked) as archive:
                for number, info in enumerate(archive):
                    archive.members = []  # type: ignore[attr-defined]  # or its memory grows with the archive
                    if number > MOST_MEMBERS:
                        raise UsageError(f"{what} has more than {MOST_MEMBERS} members", advice="give a smaller root")
                    self._member(archive, info, layer)
        except BROKEN as error:
            raise UsageError(
                f"{what} is no whole tar archive: {one_line(str(error), 200) or type(error).__name__}",
                advice="copy it again, and compare its SHA-256 with that of whoever made it",
            ) from error
        if layer.hidden or layer.emptied:
            self.nodes = {path: node for path, node in self.nodes.items() if not layer.hides(path)}
            self._folders.clear()

    def resolve(self, path: str) -> str:
        """Where a path leads in this root, links followed as by whoever has it for its root; without the first slash.

        Raises:
            UsageError: links lead round in a circle.
        """
        todo, at, links = path.split("/")[::-1], list[str](), 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                at[-1:] = []
                continue
            at.append(part)
            node = self.nodes.get("/".join(at))
            if node is not None and node.kind == "link":
                links += 1
                if links > MOST_LINKS:
                    raise UsageError(f"links lead round in a circle at /{'/'.join(at)}", advice="make the root again")
                at = [] if node.target.startswith("/") else at[:-1]
                todo += node.target.split("/")[::-1]
        return "/".join(at)

    def find(self, *paths: str) -> Node | None:
        """What is at the first of these paths that leads to a file; None where none does."""
        for path in paths:
            node = self.nodes.get(self.resolve(path))
            if node is not None and node.kind == "file":
                return node
        return None

    def _member(self, archive: tarfile.TarFile, info: tarfile.TarInfo, layer: Members) -> None:
        path = self._place(layer.name(info.name))
        folder, _, name = path.rpartition("/")
        if not path or layer.removes(folder, name):  # the root itself
            return
        node = self._node(archive, info, path, layer)
        before = self.nodes.get(path)
        layer.put(path, folder=node.kind == "folder")
        if self.layered and node.kind != "folder" and (before is None or before.kind == "folder"):
            layer.emptied.add(path)
        self.nodes[path] = node
        if node.kind == "link" or (before is not None and before.kind == "link"):
            self._folders.clear()

    def _place(self, parts: tuple[str, ...]) -> str:
        """Where a member goes: its folder may be a link that an earlier member made."""
        above = "/".join(parts[:-1])
        if above not in self._folders:
            self._folders[above] = self.resolve(above)
        return "/".join(filter(None, [self._folders[above], *parts[-1:]]))

    def _node(self, archive: tarfile.TarFile, info: tarfile.TarInfo, path: str, layer: Members) -> Node:
        if info.isdir():
            return _FOLDER
        if info.issym():
            folder = posixpath.dirname(info.name.strip("/"))
            if _leads_out(folder, info.linkname):
                raise _leading_out(layer.what, info)
            return Node("link", target=info.linkname)
        if info.islnk():
            return self._linked(info, layer)
        if (info.ischr() or info.isblk()) and not path.startswith("dev/"):
            raise UsageError(
                f"{layer.what} has a device outside of /dev: {one_line(info.name, 200)!a}",
                advice="whoever made it is to explain that; nothing was imported",
            )
        return self._file(archive, info, path) if info.isreg() else _FILE

    def _linked(self, info: tarfile.TarInfo, layer: Members) -> Node:
        """What a hard link names: a file, or a symbolic link, of a member before it (link(2) follows none)."""
        parts = tuple(part for part in info.linkname.split("/") if part not in ("", "."))
        if ".." in parts:
            raise _leading_out(layer.what, info)
        node = self.nodes.get(self._place(parts))
        if node is None or node.kind == "folder":
            raise layer.unlinked(info.name, info.linkname)
        return node

    def _file(self, archive: tarfile.TarFile, info: tarfile.TarInfo, path: str) -> Node:
        name = posixpath.basename(path)
        stream = archive.extractfile(info)
        if stream is None or info.size == 0:
            return _FILE
        if name in TEXTS and info.size <= TEXTS[name]:
            return Node("file", text=stream.read(), size=info.size)
        if _LIBC.fullmatch(name) and info.size <= _MOST_LIBC:
            data = stream.read()
            if version := _RELEASE.search(data):
                self.glibc = version[1].decode()
            return _program_of(data, info.size)
        if _PROGRAM.fullmatch(path) and info.size <= _MOST_PROGRAM:
            return _program_of(stream.read(), info.size)
        head = stream.read(HEAD)
        return Node("file", head=head if head[:4] == MAGIC else b"", size=info.size)


def _program_of(data: bytes, size: int) -> Node:
    if data[:2] == b"#!":  # of coreutils in one program each command is such a script
        words = data[2:256].split(b"\n")[0].split()
        return Node("file", size=size, script=words[0].decode(errors="replace") if words else "")
    if data[:4] != MAGIC:
        return Node("file", size=size)
    try:
        read = elf.read(data)
    except (elf.NoElf, Unreadable):
        return Node("file", head=data[:HEAD], size=size)
    return Node("file", head=data[:HEAD], size=size, loader=read.interpreter, needed=tuple(read.needed))


def _leads_out(folder: str, target: str) -> bool:
    """Whether a link leads above the root, by its words alone: the engine refuses such a link too."""
    if target.startswith("/"):
        return False
    return posixpath.normpath(posixpath.join(folder, target)).split("/")[0] == ".."


def _leading_out(what: str, info: tarfile.TarInfo) -> UsageError:
    return UsageError(
        f"{what} has a link that leads out of its root: {one_line(info.name, 200)!a} -> "
        f"{one_line(info.linkname, 200)!a}",
        advice="whoever made it is to explain that; nothing was imported",
    )


class Borrowed(io.RawIOBase):
    """A stream that is read through this, and stays open when this is closed."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; gives the number of bytes, 0 at the end."""
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Copying(io.RawIOBase):
    """A stream that writes what is read of it to a file, and knows its SHA-256."""

    def __init__(self, stream: Any, copy: IO[bytes]) -> None:
        self._stream, self._copy, self.sha256, self.size = stream, copy, hashlib.sha256(), 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; gives the number of bytes, 0 at the end.

        Raises:
            UsageError: it unfolds to more than any root has.
        """
        data = self._stream.read(len(buffer))
        self.size += len(data)
        if self.size > MOST_BYTES:
            raise UsageError(f"an archive unfolds to more than {MOST_BYTES >> 30} GiB", advice="give a smaller root")
        self.sha256.update(data)
        try:
            self._copy.write(data)
        except OSError as error:
            raise InfrastructureError(
                f"what is imported cannot be kept: {error.strerror or error}",
                advice="free space in the cache, then repeat",
            ) from error
        buffer[: len(data)] = data
        return len(data)


class Readable(Protocol):
    """What bytes are read of."""

    def read(self, size: int = -1, /) -> bytes:
        """As of a file."""


def take_in(tree: Tree, file: Readable, copy: IO[bytes], what: str) -> tuple[str, int]:
    """Take a tar archive into ``tree`` and write it to ``copy``, decompressed; gives SHA-256 (hex) and bytes of that.

    Raises:
        UsageError: as ``Tree.add``.
        InfrastructureError: the disk refuses.
    """
    copying = Copying(decompressed(Borrowed(file)), copy)
    stream = io.BufferedReader(copying, PIECE)
    tree.add(stream, what)
    try:
        while stream.read(PIECE):
            pass
    except BROKEN as error:
        raise UsageError(f"{what} is damaged behind its last member: {error}", advice="copy it again") from error
    return copying.sha256.hexdigest(), copying.size
