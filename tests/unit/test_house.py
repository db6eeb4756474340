"""The size and shape of the package, so that its rooms stay easy to enter."""

from __future__ import annotations

import ast
import functools
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
PROMISED = {(f"clients/{module}.py", "made") for module in ("http", "resource", "vendor")}


def test_modules_are_short() -> None:
    lines = {name: len((PACKAGE / name).read_text(encoding="utf-8").splitlines()) for name in _modules()}
    assert {name: count for name, count in lines.items() if count > 400} == {}
    assert statistics.median(lines.values()) <= 120


def test_functions_are_short() -> None:
    long = {
        f"{path}: {function.name}": (lines, statements)
        for path, module in _lasting()
        for function in ast.walk(module)
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
        for path, module in _modules().items()
        if path.startswith("execution/")
        for node in ast.walk(module)
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
    vague = {(path, name) for path, module in _modules().items() for name in _names(module) if name in VAGUE}
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


def test_everything_public_has_a_docstring() -> None:
    """A method that keeps a protocol is described there, a hook of pytest by pytest."""
    promises = {
        (method.name, _arguments(method))
        for _, module in _lasting()
        for each in ast.walk(module)
        if isinstance(each, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in each.bases)
        for method in each.body
        if isinstance(method, ast.FunctionDef) and ast.get_docstring(method)
    }
    bare = [
        f"{path}: {node.name}"
        for path, module in _lasting()
        for owner, node in _public(module)
        if not ast.get_docstring(node)
        and not (owner and isinstance(node, ast.FunctionDef) and (node.name, _arguments(node)) in promises)
        and not node.name.startswith("pytest_")
    ]
    assert bare == []
    assert [path for path, module in _lasting() if module.body and not ast.get_docstring(module)] == []


def test_docstrings_name_the_errors_that_a_function_raises() -> None:
    """A command of the command line is left out: its docstring is the help of its users."""
    silent = [
        f"{path}: {node.name}"
        for path, module in _lasting()
        if not path.startswith("cli/")
        for _, node in _public(module)
        if isinstance(node, ast.FunctionDef) and _raises(node) and "aises" not in (ast.get_docstring(node) or "aises")
    ]
    assert silent == []


@functools.cache
def _modules() -> dict[str, ast.Module]:
    """The content of every module, by its path below the package."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if "_builtin" not in path.parts]
    return {str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def _lasting() -> list[tuple[str, ast.Module]]:
    """All modules but migrations: those write down a moment of the tables' history, and are never changed again."""
    return [(path, module) for path, module in _modules().items() if "/migrations/" not in path]


def _public(module: ast.Module) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef]]:
    """Public functions and classes of a module, and public methods with the name of their class."""
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield "", node
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        yield node.name, method


def _arguments(function: ast.FunctionDef) -> tuple[str, ...]:
    return tuple(each.arg for each in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs))


def _raises(function: ast.FunctionDef) -> set[str]:
    """Names of the classes of errors that a function raises itself; a bug is not among them."""
    names = set()
    nodes: list[ast.AST] = list(function.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.Lambda) or (
            isinstance(node, ast.With) and "suppress(" in _head(node)
        ):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            names.add(ast.unparse(node.exc).partition("(")[0])
        nodes += ast.iter_child_nodes(node)
    return {name for name in names if name[:1].isupper()} - {"AssertionError", "HarnessBug"}


def _head(node: ast.With) -> str:
    return ", ".join(ast.unparse(item) for item in node.items)
