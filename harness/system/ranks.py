"""Percentiles by nearest rank: a value that was measured, and none in between (Hyndman and Fan 1996, definition 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of the values that ``percent`` of them do not exceed. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered), max(1, math.ceil(percent / 100 * len(ordered)))) - 1]
