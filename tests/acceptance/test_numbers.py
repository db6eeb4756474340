"""Numbers of real programs: seeded faults are found at their place, and nothing is found in the right ones."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import WEB, product

COUNT = 24
#: What is wrong -> the case that must say so, and words of it: the quantity, the place, how far.
WRONG = {
    "ulp": ("NUM-02", ("w: 1 of 24 values", "line 19", "2 ulp")),
    "unsteady": ("NUM-03", ("w: 1 of 24 values", "line 21")),
    "unset": ("NUM-04", ("w: 1 of 24 values", "line 8", "1 ulp", "never written")),
    "nan": ("NUM-01", ("位移 u: 1 of 24 values are not finite", "line 13")),
    "missing": ("NUM-01", ("quantity 位移 u is missing", "'x', 'w'")),
}
NUMBERS: list[dict[str, Any]] = [
    {
        "file": "table.csv",
        "format": "csv",
        "reference": "expected/table.csv",
        "quantities": [
            {"quantity": "x"},
            {"quantity": "位移 u", "unit": "m", "formula": "sin(x)", "ulps": 1, "absolute": 1e-300},
            {"quantity": "w", "ulps": 1},
        ],
    },
    {
        "file": "sums.json",
        "format": "json",
        "quantities": [{"quantity": "/energies/kinetic", "formula": "4324/3136 * (1 - 1.5*i)", "relative": 1e-14}],
    },
]
PROGRAM: dict[str, Any] = {
    **{key: WEB[key] for key in ("name", "vendor", "version", "limits")},
    "application": "numbers",
    "artifacts": [{"path": "numbers", "install": "copy", "to": "/opt/numbers/numbers", "mode": "0755"}],
    "tasks": [
        {"task": "table", "command": "/opt/numbers/numbers {{ cell.kind }}", "numbers": NUMBERS},
        {"task": "again", "command": "/opt/numbers/numbers {{ cell.kind }}", "numbers": NUMBERS[1:]},
    ],
}


def test_each_fault_is_found_at_its_place_and_none_in_the_right_one(harness: Run, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    root = product(
        folder,
        PROGRAM,
        suites=["numeric/consistency"],
        database=["none"],
        axes={"kind": ["ulp", "good", *(kind for kind in WRONG if kind != "ulp")]},
        reference_cell={"kind": "good"},
    )
    (root / "expected").mkdir()
    lines = [f"{i * 0.125!r},{math.sin(i * 0.125)!r},{i * 0.125 / 7!r}" for i in range(COUNT)]
    (root / "expected" / "table.csv").write_text("x,位移 u,w\n" + "\n".join(lines) + "\n")
    source = Path(__file__).with_name("numbers.c")
    subprocess.run(["cc", "-O0", "-static", "-o", root / "numbers", source, "-lm"], check=True)
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err + ran.out
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    cells = {cell["axes"]["kind"]: cell for cell in record["cells"]}
    results = {kind: {case["id"]: case for case in cell["cases"]} for kind, cell in cells.items()}
    assert cells["good"]["verdict"] == "conformant", results["good"]
    assert {results["good"][f"NUM-0{number}"]["result"] for number in range(1, 5)} == {"pass"}
    assert "this is the reference cell" in results["good"]["NUM-05"]["detail"]
    assert results["unset"]["NUM-05"]["result"] == "pass"
    apart = results["ulp"]["NUM-05"]
    assert apart["result"] == "fail"
    assert [word for word in ("kind=good", "line 19", "not ascribed") if word not in apart["detail"]] == [], apart
    shown = {m["name"]: m["value"] for m in results["good"]["NUM-02"]["measurements"]}
    assert shown["table, table.csv, w: values that differ"] == 1, shown
    pictures = results["good"]["NUM-02"]["evidence"]
    assert [each["media"] for each in pictures] == ["image/png"] * 3
    assert results["unsteady"]["NUM-04"]["result"] == "skip", "what changes by itself says nothing of memory"
    for kind, (name, words) in WRONG.items():
        case = results[kind][name]
        assert (cells[kind]["verdict"], case["result"]) == ("nonconformant", "fail"), (kind, results[kind])
        assert [word for word in words if word not in case["detail"]] == [], (kind, case["detail"])
        others = {n: results[kind][n]["result"] for n in ("NUM-01", "NUM-02", "NUM-03", "NUM-04") if n != name}
        assert "fail" not in others.values(), (kind, results[kind])
