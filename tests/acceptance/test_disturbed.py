"""What somebody does to a cell's container while it is tested is never the product's failure; what a suite does is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import WEB, product

#: The first time somebody pauses the container for a moment, and the case fails as if the product had been slow.
DISTURBED = """
import pathlib
import docker


def test_it_answers_in_time(application):
    mark = pathlib.Path({mark!r})
    if not mark.exists():
        mark.touch()
        client = docker.from_env()
        container = client.containers.get(application.machine.container)
        container.pause()
        container.unpause()
        client.close()
        raise AssertionError("p95 2724 ms, threshold 250 ms")
"""
VERBS = """
import pytest
from harness.errors import UnsupportedVerb


def test_it_goes_on_after_a_pause(application, http):
    application.machine.verbs.pause()
    application.machine.verbs.resume()
    assert http.send("GET", "/health").text == "good\\n"


def test_what_a_container_cannot(application):
    with pytest.raises(UnsupportedVerb):
        application.machine.verbs.move_clock(60)


def test_a_failure_after_its_own_verb_is_the_products(application):
    application.machine.verbs.pause()
    application.machine.verbs.resume()
    assert False, "it lost its data"
"""


def cell(ran: Any) -> dict[str, Any]:
    (found,) = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    return dict(found)


def test_a_pause_by_somebody_is_the_labs_and_the_cell_is_tried_again(harness: Run, tmp_path: Path) -> None:
    check = DISTURBED.format(mark=str(tmp_path / "mark"))
    ran = harness("run", product(tmp_path / "p", WEB, check=check), "--format", "json")
    assert ran.code == 0, ran.err
    assert cell(ran)["verdict"] == "conformant"
    listed = harness(
        "run",
        product(tmp_path / "q", WEB, check=DISTURBED.format(mark=str(tmp_path / "mark2")), retries={"infra": 0}),
        "--format",
        "json",
    )
    found = cell(listed)
    assert found["verdict"] == "inconclusive", found["message"]
    assert "of application was paused" in found["message"]
    assert "p95 2724 ms" in found["message"]


def test_a_suites_own_verbs_are_no_disturbance(harness: Run, tmp_path: Path) -> None:
    ran = harness("run", product(tmp_path / "p", WEB, check=VERBS), "--format", "json")
    found = cell(ran)
    assert found["verdict"] == "nonconformant", found["message"]
    results = {case["title"]["en"]: case["result"] for case in found["cases"] if case["suite"] == "checks"}
    assert sorted(results.values()) == ["fail", "pass", "pass"], results
    assert "it lost its data" in found["message"]
