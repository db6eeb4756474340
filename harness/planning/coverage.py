"""What a plan covers: the tuples of values that its cells have, and why no cell has the others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from harness.model.definitions import Matrix
from harness.model.plan import Coverage, Uncovered
from harness.planning.solving import completion
from harness.planning.space import Space

#: The number of impossible tuples for which the plan names the rules behind them; it only counts the others.
EXPLAINED = 24


def coverage_of(
    matrix: Matrix, space: Space, names: list[str], owners: list[int], cells: list[dict[str, str]]
) -> Coverage:
    """Count the tuples of values that cells have and that no cell can have, and name the rules behind the latter.

    ``cells``: axis -> value of each cell; ``owners``: for each rule of the space, the index of its exclude.
    """
    strength = min(matrix.strategy.strength_of(len(names)), len(names), 4)
    strength = 2 if matrix.strategy.kind == "full" and len(names) > 1 else strength
    total = covered = 0
    never: list[dict[int, int]] = []
    for some in itertools.combinations(range(len(names)), strength):
        sizes = [space.sizes[axis] for axis in some]
        total += math.prod(sizes)
        have = {tuple(cell[names[axis]] for axis in some) for cell in cells}
        for indices in itertools.product(*map(range, sizes)):
            if tuple(matrix.axes[names[axis]][i] for axis, i in zip(some, indices, strict=True)) in have:
                covered += 1
            else:
                never.append(dict(zip(some, indices, strict=True)))
    explained = []
    for combination in never[:EXPLAINED]:
        because = [matrix.exclude[owner].because for owner in _behind(space, owners, combination)]
        explained.append(
            Uncovered(
                axes={names[axis]: matrix.axes[names[axis]][value] for axis, value in combination.items()},
                because=tuple(dict.fromkeys(because)),
                alone=len(because) == 1,
            )
        )
    return Coverage(strength=strength, tuples=total, covered=covered, never=len(never), explained=tuple(explained))


def _behind(space: Space, owners: list[int], chosen: Mapping[int, int]) -> list[int]:
    """The indices of excludes that forbid these values together: a single exclude where it suffices, else a set without
    any superfluous exclude.
    """
    kept = list(range(len(space.rules)))
    for number in kept:
        rule = space.rules[number]
        if all(axis in chosen and chosen[axis] in values for axis, values in rule.items()):
            return [owners[number]]
    allowed = {str(axis): (chosen[axis],) if axis in chosen else range(size) for axis, size in enumerate(space.sizes)}
    rules = [{str(axis): values for axis, values in rule.items()} for rule in space.rules]
    for number in list(kept):
        without = [other for other in kept if other != number]
        if completion(allowed, [rules[n] for n in without]) is None:
            kept = without
    return list(dict.fromkeys(owners[number] for number in kept))
