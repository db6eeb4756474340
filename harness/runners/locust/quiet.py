"""Waits until this machine has no other work, before a load is repeated."""

from __future__ import annotations

import threading
import time

import psutil

#: Share of this machine's CPU time that may be in use, and seconds for which the wait goes on at most.
QUIET_SHARE, LONGEST = 0.4, 60.0
#: Seconds over which the use is measured.
LOOK_SECONDS = 2.0


def await_quiet(cancel: threading.Event) -> bool:
    """Wait until little of the CPU time is used; gives whether that came about before ``LONGEST`` or a stop."""
    deadline = time.monotonic() + LONGEST
    psutil.cpu_percent()
    while time.monotonic() < deadline and not cancel.wait(LOOK_SECONDS):
        if psutil.cpu_percent() <= 100 * QUIET_SHARE:
            return True
    return False
