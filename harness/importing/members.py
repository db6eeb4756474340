"""What one archive adds to a file system: each path once, nothing beneath a file, and what it hides of layers below."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.errors import UsageError
from harness.system.printable import one_line

#: Names by which a layer removes what is below it (image-spec, layer.md, "Whiteouts").
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_OWN = ".wh..wh."  # of AUFS; engines leave such files out


@dataclass
class Members:
    """What an archive, named by ``what`` in messages, adds and what of the layers below it hides: paths, and folders
    whose content is new."""

    what: str
    layered: bool
    added: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)
    _files: set[str] = field(default_factory=set)
    _folders: set[str] = field(default_factory=set)

    def name(self, name: str) -> tuple[str, ...]:
        """The parts of a member's name, which comes once, however it is written (``x``, ``./x``, ``y/./x``).

        Raises:
            UsageError: it leads out of the root, was there before, or means a removal where nothing can be removed.
        """
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if ".." in parts:
            raise UsageError(
                f"{self.what} has a member that leads out of its root: {one_line(name, 200)!a}",
                advice="whoever made it is to explain that; nothing was imported",
            )
        path = "/".join(parts)
        if path in self._names:  # engines refuse that, or keep either
            raise self._broken(f"{one_line(path, 200) or './'!a} is in it twice")
        self._names.add(path)
        if parts and parts[-1].startswith(WHITEOUT):
            if not self.layered:
                raise self._broken(f"{one_line(path, 200)!a} has a name by which an image's layer removes a file")
            if parts[-1].removeprefix(WHITEOUT) in ("", ".", ".."):
                raise self._broken(f"{one_line(path, 200)!a} removes what is no file")
        return parts

    def removes(self, folder: str, name: str) -> bool:
        """Whether a member of a layer, by its name, removes something, which is noted."""
        if not self.layered or not name.startswith(WHITEOUT):
            return False
        if name == OPAQUE:
            self.emptied.add(folder)
        elif not name.startswith(_OWN):
            self.hidden.add(f"{folder}/{name.removeprefix(WHITEOUT)}".lstrip("/"))
        return True

    def put(self, path: str, *, folder: bool) -> None:
        """Note that something is at a path, links of its folders followed.

        Raises:
            UsageError: it is beneath a file, or takes the place of a folder.
        """
        if not folder and path in self._folders:
            raise self._broken(f"{one_line(path, 200)!a} is a folder, and then something else")
        above = path
        while above := above.rpartition("/")[0]:
            if above in self._files:
                raise self._broken(f"{one_line(path, 200)!a} is beneath {one_line(above, 200)!a}, which is no folder")
            if above in self._folders:
                break
            self._folders.add(above)
        (self._folders if folder else self._files).add(path)
        if folder:
            self._files.discard(path)
        self.added.add(path)

    def hides(self, path: str) -> bool:
        """Whether this layer hides what a lower layer has at a path."""
        if path in self.added:
            return False
        if path in self.hidden:
            return True
        while path:
            path = path.rpartition("/")[0]
            if path in self.hidden or path in self.emptied:
                return True
        return False

    def _broken(self, words: str) -> UsageError:
        whole = "no whole layer" if self.layered else "no whole root"
        return UsageError(
            f"{self.what} is {whole}: {words}",
            advice="make it again from the system itself, without members that are added later; nothing was imported",
        )

    def unlinked(self, name: str, target: str) -> UsageError:
        """The error about a hard link to what no member before it is."""
        return self._broken(f"{one_line(name, 200)!a} is a hard link to {one_line(target, 200)!a}, which is not there")
