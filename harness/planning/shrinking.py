"""Takes rows out of a pairwise array: the pairs that only a row has move to others, until the row is superfluous.

After Nayeri, Colbourn and Konjevod, "Randomized Postoptimization of Covering Arrays" (2013): in some order of the
rows, a value is needed where it is part of a pair that no earlier row has; every other value is free, and is set to
what helps most. Here the row that is needed least comes last each time, so that it is emptied.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from harness.planning.space import Space

#: The number of passes in a row without a smaller array, after which the search ends.
PATIENCE = 80


def shrink_pairs(
    space: Space,
    rows: Sequence[Sequence[int]],
    *,
    chance: random.Random,
    passes: int,
    bound: int,
    must: Sequence[Mapping[int, int]] = (),
    fixed: Sequence[Mapping[int, int]] = (),
) -> list[tuple[int, ...]]:
    """At most as many rows as ``rows``, with the same valid pairs but those in ``fixed``, and each ``must``."""
    return _Shrinking(space, chance, must, fixed).run([list(row) for row in rows], passes, bound)


class _Shrinking:
    """A bit stands for a value of an axis; ``need`` holds, for each value, those that it must meet."""

    def __init__(
        self, space: Space, chance: random.Random, must: Sequence[Mapping[int, int]], fixed: Sequence[Mapping[int, int]]
    ) -> None:
        self.space, self.chance, self.must = space, chance, must
        self.bit: list[list[int]] = []
        self.meaning: list[tuple[int, int]] = []
        for axis, size in enumerate(space.sizes):
            self.bit.append([1 << (len(self.meaning) + value) for value in range(size)])
            self.meaning += [(axis, value) for value in range(size)]
        self.need = [[self._partners(axis, value) for value in range(size)] for axis, size in enumerate(space.sizes)]
        for combination in fixed:
            together = sum(self.bit[axis][value] for axis, value in combination.items())
            for axis, value in combination.items():
                self.need[axis][value] &= ~together

    def _partners(self, axis: int, value: int) -> int:
        state = list(self.space.start)
        if not self.space.choose(state, axis, value):
            return 0
        return sum(
            self.bit[other][partner]
            for other, size in enumerate(self.space.sizes)
            if other != axis
            for partner in range(size)
            if self.space.fits(state, other, partner)
        )

    def run(self, rows: list[list[int]], passes: int, bound: int) -> list[tuple[int, ...]]:
        last: list[int] | None = None
        since = 0
        while passes > 0 and since < PATIENCE and len(rows) > bound:
            passes, since = passes - 1, since + 1
            before = len(rows)
            keys = [(row is last, self.chance.random()) for row in rows]
            rows, last = self._pass([rows[i] for i in sorted(range(before), key=keys.__getitem__)])
            since = since if len(rows) == before else 0
        return [tuple(row) for row in rows]

    def _pass(self, rows: list[list[int]]) -> tuple[list[list[int]], list[int] | None]:
        """The rows that are needed, and the one of them that is needed least."""
        left = [list(values) for values in self.need]
        musts = list(self.must)
        kept: list[list[int]] = []
        least: tuple[int, list[int] | None] = (len(self.space.sizes) + 1, None)
        for row in rows:
            whole = 0
            for axis, value in enumerate(row):
                whole |= self.bit[axis][value]
            needed = {axis for axis, value in enumerate(row) if left[axis][value] & whole}
            for must in [choice for choice in musts if all(row[axis] == value for axis, value in choice.items())]:
                musts.remove(must)
                needed |= must.keys()
            if not needed:
                continue
            kept.append(row)
            if len(needed) <= least[0]:
                least = (len(needed), row)
            self._fill(row, needed, left)
        return kept, least[1]

    def _fill(self, row: list[int], needed: set[int], left: list[list[int]]) -> None:
        state = list(self.space.start)
        held = 0
        for axis in needed:
            self.space.choose(state, axis, row[axis])
            held |= self.bit[axis][row[axis]]
        for axis in needed:
            left[axis][row[axis]] &= ~held
        free = [axis for axis in range(len(row)) if axis not in needed]
        order = [self.chance.random() for _ in row]
        for axis in sorted(free, key=order.__getitem__):
            gains = [
                (-(wanted & held).bit_count(), self.chance.random(), value) for value, wanted in enumerate(left[axis])
            ]
            value = next(value for _, _, value in sorted(gains) if self.space.fits(state, axis, value))
            self.space.choose(state, axis, value)
            row[axis] = value
            met = left[axis][value] & held
            left[axis][value] &= ~held
            own = self.bit[axis][value]
            while met:
                lowest = met & -met
                other, partner = self.meaning[lowest.bit_length() - 1]
                left[other][partner] &= ~own
                met ^= lowest
            held |= own
