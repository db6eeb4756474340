"""Spaces, covering arrays and the checker, against going through every combination."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model.definitions import Matrix
from harness.planning import Space, covering_array, faults_of
from harness.planning import space as space_module
from harness.planning.solving import completion
from tests.shapes import SIXTY, WIDE, tangled

sizes_of = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[dict[int, list[int]], ...]]:
    sizes = draw(sizes_of)
    rules = []
    for _ in range(draw(st.integers(0, 5))):
        axes = draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=3, unique=True))
        rules.append(
            {
                axis: draw(st.lists(st.integers(0, sizes[axis] - 1), min_size=1, max_size=2, unique=True))
                for axis in axes
            }
        )
    return sizes, tuple(rules)


def legal(sizes: tuple[int, ...], rules: Any) -> list[tuple[int, ...]]:
    return [
        row
        for row in itertools.product(*map(range, sizes))
        if not any(all(row[axis] in values for axis, values in rule.items()) for rule in rules)
    ]


def tuples(rows: list[tuple[int, ...]], strength: int) -> set[tuple[tuple[int, int], ...]]:
    return {some for row in rows for some in itertools.combinations(enumerate(row), strength)}


@pytest.fixture(params=["bits", "search"])
def kind(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "search":
        monkeypatch.setattr(space_module, "BITS", 0)
    return str(request.param)


@settings(max_examples=150, deadline=None)
@given(shapes())
def test_a_space_is_what_the_rules_leave(shape: Any) -> None:
    sizes, rules = shape
    expected = legal(sizes, rules)
    for bits in (1 << 20, 0):
        previous, space_module.BITS = space_module.BITS, bits
        try:
            space = Space(sizes, rules)
        finally:
            space_module.BITS = previous
        assert list(space.combinations()) == expected
        assert space.count == len(expected)
        assert sum(space.excluded) + space.count == len(legal(sizes, ()))
        for axis, size in enumerate(sizes):
            for value in range(size):
                assert space.possible({axis: (value,)}) == any(row[axis] == value for row in expected)


@settings(max_examples=150, deadline=None)
@given(shapes(), st.integers(1, 4), st.integers(0, 3))
def test_every_valid_tuple_is_covered_and_no_rule_broken(shape: Any, strength: int, seed: int) -> None:
    sizes, rules = shape
    rows = covering_array(Space(sizes, rules), strength, seed=seed)
    expected = legal(sizes, rules)
    assert set(rows) <= set(expected)
    assert len(set(rows)) == len(rows)
    strength = min(strength, len(sizes))
    assert tuples(rows, strength) == tuples(expected, strength)


@settings(max_examples=60, deadline=None)
@given(shapes(), st.data())
def test_must_is_in_it_and_what_is_tested_anyway_is_not_repeated(shape: Any, data: st.DataObject) -> None:
    sizes, rules = shape
    expected = legal(sizes, rules)
    if not expected:
        return
    wanted = data.draw(st.sampled_from(expected))
    fixed = data.draw(st.sampled_from(legal(sizes, ())))
    axes = data.draw(st.lists(st.integers(0, len(sizes) - 1), unique=True, min_size=1))
    must = {axis: wanted[axis] for axis in axes}
    rows = covering_array(Space(sizes, rules), 2, must=[must], fixed=[dict(enumerate(fixed))])
    assert any(all(row[axis] == value for axis, value in must.items()) for row in rows)
    strength = min(2, len(sizes))
    assert tuples(expected, strength) <= tuples([*rows, fixed], strength)


def test_a_must_that_is_excluded_is_refused(kind: str) -> None:
    with pytest.raises(UsageError, match="must"):
        covering_array(Space((2, 2), ({0: [1], 1: [1]},)), 2, must=[{0: 1, 1: 1}])


def test_far_too_many_tuples_are_refused() -> None:
    with pytest.raises(UsageError, match="strength 4"):
        covering_array(Space((20,) * 20), 4)


def test_rules_that_forbid_everything_leave_no_rows(kind: str) -> None:
    space = Space((2, 3), ({0: [0, 1]},))
    assert (space.count, covering_array(space, 2)) == (0, [])


def test_the_wide_shape_is_covered_at_its_bound(kind: str) -> None:
    space = Space(*WIDE)
    assert space.count == 36_973
    rows = covering_array(space, 2)
    assert len(rows) <= 109
    assert tuples(rows, 2) == tuples(legal(*WIDE), 2)


def test_sixty_rules(kind: str) -> None:
    sizes, rules = SIXTY
    space = Space(sizes, rules)
    rows = covering_array(space, 2)
    assert all(not any(all(row[a] in v for a, v in rule.items()) for rule in rules) for row in rows)
    have = tuples(rows, 2)
    for (a, x), (b, y) in itertools.combinations([(a, v) for a, size in enumerate(sizes) for v in range(size)], 2):
        if a != b:
            assert (((a, x), (b, y)) in have) == space.possible({a: (x,), b: (y,)})


def test_rules_that_tie_twenty_axes_together() -> None:
    """2^40 combinations in one component: neither counting nor covering nor proving may go through them."""
    sizes, rules = tangled(20, 4, 60, seed=2)
    space = Space(sizes, rules)
    assert space.count == 19_117_425_356  # an earlier way of counting, rule by rule, came to the same
    names = ["os", "cpu", "database", *(f"a{number}" for number in range(17))]
    matrix = Matrix.model_validate(
        {
            "matrix": "m",
            "suites": ["s"],
            "strategy": {"kind": "pairwise"},
            "axes": {name: [str(value) for value in range(4)] for name in names},
            "exclude": [
                {**{names[a]: [str(v) for v in vs] for a, vs in rule.items()}, "because": "r"} for rule in rules
            ],
        }
    )
    cells = [dict(zip(names, map(str, row), strict=True)) for row in covering_array(space, 2)]
    assert faults_of(matrix, cells) == []
    assert any("not covered" in fault for fault in faults_of(matrix, cells[1:]))


@settings(max_examples=150, deadline=None)
@given(shapes())
def test_the_solver_finds_a_combination_where_there_is_one(shape: Any) -> None:
    sizes, rules = shape
    named = [{str(axis): values for axis, values in rule.items()} for rule in rules]
    for axis, size in enumerate(sizes):
        for value in range(size):
            allowed = {str(other): range(n) if other != axis else [value] for other, n in enumerate(sizes)}
            found = completion(allowed, named)
            fitting = [row for row in legal(sizes, rules) if row[axis] == value]
            assert tuple(found[str(n)] for n in range(len(sizes))) in fitting if found is not None else not fitting


def test_the_same_everywhere() -> None:
    code = (
        "from harness.planning import Space, covering_array; from tests.shapes import WIDE; import hashlib;"
        "print(hashlib.sha256(repr(covering_array(Space(*WIDE), 2, seed=7)).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    # Written down: another machine, or another version of Python, must come to the same.
    assert seen == {"3cdc21a1f263655400ef94cc7e58decfc0695e06e6725d2a99f1c0d220f80624"}


MATRIX: dict[str, Any] = {
    "matrix": "m",
    "suites": ["s"],
    "strategy": {"kind": "pairwise", "must": [{"os": "a", "n": "1"}]},
    "axes": {"os": ["a", "b"], "cpu": ["p", "q"], "database": ["s", "m"], "n": ["1", "2"]},
    "exclude": [{"os": "a", "cpu": "p", "because": "x"}, {"database": "m", "unless": {"n": "2"}, "because": "y"}],
    "include": [{"os": "a", "cpu": "p", "database": "s", "n": "1"}],
}


def plan_by_hand() -> tuple[Matrix, list[Mapping[str, str]]]:
    matrix = Matrix.model_validate(MATRIX)
    cells: list[Mapping[str, str]] = [
        dict(zip(matrix.axes, values, strict=True))
        for values in [
            ("a", "q", "s", "1"),
            ("a", "q", "m", "2"),
            ("b", "p", "s", "1"),
            ("b", "p", "m", "2"),
            ("b", "q", "s", "2"),
            ("b", "q", "s", "1"),
            ("a", "p", "s", "1"),
            ("a", "q", "s", "2"),
            ("b", "p", "s", "2"),
        ]
    ]
    return matrix, cells


def test_the_checker_accepts_what_is_right() -> None:
    matrix, cells = plan_by_hand()
    assert faults_of(matrix, cells) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: [*c, c[0]], "twice"),
        (lambda c: [*c, {**c[2], "n": "3"}], "not a combination of the axes"),
        (lambda c: [*c, {"os": "a", "cpu": "p", "database": "s", "n": "2"}], "excluded, and planned"),
        (lambda c: [*c, {"os": "b", "cpu": "p", "database": "m", "n": "1"}], "excluded, and planned"),
        (lambda c: [one for one in c if one["cpu"] == "q" or one["os"] == "b"], "an include is missing"),
        (lambda c: [one for one in c if one["os"] == "b" or one["n"] == "2"], "a must is missing"),
        (lambda c: [one for one in c if one["database"] == "s"], "not covered: os=a, database=m"),
    ],
)
def test_the_checker_finds_what_is_wrong(change: Any, told: str) -> None:
    matrix, cells = plan_by_hand()
    found = faults_of(matrix, change(cells))
    assert any(told in one for one in found), found


@settings(max_examples=60, deadline=None)
@given(shapes(), st.integers(1, 3), st.data())
def test_no_row_of_an_array_can_be_dropped_unseen_unless_it_is_spare(shape: Any, strength: int, data: Any) -> None:
    sizes, rules = shape
    if len(sizes) < 3:
        return
    names = ["os", "cpu", "database", "x", "y"][: len(sizes)]
    axes = {name: [str(v) for v in range(size)] for name, size in zip(names, sizes, strict=True)}
    exclude = [{**{names[a]: [str(v) for v in values] for a, values in rule.items()}, "because": "r"} for rule in rules]
    matrix = Matrix.model_validate(
        {
            "matrix": "m",
            "suites": ["s"],
            "axes": axes,
            "exclude": exclude,
            "strategy": {"kind": "t-way", "strength": strength},
        }
    )
    rows = covering_array(Space(sizes, rules), strength)
    cells = [dict(zip(names, map(str, row), strict=True)) for row in rows]
    assert faults_of(matrix, cells) == []
    if not rows:
        return
    gone = data.draw(st.integers(0, len(rows) - 1))
    rest = rows[:gone] + rows[gone + 1 :]
    lost = tuples(rows, strength) - tuples(rest, strength)
    assert bool(faults_of(matrix, cells[:gone] + cells[gone + 1 :])) == bool(lost)
