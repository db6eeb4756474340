"""A failure in whose time the laboratory disturbed the machines is the laboratory's."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from harness.containers.disturbances import ContainerWatch
from harness.errors import Canceled, InfrastructureError
from harness.execution import deploying
from harness.execution.attempt import Attempt, Ended
from harness.execution.upgrading import check_former
from harness.model.records import AttemptFacts
from harness.model.results import Cause, Observation, Result
from harness.system.process import Completed


class Recording(Attempt):
    """An attempt with nothing but what observations need."""

    def __init__(self, words: list[str] | Exception) -> None:
        self.asked: list[float] = []
        self.noted: list[str] = []
        self.step_began = 1000.0
        self.observations = {}
        self.record = self  # type: ignore[assignment]
        self.words = words
        self.facts = AttemptFacts()

    def disturbances(self, since: float) -> list[str]:
        self.asked.append(since)
        if isinstance(self.words, Exception):
            raise self.words
        return self.words

    def event(self, kind: str, **data: Any) -> None:
        self.noted.append(f"{kind}: {data['message']}")


def observed(attempt: Recording, *results: Result) -> list[tuple[Result, Cause | None, str]]:
    seen = tuple(
        Observation(case=f"V-{n}", suite="own", result=one, detail="status 500") for n, one in enumerate(results)
    )
    return [(one.result, one.cause, one.detail) for one in attempt.blamed(seen)]


def test_nothing_is_asked_where_nothing_failed() -> None:
    attempt = Recording(["the container of application was paused at 10:00:00"])
    assert observed(attempt, Result.PASS, Result.PASS) == [(Result.PASS, None, "status 500")] * 2
    assert attempt.asked == []


def test_failures_become_the_labs_and_passes_stay() -> None:
    attempt = Recording(["the container of database was paused at 10:00:00", "only 3 MiB are left"])
    passed, failed = observed(attempt, Result.PASS, Result.FAIL)
    assert passed[:2] == (Result.PASS, None)
    assert failed[:2] == (Result.ERROR, Cause.INFRA)
    assert failed[2] == "the container of database was paused at 10:00:00; only 3 MiB are left; then: status 500"
    assert attempt.asked == [1000.0]
    assert attempt.noted == ["disturbed: the container of database was paused at 10:00:00; only 3 MiB are left"]


def test_an_undisturbed_failure_is_the_products() -> None:
    assert observed(Recording([]), Result.FAIL) == [(Result.FAIL, None, "status 500")]


@pytest.mark.parametrize("error", [InfrastructureError("the Docker engine does not answer")])
def test_an_engine_that_does_not_answer_shows_nothing_of_the_product(error: Exception) -> None:
    ((result, cause, detail),) = observed(Recording(error), Result.FAIL)
    assert (result, cause) == (Result.ERROR, Cause.INFRA)
    assert "does not answer" in detail


@pytest.mark.parametrize("result", [Result.ERROR, Result.MISS])
@pytest.mark.parametrize("cause", [Cause.TEST, Cause.TIMEOUT])
def test_a_suite_that_raised_or_came_to_its_limit_on_a_disturbed_machine_is_not_to_blame(
    result: Result, cause: Cause
) -> None:
    words = "the container of application was paused at 10:00:00"
    seen = Observation(case="V-1", suite="own", result=result, cause=cause, detail="it did not end within 20 s")
    (disturbed,) = Recording([words]).blamed((seen,))
    assert (disturbed.result, disturbed.cause) == (Result.ERROR, Cause.INFRA)
    assert disturbed.detail == f"{words}; then: it did not end within 20 s"
    assert Recording([]).blamed((seen,)) == (seen,)


@pytest.mark.parametrize("cause", [Cause.CONFIG, Cause.HARNESS, Cause.CANCELED])
def test_an_error_that_no_machine_explains_keeps_its_cause(cause: Cause) -> None:
    seen = Observation(case="V-1", suite="own", result=Result.ERROR, cause=cause, detail="no such key")
    assert Recording(["the container of application was paused"]).blamed((seen,)) == (seen,)


class Closing(Attempt):
    """An attempt with one case, which nothing but its end is asked of."""

    def __init__(self, *seen: str) -> None:
        self.lab: Any = SimpleNamespace(cancel=threading.Event())
        self.cases: Any = [("own", SimpleNamespace(id="V-1"))]
        self.observations = {("own", case): Observation(case=case, suite="own", result=Result.PASS) for case in seen}
        self.facts = AttemptFacts()

    def observe(self, *seen: Observation) -> None:
        self.observations |= {(observation.suite, observation.case): observation for observation in seen}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EROFS])
def test_what_this_machine_has_run_out_of_is_the_laboratorys(number: int) -> None:
    attempt = Closing()
    with pytest.raises(Ended), attempt.ending():
        raise OSError(number, os.strerror(number), "/somewhere/spec.json")
    (observation,) = attempt.observations.values()
    assert (observation.result, observation.cause) == (Result.MISS, Cause.INFRA)
    assert os.strerror(number) in observation.detail
    assert "/somewhere/spec.json" in observation.detail


@pytest.mark.parametrize("seen", [(), ("V-1",)])
def test_trouble_after_the_last_case_is_told_and_changes_no_result(seen: tuple[str, ...]) -> None:
    attempt = Closing(*seen)
    with pytest.raises(Ended), attempt.ending():
        raise InfrastructureError("the network of the cell cannot be removed")
    (observation,) = attempt.observations.values()
    assert observation.result is (Result.PASS if seen else Result.MISS)
    words = f"after the last case: {InfrastructureError('the network of the cell cannot be removed')}"
    assert attempt.facts.notes == ((words,) if seen else ())


def test_a_stop_after_the_last_case_is_no_trouble() -> None:
    attempt = Closing("V-1")
    with pytest.raises(Ended), attempt.ending():
        raise Canceled("canceled by the operator")
    assert attempt.facts.notes == ()


@pytest.mark.parametrize(("printed", "wrong"), [("kv 1.0.3", False), ("kv 1.10", True), ("", True)])
def test_a_former_version_that_is_another_is_the_definitions_fault(printed: str, wrong: bool) -> None:
    application = SimpleNamespace(version="1.0", version_command="kv --version")
    control: Any = SimpleNamespace(
        context=SimpleNamespace(application=application, factor=1.0),
        machine=SimpleNamespace(run=lambda *_, **__: Completed(rc=0, out=printed)),
    )
    attempt = Closing()
    if not wrong:
        check_former(attempt, control)
        return
    with pytest.raises(Ended, match=f"version_command prints {printed or 'nothing'}") as end:
        check_former(attempt, control)
    assert end.value.cause is Cause.CONFIG


def test_an_end_is_excused_by_a_disturbance_of_an_earlier_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that ended because its database was taken away from it, while the main phase ran."""
    ended = Observation(case="DEP-11", suite="deployment", result=Result.FAIL, detail="it ended once")
    monkeypatch.setattr(deploying, "deploy", lambda *_: [ended])
    monkeypatch.setattr(deploying, "observe_programs", lambda *_: None)
    monkeypatch.setattr(deploying, "notes_of_writing", lambda *_: [])
    attempt = Recording(["the container of database was paused at 10:00:00"])
    attempt.product_began, attempt.step_began = 500.0, 1000.0
    attempt.lab = attempt.placed = SimpleNamespace(deployment_suite=None, cpu=SimpleNamespace(architecture="x86_64"))  # type: ignore[assignment]
    attempt.observe = lambda *seen: attempt.observations.update({(o.suite, o.case): o for o in attempt.blamed(seen)})  # type: ignore[method-assign]
    deploying.look_back(
        attempt, SimpleNamespace(machines=SimpleNamespace(restarts=lambda: {}, openings=tuple)), SimpleNamespace()
    )  # type: ignore[arg-type]
    assert attempt.asked == [500.0]
    (observation,) = attempt.observations.values()
    assert (observation.result, observation.cause) == (Result.ERROR, Cause.INFRA)


@pytest.mark.parametrize(
    ("left", "own", "told"),
    [(1 << 20, 0, True), (1 << 20, 3 << 30, False), (1 << 30, 0, False), (1 << 20, 1 << 30, True)],
)
def test_a_full_disk_is_the_labs_trouble_unless_the_product_filled_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, own: int, told: bool
) -> None:
    watch = ContainerWatch.__new__(ContainerWatch)
    watch.engine = SimpleNamespace(info={"DockerRootDir": str(tmp_path)})  # type: ignore[assignment]
    monkeypatch.setattr(psutil, "disk_usage", lambda _: SimpleNamespace(free=left))
    monkeypatch.setattr(watch, "written", lambda _: own)
    assert bool(watch._disk()) is told


@pytest.mark.parametrize("wrong", [{"fidelty": "native"}, {"seconds": {"attest": "long"}}, {"notes": "one text"}])
def test_a_fact_of_another_name_or_type_is_refused_where_it_is_learnt(wrong: dict[str, Any]) -> None:
    attempt = Closing()
    attempt.note("kept")
    with pytest.raises(ValidationError):
        attempt.learn(**wrong)
    assert attempt.facts == AttemptFacts(notes=("kept",))


def test_facts_and_seconds_add_up() -> None:
    attempt = Closing()
    attempt.spend("environment", 1.25)
    attempt.spend("attest", 0.5)
    attempt.spend("environment", 2.0)
    attempt.note("first")
    attempt.note("second", "third")
    assert attempt.facts.plain() == {
        "seconds": {"environment": 3.25, "attest": 0.5},
        "notes": ["first", "second", "third"],
    }
