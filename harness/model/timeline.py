"""When a product served while something happened to it: availability, outage and recovery."""

from __future__ import annotations

import statistics
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: ``served``: a text was taken and read back. ``unread``: taken, and not given back. The others: not taken.
State = Literal["served", "unread", "refused", "unanswered"]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Sample(BaseModel):
    """A write with its read: when it began, seconds since the beginning, and how many seconds it took."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    at: Seconds
    seconds: Seconds
    state: State


class Timeline(BaseModel):
    """Writes to a product in their order; ``fault``: when a fault was there, seconds since the beginning."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    zh: str = Field(max_length=200)
    en: str = Field(max_length=200)
    fault: tuple[Seconds, Seconds] | None = None
    samples: tuple[Sample, ...] = Field(max_length=100_000)

    @property
    def span(self) -> float:
        """Seconds until the last sample or the fault ended."""
        return max([sample.at + sample.seconds for sample in self.samples] + [self.fault[1] if self.fault else 0.0])

    @property
    def slow(self) -> float:
        """Seconds beyond which a write was waited for in vain until it was served: a second, or ten times what one took
        before the fault."""
        before = self.fault[0] if self.fault is not None else self.span
        usual = [s.seconds for s in self.samples if s.state == "served" and s.at + s.seconds <= before]
        return max(1.0, 10 * statistics.median(usual)) if usual else 1.0

    @property
    def outages(self) -> tuple[tuple[float, float], ...]:
        """From the beginning of a write that was not served, or only after more than ``slow``, to the end of the next
        that was; the last may be open, and ends with the line."""
        outages: list[tuple[float, float]] = []
        began: float | None = None
        for sample in self.samples:
            if began is None and (sample.state != "served" or sample.seconds > self.slow):
                began = sample.at
            if began is not None and sample.state == "served":
                outages.append((began, sample.at + sample.seconds))
                began = None
        return (*outages, (began, self.span)) if began is not None else tuple(outages)

    @property
    def outage(self) -> float:
        """Seconds of the longest outage."""
        return max((end - begin for begin, end in self.outages), default=0.0)

    @property
    def availability(self) -> float:
        """Part of the time in which the product served, from 0 to 1. A time without a sample counts as served."""
        lost = sum(end - begin for begin, end in self.outages)
        return 1 - lost / self.span if self.span else 1.0

    @property
    def recovery(self) -> float | None:
        """Seconds from the end of the fault to the end of the last outage after it; 0 where there was none, None where
        nothing was served after the fault."""
        if self.fault is None:
            return None
        end = self.fault[1]
        if not any(sample.state == "served" and sample.at + sample.seconds >= end for sample in self.samples):
            return None
        return max([stop - end for _, stop in self.outages if stop >= end], default=0.0)
