"""Tar archives, and what is compressed as one stream: a tar archive, or a file of its own."""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Iterator
from typing import IO, Any

from harness.scan import contents
from harness.scan.limits import CHUNK, Budget, Unreadable
from harness.scan.streams import Counted
from harness.scan.walking import Entry, Walk, Where
from harness.system.archives import Marked

#: A layer of an image: a file system of its own, in which absolute links are at home.
_LAYER = re.compile(r"!/(?:[^!]*/)?(?:layer\.tar|blobs/sha256/[0-9a-f]{64})$")


def compressed(walk: Walk, stream: Any, packed: int, where: Where, budget: Budget) -> Iterator[Entry]:
    """A compressed tar as a stream; any other compressed file as a container of one."""
    peekable = io.BufferedReader(Counted(stream, budget, packed), CHUNK)
    if peekable.peek(512)[257:262] == b"ustar":
        yield from tar_stream(walk, peekable, where, budget)
        return
    name = posixpath.basename(where.place)
    yield from walk.member(peekable, name.rpartition(".")[0] or name, packed, where, Budget(budget.left))


def read_tar(walk: Walk, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    """A tar archive that is a file."""
    yield from tar_stream(walk, file, where, budget)


def tar_stream(walk: Walk, stream: Any, where: Where, budget: Budget, kind: str = "") -> Iterator[Entry]:
    """A tar archive as a stream. ``kind``: of the package whose content it is; empty for a container of its own.

    Raises:
        Unreadable: it is damaged.
    """
    npm = not kind and where.place.endswith(".tgz")
    own = where if kind else where.as_unit("npm" if npm else "tar")
    rooted = bool(kind) or bool(_LAYER.search(where.place))
    links: set[str] = set()
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=Marked) as archive:
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # or its memory grows with the archive
            place = f"{where.place}!/{info.name}"
            if info.size < 0:
                raise Unreadable(f"the archive is damaged: a member of {info.size} bytes")
            walk.check_name(info.name, place)
            if info.issym() or info.islnk():
                walk.check_link(info.name if info.issym() else "", info.linkname, place, rooted=rooted)
                links.add(posixpath.normpath(info.name))
                continue
            through = [parent for parent in _parents(info.name) if parent in links]
            if through and not kind:
                walk.links.append((place, f"{info.name} is written through the link {through[0]}"))
            if not info.isreg():
                continue
            pieces: Any = info.sparse  # place and length of each, of a sparse file
            if pieces is not None and not any(length for _, length in pieces):
                walk.skipped[contents.EMPTY] += 1  # holes alone, of any size
                continue
            member = archive.extractfile(info)
            if member is not None:
                with member:
                    yield from walk.member(member, info.name.removeprefix("./"), 0, own, budget)
        check_end(walk, archive.fileobj, where)


def _parents(name: str) -> Iterator[str]:
    path = posixpath.dirname(posixpath.normpath(name))
    while path not in ("", "/", "."):
        yield path
        path = posixpath.dirname(path)


def check_end(walk: Walk, stream: Any, where: Where) -> None:
    """Note what follows the end mark of an archive."""
    while chunk := stream.read(CHUNK):
        if chunk.strip(b"\0"):
            walk.unread.append((where.place, "something lies behind its end mark: it was not read"))
            return
