"""Conditions of the test: of the campaign's controller, or of the workers of a center."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.model.records import AttemptFacts, AttemptRow, CampaignRow
from harness.model.results import State, Verdict
from harness.presentation.conditions import condition, machine, of_worker
from harness.report.view import _conditions

NORTH = {"worker": "north", "system": "Debian 12", "machine": "x86_64", "kernel": "6.1", "cpus": 4, "memory": 2**33}
SOUTH = {**NORTH, "worker": "south", "machine": "aarch64", "cpus": 64, "memory": 2**37}
TOOLS = {"tools": {"pytest": "9.0", "locust": "2.3"}}
CAMPAIGN = CampaignRow(
    id="c",
    created="",
    finished=None,
    matrix="m",
    folder="",
    plan_digest="",
    plan={},
    options={},
    conditions={"harness": "1.0"},
    verdict=None,
)


def attempt(number: int, controller: dict[str, Any]) -> AttemptRow:
    return AttemptRow(
        cell="cell",
        number=number,
        state=State.DONE,
        verdict=Verdict.CONFORMANT,
        cause=None,
        message="",
        started="",
        finished="",
        facts=AttemptFacts(controller=controller),
    )


def test_of_one_controller_they_stay_what_the_campaign_recorded() -> None:
    own = replace(CAMPAIGN, conditions={**NORTH, **TOOLS})
    assert _conditions(own, [attempt(1, {})]) == own.conditions
    assert condition(own.conditions, "tools") == "pytest 9.0, locust 2.3"
    assert condition(own.conditions, "memory") == "8.0 GiB"
    assert condition({}, "memory", "?") == "?"


def test_of_two_workers_what_differs_is_shown_by_name_and_what_does_not_once() -> None:
    at = _conditions(CAMPAIGN, [attempt(1, {**NORTH, **TOOLS}), attempt(2, {**SOUTH, **TOOLS})])
    assert at["workers"] == ["north", "south"]
    assert condition(at, "cpus") == "north: 4; south: 64"
    assert condition(at, "memory") == "north: 8.0 GiB; south: 128.0 GiB"
    assert condition(at, "tools") == "pytest 9.0, locust 2.3"
    assert machine(at) == "Debian 12, north: x86_64; south: aarch64, kernel 6.1"
    assert of_worker(at, "south")["cpus"] == 64
    assert condition(of_worker(at, "south"), "memory") == "128.0 GiB"


def test_tools_that_differ_are_shown_by_worker() -> None:
    other = {"tools": {"pytest": "9.1"}}
    at = _conditions(CAMPAIGN, [attempt(1, {**NORTH, **TOOLS}), attempt(2, {**SOUTH, **other})])
    assert condition(at, "tools") == "north: pytest 9.0, locust 2.3; south: pytest 9.1"
