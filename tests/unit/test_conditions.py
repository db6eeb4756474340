"""Conditions of the test: of the campaign's controller, or of the workers of a center."""

from __future__ import annotations

from typing import Any

from harness.model.records import AttemptFacts, AttemptRow
from harness.model.results import State, Verdict
from harness.presentation.conditions import condition, machine, of_worker
from harness.report.controllers import Controllers

NORTH = {"worker": "north", "system": "Debian 12", "machine": "x86_64", "kernel": "6.1", "cpus": 4, "memory": 2**33}
SOUTH = {**NORTH, "worker": "south", "machine": "aarch64", "cpus": 64, "memory": 2**37}
TOOLS = {"tools": {"pytest": "9.0", "locust": "2.3"}}
BEGUN = {"harness": "1.0"}


def attempt(number: int, controller: dict[str, Any], started: str = "") -> AttemptRow:
    return AttemptRow(
        cell="cell",
        number=number,
        state=State.DONE,
        verdict=Verdict.CONFORMANT,
        cause=None,
        message="",
        started=started,
        finished="",
        facts=AttemptFacts(controller=controller),
    )


def test_of_one_controller_they_stay_what_the_campaign_recorded() -> None:
    own = {**NORTH, **TOOLS}
    assert Controllers([attempt(1, {})]).conditions(own) == own
    assert Controllers([attempt(1, {})]).name({}) == ""
    assert condition(own, "tools") == "pytest 9.0, locust 2.3"
    assert condition(own, "memory") == "8.0 GiB"
    assert condition({}, "memory", "?") == "?"


def test_of_two_workers_what_differs_is_shown_by_name_and_what_does_not_once() -> None:
    at = Controllers([attempt(1, {**NORTH, **TOOLS}), attempt(2, {**SOUTH, **TOOLS})]).conditions(BEGUN)
    assert at["workers"] == ["north", "south"]
    assert condition(at, "cpus") == "north: 4; south: 64"
    assert condition(at, "memory") == "north: 8.0 GiB; south: 128.0 GiB"
    assert condition(at, "tools") == "pytest 9.0, locust 2.3"
    assert machine(at) == "Debian 12, north: x86_64; south: aarch64, kernel 6.1"
    assert of_worker(at, "south")["cpus"] == 64
    assert condition(of_worker(at, "south"), "memory") == "128.0 GiB"


def test_tools_that_differ_are_shown_by_worker() -> None:
    other = {"tools": {"pytest": "9.1"}}
    at = Controllers([attempt(1, {**NORTH, **TOOLS}), attempt(2, {**SOUTH, **other})]).conditions(BEGUN)
    assert condition(at, "tools") == "north: pytest 9.0, locust 2.3; south: pytest 9.1"


def test_a_worker_that_was_upgraded_meanwhile_stands_there_for_each_of_its_versions() -> None:
    """In the order of their beginnings; another worker, and the same version again, change nothing of that."""
    old, new = {**NORTH, "harness": "0.9"}, {**NORTH, "harness": "1.0"}
    attempts = [attempt(1, new, "t3"), attempt(2, old, "t1"), attempt(3, old, "t2")]
    attempts.append(attempt(4, {**SOUTH, "harness": "1.0"}, "t4"))
    ran = Controllers(attempts)
    at = ran.conditions(BEGUN)
    assert at["workers"] == ["north (1)", "north (2)", "south"]
    assert (ran.name(old), ran.name(new), ran.name(attempts[3].facts.controller)) == ("north (1)", "north (2)", "south")
    assert condition(at, "harness") == "north (1): 0.9; north (2): 1.0; south: 1.0"
    assert condition(of_worker(at, "north (1)"), "harness") == "0.9"


def test_workers_that_are_named_like_numbered_ones_are_kept_apart() -> None:
    old, new = {**NORTH, "harness": "0.9"}, {**NORTH, "harness": "1.0"}
    odd = {**SOUTH, "worker": "north (1)", "harness": "1.0"}
    ran = Controllers([attempt(1, old, "t1"), attempt(2, new, "t2"), attempt(3, odd, "t3")])
    assert ran.conditions(BEGUN)["workers"] == ["north (1)", "north (2)", "north (3)"]
    assert [ran.name(each) for each in (old, new, odd)] == ["north (2)", "north (3)", "north (1)"]
