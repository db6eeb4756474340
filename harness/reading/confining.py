"""Files that a definition names: each lies below the folder of that definition, and is a plain file.

Whoever reads a vendor's folder reads nothing else of this machine for it, and what a plan depends on can be handed over
as that folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.errors import Fault
from harness.reading.source import Loc, Source

#: Characters of a name that a fault shows.
LONGEST = 300


def is_below(folder: Path, name: str) -> bool:
    """Whether a name, with every link followed, leads to something below ``folder``."""
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # too long, with a zero byte, a circle of links
        return False


def file_fault(
    source: Source, loc: Loc, name: str, what: str, *, folders: bool = False, missing: str = ""
) -> Fault | None:
    """What is wrong with the file that ``source`` names at ``loc``; None where it is good.

    ``what``: what it is, for the message; ``folders``: whether it may be a folder; ``missing``: the hint where there is
    none.
    """
    folder = source.path.parent
    shown = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
    if not is_below(folder, name):
        hint = "copy it into the folder; two matrices of one product may lie in one folder, each named by its file"
        return source.fault(
            loc, f"{what} lies outside the folder", expected=f"a path below {folder}", found=shown, hint=hint
        )
    path = folder / name
    try:
        if path.is_file() or (folders and path.is_dir()):
            return None
        there = path.exists()
    except OSError as error:
        return source.fault(loc, f"{what} cannot be read: {error.strerror}", found=shown)
    if there:
        return source.fault(loc, f"{what} is no regular file", expected=f"a file in {folder}", found=shown)
    return source.fault(loc, "no such file", expected=f"a file in {folder}", found=shown, hint=missing)


def links_out(folder: Path, what: str) -> Iterator[Fault]:
    """Symbolic links below ``folder`` that lead out of it: the digest of what is there would name other content
    elsewhere. ``what``: what the folder is."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not is_below(folder, str(path.relative_to(folder))):
            yield Fault(
                file=str(path),
                line=1,
                column=1,
                message=f"a symbolic link that leads out of {what}",
                expected=f"a file below {folder}",
                found=str(path.readlink()),
                hint="copy the file instead",
            )
