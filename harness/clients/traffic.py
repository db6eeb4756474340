"""Light traffic on a product's resource while something happens to it: what is acknowledged, and when it serves nobody.

A write that is refused, or gets no answer, may have happened or not: nothing is said of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import TracebackType

from harness.clients.resource import ProductResource
from harness.control.fault import ProductFault
from harness.errors import InfrastructureError
from harness.model.timeline import Sample, State, Timeline

#: Seconds between two writes.
PACE = 0.5


class Traffic:
    """Writes a text again and again, and reads each back; ``kept`` are the texts by key that the product acknowledged.

    Used by ``with``, the writes come from a thread of its own, and nothing else may ask the resource meanwhile: a
    product that serves a client at a time is none that fails. Errors of the suite's own in that thread are raised at
    the end.
    """

    def __init__(self, resource: ProductResource, *, pace: float = PACE) -> None:
        self.resource, self.pace = resource, pace
        self.kept: dict[str, str] = {}
        self.samples: list[Sample] = []
        self.fault: tuple[float, float] | None = None
        self.away = False  #: the product's machine cannot be asked: a request without an answer says no more than that
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._write, name="traffic", daemon=True)

    def __enter__(self) -> Traffic:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None and self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Let the write that is under way be the last of the thread."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def attempt(self) -> Sample:
        """Write a text and read it back."""
        key = self.resource.fresh_key()
        text, at = f"acknowledged {len(self.kept)} {key}", self.now()
        state = self._try(key, text)
        sample = Sample(at=at, seconds=self.now() - at, state=state)
        self.samples.append(sample)
        return sample

    def _try(self, key: str, text: str) -> State:
        away = self.away  # a request that was begun meanwhile may get its answer after
        try:
            if self.resource.try_create(key, text):
                return "refused"
        except ProductFault:
            return "unanswered"
        except InfrastructureError:
            if not (away or self.away):
                raise
            return "unanswered"
        self.kept[key] = text
        return "served" if text in self.resource.try_texts(key) else "unread"

    def _write(self) -> None:
        try:
            while not self._ended.is_set():
                self.attempt()
                self._ended.wait(self.pace)
        except BaseException as error:  # noqa: BLE001  # it is raised where the traffic ends
            self._error = error

    def serves(self, times: int = 3) -> bool:
        """Whether the last ``times`` writes were served, all of them begun after the fault.

        Raises whatever ended the thread.
        """
        if self._error is not None:
            raise self._error
        since = self.fault[1] if self.fault is not None else 0.0
        last = [sample for sample in self.samples[-times:] if sample.at >= since]
        return len(last) == times and all(sample.state == "served" for sample in last)

    def lost(self, keys: Iterable[str] | None = None) -> list[str]:
        """Keys of acknowledged texts that do not come back."""
        return [key for key in keys or self.kept if self.kept[key] not in self.resource.try_texts(key)]

    def remove(self) -> None:
        """Delete all texts, where that can be done."""
        for key in self.kept:
            self.resource.discard(key)

    def timeline(self, zh: str, en: str) -> Timeline:
        """What happened, under the name of the fault."""
        return Timeline(zh=zh, en=en, fault=self.fault, samples=tuple(self.samples))
