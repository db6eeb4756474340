"""Texts of lines that a shell reads as a program does: a word, a space, a value that holds no control character.

Statements that are signed are published as JSON, and once more in this form. A shell that looks for a key in JSON finds
the first that is spelled so, wherever it stands; here a key stands at the beginning of its line, and in its turn.
"""

from __future__ import annotations

import datetime
import unicodedata

from harness.system.printable import REPLACEMENT

#: Times in UTC, to the second: as texts they sort as the times do.
TIME = "%Y-%m-%dT%H:%M:%SZ"
#: A value that is empty.
NOTHING = "-"


def plain(text: str) -> str:
    """``text`` as a value of a line: controls, line ends and marks of direction are replaced; blanks at the ends go."""
    safe = "".join(
        REPLACEMENT if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") else char for char in text
    )
    return safe.strip() or NOTHING


def time_text(when: datetime.datetime) -> str:
    """A time as ``TIME``; ``when`` has a time zone."""
    return when.astimezone(datetime.UTC).strftime(TIME)


def read_time(text: str) -> datetime.datetime:
    """The time that ``time_text`` wrote.

    Raises:
        ValueError: the text has another form.
    """
    when = datetime.datetime.strptime(text, TIME).replace(tzinfo=datetime.UTC)
    if time_text(when) != text:
        raise ValueError(f"{text!r} is no time of the form {TIME}")
    return when
