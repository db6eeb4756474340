"""An event loop in a thread of its own, so that code which knows none can ask a library that needs one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")
#: Seconds that tasks are given to end.
END_SECONDS = 5.0


class LoopThread:
    """Runs coroutines, each awaited by whoever asked for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        # A task whose connection breaks has nobody who awaits it; whoever needs it learns of the end by its next call.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._loop.run_forever()

    def call(self, coroutine: Coroutine[object, object, T], seconds: float) -> T:
        """What the coroutine gives. Raises TimeoutError, and whatever the coroutine raises."""

        async def bounded() -> T:
            return await asyncio.wait_for(coroutine, seconds)

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result()

    def close(self) -> None:
        """Cancel what runs, and end the thread."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(TimeoutError):
            self.call(_cancel_all(), END_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(END_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()


async def _cancel_all() -> None:
    kept = {asyncio.current_task()}
    # The task that awaits this one is no task of the library.
    kept |= {task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "bounded"}
    tasks = [task for task in asyncio.all_tasks() if task not in kept]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
