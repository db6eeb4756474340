"""Numbers as people write them."""

from __future__ import annotations

from collections.abc import Sequence


def ranges(numbers: Sequence[int], between: str = "、") -> str:
    """Numbers in rising order in short: ``1–3、5``; ``between`` two runs."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return between.join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
