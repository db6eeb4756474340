"""What the desk refuses, in words of ``reports/desk/wording.yaml``: pages show them in the reader's language."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from harness.errors import HarnessError, InfrastructureError

#: What the guards of the database say (r0006_desk, r0008_statuses) -> status of HTTP.
STATES = {"DK403": 403, "DK404": 404, "DK409": 409, "DK422": 422}


class Refusal(HarnessError):
    """A request that is not granted. ``status`` is that of HTTP, ``word`` the key of its sentence, ``faults`` what is
    wrong with the fields of a form: field -> key of a sentence."""

    cause = "config"

    def __init__(self, status: int, word: str, *, faults: dict[str, str] | None = None, detail: str = "") -> None:
        super().__init__(f"{word}{': ' + detail if detail else ''}")
        self.status, self.word, self.faults, self.detail = status, word, faults or {}, detail


@contextmanager
def refusals() -> Iterator[None]:
    """What a guard of the database refuses becomes a refusal, whatever reached it.

    Raises:
        Refusal: a trigger or a policy refused.
        InfrastructureError: the database does not answer.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if state in STATES:
            text = str(error.orig).splitlines()[0]
            word = text.partition(":")[0] if ":" in text else "role"
            raise Refusal(STATES[state], word, detail=text) from error
        if state == "23505":  # a key that somebody else took in between
            raise Refusal(409, "taken") from error
        if state == "42501":  # row-level security, or a right that nobody has
            raise Refusal(403, "role") from error
        if not state and isinstance(error, sa.exc.DataError):  # a NUL, which the driver refuses before it asks
            raise Refusal(400, "malformed") from error
        if not state or state[:2] in ("08", "53", "57"):
            raise InfrastructureError(
                "the database of the desk cannot be reached", advice="check the server of PostgreSQL"
            ) from error
        raise
