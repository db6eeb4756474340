"""Suites and cases that the operator chooses: what is left out is shown, and nothing of it ends as a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.products import WEB, product

TWO = "def test_good(application):\n    assert application.running()\n\n\ndef test_bad():\n    assert False, 'it ran'\n"


def cases(campaign: dict[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """The results of each cell's own suites by name of the test."""
    record = json.loads(Path(campaign["outputs"]["json"]).read_text())
    deployed = [case["result"] for cell in record["cells"] for case in cell["cases"] if case["id"] == "DEP-1"]
    assert deployed == ["pass"] * len(record["cells"])
    return [
        {case["test"]: case for case in cell["cases"] if case["suite"] in ("checks", "more/checks")}
        for cell in record["cells"]
    ]


@pytest.mark.full
def test_one_case_is_run_and_the_others_are_left_out(harness: Run, tmp_path: Path) -> None:
    """Two cells, two suites; what was chosen passes, and is no verdict of the product."""
    axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"], "n": ["1", "2"]}
    root = product(tmp_path / "p", WEB, axes=axes, check=TWO, suites=["checks", "more/checks"])
    (root / "more/checks").mkdir(parents=True)
    (root / "more/checks" / "test_more.py").write_text("def test_more():\n    pass\n")
    whole = harness("run", root, "--format", "json")
    assert whole.code == 1, whole.err
    good = next(case["id"] for test, case in cases(whole.json)[0].items() if "test_good" in test)
    ran = harness("run", root, "--case", good, "--format", "json")
    assert ran.code == 3, ran.err
    for cell in ran.json["cells"]:
        assert (cell["verdict"], cell["cause"]) == ("inconclusive", "canceled")
        assert "left out" in cell["message"] or "left it out" in cell["message"]
    for results in cases(ran.json):
        seen = {test: (case["result"], case["skip_reason"]) for test, case in results.items() if case["id"] != good}
        assert set(seen.values()) == {("skip", "operator")}
        assert next(case["result"] for case in results.values() if case["id"] == good) == "pass"
    assert harness("gate").code == 3
    again = harness("resume", "--format", "json")
    assert again.code == 3, "the choice is part of the campaign"
    bad = next(case["id"] for test, case in cases(whole.json)[0].items() if "test_bad" in test)
    assert harness("run", root, "--case", bad).code == 1
    assert harness("resume").code == 1, "no cell is left, and none has the case"
    suite = harness("run", root, "--suite", "more/checks", "--format", "json")
    assert suite.code == 3, suite.err
    for results in cases(suite.json):
        assert {case["suite"]: case["result"] for case in results.values()} == {"checks": "skip", "more/checks": "pass"}


def test_a_name_that_no_cell_has_is_refused(harness: Run, tmp_path: Path) -> None:
    root = product(tmp_path / "p", WEB)
    for option, name, known in (("--suite", "chekcs", "checks"), ("--case", "LC-06", "")):
        ran = harness("run", root, option, name)
        assert ran.code == 2
        assert f"{option} {name}: no cell of this campaign has it; known: {known}" in ran.err
        assert not (tmp_path / ".harness" / "journal.sqlite").exists()
