"""Whether the programs that every machine needs can run in a root, by what their files say: none is started."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Iterator

from harness.errors import UsageError
from harness.importing.trees import Node, Tree

#: A container waits in ``sleep``; every command in it is run by ``sh`` and ``timeout``.
PROGRAMS = ("sh", "sleep", "timeout")
#: Where loaders look by themselves, or where /etc/ld.so.conf leads systems of today; not in roots within the root.
_FOLDERS = re.compile(r"(usr/)?(local/)?lib[^/]*(/|$)")


def program(tree: Tree, name: str) -> Node | None:
    """The file of a program, or of what runs it where it is a script and that is there; None where there is none."""
    node = tree.find(*(f"{folder}/{name}" for folder in ("usr/bin", "bin", "usr/sbin", "sbin")))
    return (tree.find(node.script) or node) if node is not None and node.script else node


def demand_runnable(tree: Tree, what: str) -> None:
    """``what`` names the root in messages.

    Raises:
        UsageError: a program that every machine needs lacks its loader or a library.
    """
    libraries: dict[str, list[str]] = {}
    for name in PROGRAMS:
        node = program(tree, name)
        if node is None or not (node.loader or node.needed):
            continue
        if node.loader and tree.find(node.loader) is None:
            raise _lacking(what, f"{name} needs {node.loader}")
        libraries = libraries or _libraries(tree)
        for needing, library in _lacks(tree, name, node, libraries):
            raise _lacking(what, f"{needing} needs {library}")


def _lacking(what: str, words: str) -> UsageError:
    return UsageError(
        f"{what}: {words}, which is not there: nothing can run in a machine of it",
        advice="give the whole root of an installed system, with the libraries of its programs",
    )


def _libraries(tree: Tree) -> dict[str, list[str]]:
    """Name of a library -> where something has it, in the folders of libraries."""
    places: dict[str, list[str]] = {}
    for path in tree.nodes:
        name = posixpath.basename(path)
        if ".so" in name and _FOLDERS.match(path):
            places.setdefault(name, []).append(path)
    return places


def _lacks(tree: Tree, name: str, node: Node, libraries: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """What a program needs, or what that needs, and is not there: who needs it, and its name."""
    todo, known = [(name, node)], set[str]()
    while todo:
        needing, each = todo.pop()
        for library in each.needed:
            if library in known:
                continue
            known.add(library)
            candidates = [file for path in libraries.get(library, ()) if (file := _file(tree, path)) is not None]
            # One of another architecture (lib32) is not loaded; of a large one the head says nothing more.
            fit = [
                file for file in candidates if file.head[4:6] + file.head[18:20] == node.head[4:6] + node.head[18:20]
            ]
            if not fit:
                yield needing, library
            todo += [(library, file) for file in fit[:1]]


def _file(tree: Tree, path: str) -> Node | None:
    """The file that a path leads to; None where links of it go round in a circle, too."""
    with contextlib.suppress(UsageError):
        return tree.find(path)
    return None
