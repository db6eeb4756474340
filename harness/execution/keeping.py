"""Machines of cells that failed stay, where the operator wants to look at them (``run --keep``)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.errors import HarnessError
from harness.execution.attempt import Attempt, Ended
from harness.model.results import Cause, Observation, Result

#: A cell that ended so is tried again, or was stopped: there is nothing to look at.
_NOT_KEPT = (Cause.INFRA, Cause.CANCELED)


@contextlib.contextmanager
def keeping(attempt: Attempt) -> Iterator[None]:
    """Leave the machines standing where the block ends in trouble of neither the laboratory nor the operator."""
    try:
        yield
    except (Ended, HarnessError) as error:
        if attempt.ended(error).cause not in _NOT_KEPT:
            _keep(attempt)
        raise
    if any(_is_trouble(observation) for observation in attempt.observations.values()):
        _keep(attempt)


def _is_trouble(observation: Observation) -> bool:
    return observation.result is Result.FAIL or (
        observation.result is Result.ERROR and observation.cause not in _NOT_KEPT
    )


def _keep(attempt: Attempt) -> None:
    if not attempt.lab.keeps_machines or attempt.machines is None:
        return
    if attempt.machines.keep is None:
        attempt.note("its machines were not kept: containers and virtual machines can be (--keep)")
        return
    attempt.record.event("kept", objects=list(attempt.machines.keep()))
    attempt.note(f"its machines were kept (--keep): harness shell {attempt.cell.short}; harness gc removes them")
