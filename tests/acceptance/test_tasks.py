"""Programs that are run and end: no server, no database, and a certificate of what they compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import WEB, product

SUITES = ["compat/tasks", "compat/lifecycle"]
AWK = "busybox awk 'BEGIN { for (i = 1; i <= 3; i++) printf \"%.12g\\n\", i / 7 }' >sevenths.txt"
SEVENTHS: dict[str, Any] = {
    "task": "sevenths",
    "command": f"{AWK}; cat 说明.txt",
    "files": ["说明.txt"],
    "outputs": [
        {"file": "sevenths.txt", "expected": "sevenths.txt", "compare": "numbers", "relative": 1e-9},
        {"file": "stdout", "expected": "说明.txt"},
    ],
}
REFUSED: dict[str, Any] = {"task": "refused", "command": "echo no >&2; exit 3", "status": [3]}
#: Installed like the small web server of other tests, so that its environment is made once.
BATCH: dict[str, Any] = {
    **{key: WEB[key] for key in ("name", "vendor", "version", "packages", "setup", "limits")},
    "application": "tiny-batch",
    "user": "nobody",
    "tasks": [SEVENTHS, REFUSED],
}


def files(root: Path) -> Path:
    (root / "说明.txt").write_text("国产化适配\n")
    (root / "sevenths.txt").write_text("0.142857142857142857\n0.285714285714285714\n0.428571428571428571\n")
    return root


def cases_of(cell: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in cell["cases"]}


def test_a_program_without_a_server_is_certified(harness: Run, tmp_path: Path) -> None:
    """On two architectures, without a database; what has no meaning for it is left out, and is no failure."""
    cpus = ["x86-64", "kunpeng-920"]
    root = files(product(tmp_path / "p", BATCH, suites=SUITES, cpu=cpus, database=["none"]))
    ran = harness("run", root, "--format", "json")
    assert ran.code == 0, ran.err + ran.out
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    assert "certificate" in ran.json["outputs"]
    assert [cell["verdict"] for cell in record["cells"]] == ["conformant"] * 2
    for cell in record["cells"]:
        cases = cases_of(cell)
        results = {name: case["result"] for name, case in cases.items()}
        assert {name: results[name] for name in results if name.startswith("TSK")} == {
            f"TSK-0{number}": "pass" for number in range(1, 6)
        }
        skipped = {name for name, result in results.items() if result == "skip"}
        assert {"DEP-5", "DEP-6", "DEP-11", "LC-03", "LC-04", "LC-05", "LC-06"} <= skipped
        assert all("no server" in cases[name]["detail"] for name in ("DEP-5", "LC-05", "LC-06"))
        assert results["LC-01"] == "pass"
        measured = {m["name"]: m["value"] for m in cases["TSK-02"]["measurements"]}
        assert measured["outputs compared"] == 2
        assert 0 < measured["sevenths, sevenths.txt: largest relative difference"] < 1e-11
        assert len(cases["TSK-02"]["evidence"]) == 2


def test_what_is_wrong_with_a_task_is_the_products_failure(harness: Run, tmp_path: Path) -> None:
    """Five products at once, each wrong in its own way, beside what says so."""
    wrong = {
        "number": ({**SEVENTHS, "command": AWK.replace("i / 7", "i")}, "TSK-02", "line 2: 2 instead of 0.2857"),
        "nothing": ({**SEVENTHS, "command": "true"}, "TSK-02", "wrote no file sevenths.txt"),
        "status": ({**SEVENTHS, "command": "echo 内存不足 >&2; exit 9"}, "TSK-01", "ended with status 9, expected 0"),
        "late": ({**SEVENTHS, "command": "sleep 300", "seconds": 2}, "TSK-01", "did not end within"),
        "stays": ({**SEVENTHS, "command": f"{SEVENTHS['command']}; sleep 300 &"}, "TSK-05", "sleep 300"),
        "shares": (
            {**SEVENTHS, "command": f"mkdir /tmp/lock || exit 7; sleep 2; {SEVENTHS['command']}; rmdir /tmp/lock"},
            "TSK-03",
            "ended with status 7",
        ),
    }
    application = {
        **BATCH,
        "variants": [{"when": {"kind": kind}, "set": {"tasks": [task]}} for kind, (task, _, _) in wrong.items()],
    }
    root = files(product(tmp_path / "p", application, suites=SUITES, database=["none"], axes={"kind": [*wrong]}))
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err + ran.out
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    assert "certificate" not in ran.json["outputs"]
    assert len(record["cells"]) == len(wrong)
    for cell in record["cells"]:
        _, name, words = wrong[cell["axes"]["kind"]]
        case = cases_of(cell)[name]
        assert (cell["verdict"], case["result"]) == ("nonconformant", "fail"), (cell["axes"]["kind"], case)
        assert words in case["detail"], cell["axes"]["kind"]
        if name == "TSK-02":
            assert {cases_of(cell)[f"TSK-0{number}"]["result"] for number in (3, 4)} == {"skip"}
        if name == "TSK-01":
            assert {cases_of(cell)[f"TSK-0{number}"]["result"] for number in range(2, 6)} == {"skip"}
