"""What runners make of what they saw, and the arithmetic of a load."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.control.ends import End
from harness.control.fault import ProductFault
from harness.errors import Canceled
from harness.model.definitions import Case, Limits, LoadProfile, Suite
from harness.model.plan import LocatedSuite
from harness.model.results import Cause, Result, SkipReason
from harness.reading.parsing import parse
from harness.runners.locust import run as locust_runner
from harness.runners.locust.criteria import Target, criterion, trouble_of
from harness.runners.locust.driving import calibrated_rate
from harness.runners.locust.figures import summarise
from harness.runners.locust.support import PreparedRead
from harness.runners.pytest.outcomes import fold
from harness.runners.pytest.run import _watched as watched
from harness.runners.pytest.session import Report, TestRun
from tests.suite_runs import context

SUITES = Path(__file__).parents[2] / "suites"
NATIVE = Target(emulated=False, judged=True)
PROFILE = LoadProfile(rate=10, ramp=2, hold=4, p95_ms=100, error_rate=0.01)


def finished(
    kind: str = "", *, when: str = "call", text: str = "text", lab: str = "", cause: str = "", blame: str = "infra"
) -> TestRun:
    """A test that ended; with ``kind``, something went wrong in one of its phases."""
    reports = [Report(when=phase, outcome="passed") for phase in ("setup", "call", "teardown")]
    if kind:
        bad = Report(when=when, outcome="failed", kind=kind, text=text, exception="E", cause=cause)
        reports = [bad if report.when == when else report for report in reports]
    return TestRun(limit=60, reports=reports, lab=lab, blame=blame if lab else "", ended=True)


@pytest.mark.parametrize(
    ("run", "result", "cause", "reason"),
    [
        (finished(), Result.PASS, None, None),
        (finished("product"), Result.FAIL, None, None),
        (finished("product", when="teardown"), Result.FAIL, None, None),
        (finished("product", lab="the database does not answer"), Result.ERROR, Cause.INFRA, None),
        (finished("timeout"), Result.ERROR, Cause.TIMEOUT, None),
        (finished("timeout", lab="the database does not answer"), Result.ERROR, Cause.INFRA, None),
        (finished("product", lab="no-new-privileges", blame="config"), Result.ERROR, Cause.CONFIG, None),
        (finished("product", lab="it ended meanwhile", blame=""), Result.FAIL, None, None),
        (finished("product", lab="process limit", blame="product"), Result.FAIL, None, None),
        (finished("harness-error", cause="infra", lab="process limit", blame="product"), Result.FAIL, None, None),
        (finished("suite", lab="process limit", blame="product"), Result.ERROR, Cause.TEST, None),
        (finished("suite"), Result.ERROR, Cause.TEST, None),
        (finished("suite", lab="not asked"), Result.ERROR, Cause.TEST, None),
        (finished("harness"), Result.ERROR, Cause.HARNESS, None),
        (finished("harness-error", cause="infra"), Result.ERROR, Cause.INFRA, None),
        (finished("skip", text="not-applicable: embedded"), Result.SKIP, None, SkipReason.NOT_APPLICABLE),
        (finished("skip", text="because I felt like it"), Result.ERROR, Cause.TEST, None),
    ],
)
def test_what_a_test_means(run: TestRun, result: Result, cause: Cause | None, reason: SkipReason | None) -> None:
    meaning = fold(run)
    assert (meaning.result, meaning.cause, meaning.reason) == (result, cause, reason)


@pytest.mark.parametrize("phases", [(), ("setup",), ("setup", "call"), ("setup", "teardown"), ("call", "teardown")])
def test_a_test_that_was_cut_off_is_not_passed(phases: tuple[str, ...]) -> None:
    run = TestRun(limit=60, ended=True, reports=[Report(when=phase, outcome="passed") for phase in phases])
    assert (fold(run).result, fold(run).cause) == (Result.ERROR, Cause.TEST)


OUTCOMES = st.sampled_from(["passed", "failed", "skipped", "rerun", "error"])
KINDS = st.sampled_from(["", "product", "suite", "harness", "timeout", "skip"])


@given(
    st.lists(st.tuples(st.sampled_from(["setup", "call", "teardown"]), OUTCOMES, KINDS, st.sampled_from(["", "sub"])))
)
def test_only_a_test_whose_reports_all_passed_is_a_pass(given_reports: list[tuple[str, str, str, str]]) -> None:
    reports = [
        Report(when=when, outcome=outcome, kind=kind, subtest=subtest) for when, outcome, kind, subtest in given_reports
    ]
    run = TestRun(limit=60, ended=True, reports=reports)
    if any(report.outcome not in ("passed", "skipped") or report.kind for report in reports):
        assert fold(run).result is not Result.PASS


def load(samples: list[tuple[float, float, float, bool]], **changes: Any) -> dict[str, Any]:
    """What the driver writes of a load of 10 requests a second, ramp 2 s, hold 4 s."""
    return {
        "ramp": 2,
        "hold": 4,
        "rate": 10,
        "intended": 50,
        "samples": samples,
        "resources": [(0.5, 10.0, 100.0), (1.0, 30.0, 120.0)],
        "exceptions": {},
        "exception": "",
        "errors": {},
        "users": 10,
        "finished": 0,
        "silent": 0,
        "under way": 0,
        "connections": 0,
        "lag p95": 1.0,
        "generator cpu": 10.0,
        "machine busy": 0.5,
        "machine cpu": 100.0,
        **changes,
    }


def test_only_the_hold_counts() -> None:
    samples = [(1.0, 5000.0, 5000.0, False)] + [(2 + n / 10, 10.0, 9.0, True) for n in range(40)]
    figures = summarise(load(samples), PROFILE)
    assert figures["p95"] == 10.0
    assert figures["error rate"] == 0
    assert figures["achieved"] == 1.0
    assert figures["memory peak"] == 120.0


def test_starts_that_were_never_answered_lower_what_was_achieved() -> None:
    figures = summarise(load([(2 + n / 10, 10.0, 9.0, True) for n in range(20)]), PROFILE)
    assert figures["achieved"] == 0.5


def test_without_answers_nothing_is_said_of_times_and_errors() -> None:
    figures = summarise(load([]), PROFILE)
    assert figures["achieved"] == 0.0
    assert not figures.keys() & {"p50", "p95", "p99", "error rate"}


HOLD = [(2 + n / 10, 10.0, 9.0, True) for n in range(40)]


@pytest.mark.parametrize(
    ("outcome", "result", "cause", "words"),
    [
        ({"broken": "NameError: nothing"}, Result.ERROR, Cause.TEST, "the locustfile is broken: NameError: nothing"),
        (
            load(HOLD, exceptions={"KeyError": 3}, exception="KeyError: 'x'", errors={"read: status 500": 2}),
            Result.ERROR,
            Cause.TEST,
            "the locustfile raised 3 × KeyError; the first: KeyError: 'x'\nfailed requests: 2 × read: status 500",
        ),
        (load(HOLD, users=5000), Result.ERROR, Cause.TEST, "the locustfile started 5000 users itself"),
        (load([], finished=40, silent=40), Result.ERROR, Cause.TEST, "sent no request: 40 of 40 tasks ended without"),
        (load([]), Result.ERROR, Cause.TEST, "no user of it began a task"),
        (load([], **{"under way": 4}), Result.ERROR, Cause.TEST, "4 did not end and have no connection"),
        (load([], intended=0), Result.ERROR, Cause.TEST, "the profile plans no request"),
        (
            load([], **{"under way": 16, "connections": 16}),
            Result.FAIL,
            None,
            "the product answered no request: 16 were under way on 16 connections",
        ),
        (load([(0.5, 9.0, 9.0, True)], finished=1), Result.ERROR, Cause.TEST, "no request after the ramp"),
    ],
)
def test_what_a_load_without_figures_means(
    outcome: dict[str, Any], result: Result, cause: Cause | None, words: str
) -> None:
    trouble = trouble_of(outcome, PROFILE, None)
    assert trouble is not None
    assert (trouble.result, trouble.cause) == (result, cause)
    assert words in trouble.text


def test_a_crash_without_an_answer_is_the_products_failure() -> None:
    crash = ProductFault("it was killed: it took more memory than its limit of 96m", "内存超过限额")
    trouble = trouble_of(load([]), PROFILE, crash)
    assert trouble is not None
    assert trouble.result is Result.FAIL
    assert "more memory than its limit" in trouble.text


@pytest.mark.parametrize(
    ("generator", "result", "cause"),
    [
        ({}, Result.FAIL, None),
        ({"lag p95": 60.0}, Result.SKIP, None),
        ({"generator cpu": 97.0, "lag p95": 60.0}, Result.ERROR, Cause.TEST),
        ({"machine busy": 0.99, "machine cpu": 198.0}, Result.SKIP, None),
        # Two busy programs beside it have half of the machine.
        ({"machine busy": 0.99, "machine cpu": 198.0, "resources": [(1.0, 100.0, 60.0)]}, Result.SKIP, None),
        ({"stolen": 0.2}, Result.SKIP, None),
        ({"machine busy": 0.99, "machine cpu": 198.0, "resources": [(1.0, 150.0, 60.0)]}, Result.FAIL, None),
        (
            {"machine busy": 0.99, "machine cpu": 198.0, "database resources": [(1.0, 150.0, 60.0)]},
            Result.FAIL,
            None,
        ),
    ],
)
def test_a_slow_generator_is_not_a_slow_product(generator: dict[str, Any], result: Result, cause: Cause | None) -> None:
    outcome = load([(2 + n / 10, 900.0, 9.0, True) for n in range(40)], **generator)
    figures = summarise(outcome, PROFILE)
    seen = {case.test: criterion(case, "load", outcome, PROFILE, figures, None, target=NATIVE) for case in load_cases()}
    assert (seen["p95"].result, seen["p95"].cause) == (result, cause)
    assert (seen["p95"].skip_reason is SkipReason.LABORATORY) == (result is Result.SKIP)
    assert seen["error_rate"].result is Result.PASS
    assert seen["throughput"].result is Result.PASS


@pytest.mark.parametrize(
    ("generator", "emulated", "result", "cause"),
    [
        ({}, False, Result.FAIL, None),
        ({}, True, Result.FAIL, None),
        ({"lag p95": 60.0}, False, Result.FAIL, None),
        ({"lag p95": 60.0}, True, Result.ERROR, Cause.INFRA),
    ],
)
def test_wrong_answers_under_load_are_the_products_on_every_target(
    generator: dict[str, Any], emulated: bool, result: Result, cause: Cause | None
) -> None:
    """An emulated target that gave wrong answers was conformant, because it shows no performance."""
    outcome = load([(2 + n / 10, 9.0, 9.0, n % 10 > 0) for n in range(40)], **generator)
    figures = summarise(outcome, PROFILE)
    of = {
        case.test: (
            case,
            criterion(
                case, "load", outcome, PROFILE, figures, None, target=Target(emulated=emulated, judged=not emulated)
            ),
        )
        for case in load_cases()
    }
    case, seen = of["error_rate"]
    assert (seen.result, seen.cause) == (result, cause)
    assert case.certifies_emulated
    assert of["p95"][1].result is (Result.RECORDED if emulated else Result.PASS)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(emulated=True, judged=False), "an emulated target shows no performance"),
        (Target(emulated=False, judged=False), "a container shares its processors"),
    ],
)
def test_speed_that_a_target_cannot_show_is_recorded_and_what_disturbed_it_is_said(target: Target, words: str) -> None:
    facts = {"cpu pressure": 81.0, "run queue": 5.2, "cpus": 2}
    outcome = load([(2 + n / 10, 900.0, 9.0, True) for n in range(40)], **{"lag p95": 60.0, "laboratory": facts})
    figures = summarise(outcome, PROFILE)
    of = {case.test: criterion(case, "load", outcome, PROFILE, figures, None, target=target) for case in load_cases()}
    assert (of["p95"].result, of["p95"].cause, of["p95"].skip_reason) == (Result.RECORDED, None, None)
    assert words in of["p95"].detail
    assert "p95 900.0 ms, threshold" in of["p95"].detail
    assert "this machine was busy (CPU pressure 81 %, 5.2 tasks for 2 CPUs)" in of["p95"].detail
    assert of["error_rate"].result is Result.PASS


@pytest.mark.parametrize(
    ("ages", "connections", "lag", "result", "cause"),
    [
        ([], 0, 0.0, Result.PASS, None),
        ([0.4, 2.9], 2, 0.0, Result.PASS, None),  # under way, and no longer than others may take
        ([4.0, 5.0], 2, 0.0, Result.FAIL, None),
        ([4.0, 5.0], 0, 0.0, Result.PASS, None),  # tasks of the locustfile that wait for something else
        ([4.0, 5.0], 2, 60.0, Result.ERROR, Cause.INFRA),
    ],
)
def test_requests_that_hang_under_load_are_errors_where_speed_is_only_recorded(
    ages: list[float], connections: int, lag: float, result: Result, cause: Cause | None
) -> None:
    """A product that answered half of the requests, and never the others, was conformant in a container."""
    outcome = load(
        [(2 + n / 10, 9.0, 9.0, True) for n in range(40)],
        **{"ages": ages, "connections": connections, "lag p95": lag},
    )
    figures = summarise(outcome, PROFILE)
    container = Target(emulated=False, judged=False)
    of = {
        case.test: criterion(case, "load", outcome, PROFILE, figures, None, target=container) for case in load_cases()
    }
    assert (of["error_rate"].result, of["error_rate"].cause) == (result, cause)
    if result is Result.FAIL:
        assert "(2 requests hang)" in of["error_rate"].detail


def load_cases() -> tuple[Case, ...]:
    return parse(SUITES / "load" / "http" / "suite.yaml", Suite).cases


class Answer:
    def __init__(self, status: int, text: str, media: str = "application/json; charset=utf-8") -> None:
        self.status_code, self.text, self.headers = status, text, {"content-type": media}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(200, '{"text": "load 1f"}'), ""),
        (Answer(503, '{"text": "load 1f"}'), "status 503"),
        (Answer(200, "<html>Something went wrong</html>", "text/html"), "status 200 without the text"),
    ],
)
def test_a_good_status_with_an_error_page_is_no_good_answer(answer: Answer, fault: str) -> None:
    read = PreparedRead("/x", {}, (200,), text="load 1f")
    assert read.fault(answer).startswith(fault)
    assert bool(read.fault(answer)) == bool(fault)


def test_without_a_resource_the_media_type_tells_an_error_page() -> None:
    read = PreparedRead("/health", {}, (200,), media="application/json")
    assert read.fault(Answer(200, "{}")) == ""
    assert "text/html in place of application/json" in read.fault(Answer(200, "<html>", "text/html"))


def test_schedule_ramps_then_holds() -> None:
    driver = Path(__file__).parents[2] / "harness/runners/locust/driver.py"
    # In a process of its own: importing locust patches the interpreter.
    code = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("driver", {str(driver)!r})
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
starts = module.schedule(20, 2, 3)
assert starts == sorted(starts)
assert len([s for s in starts if s < 2]) == 20, len([s for s in starts if s < 2])
assert len([s for s in starts if s >= 2]) == 60
assert len([s for s in starts if s < 1]) == 5
assert module.schedule(5, 0, 1) == [0, .2, .4, .6, .8]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


class Lab:
    """A deployment as far as judging a load is concerned; ``trouble`` is what the known-good probe finds."""

    def __init__(self, trouble: str) -> None:
        self.trouble = trouble
        http = SimpleNamespace(resource=True)
        self.context = SimpleNamespace(
            emulated=False, judges_performance=True, application=SimpleNamespace(http=http, limits=Limits())
        )

    def ensure_running(self) -> None: ...
    def exit_code(self) -> None: ...
    def unasked_ends(self) -> list[End]:
        return []

    def lab_trouble(self) -> str | None:
        return self.trouble


@pytest.mark.parametrize(("trouble", "result"), [("", Result.FAIL), ("the database does not answer", Result.ERROR)])
def test_a_load_that_fails_because_of_the_lab_is_not_the_products_failure(
    monkeypatch: pytest.MonkeyPatch, trouble: str, result: Result
) -> None:
    path = Path(__file__).parents[2] / "suites" / "load" / "http"
    located = LocatedSuite(parse(path / "suite.yaml", Suite), path)
    bad = load([(2 + n / 10, 10.0, 9.0, False) for n in range(40)])
    monkeypatch.setattr(locust_runner, "drive", lambda *_, **__: bad)
    ledger: Any = SimpleNamespace(keep=lambda *_: "")
    lab: Any = Lab(trouble)
    seen = {
        one.case: one
        for one in locust_runner.run_locust(located, located.definition.cases, lab, ledger, threading.Event())
    }
    assert seen["LOAD-02"].result is result
    assert (seen["LOAD-02"].cause is Cause.INFRA) == bool(trouble)


@pytest.mark.parametrize(
    ("seconds", "rate"), [(0.001, 4.0), (0.5, 1.0), (1.0, 0.5), (60.0, 0.5)], ids=["quick", "slow", "slower", "stuck"]
)
def test_an_emulated_target_is_asked_as_often_as_it_can_answer(
    monkeypatch: pytest.MonkeyPatch, seconds: float, rate: float
) -> None:
    clock = [0.0]

    def again() -> None:
        clock[0] += seconds

    monkeypatch.setattr("harness.runners.locust.driving.time.monotonic", lambda: clock[0])
    profile = PROFILE.model_copy(update={"rate": 40, "emulated_rate": 4, "hold": 6})
    assert calibrated_rate(profile, again) == rate


def test_an_emulated_target_that_answers_nothing_is_neither_green_nor_the_products_failure() -> None:
    hanging = load([], **{"under way": 16, "connections": 16})
    native, emulated = trouble_of(hanging, PROFILE, None), trouble_of(hanging, PROFILE, None, emulated=True)
    assert native is not None
    assert emulated is not None
    assert native.result is Result.FAIL
    assert (emulated.result, emulated.cause) == (Result.ERROR, Cause.INFRA)
    crash = ProductFault("it ended with status 1", "以状态 1 退出")
    ended = trouble_of(hanging, PROFILE, crash, emulated=True)
    assert ended is not None
    assert ended.result is Result.FAIL


def test_a_load_that_the_busy_laboratory_made_late_is_repeated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parents[2] / "suites" / "load" / "http"
    located = LocatedSuite(parse(path / "suite.yaml", Suite), path)
    late = [(2 + n / 10, 900.0, 9.0, True) for n in range(40)]
    loads = [load(late, **{"lag p95": 60.0}), load([(2 + n / 10, 9.0, 9.0, True) for n in range(40)])]
    kept: list[str] = []
    waited: list[object] = []
    monkeypatch.setattr(locust_runner, "drive", lambda *_, **__: loads.pop(0))
    monkeypatch.setattr(locust_runner, "await_quiet", waited.append)
    ledger: Any = SimpleNamespace(keep=lambda name, *_: kept.append(name))
    lab: Any = Lab("")
    seen = locust_runner.run_locust(located, located.definition.cases, lab, ledger, threading.Event())
    assert {each.result for each in seen} == {Result.PASS}
    assert (len(waited), kept, loads) == (1, ["load-http.json", "load-http-again.json"], [])


@pytest.mark.parametrize(
    ("changes", "trouble", "result", "reason"),
    [
        ({"wrong": True}, "", Result.FAIL, None),  # wrong answers, while it was late as well
        ({}, "container x of application was paused", Result.ERROR, None),
    ],
)
def test_a_failure_that_was_seen_is_not_repeated_away_nor_a_disturbance(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], trouble: str, result: Result, reason: None
) -> None:
    path = Path(__file__).parents[2] / "suites" / "load" / "http"
    located = LocatedSuite(parse(path / "suite.yaml", Suite), path)
    late = [(2 + n / 10, 900.0, 9.0, not changes) for n in range(40)]
    loads = [load(late, **{"lag p95": 60.0})]
    monkeypatch.setattr(locust_runner, "drive", lambda *_, **__: loads.pop(0))
    ledger: Any = SimpleNamespace(keep=lambda *_: "")
    lab: Any = Lab(trouble)
    seen = {
        each.case: each
        for each in locust_runner.run_locust(located, located.definition.cases, lab, ledger, threading.Event())
    }
    assert (seen["LOAD-02"].result, seen["LOAD-02"].skip_reason) == (result, reason)
    assert trouble in seen["LOAD-01"].detail


def test_a_suite_that_cannot_be_watched_is_ended(tmp_path: Path) -> None:
    """Without its watcher it would have no limit, and could not be stopped."""

    class Broken:
        def messages(self) -> Any:
            raise OSError(5, "Input/output error")

    def waits(*_: Any, cancel: threading.Event, **__: Any) -> Any:
        assert cancel.wait(30), "nobody ended it"
        raise Canceled("ended")

    reader: Any = Broken()
    with pytest.raises(OSError, match="Input/output error"):
        watched(reader, tmp_path / "spec", tmp_path / "log", tmp_path, context(tmp_path), threading.Event(), waits)
