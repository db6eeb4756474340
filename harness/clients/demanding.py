"""What suites of protocols have in common: failing with everything that is wrong, and times of answers as figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.system.ranks import percentile

#: Faults that a message shows.
SHOWN = 20


def demand(wrong: Sequence[str], words: str) -> None:
    """Raises AssertionError, so that the case fails: something is wrong. It shows the first of it."""
    __tracebackhide__ = True  # what failed is the case that asks
    if wrong:
        more = f"\nand {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise AssertionError(f"{words}:\n" + "\n".join(wrong[:SHOWN]) + more)


def figures(measure: Callable[[str, float, str], None], times: Sequence[float], prefix: str = "") -> None:
    """Measure percentiles of seconds in ms, named p50, p95 and p99 behind ``prefix``; nothing where none were taken."""
    for percent in (50, 95, 99) if times else ():
        measure(f"{prefix}p{percent}", percentile(times, percent) * 1000, "ms")
