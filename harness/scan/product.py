"""What of a product is scanned, and for whom; each set of files is read once for all cells that it concerns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.model.definitions import Application, Rule
from harness.model.finding import ScanResult, Targets
from harness.model.plan import Definitions
from harness.scan import Scan


def product_files(application: Application, folder: Path, architecture: str) -> list[Path]:
    """What of a product lies beside its definition and goes to targets of this architecture, or is named to be read."""
    names = [one.path for one in application.artifacts if one.architecture in ("all", architecture)]
    return [folder / name for name in dict.fromkeys((*names, *application.scan))]


def targets_of(
    definitions: Definitions, architecture: str = "", cells: frozenset[tuple[str, str]] | None = None
) -> Targets:
    """The targets of a matrix, of one architecture where it is named; ``cells``: planned pairs of system and CPU."""
    return Targets(
        cpus={name: cpu for name, cpu in definitions.cpus.items() if architecture in ("", cpu.architecture)},
        systems=definitions.systems, databases=definitions.databases, pairs=cells,
    )  # fmt: skip


@dataclass
class Scans:
    """Results by what was read. Cells of one architecture share them; whoever comes first reads."""

    _results: dict[tuple[object, ...], ScanResult] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: tuple[object, ...], make: Callable[[], ScanResult]) -> ScanResult:
        with self._lock:
            if key not in self._results:
                self._results[key] = make()
            return self._results[key]


def scan_files(files: list[tuple[Path, str]], rules: tuple[Rule, ...], targets: Targets) -> ScanResult:
    """Scan files, each under the name that findings call it by."""
    started = time.monotonic()
    work = Scan(rules, targets)
    for path, name in files:
        work.add(path, name)
    return work.result(time.monotonic() - started)
