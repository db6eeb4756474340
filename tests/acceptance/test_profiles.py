"""A campaign in profile center tests as often as that profile says, and so does what is replayed from its bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import Run
from tests.products import WEB, product

CHECK = """
def test_it(amount, note, application):
    for _ in range(amount("rounds")):
        assert application.running()
    note(f"{amount('rounds')} rounds")
"""
SUITE = {
    "suite": "checks",
    "version": "1",
    "title": "own",
    "runner": "pytest",
    "amounts": {"rounds": {"title": "rounds", "of": {"self-test": 2, "center": 7}}},
    "cases": [
        {
            "id": "OWN-1",
            "test": "test_it",
            "title": "answers {rounds} times",
            "characteristic": "reliability/maturity",
            "clause": "5.3.5",
            "blocker": True,
        }
    ],
}


def case_of(outputs: dict[str, str]) -> tuple[str, dict[str, Any]]:
    record = json.loads(Path(outputs["json"]).read_text())
    (case,) = [case for case in record["cells"][0]["cases"] if case["id"] == "OWN-1"]
    return record["profile"], case


def test_a_profile_stays_from_run_to_replay(harness: Run, tmp_path: Path) -> None:
    root = product(tmp_path / "p", WEB, check=CHECK)
    (root / "checks" / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    ran = harness("run", root, "--profile", "center", "--format", "json")
    assert ran.code == 0, ran.err
    assert ran.json["profile"] == "center"
    profile, case = case_of(ran.json["outputs"])
    assert (profile, case["title"]["en"], case["detail"]) == ("center", "answers 7 times", "7 rounds")
    assert harness("verify").code == 0
    assert harness("bundle", "--out", tmp_path / "b.tar").code == 0
    again = harness("replay", tmp_path / "b.tar", "--workspace", tmp_path / "elsewhere", "--format", "json")
    assert again.code == 0, again.err
    shown = harness("show", "--workspace", tmp_path / "elsewhere", "--format", "json")
    profile, case = case_of(shown.json["outputs"])
    assert (profile, case["detail"]) == ("center", "7 rounds")
