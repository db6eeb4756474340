"""A command reads the code that it needs: who asks where a campaign stands waits for no scanner, runner or report."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LOADED = "import importlib, json, sys; importlib.import_module(sys.argv[1]); print(json.dumps(sorted(sys.modules)))"


@pytest.mark.parametrize(
    ("module", "left_out"),
    [
        ("records", {"harness.execution", "harness.scan", "harness.runners", "harness.report", "harness.issuing"}),
        ("center", {"harness.execution", "harness.scan", "harness.runners", "harness.containers", "docker"}),
        ("gates", {"harness.execution", "harness.scan", "harness.runners", "harness.containers", "docker"}),
        ("databank", {"harness.execution", "harness.scan", "harness.runners"}),
    ],
)
def test_a_command_imports_no_more_than_it_needs(module: str, left_out: set[str]) -> None:
    words = [sys.executable, "-c", LOADED, f"harness.cli.{module}"]
    loaded = set(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
    assert f"harness.cli.{module}" in loaded
    assert loaded & left_out == set()
