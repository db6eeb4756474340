"""Stability in the self-test profile: a leak, bursts and trouble in the system log are named; a good product passes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.products import product

pytestmark = pytest.mark.load

STEADY: dict[str, Any] = {
    "application": "steady",
    "name": {"zh": "平稳", "en": "Steady"},
    "vendor": "Example",
    "version": "1.0",
    "needs": ["python3"],
    "artifacts": [{"path": "steady.py", "install": "copy", "to": "/opt/steady/steady.py"}],
    "start": 'exec python3 /opt/steady/steady.py "$FAULT"',
    "environment": {"FAULT": "{{ cell.fault }}"},
    "ready": {"path": "/health", "seconds": 60},
    "ports": {"web": 8080},
    "limits": {"memory": "512m", "cpus": 1, "processes": 128},
    "http": {"port": "web"},
}
FAULTY = {
    "STAB-02": "of what the machine may use",
    "STAB-05": "grew in each third",
    "STAB-07": "I/O error on device vda",
}


def test_each_fault_is_named_and_a_good_product_is_not_accused(harness: Run, tmp_path: Path) -> None:
    folder = product(
        tmp_path / "p",
        STEADY,
        axes={"fault": ["good", "bad"]},
        suites=["load/stability"],
        require={"performance": True},
    )
    shutil.copy(Path(__file__).with_name("steady.py"), folder / "steady.py")
    ran = harness("run", folder, "--format", "json")
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    seen = {
        (cell["axes"]["fault"], case["id"]): case
        for cell in record["cells"]
        for case in cell["cases"]
        if case["id"].startswith("STAB")
    }
    results = {place: (case["result"], case["detail"]) for place, case in seen.items()}
    assert {result for (fault, _), (result, _) in results.items() if fault == "good"} <= {"pass", "skip"}, results
    for number in (1, 2, 5, 6, 7):
        assert results["good", f"STAB-0{number}"][0] == "pass", results
    for case, words in FAULTY.items():
        assert results["bad", case][0] == "fail", results
        assert words in results["bad", case][1]
    # Bursts of CPU are known of the product only where nothing else keeps the machine busy.
    bursts = seen["bad", "STAB-01"]
    assert bursts["result"] == "fail" or bursts["skip_reason"] == "laboratory", results
    assert "of what the machine may use, threshold 5 %" in bursts["detail"]
    assert "all is well" not in results["bad", "STAB-07"][1]
    assert results["bad", "STAB-06"][0] == "pass", results
    measured = {one["name"]: one for one in seen["bad", "STAB-05"]["measurements"]}
    assert measured["memory slope low"]["value"] > 1000
    assert measured["memory slope"]["unit"] == "MiB/h"
    assert ran.json["profile"] == record["profile"] == "self-test"
