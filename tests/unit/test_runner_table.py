"""The table of runners: every name that a suite may give is run by something."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.model.definitions import Suite
from harness.model.definitions.runners import RUNNER_KINDS
from harness.reading.kinds import schema_of
from harness.runners.locust.driving import DRIVER
from harness.runners.runner import FILES_RUNNERS, PRODUCT_RUNNERS


def suite(**changes: object) -> dict[str, object]:
    return {"suite": "own", "version": "1", "title": "own", "runner": "pytest", "cases": (), **changes}


def test_every_runner_of_a_product_or_its_files_is_in_a_table() -> None:
    stages = {name: kind.stage for name, kind in RUNNER_KINDS.items()}
    assert set(PRODUCT_RUNNERS) == {name for name, stage in stages.items() if stage == "product"}
    assert set(FILES_RUNNERS) == {name for name, stage in stages.items() if stage == "files"}


def test_an_unknown_runner_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(ValidationError, match=r"no such runner: pytst; there are deployment, scan, pytest, locust"):
        Suite.model_validate(suite(runner="pytst"))


def test_the_schema_names_the_runners() -> None:
    assert schema_of("suite")["properties"]["runner"]["enum"] == list(RUNNER_KINDS)


def test_a_profile_belongs_to_a_load_only() -> None:
    with pytest.raises(ValidationError, match="`profile` belongs to `runner: locust`"):
        Suite.model_validate(suite(runner="locust"))


def test_the_load_driver_is_where_it_is_started_from() -> None:
    assert DRIVER.is_file()
