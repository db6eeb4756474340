"""The files that are scanned, and what findings call them by."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Input:
    """A file that is scanned. ``place``: what findings call it by; ``unit``: what it belongs to."""

    path: bytes
    place: str
    unit: str

    @property
    def size(self) -> int:
        """Bytes on disk, from which its limits follow; 0 where it cannot be looked at: whoever opens it says why."""
        try:
            return os.stat(self.path).st_size  # noqa: PTH116  # a path in bytes
        except OSError:
            return 0


def inputs_of(path: Path, name: str) -> tuple[list[Input], list[tuple[str, str]]]:
    """The files of ``path``, a file or a folder that is called ``name``; and what of it cannot be listed, with why."""
    if not path.is_dir():
        # What is named is read, also where it is a link: links inside of what is named lead to what is read, or out.
        return [_input(os.path.realpath(path), name, name)], []
    inputs: list[Input] = []
    troubles: list[tuple[str, str]] = []

    def unlisted(error: OSError) -> None:
        place = str(Path(name, os.path.relpath(str(error.filename), path)))
        troubles.append((_shown(place), error.strerror or str(error)))

    for folder, folders, names in os.walk(path, onerror=unlisted):
        shown = Path(name, os.path.relpath(folder, path))
        aside = [each for each in folders if each in (".git", ".hg", ".svn") or Path(folder, each).is_symlink()]
        folders[:] = sorted(set(folders) - set(aside))
        inputs += [_input(str(Path(folder, each)), str(shown / each), name) for each in sorted(aside)]
        inputs += [_input(str(Path(folder, file)), str(shown / file), name) for file in sorted(names)]
    return inputs, troubles


def _input(path: str, place: str, unit: str) -> Input:
    return Input(path=os.fsencode(path), place=_shown(place), unit=_shown(unit))


def _shown(place: str) -> str:
    """A place as findings name it: bytes of a name that are no UTF-8 are replaced."""
    return os.fsencode(place).decode(errors="replace")
