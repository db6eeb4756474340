"""The expanded matrix: definitions read, cells chosen, and what a cell must be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.model.basis import Basis
from harness.model.definitions import Application, Cpu, Database, Matrix, Middleware, Os, Runtime, Suite, Waiver

#: Roles of the machines that a server of the lab may have for itself -> the kind of its entries in the catalogue. A
#: role is an axis of the matrix by the same name; every cell has a database, and of the others what its axes name.
ROLES: Mapping[str, Literal["database", "middleware"]] = {"database": "database", "middleware": "middleware"}
#: Value of a role axis: what the application is on.
SAME = "same"
#: Axis of the version that is upgraded, and its value where the product is installed anew.
UPGRADE, FRESH = "upgrade_from", "none"


def role_axes() -> dict[str, str]:
    """Axes of the machines of roles -> the kind of target that their values name."""
    return {f"{role}_{kind}": kind for role in ROLES for kind in ("os", "cpu")}


@dataclass(frozen=True)
class LocatedSuite:
    """A suite and the absolute folder that holds its files."""

    definition: Suite
    folder: Path
    digest: str = ""  #: SHA-256 over the names and contents of its files
    shipped: bool = False  #: whether it is, by name and digest, a suite that comes with this harness


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """Everything one matrix names, read and checked."""

    matrix: Matrix
    application: Application
    cpus: dict[str, Cpu]
    systems: dict[str, Os]
    databases: dict[str, Database]
    suites: dict[str, LocatedSuite]
    folder: Path
    application_folder: Path
    matrix_path: Path
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    middlewares: dict[str, Middleware] = field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    basis: tuple[Basis, ...] = ()  #: what it is tested with, by content
    files: dict[str, str] = field(default_factory=dict)  #: files of the application -> SHA-256
    matrix_places: dict[tuple[str | int, ...], tuple[int, int]] = field(default_factory=dict, repr=False)

    def application_machine(self, axes: Mapping[str, str]) -> tuple[Os, Cpu]:
        """What a cell with these axes runs its product on."""
        return self.systems[axes["os"]], self.cpus[axes["cpu"]]

    def server_machine(self, role: str, axes: Mapping[str, str]) -> tuple[Os, Cpu]:
        """What a cell with these axes runs its database or middleware on: the same, where no role axis says
        otherwise."""
        os, cpu = (axes.get(f"{role}_{kind}", SAME) for kind in ("os", "cpu"))
        return self.systems[axes["os"] if os == SAME else os], self.cpus[axes["cpu"] if cpu == SAME else cpu]

    def application_of(self, axes: Mapping[str, str]) -> Application:
        """The product as it is on a cell with these axes."""
        return self._in_its_container(self._varied(axes), axes)

    def former_of(self, axes: Mapping[str, str], version: str) -> Application:
        """A former version of the product as it was on such a cell."""
        return self._in_its_container(self._varied(axes).before(version), axes)

    def interpreted(self, axes: Mapping[str, str]) -> float:
        """By how much limits of a cell are stretched because its runtime interprets programs there; 1 where it does
        not."""
        runtime = self.runtimes.get(axes.get("runtime", ""))
        return runtime.interpreted.get(self.cpus[axes["cpu"]].architecture, 1.0) if runtime is not None else 1.0

    def _varied(self, axes: Mapping[str, str]) -> Application:
        os, cpu = self.application_machine(axes)
        return self.application.for_axes(dict(axes), cpu.architecture, os.family)

    def _in_its_container(self, application: Application, axes: Mapping[str, str]) -> Application:
        """With WARs it is started by the servlet container of the cell."""
        middleware = self.middlewares.get(axes.get("middleware", ""))
        servlet = middleware.servlet if middleware is not None else None
        if servlet is None or not application.wars or not all(war.name(servlet) for war in application.wars):
            return application  # a fault of the plan
        return application.inside(servlet)

    def machines(self, axes: Mapping[str, str]) -> dict[str, tuple[Os, Cpu]]:
        """The different machines of a cell by role, the application's first."""
        machines = {"application": self.application_machine(axes)}
        for role in ROLES:
            os, cpu = self.server_machine(role, axes)
            if (os.os, cpu.cpu) not in [(system.os, processor.cpu) for system, processor in machines.values()]:
                machines[role] = (os, cpu)
        return machines

    def server(self, role: str, axes: Mapping[str, str]) -> Database | Middleware | None:
        """What is behind a role of a cell with these axes; None where there is none."""
        name = axes.get(role, "")
        return self.databases[name] if ROLES[role] == "database" else self.middlewares.get(name)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination to test. ``id`` is its sorted ``key=value`` pairs and eight hex digits of their hash."""

    axes: dict[str, str]
    suites: tuple[str, ...]
    reason: str
    timeout_factor: float = 1.0
    notes: tuple[str, ...] = ()
    prefer: tuple[Literal["host", "container", "vm"], ...] = ("host", "container", "vm")

    @property
    def id(self) -> str:
        """``key=value`` pairs in the order of the keys, ``#``, eight hex digits."""
        pairs = ",".join(f"{key}={self.axes[key]}" for key in sorted(self.axes))
        return f"{pairs}#{hashlib.sha256(pairs.encode()).hexdigest()[:8]}"

    @property
    def short(self) -> str:
        """Eight hex digits: fit for names of containers and files."""
        return self.id.rsplit("#", 1)[1]


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """An exclude of the matrix: ``count`` combinations that it was the first to leave out, and why."""

    axes: dict[str, tuple[str, ...]]
    because: str
    count: int
    unless: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The rule in one line."""
        when = ", ".join(f"{axis}={'|'.join(values)}" for axis, values in self.axes.items())
        unless = ", ".join(f"{axis}={'|'.join(values)}" for axis, values in self.unless.items())
        return f"{when} unless {unless}" if unless else when


@dataclass(frozen=True, kw_only=True)
class Uncovered:
    """Values that no cell can have together; ``alone``: a single exclude says so."""

    axes: dict[str, str]
    because: tuple[str, ...]
    alone: bool


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Tuples of values of any ``strength`` axes: all, those that cells have, those that no cell can have."""

    strength: int
    tuples: int
    covered: int
    never: int
    explained: tuple[Uncovered, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All cells of a campaign in a fixed order.

    ``valid``: combinations that could be tested, of which the strategy chose ``cells``. ``definitions``: SHA-256 of
    what it follows from; ``digest``: of that and the cells.
    """

    matrix: str
    cells: tuple[Cell, ...]
    excluded: tuple[Excluded, ...]
    valid: int
    coverage: Coverage
    definitions: str
    digest: str
