"""The size and shape of the package, so that its rooms stay easy to enter."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import harness

PACKAGE = Path(harness.__file__).parent
#: Lines of a function, from its first statement after the docstring; and its statements, with those inside of others.
MOST_LINES, MOST_STATEMENTS = 50, 40
#: Names that say that something happened, and not what it is.
VAGUE = frozenset({"done", "found", "made", "mine", "one", "seen", "told"})
#: Vague names that stay, because suites of users call them.
PROMISED = {("clients/http.py", "made")}


def test_modules_are_short() -> None:
    lines = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
        if "_builtin" not in path.parts
    }
    assert {name: count for name, count in lines.items() if count > 400} == {}
    assert statistics.median(lines.values()) <= 120


def test_functions_are_short() -> None:
    """Migrations are left out: they write down a moment of the tables' history, and are never changed again."""
    long = {
        f"{path.relative_to(PACKAGE)}: {function.name}": (lines, statements)
        for path in PACKAGE.rglob("*.py")
        if "migrations" not in path.parts and "_builtin" not in path.parts
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for lines, statements in [_size(function)]
        if lines > MOST_LINES or statements > MOST_STATEMENTS
    }
    assert long == {}


def _size(function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, int]:
    """Lines and statements of a function, without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body or function.end_lineno is None:
        return 0, 0
    statements = sum(isinstance(node, ast.stmt) for line in body for node in ast.walk(line))
    return function.end_lineno - body[0].lineno + 1, statements


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


def test_names_of_variables_and_functions_are_nouns() -> None:
    """Fields of data classes are not in it: ``found`` is a key of the JSON that lint and doctor write."""
    vague = {
        (str(path.relative_to(PACKAGE)), name)
        for path in PACKAGE.rglob("*.py")
        for module in [ast.parse(path.read_text(encoding="utf-8"))]
        for name in _names(module)
        if name in VAGUE
    }
    assert vague == PROMISED


def _names(module: ast.Module) -> Iterator[str]:
    """Every name that a module gives to something, without the fields of its classes."""
    classes = [node for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    fields = {id(line.target) for each in classes for line in each.body if isinstance(line, ast.AnnAssign)}
    for node in ast.walk(module):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) if id(node) not in fields:
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
