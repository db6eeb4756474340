"""What databases make of SQL, side by side: the shipped matrix, and the table that is made of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.conftest import Run

DATABASES = Path(__file__).parents[2] / "matrices" / "databases"
#: What is known of each by its documents: feature -> PostgreSQL, MariaDB, SQLite, seekdb.
KNOWN = {
    "integer-64": "✓✓✓✓",
    "decimal-38": "✓✓≠✓",
    "empty-string": "✓✓✓✓",
    "transactional-ddl": "✓≠✓≠",
    "concat": "✓≠✓≠",
    "auto-increment": "✗✓≠✓",
    "merge": "✓✗✗✗",
    "sequence": "✓✓✗✗",
    "rollback": "✓✓✓✓",
    "rare-chinese": "✓✓✓✓",
    "batch-10000": "✓✓✓✓",
    "gb18030-level-3": "✓✓✓✓",
    "dirty-read-read-committed": "✓✓✓✓",
    "committed-is-read-read-committed": "✓✓≠✓",
    "non-repeatable-read-repeatable-read": "✓✓✓✓",
    "phantom-serializable": "✓✓✓✓",
    "lost-update-repeatable-read": "✓≠✓✓",  # InnoDB writes over what it did not read
    "lost-update-serializable": "✓✓✓✓",
    "write-skew-serializable": "✓✓✓≠",  # seekdb gives a snapshot under this name
    "read-uncommitted": "≠✓≠≠",
    "row-lock": "✓✓✓✓",
    "other-row": "✓✓≠✓",
    "nowait": "✓✓✗✓",
    "deadlock": "✓✓✓≠",  # seekdb ends a wait by its time limit, and keeps the rest of that transaction
    "ddl-commits-by-itself": "≠✓≠✓",
    "lost-connection": "✓✓?✓",
    "backup-values": "✓✓✓✓",
    "backup-keys": "✓✓✓✓",
}


def test_features_of_two_databases(harness: Run, tmp_path: Path) -> None:
    """All four, with the table, are in the full ring."""
    folder = Path(shutil.copytree(DATABASES, tmp_path / "two"))
    matrix = yaml.safe_load((folder / "matrix.yaml").read_text())
    matrix["axes"]["database"] = ["postgresql", "sqlite"]
    (folder / "matrix.yaml").write_text(yaml.safe_dump(matrix, allow_unicode=True))
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 0, ran.err
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    cells = {cell["axes"]["database"]: cell for cell in record["cells"]}
    assert {name: cell["verdict"] for name, cell in cells.items()} == dict.fromkeys(
        ("postgresql", "sqlite"), "conformant"
    )
    for cell in cells.values():
        tried = [case for case in cell["cases"] if case["suite"] == "database/conformance" and case["id"] != "DBC-16"]
        results = {case["id"]: case["result"] for case in tried}
        # An embedded database has no connections: nothing was asked, so nothing passes.
        skipped = {"DBC-14"} if cell["axes"]["database"] == "sqlite" else set()
        assert len(results) == 15
        assert {name for name, result in results.items() if result == "skip"} == skipped
        assert {result for name, result in results.items() if name not in skipped} == {"pass"}


@pytest.mark.full
def test_features_of_four_databases_stand_side_by_side(harness: Run, tmp_path: Path) -> None:
    ran = harness("run", DATABASES, "--format", "json")
    assert ran.code == 0, ran.err
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    assert {cell["verdict"] for cell in record["cells"]} == {"conformant"}
    tried = [case for cell in record["cells"] for case in cell["cases"] if case["suite"] == "database/conformance"]
    skipped = [case for case in tried if case["id"] != "DBC-16" and case["result"] != "pass"]
    assert [(case["id"], case["result"], case["skip_reason"]) for case in skipped] == [
        ("DBC-14", "skip", "not-applicable")
    ]  # of SQLite
    # This product sends nothing; of SQLite and seekdb no statements are captured.
    captured = sorted(case["detail"].split(": ")[1][:15] for case in tried if case["id"] == "DBC-16")
    assert captured == ["could not check"] * 2 + ["what a product "] * 2
    assert len(tried) == 64
    out = tmp_path / "特性 features.md"
    assert harness("export", "features", "--out", out).code == 0
    lines = out.read_text().splitlines()
    head = next(line for line in lines if line.startswith("| 特性"))
    assert [cell.split()[0] for cell in head.strip("| ").split(" | ")[2:]] == [
        "postgresql",
        "mariadb",
        "sqlite",
        "seekdb",
    ]
    rows = {line.split("`")[1]: "".join(line.strip("| ").split(" | ")[-4:]) for line in lines if line.startswith("| `")}
    assert {name: rows[name] for name in KNOWN} == KNOWN
    assert "MySQL compatible temporary table not supported" in out.read_text()  # in the database's own words
