"""Classes beside an application, which are a resource of it: looked at without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from harness.errors import Fault
from harness.reading.source import Loc, Source
from harness.reading.syntax import tree_of

#: What such a class must have.
METHODS = ("create", "read", "update", "delete", "texts")


def class_faults(source: Source, named: Iterable[tuple[Loc, str]]) -> Iterator[Fault]:
    """What is wrong with the classes that ``resource.python`` names, in files of which each is there."""
    for loc, name in named:
        if loc[-1] != "python":
            continue
        path = source.path.parent / name
        class_name = _value(source, loc).rpartition(":")[2]
        tree = tree_of(path)
        if isinstance(tree, Fault):
            yield tree
            continue
        classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        if class_name not in classes:
            known = ", ".join(sorted(classes)) or "none"
            yield source.fault(loc, f"{name} has no class {class_name}", expected=f"one of its classes: {known}")
            continue
        yield from _methods(str(path), classes[class_name])


def _methods(path: str, node: ast.ClassDef) -> Iterator[Fault]:
    """Methods that a class lacks; one with bases may have them from there."""
    if node.bases or node.decorator_list:
        return
    own = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    own |= {target.id for part in node.body if isinstance(part, ast.Assign) for target in _names(part.targets)}
    if missing := [method for method in METHODS if method not in own]:
        message = f"the class {node.name} has no {', no '.join(missing)}"
        yield Fault(file=path, line=node.lineno, column=1, message=message, expected=f"methods {', '.join(METHODS)}")


def _names(targets: Iterable[ast.expr]) -> Iterator[ast.Name]:
    """Names that an assignment binds: a method may be another's, as in ``update = create``."""
    for target in targets:
        yield from (each for each in ast.walk(target) if isinstance(each, ast.Name))


def _value(source: Source, loc: Loc) -> str:
    value = source.value
    for part in loc:
        value = value[part]
    return str(value)
