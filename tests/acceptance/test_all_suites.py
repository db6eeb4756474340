"""Two products without known faults under every suite that asks a product with a database, on three architectures."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import Ran, command

ROOT = Path(__file__).parents[2]
SUITES = [
    "static/porting",
    "compat/lifecycle",
    "compat/http",
    "compat/database",
    "database/conformance",
    "reliability/faults",
    "security/product",
    "load/http",
    "load/stability",
    "load/mixed",
    "load/capacity",
]


@pytest.mark.full
@pytest.mark.parametrize("cpu", ["x86-64", "kunpeng-920", "loongson-3a5000"])
@pytest.mark.parametrize("name", ["powerdns", "java-web"])
def test_no_case_fails(tmp_path: Path, name: str, cpu: str) -> None:
    """On PostgreSQL; how long the cell took stands in the output."""
    folder = Path(shutil.copytree(ROOT / "matrices" / name, tmp_path / name))
    if name == "java-web":
        subprocess.run(["sh", str(folder / "build.sh")], check=True, capture_output=True)
    matrix = yaml.safe_load((folder / "matrix.yaml").read_text())
    own = [suite for suite in matrix["suites"] if "/" not in suite]
    matrix["axes"]["database"] = ["postgresql"]
    (folder / "matrix.yaml").write_text(yaml.safe_dump({**matrix, "suites": [*SUITES, *own]}, allow_unicode=True))
    words = command("run", str(folder), "--only", f"cpu={cpu}", "--format", "json")
    began = time.monotonic()
    ran = Ran.of(subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=4 * 3600, check=False))
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    (cell,) = [cell for cell in record["cells"] if cell["axes"]["cpu"] == cpu]
    print(f"{name} on {cpu}: {cell['verdict']} {time.monotonic() - began:.0f} s {cell['message']}")
    bad = {case["id"]: case["detail"] for case in cell["cases"] if case["result"] in ("fail", "error", "miss")}
    assert not bad
    assert cell["verdict"] == "conformant", cell["message"]
    passed = {case["suite"] for case in cell["cases"] if case["result"] == "pass"}
    assert passed >= {*SUITES, *own} - ({"load/capacity"} if cpu != "x86-64" else set())
