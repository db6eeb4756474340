"""Deadlines on the monotonic clock, and polling until a condition holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from harness.errors import Canceled, StepTimeout

T = TypeVar("T")


@dataclass(frozen=True)
class Deadline:
    """A point in time ``seconds`` from its making."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds until then; 0 where it has passed."""
        return max(0.0, self.started + self.seconds - time.monotonic())

    @property
    def passed(self) -> float:
        """Seconds since its making."""
        return time.monotonic() - self.started


def wait_until(
    check: Callable[[], T | None],
    *,
    seconds: float,
    what: str,
    interval: float = 0.1,
    longest: float = 1.0,
    cancel: threading.Event | None = None,
) -> T:
    """Ask ``check`` until it gives something other than None or False; intervals grow to ``longest`` seconds.

    Raises:
        StepTimeout: nothing came within ``seconds``.
        Canceled: ``cancel`` was set.
    """
    deadline = Deadline(seconds)
    while True:
        value = check()
        if value is not None and value is not False:
            return value
        if cancel is not None and cancel.is_set():
            raise Canceled(f"canceled while waiting for {what}")
        if deadline.left <= 0:
            raise StepTimeout(f"{what} within {seconds:.0f} s: it did not happen")
        pause = min(interval, deadline.left + 0.01)
        if cancel is None:
            time.sleep(pause)
        else:
            cancel.wait(pause)
        interval = min(interval * 1.5, longest)
