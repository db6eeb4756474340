"""Which tests a folder of pytest files has: what pytest itself collects.

A folder whose files can be understood as they stand is read without running anything. Of all others (classes with
bases, names that are made or imported, a conftest.py, settings of pytest) pytest itself is asked, in a process of its
own, which imports the files: what is inherited or generated is known in no other way.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DefinitionError, Fault
from harness.model.testnames import TestName
from harness.reading.syntax import tree_of
from harness.system.canonical import read_json
from harness.system.process import Completed, run
from harness.system.sandbox import Sandbox, obstacle, remedy

#: Seconds that pytest may take to collect a folder.
SECONDS = 120
_SETTINGS = ("conftest.py", "pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini")
_PATTERN = re.compile(r"test_.*\.py|.*_test\.py")
#: Words of code that makes names, or hides them from pytest.
_MAKING = re.compile(r"\b(globals|locals|vars|setattr|exec|eval|__test__|pytest_generate_tests|collect_ignore)\b")


@dataclass(frozen=True)
class Collected:
    """Tests of a folder, parameters as one, and files that pytest cannot import: path -> why."""

    tests: tuple[TestName, ...]
    broken: tuple[tuple[str, str], ...] = ()


def collected(folder: Path, *, trusted: bool = False) -> Collected:
    """The tests of ``folder``; of a file that cannot be imported, those that can be read in it.

    Code that must be imported runs in a sandbox, unless it is ``trusted``.

    Raises:
        DefinitionError: a file is no Python, or it must be imported and this machine has no sandbox.
    """
    trees = _trees(folder)
    files = {path: tree for path, tree in trees.items() if _PATTERN.fullmatch(path.name)}
    if all(not (folder / name).exists() for name in (*_SETTINGS, "setup.cfg")) and not any(
        path.name == "conftest.py" or _dynamic(tree, path) for path, tree in trees.items()
    ):
        return Collected(tuple(name for path, tree in files.items() for name in _plain(tree, path, folder)))
    return _collected_by_pytest(folder, trees, trusted=trusted)


def numbered_id(test: str, taken: set[str]) -> str:
    """The id of a case for a test: ``test_read`` -> ``V-READ``; another one where that is taken."""
    word = re.sub(r"\.py::|::|/", "-", test.replace("test_", "").replace("Test", ""))
    word = re.sub("[^0-9A-Z\u3400-\u9fff]+", "-", word.removeprefix("test").upper()).strip("-") or "TEST"
    candidate, number = f"V-{word}", 1
    while candidate in taken:
        number += 1
        candidate = f"V-{word}-{number}"
    taken.add(candidate)
    return candidate


def shortest_names(tests: tuple[TestName, ...]) -> dict[str, TestName]:
    """How cases name tests: by the function's name, or with file and class where that means several."""
    counts = Counter(test.names[-1] for test in tests)
    return {test.names[-1] if counts[test.names[-1]] == 1 else test.function: test for test in tests}


def _trees(folder: Path) -> dict[Path, ast.Module]:
    trees: dict[Path, ast.Module] = {}
    faults: list[Fault] = []
    for path in sorted(path for path in folder.rglob("*.py") if path.is_file()):
        tree = tree_of(path)
        if isinstance(tree, Fault):
            faults.append(tree)
        else:
            trees[path] = tree
    if faults:
        raise DefinitionError(faults)
    return trees


def _dynamic(tree: ast.Module, path: Path) -> bool:
    """Whether what pytest collects of a file cannot be read in it."""
    if not _PATTERN.fullmatch(path.name):
        return False
    if _MAKING.search(path.read_text(encoding="utf-8")):
        return True
    return any(_makes_names(node) for node in tree.body)


def _makes_names(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    if isinstance(node, ast.ClassDef):
        if not node.name.startswith("Test") and not node.bases:
            return False
        inner = [part.name for part in node.body if isinstance(part, ast.FunctionDef | ast.ClassDef)]
        nested = any(isinstance(part, ast.ClassDef) for part in node.body)
        return bool(node.bases or node.keywords or node.decorator_list or nested or "__init__" in inner)
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.asname or alias.name for alias in node.names]
        return any(name == "*" or name.startswith(("test", "Test")) for name in names)
    bound = [part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
    defines = any(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for part in ast.walk(node))
    return defines or any(name.startswith(("test", "Test", "pytest")) for name in bound)


def _plain(tree: ast.Module, path: Path, folder: Path) -> Iterator[TestName]:
    """Tests of a file as it stands."""
    where = path.relative_to(folder).as_posix()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    lines: dict[tuple[str, ...], int] = {}  # a second function of a name takes the place of the first
    for node in tree.body:
        if isinstance(node, functions) and node.name.startswith("test"):
            lines[(node.name,)] = node.lineno
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            for part in node.body:
                if isinstance(part, functions) and part.name.startswith("test"):
                    lines[(node.name, part.name)] = part.lineno
    for names, line in lines.items():
        yield TestName(path=where, names=names, nodeid="::".join((where, *names)), line=line)


def _listed(folder: Path, *, trusted: bool) -> Completed:
    """Run what lists the tests of a folder."""
    argv = [sys.executable, "-P", "-m", "harness.runners.pytest.listing", str(folder)]
    if trusted:
        return run(argv, timeout=SECONDS)
    if why := obstacle():
        message = f"its tests are known by importing its files, for which this machine has no sandbox: {why}"
        hint = f"{remedy(why)}, or trust the code: harness run --trust-code"
        raise DefinitionError([Fault(file=str(folder), line=1, column=1, message=message, hint=hint)])
    with Sandbox(folder.resolve()) as sandbox:
        return run(sandbox.command(argv), timeout=SECONDS)


def _collected_by_pytest(folder: Path, trees: dict[Path, ast.Module], *, trusted: bool) -> Collected:
    """What pytest says that it collects."""
    completed = _listed(folder.resolve(), trusted=trusted)
    try:
        answer = read_json(completed.out)
    except ValueError:
        answer = {"tests": [], "errors": [{"path": "", "text": completed.text[-1500:]}]}
    tests = [
        TestName(path=t["path"], names=tuple(t["names"]), nodeid=t["nodeid"], line=t["line"]) for t in answer["tests"]
    ]
    known = {test.path for test in tests}
    broken = [(error["path"], error["text"]) for error in answer["errors"]]
    for path, _ in broken:
        for file, tree in trees.items():
            name = file.relative_to(folder).as_posix()
            if (path in ("", ".") and _PATTERN.fullmatch(file.name)) or path == name:
                tests += [test for test in _plain(tree, file, folder) if name not in known]
    return Collected(tuple(dict.fromkeys(tests)), tuple(broken))
