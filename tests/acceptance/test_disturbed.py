"""What somebody does to a cell's container while it is tested is never the product's failure; what a suite does is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.containers.engine import Engine
from harness.evidence import Workspace
from harness.system.wait import wait_until
from tests.conftest import Run
from tests.pages import pdf_text
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


LOAD = """
suite: pressure
version: "1"
runner: locust
title: pressure
profile: {rate: 20, ramp: 0.5, hold: 4, users: 60, p95_ms: 1000, error_rate: 0.01, achieved: 0.5,
          judged_in_containers: true}
cases:
  - {id: V-P95, test: p95, title: p95, characteristic: performance_efficiency, clause: "5.3.2", blocker: true}
"""
ERRORS = (
    '  - {id: V-ERR, test: error_rate, title: errors, characteristic: reliability, clause: "5.3.5", blocker: true}\n'
)
#: Reads as the shipped one does, and says when the first read is sent: users begin long before on a busy machine.
READER = """
import pathlib
from locust import task
from locust.contrib.fasthttp import FastHttpUser
from harness.runners.locust.support import prepared_read


class Reader(FastHttpUser):
    def on_start(self):
        self.prepared = prepared_read()

    @task
    def read(self):
        pathlib.Path({mark!r}).touch()
        self.client.get(self.prepared.path, headers=self.prepared.headers, name="read")
"""


def cell(ran: Any) -> dict[str, Any]:
    (found,) = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    return dict(found)


def test_a_pause_by_somebody_is_the_labs_and_the_cell_is_tried_again(harness: Run, tmp_path: Path) -> None:
    check = DISTURBED.format(mark=str(tmp_path / "mark"))
    trusted = ("--trust-code", "--format", "json")  # this suite reaches the engine, which no vendor's suite may
    ran = harness("run", product(tmp_path / "p", WEB, check=check), *trusted)
    assert ran.code == 0, ran.err
    assert cell(ran)["verdict"] == "conformant"
    listed = harness(
        "run",
        product(tmp_path / "q", WEB, check=DISTURBED.format(mark=str(tmp_path / "mark2")), retries={"infra": 0}),
        *trusted,
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


@pytest.mark.load
def test_a_pause_under_a_load_is_the_labs_and_the_load_is_repeated(harness: Run, tmp_path: Path) -> None:
    """Somebody pauses the product for most of the hold, so that it answers late; the second time nobody does."""
    mark, workspace = tmp_path / "mark", tmp_path / ".harness"
    folder = product(tmp_path / "p", WEB, suites=["checks", "pressure"])
    (folder / "pressure").mkdir()
    (folder / "pressure" / "suite.yaml").write_text(LOAD)
    (folder / "pressure" / "locustfile.py").write_text(READER.format(mark=str(mark)))

    def pause() -> None:
        wait_until(mark.exists, seconds=900, what="the load")
        engine = Engine(Workspace(workspace).id)
        (name,) = [name for kind, name, labels in engine.ours() if kind == "container" and "application" in name]
        container = engine.client.containers.get(name)
        container.pause()
        time.sleep(2.5)
        container.unpause()

    with ThreadPoolExecutor(1) as pool:
        paused = pool.submit(pause)
        ran = harness("run", folder, "--trust-code", "--format", "json")  # its locustfile writes a mark for this test
        paused.result(0)
    assert ran.code == 0, ran.err
    found = cell(ran)
    assert found["verdict"] == "conformant", found["message"]
    first, second = found["attempts"]
    assert (first["verdict"], first["cause"], second["verdict"]) == ("inconclusive", "infra", "conformant")
    assert "of application was paused" in first["message"]
    assert "p95" in first["message"]


@pytest.mark.load
@pytest.mark.parametrize("required", [False, True], ids=["noted", "required"])
def test_what_a_busy_machine_hides_of_performance_is_no_failure_and_is_said(
    harness: Run, tmp_path: Path, required: bool
) -> None:
    """No product answers within its threshold of a microsecond; beside the load, programs use all of the processor."""
    folder = product(
        tmp_path / "p",
        WEB,
        suites=["checks", "pressure"],
        require={"performance": required},
        retries={"infra": 0},
    )
    (folder / "pressure").mkdir()
    (folder / "pressure" / "suite.yaml").write_text(LOAD.replace("p95_ms: 1000", "p95_ms: 0.001") + ERRORS)
    (folder / "pressure" / "locustfile.py").write_text(READER.format(mark=str(tmp_path / "mark")))
    spin = "import time; end = time.monotonic() + 600\nwhile time.monotonic() < end: pass"
    busy = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        ran = harness("run", folder, "--trust-code", "--format", "json")
    finally:
        for process in busy:
            process.kill()
            process.wait()
    seen = cell(ran)
    cases = {case["id"]: case for case in seen["cases"]}
    assert (cases["V-P95"]["result"], cases["V-P95"]["skip_reason"]) == ("skip", "laboratory"), cases["V-P95"]
    assert cases["V-ERR"]["result"] == "pass"
    assert {file["name"] for file in seen["files"]} >= {"pressure.json", "pressure-again.json"}  # it was repeated
    if required:
        assert (seen["verdict"], seen["cause"]) == ("inconclusive", "infra"), seen["message"]
        assert "certificate" not in ran.json["outputs"]
        return
    assert (ran.code, seen["verdict"]) == (0, "conformant"), seen["message"]
    assert seen["message"].startswith("performance was not judged: V-P95 p95: ")
    page = pdf_text(ran.json["outputs"]["certificate"])
    assert "Performance not judged on" in page
    assert "性能未判定" in page
