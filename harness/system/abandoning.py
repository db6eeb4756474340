"""Calls that nothing can interrupt, such as a request to a service that hangs: left behind once work is stopped.

A future has no way to wait for an event as well, and an event none to call back: so the event is looked at, at an
interval, here and nowhere else.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from harness.errors import Canceled

T = TypeVar("T")

#: How often a call that runs looks whether it was stopped, in seconds.
LOOK_SECONDS = 0.2


def abandonable(work: Callable[[], T], *, what: str, cancel: threading.Event) -> T:
    """Run ``work`` in a thread of its own, and stop waiting for it once ``cancel`` is set.

    The thread ends with its call, or with the process; what it gives after a stop is dropped. So ``work`` must leave
    nothing that is not found again by its name or label.

    Raises:
        Canceled: ``cancel`` was set before the call came back; ``what`` says what was waited for.
        Exception: what ``work`` raises.
    """
    return settled(begin(work), what=what, stopped=cancel.is_set)


def begin(work: Callable[[], T]) -> Future[T]:
    """Run ``work`` in a thread of its own, which ends with the process; gives what will hold its result."""
    answer: Future[T] = Future()

    def call() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # it is raised where the answer is waited for
            answer.set_exception(error)
        else:
            answer.set_result(result)

    threading.Thread(target=call, name="abandonable", daemon=True).start()
    return answer


def settled(answer: Future[T], *, what: str, stopped: Callable[[], bool]) -> T:
    """Wait for work that was begun, until it is over or ``stopped`` gives true.

    Raises:
        Canceled: as ``abandonable``.
        Exception: what the work raises.
    """
    while not answer.done():
        if stopped():
            raise Canceled(f"stopped while waiting for {what}")
        with contextlib.suppress(TimeoutError):
            answer.exception(timeout=LOOK_SECONDS)
    return answer.result()
