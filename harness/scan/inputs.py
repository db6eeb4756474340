"""What of a product is scanned, and for whom; each set of files is read once for all cells that it concerns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.model.definitions import Application
from harness.model.finding import ScanResult, Targets
from harness.model.plan import Cell, Definitions


def product_files(application: Application, folder: Path, architecture: str) -> list[Path]:
    """What of a product lies beside its definition and goes to targets of this architecture, or is named to be read."""
    names = [artifact.path for artifact in application.artifacts if artifact.architecture in ("all", architecture)]
    return [folder / name for name in dict.fromkeys((*names, *application.scan))]


def files_of_cells(definitions: Definitions, cells: Iterable[Cell]) -> dict[tuple[Path, ...], dict[str, set[str]]]:
    """Sets of files that cells get, by variants of the product, with the values of the axes of these cells."""
    sets: dict[tuple[Path, ...], dict[str, set[str]]] = {}
    for cell in cells:
        architecture = definitions.cpus[cell.axes["cpu"]].architecture
        application = definitions.application_of(cell.axes)
        files = tuple(product_files(application, definitions.application_folder, architecture))
        if files:
            axes = sets.setdefault(files, {})
            for axis, value in cell.axes.items():
                axes.setdefault(axis, set()).add(value)
    return sets


def targets_of(definitions: Definitions, architecture: str = "") -> Targets:
    """The targets of a matrix, of one architecture where it is named."""
    return Targets(
        cpus={name: cpu for name, cpu in definitions.cpus.items() if architecture in ("", cpu.architecture)},
        systems=definitions.systems,
        databases=definitions.databases,
        dialect=definitions.application.dialect or "",
    )


@dataclass
class Scans:
    """Results by what was read; None: there was nothing. Cells share them: whoever comes first reads, others wait."""

    _results: dict[tuple[object, ...], ScanResult | None] = field(default_factory=dict)
    _locks: dict[tuple[object, ...], threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: tuple[object, ...], make: Callable[[], ScanResult | None]) -> ScanResult | None:
        """The result for a key, from ``make`` at the first call; concurrent callers wait for it."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._results:
                self._results[key] = make()
            return self._results[key]
