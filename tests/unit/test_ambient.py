"""Only the commands ask where they are called: everything else is handed its catalogue and its folders."""

from __future__ import annotations

import ast
from pathlib import Path

import harness

PACKAGE = Path(harness.__file__).parent
AMBIENT = {"cwd", "getcwd", "chdir"}
#: The commands; and processes of their own: that which suites are forked from, and that which lists tests.
ALLOWED = ("cli/", "system/forking.py", "runners/pytest/listing.py")


def test_nothing_but_the_commands_reads_the_current_directory() -> None:
    calls = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not str(path.relative_to(PACKAGE)).startswith(ALLOWED)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in AMBIENT
    ]
    assert calls == []
