"""Every entry of the catalogue, read."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.model.definitions import Entry
from harness.reading.catalogue import Catalogue
from harness.reading.kinds import KINDS
from harness.reading.parsing import parse

#: Kinds of targets, in the order in which they are shown.
TARGET_KINDS = ("cpu", "os", "database", "middleware", "runtime", "accelerator")


def entries(kind: str, catalogue: Catalogue | None = None) -> dict[str, tuple[Path, Entry]]:
    """Name -> file and entry of that kind, sorted by name.

    Raises:
        DefinitionError: a file is wrong.
    """
    catalogue = catalogue or Catalogue.standard()
    targets: dict[str, tuple[Path, Entry]] = {}
    for name in catalogue.names(f"targets/{kind}"):
        path = catalogue.find("targets", kind, f"{name}.yaml")
        if path is not None:
            value = parse(path, KINDS[kind])
            assert isinstance(value, Entry)
            targets[name] = (path, value)
    return targets


def entry(name: str, catalogue: Catalogue | None = None) -> tuple[str, Path, Entry]:
    """Kind, file and entry of a name.

    Raises:
        UsageError: no target has this name, or targets of several kinds have it.
        DefinitionError: its file is wrong.
    """
    catalogue = catalogue or Catalogue.standard()
    wanted, _, word = name.rpartition("/")
    kinds = [kind for kind in TARGET_KINDS if wanted in ("", kind) and word in catalogue.names(f"targets/{kind}")]
    if len(kinds) != 1:
        amount = "no target" if not kinds else f"{len(kinds)} targets"
        raise UsageError(f"{amount} named {name!r}", advice="see: harness targets list, and name KIND/NAME")
    return kinds[0], *entries(kinds[0], catalogue)[word]
