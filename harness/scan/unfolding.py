"""Everything that lies in a file, as files: for a program that opens fewer kinds of containers than this package."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from harness.scan import contents, limits, opaque, payloads
from harness.scan.archives import opener
from harness.scan.limits import CHUNK, Budget, OutOfTime, Unreadable
from harness.scan.walking import BROKEN, Entry, Walk, Where, buffer, trouble_of


@dataclass(frozen=True)
class Unfolded:
    """``files``: place -> a copy; containers stand beside what they hold. ``unread``: places, and why what lies there
    is not wholly among them."""

    files: dict[str, Path]
    unread: list[tuple[str, str]]


@dataclass
class _Copies(Walk):
    """Copies what it meets into ``folder``, instead of looking at it."""

    folder: Path = Path()
    copies: dict[str, Path] = field(default_factory=dict)
    known: Collection[str] = ()

    def _leaf(self, file: IO[bytes], size: int, head: bytes, where: Where, budget: Budget) -> Iterator[Entry]:
        text = contents.is_text(head)
        what = (
            opaque.container_of(head, text=text) or opaque.image_of(file, size) or opaque.image_named(head, where.place)
        )
        if what and what not in self.known and (reader := self.opener(b"", what)) is not None:
            yield from self._container(reader, file, size, where, budget)
            return
        if not what and head[:4] == b"\x7fELF":
            if head[8:10] == b"AI":
                what = "the file system of an AppImage"
            else:
                with buffer(file, size) as data:
                    what = payloads.carried_by(data)
        if what and what not in self.known:
            self.unread.append((where.place, f"{what} is not opened"))
        yield from ()

    def member(self, stream: IO[bytes], name: str, packed: int, inside: Where, budget: Budget) -> Iterator[Entry]:
        budget.file()
        where = inside.inner(name[: limits.NAME])
        path = self.folder / f"{len(self.copies):07}"
        try:
            size = 0
            with path.open("wb") as copy:
                self.copies[where.place] = path
                while chunk := stream.read(CHUNK):
                    budget.spend(len(chunk))
                    size += copy.write(chunk)
                    limits.check_member(size, packed)
            with path.open("rb") as copy:
                yield from self.of_file(copy, size, where, budget)
        except Unreadable as error:
            self.unread.append((where.place, str(error)))
            if budget.left < 0 or budget.files < 0 or isinstance(error, OutOfTime):
                raise
        except BROKEN as error:
            self.unread.append((where.place, trouble_of(error)))


def unfold(path: Path, place: str, folder: Path, budget: Budget, *, known: Collection[str] = ()) -> Unfolded:
    """Copy the file at ``path``, called ``place``, and all that lies in it, into an empty ``folder``.

    ``budget``: bytes and files that copies may take. What goes beyond, is encrypted or damaged is named as unread, and
    so are containers that nothing opens; ``known``: those that whoever gets the copies opens (``harness.scan.opaque``).

    Raises:
        OSError: a file cannot be read, or ``folder`` cannot be written.
    """
    walk = _Copies(opener, folder=folder, known=known)
    copy, size = folder / "whole", path.stat().st_size
    if size > budget.left:
        return Unfolded({}, [(place, f"{size} bytes are more than are looked at")])
    budget.spend(size)
    shutil.copyfile(path, copy)
    with copy.open("rb") as file:
        for _ in walk.of_file(file, size, Where(place, place, place, "tree"), budget):
            pass
    return Unfolded({place: copy, **walk.copies}, list(walk.unread))
