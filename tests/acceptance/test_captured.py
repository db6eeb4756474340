"""What a product sends is captured while it runs; what it uses and the database lacks fails with that statement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.products import product

#: Each sends a habit of the other's family, and lives on when that is refused: nothing but the log shows it.
POSTGRESQL = (
    "PGPASSWORD='{{ db.password }}' psql -h {{ db.host }} -U {{ db.user }} -d {{ db.name }} "
    "-c \"INSERT INTO texts VALUES ('设备') ON DUPLICATE KEY UPDATE t = 'x'\" || true"
)
MARIADB = (
    "MYSQL_PWD='{{ db.password }}' mariadb --no-defaults -h {{ db.host }} -u {{ db.user }} {{ db.name }} "
    "-e \"INSERT INTO texts VALUES ('设备') ON CONFLICT DO NOTHING\" || true"
)
BATCH: dict[str, Any] = {
    "application": "batch",
    "name": {"zh": "批处理", "en": "Batch"},
    "vendor": "Example",
    "version": "1.0",
    "version_command": "echo 1.0",
    "packages": ["postgresql-client", "mariadb-client"],
    "schema": {
        "postgresql": [{"sql": "CREATE TABLE texts (t VARCHAR(60) PRIMARY KEY)"}],
        "mariadb": [{"sql": "CREATE TABLE texts (t VARCHAR(60) PRIMARY KEY)"}],
    },
    "tasks": [
        {
            "task": "write",
            "command": "{% if db.kind == 'mariadb' %}" + MARIADB + "{% else %}" + POSTGRESQL + "{% endif %}",
        }
    ],
    "limits": {"memory": "256m", "cpus": 1, "processes": 64},
}


@pytest.mark.parametrize("server", ["postgresql", pytest.param("mariadb", marks=pytest.mark.full)])
def test_a_statement_of_run_time_that_the_database_lacks_fails_with_its_text(
    harness: Run, tmp_path: Path, server: str
) -> None:
    folder = product(
        tmp_path / "p",
        BATCH,
        database=[server, "sqlite"],
        suites=["compat/tasks", "database/conformance"],
    )
    ran = harness("run", folder, "--case", "TSK-01", "--case", "DBC-07", "--case", "DBC-16", "--format", "json")
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    cases = {(cell["axes"]["database"], case["id"]): case for cell in record["cells"] for case in cell["cases"]}
    shown = {place: (case["result"], case["detail"]) for place, case in cases.items()}
    words = {"postgresql": "ON DUPLICATE KEY UPDATE t", "mariadb": "ON CONFLICT DO NOTHING"}[server]
    assert cases[server, "DBC-07"]["result"] == "pass", shown  # its schema uses nothing of that
    assert cases[server, "DBC-16"]["result"] == "fail", shown
    assert words in cases[server, "DBC-16"]["detail"]
    assert "设备" in cases[server, "DBC-16"]["detail"]
    assert cases["sqlite", "DBC-16"]["result"] == "skip", shown
    assert "not captured" in cases["sqlite", "DBC-16"]["detail"]
