"""Files kept under their own SHA-256; what is there is never changed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol

from harness.errors import InfrastructureError, UsageError

#: Bytes that are read and written at once.
PIECE = 1 << 20
#: What is there already and older than so many seconds is made new again when it is stored once more: whoever removes
#: old files that nothing names must not meet one that a running attempt is about to name.
RENEW_SECONDS = 12 * 3600.0


@contextlib.contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn errors of the disk into errors of the harness.

    Raises:
        InfrastructureError: no space, no permission, a broken disk.
    """
    try:
        yield
    except OSError as error:
        raise _disk_error(doing, error) from error


def _disk_error(doing: str, error: OSError) -> InfrastructureError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InfrastructureError(
            f"{doing}: no space left on the disk of the workspace", advice="free space there, then: harness resume"
        )
    return InfrastructureError(
        f"{doing}: {error.strerror or error}", advice="check the workspace folder and its permissions"
    )


class StoreAway(InfrastructureError):
    """The store does not answer; what was asked of it may be asked again later."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One file of a store: SHA-256 (hex), bytes, and seconds since it was stored or renewed, by the store's clock."""

    digest: str
    size: int
    age: float


class EvidenceStore(Protocol):
    """Files under their own SHA-256 (hex). What is there by its digest is not written again, only renewed where it is
    old; whatever is read is checked.

    Raises:
        InfrastructureError: the store is full, refuses, or does not answer; what is read is missing or was changed.
    """

    place: str  #: for people, and to tell stores apart

    def put(self, data: bytes) -> str:
        """Store ``data``; gives its SHA-256. It is there for good when this returns."""
        ...

    def put_file(self, path: Path) -> str:
        """Store a file, a piece at a time; gives its SHA-256.

        Raises:
            UsageError: the file cannot be read, or changes meanwhile.
        """
        ...

    def get(self, digest: str) -> bytes:
        """Read it back, checked."""
        ...

    def fetch(self, digest: str, target: Path) -> None:
        """Write it into the file ``target``, a piece at a time, which is there when all of it was checked."""
        ...

    def check(self, digest: str) -> None:
        """Read all of it, and keep nothing."""
        ...

    def path(self, digest: str) -> Path:
        """A file on this machine that holds it; of a folder: where it is, or would be."""
        ...

    def kept(self) -> Iterator[Kept]:
        """Every file of the store."""
        ...

    def remove(self, digest: str, older: float) -> bool:
        """Remove a file whose age is still above ``older`` seconds; gives whether it was. Nothing may name it."""
        ...

    def tidy(self, older: float) -> int:
        """Remove what broken writes of more than ``older`` seconds ago left; gives how many there were."""
        ...


class FolderStore:
    """A folder ``sha256/ab/abcd…``; writing is atomic and reaches the disk before it returns.

    ``begun``: whether something must lie in it already. A folder that many machines share is empty where its file
    system is not mounted, and what is written there is hidden when it is.
    """

    def __init__(self, root: Path, begun: Callable[[], bool] = lambda: False) -> None:
        self.root, self._begun = root, begun
        self.place = str(root.resolve())

    def path(self, digest: str) -> Path:
        return self.root / "sha256" / digest[:2] / digest

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        if not self._renewed(digest):
            with self._part(digest) as file:
                file.write(data)
        return digest

    def put_file(self, path: Path) -> str:
        digest, _ = measured(path)
        if not self._renewed(digest):
            with self._part(digest) as file, reading(path) as source:
                hashed = hashlib.sha256()
                while piece := source.read(PIECE):
                    hashed.update(piece)
                    file.write(piece)
                if hashed.hexdigest() != digest:
                    raise changed_meanwhile(path)
        return digest

    def _demand_there(self) -> None:
        """Raises:
        StoreAway: the folder does not hold what was stored before.
        """
        if not (self.root / "sha256").is_dir() and self._begun():
            raise StoreAway(
                f"the folder of evidence {self.root} is empty, and the record names evidence",
                advice="see that its file system is mounted, and that HARNESS_EVIDENCE names it",
            )

    def _renewed(self, digest: str) -> bool:
        """Whether it is there, and as good as new for whoever removes what is old."""
        target = self.path(digest)
        try:
            age = time.time() - target.stat().st_mtime
            if age > RENEW_SECONDS:
                os.utime(target)
        except FileNotFoundError:
            return False
        except PermissionError:  # another user's: only the owner of a file may touch it, so it is written anew
            return False
        except OSError as error:
            raise _disk_error("storing evidence", error) from error
        return True

    @contextlib.contextmanager
    def _part(self, digest: str) -> Iterator[BinaryIO]:
        """A new file that takes its name, and is on the disk, when the block ends without an error."""
        target = self.path(digest)
        self._demand_there()
        with disk_errors("storing evidence"):
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{digest}.{secrets.token_hex(4)}")
            try:
                with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)

    def get(self, digest: str) -> bytes:
        with self._open(digest) as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != digest:
            raise changed(digest)
        return data

    def fetch(self, digest: str, target: Path) -> None:
        with self._open(digest) as file, whole_file(target) as sink:
            hashed = hashlib.sha256()
            while piece := file.read(PIECE):
                hashed.update(piece)
                sink.write(piece)
            if hashed.hexdigest() != digest:
                raise changed(digest)

    def check(self, digest: str) -> None:
        with self._open(digest) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise changed(digest)

    @contextlib.contextmanager
    def _open(self, digest: str) -> Iterator[BufferedReader]:
        try:
            file = self.path(digest).open("rb")
        except FileNotFoundError:
            self._demand_there()
            raise missing(digest) from None
        except OSError as error:
            raise _disk_error(f"reading evidence {digest}", error) from error
        with file, disk_errors(f"reading evidence {digest}"):
            yield file

    def kept(self) -> Iterator[Kept]:
        clock = self._clock()
        for path in sorted((self.root / "sha256").glob("??/*")):
            if not path.name.startswith("."):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    state = path.stat()
                    yield Kept(digest=path.name, size=state.st_size, age=clock - state.st_mtime)

    def remove(self, digest: str, older: float) -> bool:
        with disk_errors("removing evidence"):
            try:
                if self._clock() - self.path(digest).stat().st_mtime <= older:
                    return False
                self.path(digest).unlink()
            except FileNotFoundError:
                return False
        return True

    def tidy(self, older: float) -> int:
        clock, count = self._clock(), 0
        with disk_errors("removing what broken writes left"):
            for path in (self.root / "sha256").glob("??/.*"):
                with contextlib.suppress(FileNotFoundError):
                    if clock - path.stat().st_mtime > older:
                        path.unlink()
                        count += 1
        return count

    def _clock(self) -> float:
        """The time of the file system: that of another machine, where the folder is shared."""
        with disk_errors("reading the store's clock"):
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.root, prefix=".clock-") as file:
                return os.fstat(file.fileno()).st_mtime


def measured(path: Path) -> tuple[str, int]:
    """SHA-256 and bytes of a file.

    Raises:
        UsageError: it cannot be read.
    """
    with reading(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[BufferedReader]:
    """A file that is to be stored. Raises as ``measured``."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", advice="leave the folder as it is while you submit it"
        ) from error
    with file:
        yield file


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """A file beside ``target`` that takes its name when the block ends without an error.

    Raises:
        InfrastructureError: the disk is full or refuses.
    """
    part = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
    with disk_errors(f"writing {target}"):
        try:
            with part.open("xb+") as file:
                yield file
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def missing(digest: str) -> InfrastructureError:
    """Nothing is there under this digest."""
    return InfrastructureError(f"evidence {digest} is missing", advice="restore the workspace")


def changed(digest: str) -> InfrastructureError:
    """What is there is not what was stored."""
    return InfrastructureError(f"evidence {digest} was changed", advice="restore the workspace from a copy")


def changed_meanwhile(path: Path) -> UsageError:
    """A file that was to be stored is not what it was a moment ago."""
    return UsageError(f"{path} changed while it was read", advice="leave the folder as it is while you submit it")
