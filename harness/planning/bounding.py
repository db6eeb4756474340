"""Limits of a plan, looked at before anything is expanded: a few lines can declare 10^21 combinations."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.errors import UsageError
from harness.model.definitions import Matrix

#: Cells of a plan. A cell takes seconds at least; so many fill a laboratory for days.
MOST_CELLS = 10_000
#: Combinations that the axes of a full plan declare: each that is not planned is proved to be impossible.
MOST_DECLARED = 200_000
#: Steps of counting what rules leave over, which grow with the rules that speak of the same axes: a second or two.
MOST_STEPS = 1_500_000


@dataclass
class Steps:
    """What is left of the steps of a count."""

    left: int = MOST_STEPS

    def take(self, number: int) -> None:
        """Take so many steps.

        Raises:
            UsageError: none are left.
        """
        self.left -= number
        if self.left < 0:
            raise UsageError(
                "what these excludes leave over cannot be counted: too many of them speak of the same axes",
                advice="fewer excludes, each with fewer axes",
            )


def within_limits(matrix: Matrix) -> None:
    """Look at a matrix before it is expanded.

    Raises:
        UsageError: its plan would be too large.
    """
    sizes = [len(values) for values in matrix.axes.values()]
    declared = math.prod(sizes)
    if len(matrix.include) > MOST_CELLS:
        raise UsageError(
            f"{len(matrix.include)} includes are more cells than a plan may have", advice=f"at most {MOST_CELLS} cells"
        )
    if matrix.strategy.kind == "full":
        if declared > MOST_DECLARED:
            raise UsageError(
                f"these axes declare {_shown(declared)} combinations, too many for a full plan",
                advice=f"at most {MOST_DECLARED} combinations, or strategy: {{kind: pairwise}}",
            )
        return
    least = math.prod(sorted(sizes)[-matrix.strategy.strength_of(len(sizes)) :])
    if not matrix.exclude and least > MOST_CELLS:
        raise UsageError(
            f"this strategy needs at least {_shown(least)} cells for the largest of these axes",
            advice=f"at most {MOST_CELLS} cells: fewer values, or a lower strength",
        )


def few_enough(cells: int) -> None:
    """Look at the number of cells that a matrix gives.

    Raises:
        UsageError: they are too many.
    """
    if cells > MOST_CELLS:
        raise UsageError(
            f"a plan of {_shown(cells)} cells is too large",
            advice=f"at most {MOST_CELLS} cells: further excludes, or strategy: {{kind: pairwise}}",
        )


def _shown(number: int) -> str:
    return str(number) if number < 10**12 else f"about 10^{len(str(number)) - 1}"
