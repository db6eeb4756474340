"""Several loads as a single result."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.model.definitions import LoadProfile
from harness.runners.locust.figures import summarise
from harness.runners.locust.repeating import interval, together

PROFILE = LoadProfile(rate=10, ramp=0, hold=4, p95_ms=250, error_rate=0.01)
QUIET = {"lag p95": 1.0, "machine busy": 0.3, "machine cpu": 60.0, "generator cpu": 10.0, "errors": {}, "resources": []}


def outcome(latencies: list[float], **more: Any) -> dict[str, Any]:
    samples = [(number / 10, latency, latency, True) for number, latency in enumerate(latencies)]
    return {"ramp": 0, "hold": 4, "rate": 10, "due": len(samples), "samples": samples, **QUIET, **more}


@given(st.lists(st.lists(st.floats(1, 1000), min_size=40, max_size=40), min_size=2, max_size=5))
def test_percentiles_are_those_of_all_samples(loads: list[list[float]]) -> None:
    merged = summarise(together([outcome(latencies) for latencies in loads], PROFILE), PROFILE)
    whole = summarise(outcome([latency for latencies in loads for latency in latencies]), PROFILE)
    assert [merged[name] for name in ("p50", "p95", "p99")] == [whole[name] for name in ("p50", "p95", "p99")]
    assert (merged["throughput"], merged["achieved"]) == (10.0, 1.0)


def test_errors_add_up_and_the_load_that_was_disturbed_most_speaks() -> None:
    first = outcome([9.0] * 40, errors={"read: status 500": 2}, **{"lag p95": 70.0})
    merged = together([first, outcome([9.0] * 40, errors={"read: status 500": 3})], PROFILE)
    assert (merged["errors"], merged["lag p95"], merged["loads"]) == ({"read: status 500": 5}, 70.0, 2)


def test_a_request_that_hung_in_an_earlier_load_counts() -> None:
    hanging = outcome([9.0] * 40, ages=[4.0, 5.0], connections=2)
    figures = summarise(together([hanging, outcome([9.0] * 40, ages=[], connections=0)], PROFILE), PROFILE)
    assert figures["hanging"] == 2
    assert figures["error rate"] == pytest.approx(2 / 82, abs=1e-4)


@given(st.lists(st.floats(1, 1000), min_size=2, max_size=10))
def test_the_interval_holds_the_mean(values: list[float]) -> None:
    ends = interval(values)
    assert ends["low"] - 1e-3 <= ends["mean"] <= ends["high"] + 1e-3
    assert ends["mean"] == pytest.approx(statistics.fmean(values), abs=1e-3)


def test_the_interval_is_that_of_the_standard() -> None:
    """Three values 1, 2, 3: mean 2, s = 1, t = 4.303, so 2 ± 2.484."""
    assert interval([1.0, 2.0, 3.0]) == {"mean": 2.0, "low": -0.484, "high": 4.484}


@pytest.mark.parametrize("key", [{"think": 1.0}, {"repetitions": 3}])
def test_a_search_takes_neither_waiting_users_nor_repetitions(key: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(key))):
        LoadProfile.model_validate({**PROFILE.model_dump(), "search": {"least": 1, "most": 9}, **key})
