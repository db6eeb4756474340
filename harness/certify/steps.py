"""Answers of a check: valid, invalid, could not be checked."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Never


class Status(enum.StrEnum):
    """The answer of a step, and of a whole check. "It is wrong" and "it could not be checked" are two answers."""

    VALID = "valid"  #: it is as it was signed
    INVALID = "invalid"  #: it is not
    COULD_NOT_CHECK = "could-not-check"  #: something that is needed is not there

    def __bool__(self) -> Never:
        raise TypeError("a status has no truth value: compare with a member")


@dataclass(frozen=True, kw_only=True)
class CheckStep:
    """One question of a check, and its answer."""

    name: str
    status: Status
    detail: str


def status_of(steps: Sequence[CheckStep]) -> Status:
    """The worst status of the steps; ``COULD_NOT_CHECK`` where there is no step."""
    every = [step.status for step in steps]
    if Status.INVALID in every:
        return Status.INVALID
    return Status.COULD_NOT_CHECK if Status.COULD_NOT_CHECK in every or not every else Status.VALID
