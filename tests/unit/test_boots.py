"""A machine that is restarted by something that no suite asked for is the laboratory's trouble."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import InfrastructureError
from harness.execution.attempt import Attempt
from harness.execution.deploying import look_back
from harness.model.results import Cause, Observation, Result
from harness.model.verbs import Verb, deeds, journal_deeds, note_deed, restart_was_asked
from harness.provision.boots import BOOT_ID, BootWatch

FIRST, SECOND, THIRD = "11111111-a", "22222222-b", "33333333-c"


class Machine:
    """A machine with a kernel of its own."""

    def __init__(self, name: str, noted: Path = Path()) -> None:
        self.name, self.boot = name, FIRST
        self.reference = SimpleNamespace(deeds=noted)

    def run(self, command: str, *, timeout: float) -> Any:
        assert BOOT_ID in command
        return SimpleNamespace(out=f"{self.boot}\n")


def pair(tmp_path: Path) -> tuple[Machine, Machine, BootWatch]:
    product, database = Machine("cell-application", tmp_path / "deeds"), Machine("cell-database", tmp_path / "deeds")
    return product, database, BootWatch({"application": product, "database": database})  # type: ignore[dict-item]


def test_the_machine_that_was_restarted_is_named(tmp_path: Path) -> None:
    product, database, boots = pair(tmp_path)
    assert boots.restarts() == []
    database.boot = SECOND
    (words,) = boots.disturbances(0.0)
    assert "the machine of database (cell-database) was restarted" in words
    product.boot = THIRD
    assert len(boots.restarts()) == 2


def test_a_restart_that_a_suite_asked_for_is_none_and_the_next_is(tmp_path: Path) -> None:
    product, database, boots = pair(tmp_path)
    note_deed(tmp_path / "deeds", product.name, Verb.REBOOT)
    product.boot = SECOND
    assert boots.restarts() == [], "it is under way"
    note_deed(tmp_path / "deeds", product.name, Verb.REBOOT, ends=True, boot=SECOND)
    assert boots.restarts() == []
    product.boot = THIRD
    assert len(boots.restarts()) == 1
    product.boot, database.boot = SECOND, SECOND
    assert "cell-database" in boots.restarts()[0], "a deed is of one machine"
    assert not restart_was_asked(Path(), product.name, SECOND)


def test_a_machine_without_boots_is_left_alone() -> None:
    machine = Machine("x")
    machine.boot = ""
    boots = BootWatch({"application": machine})  # type: ignore[dict-item]
    machine.boot = SECOND
    assert boots.restarts() == []


def test_a_failure_after_a_restart_says_nothing_of_the_product(tmp_path: Path) -> None:
    product, _, boots = pair(tmp_path)
    events: list[tuple[str, dict[str, Any]]] = []
    attempt: Any = SimpleNamespace(
        disturbances=boots.disturbances,
        step_began=0.0,
        record=SimpleNamespace(event=lambda kind, **data: events.append((kind, data))),
    )
    failure = Observation(case="T-1", suite="checks", result=Result.FAIL, detail="connection refused")
    assert Attempt.blamed(attempt, (failure,)) == (failure,)
    product.boot = SECOND
    (seen,) = Attempt.blamed(attempt, (failure,))
    assert (seen.result, seen.cause) == (Result.ERROR, Cause.INFRA)
    assert "was restarted" in seen.detail
    assert [kind for kind, _ in events] == ["disturbed"]


def test_a_restart_that_no_case_noticed_ends_the_cell_as_the_labs_trouble(tmp_path: Path) -> None:
    product, _, boots = pair(tmp_path)
    product.boot = SECOND
    attempt: Any = SimpleNamespace(record=SimpleNamespace(event=lambda *_, **__: None))
    target: Any = SimpleNamespace(machines=SimpleNamespace(restarts=boots.restarts))
    with pytest.raises(InfrastructureError, match="cell-application"):
        look_back(attempt, target, SimpleNamespace())  # type: ignore[arg-type]


def test_deeds_of_every_machine_go_into_the_record(tmp_path: Path) -> None:
    events: list[tuple[str, Any]] = []
    ledger: Any = SimpleNamespace(event=lambda kind, **data: events.append((kind, data["verb"])))
    note_deed(tmp_path / "deeds", "cell-application", Verb.PAUSE)
    note_deed(tmp_path / "deeds", "cell-database", Verb.REBOOT)
    journal_deeds(tmp_path / "deeds", ledger)
    assert events == [("deed", "pause"), ("deed", "reboot")]
    assert len(deeds(tmp_path / "deeds")) == 2
