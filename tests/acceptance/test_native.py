"""A product with a program of the lab's own architecture is conformant there, and on no foreign target."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import WEB, product

#: Begins another program in its place: it lives for a moment only.
HELPER = "#include <unistd.h>\nint main(int c, char **v) { execvp(v[1], v + 1); return 127; }\n"


def helped(root: Path, **more: Any) -> Path:
    application = {
        **WEB,
        "artifacts": [
            {"path": "helper", "architecture": "all", "install": "copy", "to": "/opt/helper", "mode": "0755"}
        ],
        "start": "/opt/helper busybox httpd -f -p 8080 -h /srv/www",
        **more,
    }
    folder = product(root, application, cpu=["x86-64", "kunpeng-920"])
    (root / "helper.c").write_text(HELPER)
    subprocess.run(["gcc", "-static", "-O1", "-o", root / "helper", root / "helper.c"], check=True)
    return folder


def test_a_native_program_fails_the_foreign_cell_alone(harness: Run, tmp_path: Path) -> None:
    ran = harness("run", helped(tmp_path / "p"), "--format", "json")
    assert ran.code == 1, ran.err
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    found = {cell["axes"]["cpu"]: cell for cell in record["cells"]}
    assert found["x86-64"]["verdict"] == "conformant"
    assert found["kunpeng-920"]["verdict"] == "nonconformant"
    assert "/opt/helper (x86_64)" in found["kunpeng-920"]["message"]
    results = {(cell, case["id"]): case["result"] for cell in found for case in found[cell]["cases"]}
    assert results["kunpeng-920", "DEP-10"] == "fail"
    assert results["x86-64", "DEP-10"] == "pass"
    assert results["kunpeng-920", "DEP-6"] == "pass"
