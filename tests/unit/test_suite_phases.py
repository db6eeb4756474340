"""What a cell makes of a suite that leaves its machines in trouble."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import InfrastructureError
from harness.execution import suites
from harness.model.choice import CaseChoice
from harness.model.results import Observation, Result

SEEN = Observation(case="C-1", suite="own", result=Result.PASS)


class Attempt:
    """As much of an attempt as a phase of suites needs."""

    def __init__(self) -> None:
        self.suites = [SimpleNamespace(definition=SimpleNamespace(suite="own"))]
        self.lab = SimpleNamespace(cancel=SimpleNamespace(is_set=lambda: False), choice=CaseChoice())
        self.observed: list[Observation] = []

    def state(self, *_: Any) -> None: ...
    def check_machines(self) -> None: ...

    def step(self, _name: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def observe(self, *observations: Observation) -> None:
        self.observed += observations


def does_not_obey(_machines: object) -> None:
    raise InfrastructureError("the machine does not obey")


@pytest.mark.parametrize("broken", [False, True])
def test_what_a_suite_saw_is_recorded_where_its_deeds_cannot_be_undone(
    monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """A suite that broke is told by its own trouble, not by that of undoing."""

    def run(*_: Any) -> list[Observation]:
        if broken:
            raise InfrastructureError("the suite could not run")
        return [SEEN]

    monkeypatch.setattr(suites, "_chosen", lambda *_, **__: (SimpleNamespace(id="C-1"),))
    monkeypatch.setattr(suites, "_run_suite", run)
    monkeypatch.setattr(suites, "undo_verbs", does_not_obey)
    attempt: Any = Attempt()
    deployment: Any = SimpleNamespace(machine=None, servers={})
    with pytest.raises(InfrastructureError, match="could not run" if broken else "does not obey"):
        suites.run_suites(attempt, deployment, when="main", alone=False)
    assert attempt.observed == ([] if broken else [SEEN])
