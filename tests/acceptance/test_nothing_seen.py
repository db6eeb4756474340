"""What was not seen is not certified: suites of which nothing applies, and versions that are others than declared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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
    assert "declares no http.resource" in cell["message"]


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
