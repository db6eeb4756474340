"""What an installation medium of the RPM family says of itself: .treeinfo (productmd 1.x, and older), .discinfo."""

from __future__ import annotations

import configparser
from dataclasses import dataclass

from harness.system.printable import one_line


@dataclass(frozen=True, kw_only=True)
class Medium:
    """``release`` as it prints it, ``version`` and ``architecture``; empty where it does not say so. ``repositories``
    are folders of it, relative to its top."""

    release: str = ""
    version: str = ""
    architecture: str = ""
    repositories: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """For people."""
        said = " ".join(word for word in (self.release, self.version) if word)
        return f"medium of {said or 'a release that it does not name'}"


def medium_of(treeinfo: str, discinfo: str, folders: tuple[str, ...]) -> Medium:
    """What the texts of the two files say (empty where a medium lacks one). ``folders``: those with a repodata of their
    own. What cannot be read says nothing."""
    said = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        said.read_string(treeinfo)
    except configparser.Error:
        said = configparser.ConfigParser(interpolation=None)

    def value(key: str, *sections: str) -> str:
        values = (said.get(section, key, fallback="") for section in sections)
        return one_line(next(filter(None, values), ""), 100)

    # .discinfo: a time, the release, the architecture, the numbers of the discs; a line each.
    lines = [*(one_line(line, 100) for line in discinfo.splitlines()), "", "", ""]
    return Medium(
        release=value("name", "release", "product") or value("family", "general") or lines[1],
        version=value("version", "release", "product", "general"),
        architecture=value("arch", "tree", "general") or lines[2],
        repositories=tuple(sorted(folders)),
    )
