"""What was not seen is not certified: suites of which nothing applies, and versions that are others than declared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
import yaml

from tests.conftest import Run
from tests.products import WEB, product


def only_cell(harness: Run, folder: Path, code: int) -> dict[str, Any]:
    ran = harness("run", folder, "--format", "json")
    assert ran.code == code, ran.err
    (cell,) = [one for one in json.loads(ran.out)["cells"] if one["verdict"] != "not-tested"]
    return dict(cell)


def test_suites_of_which_no_case_applies_leave_the_cell_inconclusive(harness: Run, tmp_path: Path) -> None:
    folder = product(tmp_path / "p", WEB, suites=["checks", "compat/http", "compat/database"])
    cell = only_cell(harness, folder, 3)
    assert (cell["verdict"], cell["cause"]) == ("inconclusive", "config")
    assert cell["message"].startswith("suite compat/http was asked for, and none of its cases applies: ")
    assert "declares no resource" in cell["message"]


@pytest.mark.parametrize(
    ("version", "command", "words"),
    [
        ("9.9", "echo 1.0", "declared is version 9.9, and version_command prints 1.0"),
        ("11.1", "echo 10.11.18", "declared is version 11.1, and version_command prints 10.11.18"),
        ("1.0", "true", "declared is version 1.0, and version_command prints nothing"),
        ("1.0", "echo 1.0; exit 3", "version_command failed (exit 3)"),
        ("1.0", "no-such-program", "version_command failed (exit 127)"),
    ],
    ids=["other", "piece of text", "nothing", "fails", "not found"],
)
def test_a_version_that_is_not_the_declared_is_never_certified(
    harness: Run, tmp_path: Path, version: str, command: str, words: str
) -> None:
    folder = product(tmp_path / "p", {**WEB, "version": version, "version_command": command})
    cell = only_cell(harness, folder, 3)
    assert (cell["verdict"], cell["cause"]) == ("inconclusive", "config")
    assert words in cell["message"]


def test_the_line_that_states_the_version_is_the_one_that_is_shown(harness: Run, tmp_path: Path) -> None:
    """Some programs print to the error output, and a licence before the version."""
    command = "printf 'Copyright\\ntiny-web 1.0 (build 7)\\n' >&2"
    cell = only_cell(harness, product(tmp_path / "p", {**WEB, "version_command": command}), 0)
    (record,) = tmp_path.glob("**/campaign.json")
    (full,) = json.loads(record.read_text())["cells"]
    assert (cell["verdict"], full["version"]) == ("conformant", "tiny-web 1.0 (build 7)")


STORED = "def test_stored(database):\n    assert database.query('select 1') == [['1']]\n"


def test_a_product_without_a_database_is_certified_as_that(harness: Run, tmp_path: Path) -> None:
    """Two cells, of which one has a database: a suite that needs it applies to that one alone, and papers say so."""
    web = {**WEB, "schema": {"sqlite": [{"sql": "create table note (text text)"}]}}
    folder = product(tmp_path / "p", web, database=["none", "sqlite"], suites=["checks", "stored"])
    (folder / "stored").mkdir()
    (folder / "stored" / "test_stored.py").write_text(STORED)
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 0, ran.err
    (record,) = tmp_path.glob("**/campaign.json")
    cells = {cell["axes"]["database"]: cell for cell in json.loads(record.read_text())["cells"]}
    assert {cell["verdict"] for cell in cells.values()} == {"conformant"}
    words = "the cell has no database (database: none)"
    skipped = {case["id"]: case["detail"] for case in cells["none"]["cases"] if case["result"] == "skip"}
    assert {case for case, detail in skipped.items() if words in detail} == {"DEP-2", "DEP-4", "V-STORED"}
    assert not [case for case in cells["sqlite"]["cases"] if case["result"] == "skip" and words in case["detail"]]
    facts = {fact["name"] for fact in cells["none"]["attestation"]}
    assert "database version" not in facts
    assert (cells["none"]["database_packages"], len(cells["sqlite"]["database_packages"])) == ([], 1)
    papers = [pypdfium2.PdfDocument(path) for path in tmp_path.glob("**/*.pdf")]
    texts = ["".join(page.get_textpage().get_text_bounded() for page in paper) for paper in papers]
    assert len(texts) == 2
    assert all("无数据库 no database" in " ".join(text.split()) for text in texts)


def test_a_suite_that_needs_a_database_where_no_cell_has_one_decides_nothing(harness: Run, tmp_path: Path) -> None:
    """The axis is left out of the matrix."""
    folder = product(tmp_path / "p", WEB, suites=["checks", "stored"])
    (folder / "stored").mkdir()
    (folder / "stored" / "test_stored.py").write_text(STORED)
    matrix = yaml.safe_load((folder / "matrix.yaml").read_text())
    del matrix["axes"]["database"]
    (folder / "matrix.yaml").write_text(yaml.safe_dump(matrix))
    cell = only_cell(harness, folder, 3)
    assert (cell["verdict"], cell["cause"]) == ("inconclusive", "config")
    assert "suite stored was asked for, and none of its cases applies: the cell has no database" in cell["message"]
