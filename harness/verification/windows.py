"""Whether a key that signed a certificate spoke for its issuer when it signed: before it was retired or compromised.

The time of issue is the signer's own word, and a stolen key says any. What shows that a signature was there before is
an entry in the issuer's log, whose checkpoint another key signs, or the time stamp of an authority that is trusted.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.certify.lines import Lines
from harness.certify.steps import CheckStep, Status
from harness.signing.trust import Binding


@dataclass(kw_only=True)
class History:
    """What a log shows of a certificate. ``entered``: when it was entered; ``stamped``: the time of its time stamp,
    where a key that the reader trusts made it; ``ended``: key id -> when the issuer's status list ended it, and why."""

    steps: list[CheckStep] = field(default_factory=list)
    entered: datetime.datetime | None = None
    stamped: datetime.datetime | None = None
    ended: dict[str, tuple[datetime.datetime, str]] = field(default_factory=dict)

    @property
    def proved(self) -> datetime.datetime | None:
        """When it was there at the latest, by what another signed."""
        return min((when for when in (self.entered, self.stamped) if when is not None), default=None)

    def until(self, binding: Binding) -> datetime.datetime | None:
        """The end of a key: the earlier of what the reader and the issuer say."""
        known = [binding.until, self.ended.get(binding.key.keyid, (None, ""))[0]]
        return min((when for when in known if when is not None), default=None)


def check_keys(speakers: Sequence[Binding], lines: Lines, history: History, *, has_register: bool) -> CheckStep:
    """Whether one of the issuer's keys that signed was in its time then."""
    answers = [_answer(binding, lines, history, has_register=has_register) for binding in speakers]
    for wanted in (Status.VALID, Status.COULD_NOT_CHECK, Status.INVALID):
        for status, detail in answers:
            if status is wanted:
                return CheckStep(name="keys", status=status, detail=detail)
    return CheckStep(name="keys", status=Status.INVALID, detail=f"no key of {lines.issuer} signed all of it")


def _answer(binding: Binding, lines: Lines, history: History, *, has_register: bool) -> tuple[Status, str]:
    key = f"{binding.key.algorithm} {binding.key.keyid[:16]}"
    if binding.since is not None and lines.issued < binding.since:
        return (
            Status.INVALID,
            f"{key} speaks for {binding.issuer} since {binding.since:%Y-%m-%d}, not when it was issued",
        )
    until = history.until(binding)
    if until is None:
        return Status.VALID, f"{key} speaks for {binding.issuer}"
    why = f"{key} ended on {until:%Y-%m-%d %H:%M:%S} UTC ({history.ended.get(binding.key.keyid, (None, 'trust'))[1]})"
    if lines.issued > until:
        return Status.INVALID, f"{why}, before the certificate was issued"
    if history.proved is not None and history.proved < until:  # in the same second is not before
        return Status.VALID, f"{why}, and the log or a time stamp shows that it signed before"
    if history.entered is not None or has_register:
        return Status.INVALID, f"{why}, and the log does not show that it signed before"
    return Status.COULD_NOT_CHECK, f"{why}: --register shows whether it signed before"
