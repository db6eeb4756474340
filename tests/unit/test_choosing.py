"""Which cells run, in what order, how many at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.campaigns import choosing
from harness.campaigns.choosing import chosen, in_order, jobs_at_once, plan_of
from harness.campaigns.options import RunOptions
from harness.errors import UsageError

POWERDNS = Path(__file__).parents[2] / "matrices" / "powerdns"
GIB = 2**30


@dataclass
class Size:
    """The engine as far as this is concerned."""

    cpus: int
    memory: int


@pytest.mark.parametrize(
    ("cpus", "gib", "asked", "jobs"),
    [
        (2, 24, 0, 3),
        (64, 8, 0, 3),
        (64, 1, 0, 1),
        (2, 24, 6, 6),
        (64, 8, 60, 3),
        (64, 512, 0, 12),
    ],
)
def test_as_many_as_cpus_and_stated_limits_allow(cpus: int, gib: int, asked: int, jobs: int) -> None:
    definitions, plan = plan_of(POWERDNS)
    engine: Any = Size(cpus, gib * GIB)
    assert jobs_at_once(definitions, RunOptions(jobs=asked), engine, len(plan.cells)) == jobs


def test_native_first_then_like_cells_side_by_side_the_architectures_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "host_architecture", lambda: "x86_64")
    definitions, plan = plan_of(POWERDNS)
    order = in_order(list(plan.cells), definitions, {})
    architectures = [definitions.cpus[c.axes["cpu"]].architecture for c in order]
    assert architectures == [*["x86_64"] * 3, *["aarch64", "loongarch64", "aarch64"] * 3]
    databases = [c.axes["database"] for c in order]
    assert databases[3:] == [name for name in databases[:3] for _ in range(3)]


def test_only_narrows_and_refuses_what_no_cell_has() -> None:
    _, plan = plan_of(POWERDNS)
    assert len(chosen(plan, {})) == 12
    assert len(chosen(plan, {"cpu": "kunpeng-920", "database": "mariadb"})) == 1
    with pytest.raises(UsageError, match="known: kunpeng-920"):
        chosen(plan, {"cpu": "kunpeng"})
    with pytest.raises(UsageError, match="no such axis"):
        chosen(plan, {"colour": "red"})
    with pytest.raises(UsageError, match="no cell fits every"):
        chosen(plan, {"os": "debian-forky", "cpu": "x86-64"})
