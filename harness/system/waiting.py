"""How work waits for something that others hold: who waits, what ends the wait, and who hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

#: A wait that is longer is announced: by an event and a line on the console.
NOTICE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The terms of one wait.

    ``who`` is what the other side reads about the holder, once this side holds. ``notify`` takes one line: what is
    waited for, and who holds it. ``stopped`` ends the wait.
    """

    who: str = ""
    notify: Callable[[str], None] = lambda _words: None
    stopped: Callable[[], bool] = lambda: False
    notice_seconds: float | None = None  #: NOTICE_SECONDS where it is None


@dataclass
class Notice:
    """Announces one wait, once, when it has become long."""

    waiting: Waiting
    began: float = field(default_factory=time.monotonic)
    given: bool = False

    def look(self, words: Callable[[], str]) -> None:
        """Announce the wait if it is due; ``words`` is asked only then."""
        due = NOTICE_SECONDS if self.waiting.notice_seconds is None else self.waiting.notice_seconds
        if not self.given and time.monotonic() - self.began >= due:
            self.given = True
            self.waiting.notify(words())


#: A wait that nobody hears of and nothing ends.
QUIET = Waiting()
