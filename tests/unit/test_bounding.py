"""A matrix that means too much is refused before it is expanded; one at the limit is planned, locked and read."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from harness.errors import DefinitionError, UsageError
from harness.planning import bounding, expand, lockfile
from harness.planning.space import Space
from harness.reading.read import read
from harness.reading.source import MAX_BYTES

BASE = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"]}


def axes(number: int, values: int) -> dict[str, list[str]]:
    return {**BASE, **{f"a{axis}": [f"v{value}" for value in range(values)] for axis in range(number)}}


def fault_of(folder: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        expand(read(folder.root))
    (fault,) = caught.value.faults
    assert fault.file == str(folder.root / "matrix.yaml")
    assert fault.line > 1
    return fault.message


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"axes": axes(12, 60)}, "these axes declare about 10^21 combinations"),
        ({"axes": axes(2, 101)}, "a plan of 10201 cells is too large"),
        (
            {"axes": axes(5, 60), "exclude": [{"a0": [f"v{value}" for value in range(1, 60)], "because": "b"}]},
            "these axes declare 777600000 combinations",
        ),
        ({"axes": axes(12, 60), "strategy": {"kind": "t-way", "strength": 4}}, "needs at least 12960000 cells"),
        ({"axes": axes(2, 101), "strategy": {"kind": "pairwise"}}, "needs at least 10201 cells"),
        ({"axes": axes(60, 60), "strategy": {"kind": "pairwise"}}, "the limit is"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_means_too_much(folder: Any, keys: dict[str, Any], told: str) -> None:
    folder.change("matrix", **keys)
    assert told in fault_of(folder)


def test_too_many_includes(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounding, "MOST_CELLS", 3)
    cells = [{"os": "debian-12", "cpu": cpu, "database": "mariadb"} for cpu in ("x86-64", "kunpeng-920", "hygon-c86")]
    folder.change("matrix", include=cells)  # with two of the axes they are five
    assert fault_of(folder) == "a plan of 5 cells is too large"
    folder.change("matrix", include=[*cells, {**cells[0], "cpu": "loongson-3a5000"}])
    assert "includes are more cells" in fault_of(folder)


def test_excludes_that_speak_of_the_same_axes_are_counted_or_refused(folder: Any) -> None:
    chance = random.Random(1)
    rules = [{axis: sorted(chance.sample(range(20), 2)) for axis in chance.sample(range(12), 3)} for _ in range(200)]
    with pytest.raises(UsageError, match="cannot be counted"):
        Space((20,) * 12, tuple(rules))
    excludes = [
        {**{f"a{axis}": [f"v{v}" for v in some] for axis, some in rule.items()}, "because": "b"} for rule in rules
    ]
    folder.change("matrix", axes=axes(12, 20), exclude=excludes, strategy={"kind": "pairwise"})
    assert "cannot be counted" in fault_of(folder)


def test_a_lock_of_many_cells_is_read(folder: Any) -> None:
    """A lock grows with its cells; what is written by hand has another limit."""
    folder.change("matrix", axes={**axes(2, 50), "a0": ["v" * 400 + str(value) for value in range(50)]})
    definitions = read(folder.root)
    plan = expand(definitions)
    path = lockfile.write_lock(definitions, plan)
    assert path.stat().st_size > MAX_BYTES
    locked = lockfile.locked_plan(definitions)
    assert locked is not None
    assert locked.digest == plan.digest
    lockfile.check_lock(definitions, plan)


def test_a_lock_of_too_many_cells_is_refused(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    definitions = read(folder.root)
    lockfile.write_lock(definitions, expand(definitions))
    monkeypatch.setattr(bounding, "MOST_CELLS", 1)
    with pytest.raises(DefinitionError, match="too large"):
        lockfile.locked_plan(definitions)


@pytest.mark.parametrize("damage", ["{", '{"lock": 2}', "lock: 1\nmatrix: m\n", "[]", "\0"])
def test_a_damaged_lock_has_a_place(folder: Any, damage: str) -> None:
    definitions = read(folder.root)
    (folder.root / lockfile.NAME).write_text(damage)
    with pytest.raises(DefinitionError) as caught:
        lockfile.locked_plan(definitions)
    assert all(fault.file.endswith(lockfile.NAME) for fault in caught.value.faults)


def test_a_lock_may_be_yaml(folder: Any) -> None:
    definitions = read(folder.root)
    path = lockfile.write_lock(definitions, expand(definitions))
    value = json.loads(path.read_text(encoding="utf-8"))
    folder.write("other", value)
    (folder.root / "other.yaml").rename(path)
    assert lockfile.locked_plan(definitions) is not None
