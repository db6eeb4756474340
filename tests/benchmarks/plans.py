"""Plans: size and speed of covering arrays against covertable, and expansion against ``itertools.product``.

Each array is proved by going through every tuple, with code that neither side shares.
"""

from __future__ import annotations

import itertools
import math
import time
import tracemalloc
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import covertable

from harness.planning import Space, covering_array
from tests.shapes import LONG, SIXTY, WIDE, Rules

#: 10^6 combinations with rules on every axis, of the size of a large center's year.
MILLION: tuple[tuple[int, ...], Rules] = (
    (10, 10, 10, 10, 10, 10),
    (
        {0: [0], 1: [1]},
        {1: [2], 2: [3]},
        {0: [4], 2: [5]},
        {2: [6], 3: [7]},
        {1: [8], 3: [9]},
        {0: [1, 2], 3: [0]},
        {0: [3], 1: [3], 2: [3]},
        {1: [5], 2: [5], 3: [5]},
        {3: [1], 4: [1]},
        {4: [2], 5: [2]},
    ),
)


def main() -> None:
    """Print rows, seconds, ratios and proofs; goals beside them."""
    _arrays("8x9x12x6x4x3, 20 exclusions", WIDE, compare=True, goals={2: 109, 3: 875})
    _arrays("12 axes, 60 rules", SIXTY, compare=True, goals={})
    _arrays("24 axes of 4 values", LONG, compare=True, goals={})
    _expansion()


def _arrays(name: str, shape: tuple[tuple[int, ...], Rules], *, compare: bool, goals: dict[int, int]) -> None:
    sizes, rules = shape
    for strength in (2, 3):
        seconds, rows = _timed(lambda: covering_array(Space(sizes, rules), strength))  # noqa: B023  # called at once
        missing, broken = _proof(sizes, rules, rows, strength)
        goal = f" (goal {goals[strength]})" if strength in goals else ""
        print(
            f"{name}: {strength}-wise {len(rows)} rows{goal} in {seconds:.3f} s; valid tuples missing {missing}, "
            f"rules broken {broken}",
            flush=True,
        )
    if compare:
        seconds, rows = min(
            (_timed(lambda: covering_array(Space(sizes, rules), 2)) for _ in range(3)), key=lambda pair: pair[0]
        )
        theirs, other = _timed(lambda: _covertable(sizes, rules))
        missing, broken = _proof(sizes, rules, other, 2)
        print(
            f"{name}: pairwise {len(rows)} rows in {seconds:.3f} s; covertable {version('covertable')} {len(other)} "
            f"rows in {theirs:.2f} s (tuples missing {missing}, rules broken {broken}); "
            f"{theirs / seconds:.0f} times faster (goal 10)",
            flush=True,
        )


def _covertable(sizes: tuple[int, ...], rules: Rules) -> list[tuple[int, ...]]:
    factors = {f"f{axis}": list(range(size)) for axis, size in enumerate(sizes)}
    constraints = [
        {
            "operator": "not",
            "condition": {
                "operator": "and",
                "conditions": [
                    {"operator": "in", "left": f"f{axis}", "values": list(values)} for axis, values in rule.items()
                ],
            },
        }
        for rule in rules
    ]
    rows: list[dict[str, int]] = covertable.make(factors, strength=2, constraints=constraints)
    return [tuple(row[f"f{axis}"] for axis in range(len(sizes))) for row in rows]


def _proof(sizes: tuple[int, ...], rules: Rules, rows: list[tuple[int, ...]], strength: int) -> tuple[int, int]:
    """Valid tuples that no row has, and rows that a rule forbids."""

    def legal(chosen: dict[int, int]) -> bool:
        return not any(
            all(axis in chosen and chosen[axis] in values for axis, values in rule.items()) for rule in rules
        )

    def possible(chosen: dict[int, int], left: list[int]) -> bool:
        if not legal(chosen):
            return False
        return not left or any(possible({**chosen, left[0]: value}, left[1:]) for value in range(sizes[left[0]]))

    spoken = {axis for rule in rules for axis in rule}
    missing = 0
    for some in itertools.combinations(range(len(sizes)), strength):
        have = {tuple(row[axis] for axis in some) for row in rows}
        for values in itertools.product(*(range(sizes[axis]) for axis in some)):
            chosen = dict(zip(some, values, strict=True))
            if values not in have and possible(chosen, [axis for axis in spoken if axis not in chosen]):
                missing += 1
    return missing, sum(1 for row in rows if not legal(dict(enumerate(row))))


def _expansion() -> None:
    sizes, rules = MILLION
    names = [f"axis{n}" for n in range(len(sizes))]
    values = [[f"{name}-{v}" for v in range(size)] for name, size in zip(names, sizes, strict=True)]

    def theirs() -> Iterator[dict[str, str]]:
        for row in itertools.product(*values):
            yield dict(zip(names, row, strict=True))

    def ours() -> Iterator[dict[str, str]]:
        return Space(sizes, rules).cells(names, values)

    pairs = [(_timed(lambda: _count(theirs()))[0], _timed(lambda: _count(ours()))[0]) for _ in range(3)]
    tracemalloc.start()
    count = _count(ours())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    product, mine = min(p for p, _ in pairs), min(m for _, m in pairs)
    print(
        f"expansion of {math.prod(sizes)} combinations to dicts: itertools.product {product:.2f} s; with "
        f"{len(rules)} rules {mine:.2f} s for {count} cells; ratio {mine / product:.2f} (goal 3); "
        f"peak memory {peak / 2**20:.1f} MiB",
        flush=True,
    )


def _count(rows: Iterator[Any]) -> int:
    return sum(1 for _ in rows)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
