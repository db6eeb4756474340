"""What is wrong with the sheets that interfaces of an application name, whatever the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import DefinitionError, Fault
from harness.model.points import ORDERS
from harness.reading.nodes import read_nodes, unwritten
from harness.reading.points import read_points, unserved
from harness.reading.source import Loc, Source


def interface_faults(source: Source, named: Iterable[tuple[Loc, str]]) -> Iterator[Fault]:
    """What is wrong with the sheets that ``interfaces`` of an application name, each of which is there."""
    for loc, name in named:
        if "interfaces" not in loc or loc[-1] != "points":
            continue
        interface = source.value
        for part in loc[:-1]:
            interface = interface[part]
        try:
            yield from _of_sheet(source, loc, interface, source.path.parent / name)
        except DefinitionError as error:
            yield from error.faults


def _of_sheet(source: Source, loc: Loc, interface: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    """Raises DefinitionError: with every fault of the sheet itself."""
    if interface.get("protocol") == "opcua":
        namespace = interface.get("namespace")
        points = read_nodes(path, namespace if isinstance(namespace, str) else "", source.warnings)
        yield from (unwritten(path, each) for each in points if each.history and not (each.writable or each.changes))
        return
    order = interface.get("order", "ABCD")
    yield from unserved(
        source, loc[:-1], interface, path, read_points(path, order if order in ORDERS else "ABCD", source.warnings)
    )
