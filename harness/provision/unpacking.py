"""Archives of a product, read on this machine: nothing in them can reach out of the folder that they go to."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from harness.errors import DeploymentError

#: What an archive may unpack to; a bomb must not fill a target.
MOST_BYTES = 8 << 30
MOST_ENTRIES = 1_000_000


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
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
            for member, data in _members(path):
                count, total = count + 1, total + member.size
                if total > MOST_BYTES or count > MOST_ENTRIES:
                    raise _unfit(path, "it unpacks to more than a target may hold")
                kept = _stripped(member, strip)
                if kept is None:
                    continue
                # Checks names, links, kinds and modes against leaving the folder (PEP 706).
                safe = tarfile.data_filter(kept, "/nowhere")
                if safe.mode is None:  # of folders and links nothing is kept
                    safe.mode = 0o755 if safe.isdir() else 0o777
                safe.uid = safe.gid = 0
                safe.uname = safe.gname = "root"
                target.addfile(safe, io.BytesIO(data) if data is not None else None)
    except tarfile.FilterError as error:
        raise _unfit(path, f"an entry would leave its folder: {error}") from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError) as error:
        raise _unfit(path, f"it cannot be read: {error}") from error
    if count == 0:
        raise _unfit(path, "it is empty")
    return out.getvalue()


def _unfit(path: Path, why: str) -> UnfitArchive:
    return UnfitArchive(f"{path.name}: {why}", step=f"unpack {path.name}", advice="deliver a sound archive")


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                member = tarfile.TarInfo(entry.filename)
                mode = entry.external_attr >> 16
                member.mode = stat.S_IMODE(mode) or (0o755 if entry.is_dir() else 0o644)
                if entry.is_dir():
                    member.type = tarfile.DIRTYPE
                    yield member, None
                elif stat.S_ISLNK(mode):
                    member.type, member.linkname = tarfile.SYMTYPE, archive.read(entry).decode()
                    yield member, None
                else:
                    if entry.file_size > MOST_BYTES:
                        raise _unfit(path, "it unpacks to more than a target may hold")
                    data = archive.read(entry)
                    member.size = len(data)
                    yield member, data
        return
    with tarfile.open(path) as source:
        for member in source:
            file = source.extractfile(member) if member.isreg() else None
            yield member, file.read() if file is not None else None


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
