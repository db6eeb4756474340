"""Limits that are missed: late is said as late, a slow machine decides nothing, what is demanded is not scaled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.control.deployment import Deployment, Diagnosis
from harness.control.fault import ProductFault
from harness.deploy import deploy
from harness.execution.suites import demanded
from harness.model.definitions import Case
from harness.model.results import Cause, Observation, Result


def case(test: str, **more: Any) -> Case:
    return Case.model_validate(
        {
            "id": "C-1",
            "test": test,
            "title": "t",
            "characteristic": "reliability",
            "clause": "5.3.5",
            "blocker": True,
            **more,
        }
    )


SUITE: Any = SimpleNamespace(suite="deployment", cases=(case("ready"),))


class Product:
    """A deployment whose product serves after some seconds, or never."""

    def __init__(self, seconds: float | None, **context: Any) -> None:
        self.seconds = seconds
        self.last_answer = "GET / gave status 200"
        ready = SimpleNamespace(seconds=10)
        values = {"factor": 1.5, "declared_factor": 1.0, "emulated": False, **context}
        self.context = SimpleNamespace(application=SimpleNamespace(readiness=ready, serves=True), **values)

    def wait_ready(self) -> float:
        if self.seconds is None:
            raise ProductFault("it runs but never got ready", "…")
        return self.seconds

    def diagnose(self, _: str) -> Diagnosis:
        return Diagnosis("", "")

    def terms_of_ready(self) -> str:
        context: Any = self
        return Deployment.terms_of_ready(context)


def observe(product: Product) -> Observation:
    deployment: Any = product
    (seen,) = deploy(deployment, SUITE, ["ready"])
    return seen


def test_in_time_by_the_declared_limit_is_a_pass_with_the_answer() -> None:
    seen = observe(Product(9.0))
    assert (seen.result, seen.detail) == (Result.PASS, "GET / gave status 200")


def test_in_time_only_because_the_machine_is_slow_is_neither_pass_nor_fail() -> None:
    seen = observe(Product(12.0))
    assert (seen.result, seen.cause) == (Result.ERROR, Cause.INFRA)
    assert "ready after 12.0 s, later than the declared 10.0 s" in seen.detail
    assert "the limit is 15.0 s (10 s x 1.5, as measured; declared is 1)" in seen.detail


def test_on_an_emulated_target_the_measured_factor_counts_and_is_said() -> None:
    seen = observe(Product(90.0, factor=14.8, declared_factor=6.0, emulated=True))
    assert seen.result is Result.PASS
    assert "(10 s x 14.8, as measured; declared is 6)" in seen.detail


def test_never_is_a_failure() -> None:
    never = observe(Product(None))
    assert never.result is Result.FAIL
    assert never.detail.startswith("it runs but never got ready")


def test_a_limit_that_is_demanded_is_a_failure_when_it_is_missed() -> None:
    seen = Observation(case="C-1", suite="s", result=Result.ERROR, cause=Cause.TIMEOUT, detail="did not end within 5 s")
    failed = demanded(case("t", seconds=5, absolute=True), seen, 1.5)
    assert (failed.result, failed.cause) == (Result.FAIL, None)
    assert failed.detail.startswith("it is demanded within 5 s, whatever the target")
    assert "1.5 times slower" in failed.detail


@pytest.mark.parametrize("cause", [Cause.INFRA, Cause.TEST, Cause.HARNESS])
def test_an_error_of_anybody_else_stays_what_it_is(cause: Cause) -> None:
    seen = Observation(case="C-1", suite="s", result=Result.ERROR, cause=cause, detail="why")
    assert demanded(case("t", absolute=True), seen, 1.0) == seen
