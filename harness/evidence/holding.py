"""Holds a campaign while a block runs, and says within a second when somebody asks for it to stop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal

from harness.errors import ClaimLost, InfrastructureError
from harness.evidence.claims import BEAT_SECONDS, Claim, Claims

#: How often the wish to stop is looked for, in seconds.
LOOK_SECONDS = 0.5

#: ``drain``: finish the steps that run. ``now``: stop at once. ``lost``: another worker has the campaign.
Ask = Literal["drain", "now", "lost"]


class Hold:
    """A campaign that is held. ``on_stop`` is called, in a thread of its own, when it is to stop."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self._asked: Ask | None = None
        self._callbacks: list[Callable[[Ask], object]] = []
        self._guard = threading.Lock()

    @property
    def token(self) -> int:
        """What the journal is given with every write."""
        return self.claim.token

    def on_stop(self, callback: Callable[[Ask], object]) -> None:
        """Call this with what is asked for; at once where it was asked for before."""
        with self._guard:
            self._callbacks.append(callback)
            asked = self._asked
        if asked is not None:
            callback(asked)

    def ask(self, asked: Ask) -> None:
        """Tell everybody who wants to know, once for each wish."""
        with self._guard:
            if asked == self._asked:
                return
            self._asked = asked
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback(asked)


@contextlib.contextmanager
def hold(claims: Claims, campaign: str, cell: str = "") -> Iterator[Hold]:
    """Hold the campaign, or a cell of it; its claim beats, and is watched, until the block ends.

    Raises:
        UsageError: another worker works on it.
        InfrastructureError: the database does not answer.
    """
    held = Hold(claims.claim(campaign, cell))
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(claims, held, ended), name=f"claim {campaign}", daemon=True)
    watcher.start()
    try:
        yield held
    finally:
        ended.set()
        watcher.join()
        with contextlib.suppress(InfrastructureError):  # a database that is away: the claim expires
            claims.release(held.claim)


def _watch(claims: Claims, held: Hold, ended: threading.Event) -> None:
    beaten = time.monotonic()
    while not ended.wait(LOOK_SECONDS):
        try:
            if time.monotonic() - beaten >= min(BEAT_SECONDS, held.claim.patience / 6):
                claims.beat(held.claim)
                beaten = time.monotonic()
            asked = claims.cancelled(held.claim)
        except ClaimLost:
            held.ask("lost")
            return
        except InfrastructureError:
            # The database is away for a while. Who cannot show a life for so long must expect to be taken over.
            if time.monotonic() - beaten >= held.claim.patience:
                held.ask("lost")
                return
            continue
        if asked is not None:
            held.ask(asked)
