"""Calls that nothing can interrupt, such as a request to a service that hangs: left behind once work is stopped."""

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
    answer: Future[T] = Future()

    def call() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # it is raised where the answer is waited for
            answer.set_exception(error)
        else:
            answer.set_result(result)

    threading.Thread(target=call, name="abandonable", daemon=True).start()
    while not answer.done():
        if cancel.is_set():
            raise Canceled(f"stopped while waiting for {what}")
        with contextlib.suppress(TimeoutError):
            answer.exception(timeout=LOOK_SECONDS)
    return answer.result()
