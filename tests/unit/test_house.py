"""The size and shape of the package, so that its rooms stay easy to enter."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

import harness

PACKAGE = Path(harness.__file__).parent


def test_modules_are_short() -> None:
    lines = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
        if "_builtin" not in path.parts
    }
    assert {name: count for name, count in lines.items() if count > 400} == {}
    assert statistics.median(lines.values()) <= 120


def test_a_cell_is_no_hierarchy_of_classes() -> None:
    """What a stage needs is passed to it; classes that inherit to split a file hide that."""
    classes = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for path in (PACKAGE / "execution").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    deep = [name for name, bases in classes.items() if any(classes.get(base) for base in bases)]
    assert classes
    assert deep == []


def test_the_formatter_formats_everything() -> None:
    own = Path(__file__).resolve()
    kept = [
        path
        for folder in (PACKAGE, own.parents[1])
        for path in folder.rglob("*.py")
        if path != own and any(word in path.read_text(encoding="utf-8") for word in ("# fmt: skip", "# fmt: off"))
    ]
    assert kept == []
