"""Proves a plan, knowing only the matrix as its author wrote it and the cells: nothing of how they were chosen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from harness.model.definitions import Exclude, Matrix
from harness.planning.solving import completion

Axes = Mapping[str, str]


def faults_of(matrix: Matrix, cells: Sequence[Axes]) -> list[str]:
    """What is wrong with ``cells`` as the plan of ``matrix``; empty where nothing is.

    A cell twice, a cell with axes or values that the matrix does not have, a cell that a rule excludes, an include
    or a must that is missing, and every valid choice of values that the strategy promises and no cell has: where one
    is missing, its completions are searched.
    """
    return list(_faults(matrix, cells))


def _faults(matrix: Matrix, cells: Sequence[Axes]) -> Iterator[str]:
    planned: set[frozenset[tuple[str, str]]] = set()
    included = {frozenset(cell.items()) for cell in matrix.include}
    for cell in cells:
        key = frozenset(cell.items())
        if key in planned:
            yield f"twice: {_text(cell)}"
        planned.add(key)
        if key in included:
            continue
        if cell.keys() != matrix.axes.keys() or any(cell[axis] not in matrix.axes[axis] for axis in matrix.axes):
            yield f"not a combination of the axes: {_text(cell)}"
        elif any(_hits(rule, cell) for rule in matrix.exclude):
            yield f"excluded, and planned: {_text(cell)}"
    for cell in matrix.include:
        if frozenset(cell.items()) not in planned:
            yield f"an include is missing: {_text(cell)}"
    for must in matrix.strategy.must:
        if not any(must.items() <= cell.items() for cell in cells):
            yield f"a must is missing: {_text(must)}"
    rules = [conjunction for rule in matrix.exclude for conjunction in _forbidden(rule, matrix.axes)]
    strength = min(matrix.strategy.strength_of(len(matrix.axes)), len(matrix.axes))
    for names in itertools.combinations(matrix.axes, strength):
        have = {tuple(cell.get(name) for name in names) for cell in cells}
        for values in itertools.product(*(matrix.axes[name] for name in names)):
            if values in have:
                continue
            missing = dict(zip(names, values, strict=True))
            text = _text(missing)
            completed = completion({**matrix.axes, **{axis: [value] for axis, value in missing.items()}}, rules)
            if completed is not None:
                yield f"not covered: {text}, for example in {_text(completed)}"


def _forbidden(rule: Exclude, axes: Mapping[str, Sequence[str]]) -> Iterator[dict[str, list[str]]]:
    """The rule as conjunctions of values; one with ``unless`` forbids as soon as one of those does not hold."""
    when = {axis: _listed(values) for axis, values in rule.axes.items()}
    if not rule.unless:
        yield when
    for axis, allowed in rule.unless.items():
        yield {**when, axis: [v for v in when.get(axis, axes[axis]) if v not in _listed(allowed)]}


def _hits(rule: Exclude, chosen: Axes) -> bool:
    """Whether the rule excludes everything that has these values; axes that are not chosen yet leave it open."""
    if not all(axis in chosen and chosen[axis] in _listed(values) for axis, values in rule.axes.items()):
        return False
    if not rule.unless:
        return True
    return any(axis in chosen and chosen[axis] not in values for axis, values in rule.unless.items())


def _listed(values: object) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list | tuple) else [str(values)]


def _text(axes: Axes) -> str:
    return ", ".join(f"{axis}={value}" for axis, value in axes.items())
