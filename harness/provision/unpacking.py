"""Archives of a product, read on this machine: nothing in them can reach out of the folder that they go to."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from harness.errors import DeploymentError
from harness.system.archives import DAMAGED, Member, size_of_directory

#: What an archive may unpack to; a bomb must not fill a target.
MOST_BYTES = 8 << 30
MOST_ENTRIES = 1_000_000
MOST_LINK = 4096  #: bytes of the target of a link (PATH_MAX)
#: Bytes of the list of members of a zip archive: some 300,000 members.
MOST_DIRECTORY = 32 << 20
#: What unfolds to more than so many times its size, and to more than so many bytes, is made to fill a memory.
MOST_RATIO, HARMLESS = 500, 128 << 20


class UnfitArchive(DeploymentError):
    """The vendor's archive cannot be unpacked as it is."""


def plain_tar(path: Path, strip: int = 0) -> bytes:
    """The files of a tar (plain, gzip, bzip2, xz) or zip archive as an uncompressed tar, owned by root.

    ``strip``: so many leading folders are left out. Links may point to what lies in the archive; devices, set-user-id
    bits and names that lead out of it are refused.

    Raises:
        UnfitArchive: it is no such archive, is damaged, leads out of its folder, or is too large.
    """
    out = io.BytesIO()
    total = count = 0
    try:
        most = _most_bytes(path)
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
            for member, data in _members(path):
                count, total = count + 1, total + member.size
                if total > most or count > MOST_ENTRIES:
                    raise _unfit(path, "it unpacks to more than a target may hold, or its size allows")
                if member.issparse():
                    raise _unfit(path, f"{member.name[:200]} is a sparse file: write the archive without --sparse")
                kept = _stripped(member, strip)
                if kept is None:
                    continue
                # Checks names, links, kinds and modes against leaving the folder (PEP 706).
                safe = tarfile.data_filter(kept, "/nowhere")
                if safe.mode is None:  # of folders and links nothing is kept
                    safe.mode = 0o755 if safe.isdir() else 0o777
                safe.uid = safe.gid = 0
                safe.uname = safe.gname = "root"
                target.addfile(safe, data)
    except tarfile.FilterError as error:
        raise _unfit(path, f"an entry would leave its folder: {error}") from error
    except DAMAGED as error:
        raise _unfit(path, f"it cannot be read: {error or type(error).__name__}") from error
    if count == 0:
        raise _unfit(path, "it is empty")
    return out.getvalue()


def _unfit(path: Path, why: str) -> UnfitArchive:
    return UnfitArchive(f"{path.name}: {why}", step=f"unpack {path.name}", advice="deliver a sound archive")


def _most_bytes(path: Path) -> int:
    """What an archive of this size may unpack to."""
    return min(MOST_BYTES, max(HARMLESS, MOST_RATIO * path.stat().st_size))


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Each member, and its content as a stream, of which nothing is read yet."""
    if zipfile.is_zipfile(path):
        yield from _members_of_zip(path)
        return
    with tarfile.open(path, tarinfo=Member) as source:
        for member in source:
            yield member, source.extractfile(member) if member.isreg() else None


def _members_of_zip(path: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    with path.open("rb") as file, zipfile.ZipFile(_listed(path, file)) as archive:
        for entry in archive.infolist():
            member = tarfile.TarInfo(entry.filename)
            mode = entry.external_attr >> 16
            member.mode = stat.S_IMODE(mode) or (0o755 if entry.is_dir() else 0o644)
            if entry.is_dir():
                member.type = tarfile.DIRTYPE
                yield member, None
                continue
            with archive.open(entry) as data:
                if stat.S_ISLNK(mode):
                    member.type, member.linkname = tarfile.SYMTYPE, data.read(MOST_LINK).decode()
                    yield member, None
                else:
                    member.size = entry.file_size
                    yield member, data


def _listed(path: Path, file: IO[bytes]) -> IO[bytes]:
    if size_of_directory(file) > MOST_DIRECTORY:
        raise _unfit(path, f"its list of members is larger than {MOST_DIRECTORY >> 20} MiB")
    return file


def _stripped(member: tarfile.TarInfo, strip: int) -> tarfile.TarInfo | None:
    parts = PurePosixPath(member.name).parts
    if not strip:
        return member
    if len(parts) <= strip:
        return None
    changes = {"name": "/".join(parts[strip:])}
    if member.islnk():  # names another entry of the archive
        changes["linkname"] = "/".join(PurePosixPath(member.linkname).parts[strip:])
    return member.replace(**changes, deep=False)  # type: ignore[arg-type]
