"""When a cell has this machine: shared with other cells, or alone for a load. See ``harness.system.turns``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from harness.execution.attempt import Attempt
from harness.provision.provisioner import Machines


@contextlib.contextmanager
def turn(attempt: Attempt) -> Iterator[None]:
    """Share this machine with other cells."""
    with contextlib.ExitStack() as stack:
        with attempt.step("wait"):
            stack.enter_context(attempt.lab.turns.shared(attempt.waiting("work")))
        yield


@contextlib.contextmanager
def load_turn(attempt: Attempt, machines: Machines) -> Iterator[None]:
    """Have the machine alone that is loaded. A lab host is the cell's alone by its lease, so other cells go on."""
    here = any(machine.reference.kind not in ("ssh", "endpoint") for machine in machines.of.values())
    turns, waiting = attempt.lab.turns, attempt.waiting("load")
    with contextlib.ExitStack() as stack:
        with attempt.step("wait"):
            stack.enter_context(turns.alone(waiting) if here else turns.shared(waiting))
        yield


@contextlib.contextmanager
def teardown_turn(attempt: Attempt) -> Iterator[contextlib.ExitStack]:
    """A stack of what is torn down at the end, under a turn: it must not disturb the load of another cell."""
    stack = contextlib.ExitStack()
    try:
        yield stack
    except BaseException:
        with attempt.lab.turns.teardown(attempt.waiting("teardown")):
            if not stack.__exit__(*sys.exc_info()):
                raise
    else:
        with attempt.lab.turns.teardown(attempt.waiting("teardown")):
            stack.close()
