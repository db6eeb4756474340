"""A domestic database for real: PowerDNS, as it is shipped, with OceanBase seekdb beneath it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from tests.conftest import Run
from tests.products import WEB, product

POWERDNS = Path(__file__).parents[2] / "matrices" / "powerdns"
SHIPPED = {"file": "/usr/share/pdns-backend-mysql/schema/schema.mysql.sql"}


def test_a_product_with_a_mysql_backend_runs_on_seekdb(harness: Run, tmp_path: Path) -> None:
    """Two cells at once: with the schema that the definition adapts, and with that of the product, which the database
    does not take. What it cannot do is named."""
    root = tmp_path / "p"
    shutil.copytree(POWERDNS, root)
    application = yaml.safe_load((root / "application.yaml").read_text())
    application["variants"].append({"when": {"tables": "shipped"}, "set": {"schema": {"seekdb": [SHIPPED]}}})
    (root / "application.yaml").write_text(yaml.safe_dump(application, allow_unicode=True))
    matrix = {
        "matrix": "seekdb",
        "axes": {
            "os": ["debian-12"],
            "cpu": ["x86-64"],
            "database": ["seekdb"],
            "tables": ["adapted", "shipped"],
        },
        "suites": ["compat/http", "compat/database"],
    }
    (root / "matrix.yaml").write_text(yaml.safe_dump(matrix, allow_unicode=True))
    ran = harness("run", root, "--format", "json")
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    cells = {cell["axes"]["tables"]: cell for cell in record["cells"]}
    cases = {tables: {case["id"]: case for case in cell["cases"]} for tables, cell in cells.items()}
    assert cells["adapted"]["verdict"] == "conformant", [
        case for case in cases["adapted"].values() if case["result"] != "pass"
    ]
    assert {case["result"] for case in cases["adapted"].values()} == {"pass"}
    facts = {(fact["machine"], fact["name"]): fact["observed"] for fact in cells["adapted"]["attestation"]}
    assert "OceanBase seekdb 1.4.0" in facts["database", "database version"], facts
    assert cells["shipped"]["verdict"] == "nonconformant"
    assert cases["shipped"]["DEP-4"]["result"] == "fail"
    assert "Unknown character set: 'latin1'" in cases["shipped"]["DEP-4"]["detail"]


def test_a_class_of_cpu_that_it_cannot_run_on_is_told(harness: Run, tmp_path: Path) -> None:
    """Its program for ARM needs more than ARMv8.0 has: that is said of the database, not of the product."""
    root = product(tmp_path / "p", WEB, cpu=["phytium-ft2000plus"], database=["seekdb"])
    ran = harness("run", root, "--format", "json")
    assert ran.code == 3, ran.err
    (cell,) = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    assert (cell["verdict"], cell["cause"]) == ("inconclusive", "config")
    assert "seekdb died with SIGILL (illegal instruction)" in cell["message"]
    assert "非法指令" in cell["message"]
    assert "certificate" not in ran.json["outputs"]
