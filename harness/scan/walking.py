"""Every file of an input, also those in packages and archives, however nested.

Nothing is unpacked by name: members are read as streams, kept in memory or in a nameless temporary file, and are gone
when the next one is asked for. So hostile names and links can do no harm; they are reported.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import posixpath
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Protocol

import zstandard

from harness.model.finding import Component
from harness.scan import contents, limits, opaque, payloads
from harness.scan.limits import CHUNK, Budget, OutOfTime, Unreadable
from harness.scan.opaque import Buffer
from harness.scan.variants import key_of, unit_of
from harness.system.archives import DAMAGED


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file that is looked at. ``key`` and ``unit`` are what it and its package share with their variants."""

    place: str
    key: str
    unit: str
    unit_kind: str  #: tree, zip, jar, wheel, npm, tar, deb, rpm
    size: int
    data: Buffer

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return posixpath.basename(self.place)


@dataclass
class Walk:
    """What is met on the way beside files: packages, trouble, hostile names.

    ``opener`` knows containers by their first bytes, and some by what ``opaque`` calls them:
    ``harness.scan.archives``.
    """

    opener: Openers
    components: list[Component] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)  #: place, why
    names: list[tuple[str, str]] = field(default_factory=list)  #: place, a name that leads out
    links: list[tuple[str, str]] = field(default_factory=list)  #: place, a link that leads out
    #: Of packages that name their architecture: unit, place, architecture.
    labels: list[tuple[str, str, str]] = field(default_factory=list)
    #: Of images: place -> architectures that their configurations name.
    images: dict[str, set[str]] = field(default_factory=dict)
    jars: set[str] = field(default_factory=set)  #: places of jars that were met
    size: int = 0  #: bytes of all files and members that were looked at
    skipped: Counter[str] = field(default_factory=Counter)  #: files in which nothing is looked for, by what they are

    def top(self, path: bytes, place: str, unit: str) -> Iterator[Entry]:
        """Every file of a regular file on disk that is called ``place``; nothing of a link, a device or a pipe."""
        try:
            mode = os.lstat(path).st_mode
            if not stat.S_ISREG(mode):
                self.skipped[_not_regular(mode)] += 1
                return
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if stat.S_ISREG(status.st_mode):
                    yield from self.of_file(file, status.st_size, Where(place, key_of(place), unit_of(unit), "tree"))
        except OSError as error:
            self.unread.append((place, error.strerror or str(error)))

    def of_file(self, file: IO[bytes], size: int, where: Where, budget: Budget | None = None) -> Iterator[Entry]:
        """The files that a seekable file is, or holds."""
        budget = budget or Budget.for_size(size)
        self.size += size
        try:
            yield from self._open(file, size, where, budget)
        except OutOfTime:
            raise
        except Unreadable as error:
            self.unread.append((where.place, str(error)))
        except BROKEN as error:
            self.unread.append((where.place, trouble_of(error)))

    def _open(self, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
        head = file.read(512)
        file.seek(0)
        opener = self.opener(head)
        if opener is None:
            yield from self._leaf(file, size, head, where, budget)
        else:
            yield from self._container(opener, file, size, where, budget)

    def _container(self, opener: Opener, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
        if where.depth >= limits.DEPTH:
            raise Unreadable(f"containers are nested deeper than {limits.DEPTH}")
        yield from opener(self, file, size, where, budget)

    def _opaque(self, what: str, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
        opener = self.opener(b"", what)
        if opener is None:
            raise Unreadable(f"{what} is not unpacked: {_advice(what)}")
        yield from self._container(opener, file, size, where, budget)

    def _leaf(self, file: IO[bytes], size: int, head: bytes, where: Where, budget: Budget) -> Iterator[Entry]:
        text = head[:2] == b"#!" or opaque.is_wide(head) or contents.is_text(file.read(contents.SAMPLE))
        file.seek(0)
        if what := _what(file, size, head, where.place, text=text):
            yield from self._opaque(what, file, size, where, budget)
            return
        elf = head[:4] == b"\x7fELF" or head[:8] == b"!<arch>\n"
        zipped = not elf and payloads.ends_as_zip(file, size)
        if not zipped and (why := opaque.no_archive(where.place)):
            raise Unreadable(why)
        if elf:
            yield from self._program(file, size, head, where)
        elif head[:2] == b"MZ" and not text:
            self._foreign(file, size, where, zipped=zipped)
        elif reason := contents.skipped(head, size, where.place):
            self.skipped[reason] += 1
        elif text:
            yield from self._text(file, size, where, budget, zipped=zipped)
        elif not zipped:
            self._unknown(file, size, where)
        if zipped and (opener := self.opener(b"PK\x03\x04")) is not None:  # what lies before unpacks it
            file.seek(0)
            yield from opener(self, file, size, where, budget)

    def _program(self, file: IO[bytes], size: int, head: bytes, where: Where) -> Iterator[Entry]:
        image = head[:4] == b"\x7fELF" and head[8:10] == b"AI"
        if image:
            self.unread.append((where.place, "the file system inside an AppImage is not unpacked: extract it first"))
        with buffer(file, size) as data:
            if head[:1] == b"!" and data.find(b"\x7fELF") < 0 and (what := contents.hides(bytes(data[8:]))):
                raise Unreadable(f"a library or archive of ar(1) {what}")
            if not image and (what := payloads.carried_by(data)):
                self.unread.append((where.place, f"a program that carries {what}: unpack it, and scan what comes out"))
            yield Entry(place=where.place, key=where.key, unit=where.unit, unit_kind=where.kind, size=size, data=data)

    def _foreign(self, file: IO[bytes], size: int, where: Where, *, zipped: bool) -> None:
        with buffer(file, size) as data:
            if not zipped and (what := payloads.carried_by_windows(data)):
                raise Unreadable(f"a Windows program that carries {what}: unpack it, and scan what comes out")
        self.skipped[contents.WINDOWS] += 1

    def _text(self, file: IO[bytes], size: int, where: Where, budget: Budget, *, zipped: bool) -> Iterator[Entry]:
        with buffer(file, min(size, limits.TEXT)) as data:
            text = opaque.plain(data)
            if not zipped and text.find(b"\0") >= 0 and payloads.carries(text):
                kind = "a script" if text[:2] == b"#!" else "a text"
                self.unread.append((where.place, f"{kind} that carries data: unpack it, and scan what comes out"))
            pieces = list(payloads.encoded_in(text))
            if contents.is_page(text[:2], where.place):
                self.skipped[contents.WEB] += 1
            else:
                yield Entry(
                    place=where.place, key=where.key, unit=where.unit, unit_kind=where.kind, size=size, data=text
                )
        if size > limits.TEXT:
            self.unread.append((where.place, f"of a text only the first {limits.TEXT >> 20} MiB are read"))
        for number, piece in enumerate(pieces, 1):
            yield from self.member(io.BytesIO(piece), f"encoded-{number}", len(piece), where, budget)

    def _unknown(self, file: IO[bytes], size: int, where: Where) -> None:
        if _suffix(where.place) in opaque.TEXTS:
            raise Unreadable("a text that holds NUL or control bytes: it is in no encoding that is known here")
        with buffer(file, size) as data:
            if what := contents.hides(data):
                raise Unreadable(what)
            if size >= contents.LEAST and contents.packed(data):
                self.skipped[contents.NUMBERS] += 1
                return
        self.skipped[contents.UNKNOWN if size >= contents.LEAST else contents.SMALL] += 1

    def member(self, stream: IO[bytes], name: str, packed: int, inside: Where, budget: Budget) -> Iterator[Entry]:
        """A member of a container, as a stream that can be read once. ``packed``: its size there, 0 if unknown."""
        budget.file()
        if len(name) > limits.NAME:
            self.unread.append((f"{inside.place}!/{name[:80]}…", f"its name is longer than {limits.NAME} characters"))
            return
        place = f"{inside.place}!/{name}"
        try:
            head = stream.read(512)
            budget.spend(len(head))
            where = inside.inner(name)
            if self.opener(head) is None and head[:4] != b"\x7fELF":
                # What starts like data that nothing is looked for in is not unfolded at all.
                what = opaque.container_of(head, text=contents.is_text(head))
                image = "" if what else opaque.image_named(head, name)
                # What kind of image it is stands further inside, and is asked for where some kind can be read.
                if (what and not self.opener(b"", what)) or (image and not self.opener(b"", opaque.ISO)):
                    self.unread.append((place, f"{what or image} is not unpacked: {_advice(what or image)}"))
                    return
                inside_tells = what or image or opaque.no_archive(name) or head.startswith(opaque.CFB)
                if not inside_tells and (reason := contents.skipped(head, len(head), name)):
                    self.skipped[reason] += 1
                    return
            with tempfile.SpooledTemporaryFile(max_size=limits.IN_MEMORY) as copy:
                size = copy.write(head)
                while chunk := stream.read(CHUNK):
                    budget.spend(len(chunk))
                    size += copy.write(chunk)
                    limits.check_member(size, packed)
                copy.seek(0)
                yield from self.of_file(copy, size, where, budget)
        except Unreadable as error:
            self.unread.append((place, str(error)))
            if budget.left < 0 or budget.files < 0 or isinstance(error, OutOfTime):
                raise
        except BROKEN as error:
            self.unread.append((place, trouble_of(error)))

    def check_name(self, name: str, place: str) -> None:
        """Note a member whose name leads out of its container."""
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or (len(name) > 1 and name[1] == ":"):
            self.names.append((place, name))

    def check_link(self, name: str, target: str, place: str, *, rooted: bool) -> None:
        """``rooted``: the container is a file system of its own, in which absolute links are at home."""
        if target.startswith("/"):
            if not rooted:
                self.links.append((place, f"{name} → {target}"))
            return
        if posixpath.normpath(posixpath.join(posixpath.dirname(name.lstrip("./")), target)).startswith(".."):
            self.links.append((place, f"{name} → {target}"))

    def component(self, component: Component, where: Where) -> None:
        """Note a package, and the architecture that it names."""
        self.components.append(component)
        if component.architecture:
            self.labels.append((where.unit, where.place, component.architecture))


@dataclass(frozen=True)
class Where:
    """Where a container lies, and what its members are called by."""

    place: str
    key: str
    unit: str
    kind: str
    depth: int = 0

    def inner(self, name: str) -> Where:
        """Where a member lies. It belongs to the container's unit until it turns out to be a unit itself."""
        return Where(f"{self.place}!/{name}", f"{self.key}!/{key_of(name)}", self.unit, self.kind, self.depth + 1)

    def as_unit(self, kind: str, key: str = "") -> Where:
        """The container as a unit; ``key``: what it is called in all its variants, instead of its file's name."""
        own = key or self.key
        return Where(self.place, own, unit_of(own), kind, self.depth)


Opener = Callable[[Walk, IO[bytes], int, Where, Budget], Iterator[Entry]]


class Openers(Protocol):
    """Knows the readers of containers."""

    def __call__(self, head: bytes, what: str = "") -> Opener | None:
        """The reader of a container that begins with ``head``, or that ``opaque`` calls ``what``; None without one."""


BROKEN = (*DAMAGED, zstandard.ZstdError)


def _what(file: IO[bytes], size: int, head: bytes, place: str, *, text: bool) -> str:
    """What a file is that no reader knows by its first bytes; empty where it is no container either."""
    known = opaque.container_of(head, text=text) or ("" if text else opaque.image_of(file, size))
    return known or opaque.image_named(head, place)


def _advice(what: str) -> str:
    more = "install the extra `archives` and libarchive, or " if what in opaque.FOREIGN else ""
    return f"{more}unpack it, and scan what comes out"


def trouble_of(error: Exception) -> str:
    """Why a file could not be read, where no sentence of this package says it."""
    if isinstance(error, MemoryError):
        return f"reading it takes more than {limits.MEMORY >> 20} MiB of memory"
    return f"it is damaged or cut off: {type(error).__name__}: {error}"[:300]


def _not_regular(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return contents.HISTORY
    return contents.LINKS if stat.S_ISLNK(mode) else contents.DEVICES


def _suffix(place: str) -> str:
    return posixpath.splitext(posixpath.basename(place))[1].lower()


@contextlib.contextmanager
def buffer(file: IO[bytes], size: int) -> Iterator[Buffer]:
    """The content: mapped where it lies in a file on disk and is large, else read."""
    if size > limits.IN_MEMORY:
        with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
            with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
                yield data
            return
    yield file.read(size)
