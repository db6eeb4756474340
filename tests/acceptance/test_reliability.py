"""Faults around a product: what it loses, and what it does not recover from, is named; a good product passes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import product

DSN = "host={{ db.host }} port={{ db.port }} dbname={{ db.name }} user={{ db.user }} password={{ db.password }}"
FAULTS = ("forgets", "stays-away", "single")
TEXTS: dict[str, Any] = {
    "application": "texts",
    "name": {"zh": "文本", "en": "Texts"},
    "vendor": "Example",
    "version": "1.0",
    "needs": ["python3", "python3-psycopg2"],
    "artifacts": [{"path": "forgetful.py", "install": "copy", "to": "/opt/texts/texts.py"}],
    "schema": {"postgresql": [{"sql": "CREATE TABLE texts (k VARCHAR(60) PRIMARY KEY, t TEXT)"}]},
    "start": 'exec python3 /opt/texts/texts.py "$FAULT" "$DSN"',
    "environment": {"DSN": DSN, "FAULT": "{{ cell.fault }}"},
    "ready": {"path": "/health", "seconds": 30},
    "ports": {"web": 8080},
    "recovery_seconds": 8,
    "limits": {"memory": "512m", "cpus": 1, "processes": 2048},
    "http": {
        "port": "web",
        "resource": {
            "key": "k{{ n }}",
            "create": {"method": "PUT", "path": "/texts/{{ key }}", "content": "{{ text }}", "status": [201]},
            "read": {"method": "GET", "path": "/texts/{{ key }}"},
            "update": {"method": "PUT", "path": "/texts/{{ key }}", "content": "{{ text }}", "status": [201]},
            "delete": {"method": "DELETE", "path": "/texts/{{ key }}"},
            "gone": [404],
        },
    },
}


def test_each_fault_is_named_and_a_good_product_passes(harness: Run, tmp_path: Path) -> None:
    axes = {"fault": ["good", *FAULTS]}
    folder = product(tmp_path / "p", TEXTS, database=["postgresql"], axes=axes, suites=["reliability/faults"])
    shutil.copy(Path(__file__).with_name("forgetful.py"), folder / "forgetful.py")
    ran = harness("run", folder, "--format", "json", timeout=1800)
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    cells = {cell["axes"]["fault"]: cell for cell in record["cells"]}
    cases = {(fault, case["id"]): case for fault, cell in cells.items() for case in cell["cases"]}
    results = {place: case["result"] for place, case in cases.items()}
    details = {place: case["detail"] for place, case in cases.items()}
    shown = {place: text for place, text in details.items() if place[1].startswith("REL")}
    shows = [f"REL-{number:02}" for number in (1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 17)]
    for name in shows:
        assert results["good", name] == "pass", shown
    # What a container cannot show is skipped, and does not decide.
    assert {results["good", name] for name in ("REL-06", "REL-07", "REL-16")} == {"skip"}
    assert cells["good"]["verdict"] == "conformant"
    assert results["forgets", "REL-01"] == "fail", shown
    assert "texts that the product had acknowledged are lost" in details["forgets", "REL-01"]
    assert results["stays-away", "REL-01"] == "fail", shown
    assert "takes and gives texts again after a stop of the database" in details["stays-away", "REL-01"]
    for name, words in (("REL-08", "1000 connections"), ("REL-09", "50 requests are not finished")):
        assert results["single", name] == "fail", shown
        assert words in details["single", name]
    assert results["single", "REL-01"] == "pass", shown
    # What a fault has left behind is not held against the product under the next.
    for name in ("REL-03", "REL-05", "REL-10", "REL-14"):
        assert results["stays-away", name] == "pass", shown
    for name in ("REL-11", "REL-13"):
        assert (results["forgets", name], results["stays-away", name]) == ("fail", "fail"), shown
    report = Path(ran.json["outputs"]["html"]).read_text()
    assert "数据库停止" in report
    verdicts = {fault: cell["verdict"] for fault, cell in cells.items()}
    assert (verdicts["forgets"], verdicts["stays-away"]) == ("nonconformant", "nonconformant")


def test_clients_that_vanish_hold_a_product_that_waits_for_each_without_end(harness: Run, tmp_path: Path) -> None:
    """It serves while requests are not finished, as long as those are few: so it is another case that names it."""
    folder = product(
        tmp_path / "p",
        TEXTS,
        database=["postgresql"],
        axes={"fault": ["good", "full"]},
        suites=["reliability/faults"],
    )
    shutil.copy(Path(__file__).with_name("forgetful.py"), folder / "forgetful.py")
    ran = harness("run", folder, "--format", "json", "--case", "REL-09", "--case", "REL-10", "--case", "REL-17")
    cells = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    of = {cell["axes"]["fault"]: {case["id"]: case for case in cell["cases"]} for cell in cells}
    results = {(fault, name): of[fault][name]["result"] for fault in of for name in ("REL-09", "REL-10", "REL-17")}
    assert results == {
        ("good", "REL-09"): "pass",
        ("good", "REL-10"): "pass",
        ("good", "REL-17"): "pass",
        ("full", "REL-09"): "pass",
        ("full", "REL-10"): "pass",  # what the vanished clients have left is not held against it
        ("full", "REL-17"): "fail",
    }, of
    assert "takes and gives texts again after its clients have vanished" in of["full"]["REL-17"]["detail"]
    measured = {each["name"]: each["value"] for each in of["good"]["REL-17"]["measurements"]}
    assert measured["connections"] == 100
    assert measured["connections that it held when the clients were gone"] >= 100
