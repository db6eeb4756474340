"""Which cells are run, in what order, how many at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.attest.architecture import host_architecture
from harness.campaigns.options import RunOptions
from harness.campaigns.snapshot import MachineSize
from harness.errors import UsageError
from harness.hosts.inventory import Inventory
from harness.machines.placing import Placement, place
from harness.model.definitions import Databases, Profile, size_in_bytes
from harness.model.plan import Cell, Definitions, Plan
from harness.planning import expand
from harness.planning.lockfile import locked_plan
from harness.reading.catalogue import Catalogue
from harness.reading.read import read

#: What one cell takes beside its containers: pytest or locust, and room for the engine.
CELL_OVERHEAD = 256 * 2**20


def plan_of(
    folder: Path, catalogue: Catalogue | None = None, *, locked: bool = True, profile: Profile | None = None
) -> tuple[Definitions, Plan]:
    """Read and expand, with what is shipped where no catalogue is given, and with ``profile`` in place of the matrix's.

    Where a lock lies beside the matrix, the plan is the one that it names.

    Raises:
        DefinitionError, UsageError: as ``definitions.read``, ``planning.expand`` and ``locked_plan``.
    """
    definitions = read(folder, catalogue, profile)
    plan = locked_plan(definitions) if locked else None
    return definitions, plan or expand(definitions)


def expected_target(
    definitions: Definitions, cell: Cell, inventory: Inventory | None = None, databases: Databases | None = None
) -> Placement:
    """What will serve the cell here: of several machines the fidelity that shows least."""
    return place(definitions, cell, inventory, databases).placement


def chosen(plan: Plan, only: dict[str, str]) -> list[Cell]:
    """The cells of a plan that have every value of ``only`` (axis -> value); all where it is empty.

    Raises:
        UsageError: no cell has a value, or all of them.
    """
    for axis, value in only.items():
        known = sorted({cell.axes[axis] for cell in plan.cells if axis in cell.axes})
        if value not in known:
            raise UsageError(
                f"--only {axis}={value}: no cell has it; {'known: ' + ', '.join(known) if known else 'no such axis'}",
                advice="see: harness plan",
            )
    cells = [cell for cell in plan.cells if all(cell.axes.get(a) == v for a, v in only.items())]
    if not cells:
        raise UsageError("no cell fits every --only", advice="see: harness plan")
    return cells


def check_choice(definitions: Definitions, cells: Sequence[Cell], options: RunOptions) -> None:
    """Look whether ``--suite`` and ``--case`` name what these cells have.

    Raises:
        UsageError: no cell has such a suite or case.
    """
    suites = {name for cell in cells for name in cell.suites}
    cases = {case.id for name in suites for case in definitions.suites[name].definition.cases}
    for kind, named, known in (("suite", options.suites, suites), ("case", options.cases, cases)):
        for name in named:
            if name not in known:
                close = difflib.get_close_matches(name, sorted(known), n=3) or sorted(known)
                raise UsageError(
                    f"--{kind} {name}: no cell of this campaign has it; known: {', '.join(close[:20])}",
                    advice="see: harness plan, harness suites",
                )


def needs_engine(
    definitions: Definitions, cells: Iterable[Cell], inventory: Inventory | None, databases: Databases | None = None
) -> bool:
    """Whether anything of these cells is a container or made from one; on lab hosts nothing is."""
    return any(expected_target(definitions, cell, inventory, databases).kind in ("container", "vm") for cell in cells)


def jobs_at_once(
    definitions: Definitions,
    options: RunOptions,
    size: MachineSize,
    cells: int,
    databases: Databases | None = None,
) -> int:
    """Cells at once: one more than there are CPUs, as far as the stated limits of their containers fit into memory. A
    cell waits for an engine or for its turn a good part of its time (docs/decisions/0006)."""
    imaged = {image.database for image in databases.images} if databases is not None else set()
    largest = max(
        size_in_bytes(d.limits.memory) if d.placement == "server" or d.database in imaged else 0
        for d in definitions.databases.values()
    )
    each = size_in_bytes(definitions.application.limits.memory) + largest + CELL_OVERHEAD
    fitting = max(1, int(size.memory * 0.8) // each)
    return max(1, min(options.jobs or size.cpus + 1, fitting, cells))


def in_order(cells: list[Cell], definitions: Definitions, expected: dict[str, float]) -> list[Cell]:
    """The longest first, where earlier runs tell how long each takes: the last cells to end are then short ones.

    Else native cells first: their verdicts are seen while others are still prepared. Then cells with the same database
    and middleware side by side, because they take alike, and a load waits for the work of all others; of these the
    architectures in turn, because two cells of one architecture would wait for the same image when nothing is cached.
    """
    if all(cell.id in expected for cell in cells):
        return sorted(cells, key=lambda cell: (-expected[cell.id], cell.id))
    kinds: dict[tuple[str, ...], int] = {}
    turn: dict[tuple[str, int], int] = {}
    keys: dict[str, tuple[bool, int, int]] = {}
    for cell in cells:
        architecture = definitions.cpus[cell.axes["cpu"]].architecture
        kind = tuple(value for axis, value in cell.axes.items() if axis not in ("os", "cpu"))
        alike = architecture, kinds.setdefault(kind, len(kinds))
        turn[alike] = turn.get(alike, -1) + 1
        keys[cell.id] = (architecture != host_architecture(), alike[1], turn[alike])
    return sorted(cells, key=lambda cell: keys[cell.id])
