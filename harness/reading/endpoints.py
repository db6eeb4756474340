"""The database servers of a laboratory, held against the catalogue: a misspelt name serves nothing, silently."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.errors import DefinitionError, Fault
from harness.model.definitions import Database, Databases
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import nearest, parse, validate
from harness.reading.source import Source, read_source


def read_databases(path: Path, catalogue: Catalogue) -> Databases:
    """Read databases.yaml.

    Raises:
        DefinitionError: with every fault, each with its line.
    """
    source = read_source(path)
    databases = validate(source, Databases)
    if faults := list(databases_faults(source, databases, catalogue)):
        raise DefinitionError(faults)
    return databases.beside(path.parent)


def databases_faults(source: Source, databases: Databases, catalogue: Catalogue) -> Iterator[Fault]:
    """Endpoints and images whose entry of the catalogue does not exist, or does not say how such a server is asked, or
    run."""
    known = catalogue.names("targets/database")
    named = [(("databases", index, "database"), each.database) for index, each in enumerate(databases.databases)]
    images = [(("images", index, "database"), each.database) for index, each in enumerate(databases.images)]
    for loc, name in (*named, *images):
        path = catalogue.find("targets", "database", f"{name}.yaml")
        if path is None:
            yield source.fault(
                loc, "no such database", expected=f"one of {', '.join(known)}", found=name, hint=nearest(name, known)
            )
            continue
        entry = parse(path, Database)
        if loc[0] == "images":
            if not entry.runs_as_image:
                yield source.fault(
                    loc,
                    f"how an image of {name} is run is not known",
                    expected="an entry with `image` (admin, or the client in it) and `endpoint`",
                    found=name,
                    hint=f"write how in targets/database/{name}.yaml of your own folder",
                )
        elif entry.endpoint is None:
            yield source.fault(
                loc,
                f"how a server of {name} is asked is not known",
                expected="an entry with `endpoint`",
                found=name,
                hint=f"write how in targets/database/{name}.yaml of your own folder",
            )
