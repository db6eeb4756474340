"""Percentiles are values that were measured; without a value there is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.system.ranks import percentile


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.1, 100))
def test_percentile_is_a_value_with_enough_below_it(values: list[float], percent: float) -> None:
    ordered = sorted(values)
    found = percentile(values, percent)
    assert found in ordered
    assert sum(v <= found for v in ordered) >= percent / 100 * len(ordered) - 1e-6


def test_nearest_rank() -> None:
    assert [percentile(range(1, 101), percent) for percent in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([3.0], 50) == 3.0


def test_nothing_that_was_measured_has_no_percentile() -> None:
    """A product that answered nothing had a p50 of 0 ms."""
    with pytest.raises(ValueError, match="no values"):
        percentile([], 99)
