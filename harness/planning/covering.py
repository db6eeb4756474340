"""Covering arrays: few combinations that contain every valid choice of values of any ``strength`` axes.

In-parameter-order generation (Lei and Tai 1998, IPOG 2007) with bit sets, from several seeded beginnings, of which
the smallest result is kept; an array of pairs is then made smaller still. ``harness.planning.proof`` proves the result
with other code.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UsageError
from harness.planning.shrinking import shrink_pairs
from harness.planning.space import Space

#: The most tuples of an array; more would take minutes and gigabytes.
MAX_TUPLES = 500_000
#: Work that a plan may cost, as rows times tuples: how many beginnings are tried follows from it, never from a clock,
#: so that a plan is the same on every machine.
WORK = 4_000_000
MOST_BEGINNINGS = 24
MOST_BEFORE_SHRINKING = 3
MOST_PASSES = 400


@dataclass(slots=True)
class _Row:
    values: list[int]  #: by position; -1 where it does not matter yet
    subsets: int  #: bits of the (strength - 1)-subsets that it contains
    state: list[Any] = field(repr=False)


def covering_array(
    space: Space,
    strength: int,
    *,
    seed: int = 0,
    must: Sequence[Mapping[int, int]] = (),
    fixed: Sequence[Mapping[int, int]] = (),
) -> list[tuple[int, ...]]:
    """Rows (a value index per axis), sorted; the same for the same arguments everywhere.

    ``must``: choices of some axes; each is in at least one row. ``fixed``: combinations that are tested anyway, in the
    space or not; what they contain need not be covered again, and they are not among the rows.

    Raises:
        UsageError: too many tuples, or a ``must`` that the rules forbid.
    """
    strength = min(strength, len(space.sizes))
    tuples = sum(math.prod(chosen) for chosen in itertools.combinations(space.sizes, strength))
    if tuples > MAX_TUPLES:
        raise UsageError(
            f"strength {strength} over these axes means {tuples} tuples; the limit is {MAX_TUPLES}",
            advice="choose a lower strength, or fewer values",
        )
    for choice in must:
        if not space.possible({axis: (value,) for axis, value in choice.items()}):
            raise UsageError("a must cell is excluded by the rules of the matrix")
    if not all(space.start):
        return []
    work = _Generator(space, strength, must, fixed)
    best = _smallest(work, seed=seed, most=MOST_BEGINNINGS if strength != 2 else MOST_BEFORE_SHRINKING)
    if best and strength == 2:
        chance = random.Random(f"{seed}/shrink")  # noqa: S311  # not for secrets
        best = shrink_pairs(
            space,
            best,
            chance=chance,
            bound=work.bound,
            must=must,
            fixed=fixed,
            passes=min(MOST_PASSES, WORK // (len(best) * len(space.sizes))),
        )
    return sorted(best)


def _smallest(work: _Generator, *, seed: int, most: int) -> list[tuple[int, ...]]:
    """The smallest of the arrays from several seeded beginnings, ``most`` at most."""
    best: list[tuple[int, ...]] | None = None
    beginnings = most
    number = 0
    while number < beginnings:
        rows = work.rows(random.Random(f"{seed}/{number}"))  # noqa: S311  # not for secrets
        number += 1
        if best is None or len(rows) < len(best):
            best = rows
        beginnings = max(1, min(most, WORK // max(len(rows) * work.required, 1)))
        if len(best) <= work.bound:
            break
    return best or []


class _Generator:
    """Positions are the axes from the one with most values to the one with fewest."""

    def __init__(
        self, space: Space, strength: int, must: Sequence[Mapping[int, int]], fixed: Sequence[Mapping[int, int]]
    ) -> None:
        self.space, self.strength = space, strength
        self.axes = sorted(range(len(space.sizes)), key=lambda axis: (-space.sizes[axis], axis))
        self.must = [{self.axes.index(axis): value for axis, value in choice.items()} for choice in must]
        self.number: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
        self.need = [[0] * space.sizes[axis] for axis in self.axes]
        self.required = 0
        self.bound = 0
        for position in range(strength - 1, len(self.axes)):
            for before in itertools.combinations(range(position), strength - 1):
                self._require(before, position)
        self.subset_of = {number: key for key, number in self.number.items()}
        for combination in fixed:
            values = [combination.get(axis, -1) for axis in self.axes]
            for position, value in enumerate(values):
                if value >= 0:
                    self.need[position][value] &= ~self._subsets(values[:position])

    def _require(self, before: tuple[int, ...], position: int) -> None:
        """Note every valid tuple over these positions."""
        axis = self.axes[position]
        count = 0
        for values, state in self._valid(before, self.space.start):
            number = self.number.setdefault((before, values), len(self.number))
            for value in range(self.space.sizes[axis]):
                if self.space.fits(state, axis, value):
                    self.need[position][value] |= 1 << number
                    count += 1
        self.required += count
        self.bound = max(self.bound, count)

    def _valid(self, positions: tuple[int, ...], state: list[Any]) -> Iterator[tuple[tuple[int, ...], list[Any]]]:
        if not positions:
            yield (), state
            return
        axis = self.axes[positions[0]]
        for value in range(self.space.sizes[axis]):
            narrowed = list(state)
            if self.space.choose(narrowed, axis, value):
                for values, rest in self._valid(positions[1:], narrowed):
                    yield (value, *values), rest

    def _subsets(self, values: Sequence[int], new: int | None = None) -> int:
        """Bits of the (strength - 1)-subsets among the chosen positions; with ``new``, of those that contain it."""
        chosen = [position for position, value in enumerate(values) if value >= 0 and position != new]
        size = self.strength - 1 if new is None else self.strength - 2
        if size < 0:
            return 0
        bits = 0
        for some in itertools.combinations(chosen, size):
            subset = some if new is None else tuple(sorted((*some, new)))
            number = self.number.get((subset, tuple(values[position] for position in subset)))
            if number is not None:
                bits |= 1 << number
        return bits

    def _new(self) -> _Row:
        # The empty subset is contained in every row; it matters at strength 1 only.
        empty = self.number.get(((), ()))
        return _Row([-1] * len(self.axes), 0 if empty is None else 1 << empty, self.space.start)

    def _set(self, row: _Row, position: int, value: int) -> None:
        row.values[position] = value
        self.space.choose(row.state, self.axes[position], value)
        row.subsets |= self._subsets(row.values, position)

    def rows(self, chance: random.Random) -> list[tuple[int, ...]]:
        rows: list[_Row] = []
        for choice in self.must:
            row = self._new()
            for position, value in choice.items():
                self._set(row, position, value)
            rows.append(row)
        for position in range(self.strength - 1, len(self.axes)):
            left = list(self.need[position])
            self._extend(rows, position, left, chance)
            self._append(rows, position, left)
        return [self._complete(row, chance) for row in rows]

    def _extend(self, rows: list[_Row], position: int, left: list[int], chance: random.Random) -> None:
        """Give each row the value that covers most tuples; leave it open where none covers any: it may serve later."""
        axis = self.axes[position]
        used = [0] * len(left)
        order = sorted(rows, key=lambda row: (row.values[:position].count(-1), chance.random()))
        for row in order:
            if row.values[position] >= 0:
                left[row.values[position]] &= ~row.subsets
                continue
            gains = sorted(
                (
                    (-(wanted & row.subsets).bit_count(), used[value], chance.random(), value)
                    for value, wanted in enumerate(left)
                ),
            )
            for gain, _, _, value in gains:
                if not gain:
                    break
                if self.space.fits(row.state, axis, value):
                    self._set(row, position, value)
                    left[value] &= ~row.subsets
                    used[value] += 1
                    break

    def _append(self, rows: list[_Row], position: int, left: list[int]) -> None:
        """Cover what is left: in a row with room for it, else in a new one."""
        free = [row for row in rows if -1 in row.values[: position + 1]]
        for value in range(len(left)):
            while left[value]:
                number = (left[value] & -left[value]).bit_length() - 1
                subset, values = self.subset_of[number]
                wanted = [*zip(subset, values, strict=True), (position, value)]
                row = next((row for row in free if self._takes(row, wanted)), None)
                if row is None:
                    row = self._new()
                    rows.append(row)
                    if self.strength <= position:  # else it has no room up to here
                        free.append(row)
                for place, index in wanted:
                    if row.values[place] < 0:
                        self._set(row, place, index)
                left[value] &= ~row.subsets

    def _takes(self, row: _Row, wanted: list[tuple[int, int]]) -> bool:
        if any(row.values[place] not in (-1, value) for place, value in wanted):
            return False
        state = list(row.state)
        return all(
            self.space.choose(state, self.axes[place], value) for place, value in wanted if row.values[place] < 0
        )

    def _complete(self, row: _Row, chance: random.Random) -> tuple[int, ...]:
        """Any valid values where none matters, by chance, so that no value is favoured."""
        for position, value in enumerate(row.values):
            if value < 0:
                axis = self.axes[position]
                fitting = [
                    candidate
                    for candidate in range(self.space.sizes[axis])
                    if self.space.fits(row.state, axis, candidate)
                ]
                row.values[position] = fitting[int(chance.random() * len(fitting))]
                self.space.choose(row.state, axis, row.values[position])
        return tuple(row.values[self.axes.index(axis)] for axis in range(len(self.axes)))
