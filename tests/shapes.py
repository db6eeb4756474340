"""Shapes that strategies are measured and tested on: number of values of each axis, and what is forbidden."""

from __future__ import annotations

import random

Rules = tuple[dict[int, list[int]], ...]

#: 62,208 combinations, of which twenty exclusions leave 36,973; no pairwise array has fewer than 107 rows.
WIDE: tuple[tuple[int, ...], Rules] = (
    (8, 9, 12, 6, 4, 3),
    (
        {1: [0], 2: [5]},
        {0: [0], 3: [1]},
        {1: [3], 2: [5, 9], 4: [0]},
        {0: [2], 2: [11], 3: [1, 4]},
        {2: [0, 11], 4: [2]},
        {2: [5], 5: [1]},
        {0: [2], 2: [11]},
        {0: [7], 5: [2]},
        {1: [2], 3: [3]},
        {1: [3], 3: [0]},
        {1: [0, 1, 6], 3: [4], 5: [2]},
        {0: [0, 5], 3: [5]},
        {2: [10, 11], 5: [0]},
        {3: [4], 5: [0]},
        {0: [3], 2: [2], 3: [2]},
        {0: [6], 4: [0]},
        {2: [2, 7, 10], 4: [1]},
        {0: [6, 7], 2: [0]},
        {0: [3], 2: [10], 5: [1]},
        {1: [4], 4: [0], 5: [1]},
    ),
)


def _sixty() -> tuple[tuple[int, ...], Rules]:
    """Twelve axes and sixty rules "if these, then only those", drawn by a fixed rule of arithmetic."""
    sizes = (5, 5, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2)
    rules: list[dict[int, list[int]]] = []
    state = 20_260_101
    while len(rules) < 60:
        drawn = []
        for _ in range(6):
            state = (state * 1_103_515_245 + 12_345) % 2**31
            drawn.append(state >> 8)
        first, then = drawn[0] % 12, drawn[1] % 12
        third = drawn[2] % 12
        if first == then or (sizes[then] < 3 and len(rules) % 2):
            continue
        rule = {first: [drawn[3] % sizes[first]], then: [drawn[4] % sizes[then]]}
        if len(rules) % 3 and third not in rule:
            rule[third] = sorted({drawn[5] % sizes[third], (drawn[5] >> 4) % sizes[third]})
        if rule not in rules:
            rules.append(rule)
    return sizes, tuple(rules)


#: 2,073,600 combinations and sixty rules: more than are held as bits.
SIXTY = _sixty()


#: Twenty-four axes of four values with a chain of rules: what configurations of a product look like.
def tangled(axes: int, values: int, rules: int, seed: int) -> tuple[tuple[int, ...], Rules]:
    """Rules over two axes each, drawn by chance: they tie most axes together."""
    chance = random.Random(seed)
    drawn = [{axis: [chance.randrange(values)] for axis in chance.sample(range(axes), 2)} for _ in range(rules)]
    return (values,) * axes, tuple(drawn)


LONG: tuple[tuple[int, ...], Rules] = (
    (4,) * 24,
    tuple({axis: [0], axis + 1: [1, 2]} for axis in range(0, 23, 2))
    + tuple({axis: [3], axis + 2: [3], axis + 5: [0]} for axis in range(0, 18, 3)),
)
