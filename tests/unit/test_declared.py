"""Whatever is imported is declared: an installation has what pyproject.toml names, and nothing else."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Packages of this repository.
OWN = {"harness", "tests"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*groups: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for group in groups for line in project["optional-dependencies"][group])]
    return {normal(re.split(r"[\s<>=!~\[;]", line, maxsplit=1)[0]) for line in lines}


def imported(folder: Path) -> dict[str, str]:
    """Top-level module -> a file that imports it."""
    modules: dict[str, str] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            modules.update({name.partition(".")[0]: str(path.relative_to(ROOT)) for name in names})
    return modules


@pytest.mark.parametrize("folder", ["harness", "suites"])
def test_every_import_is_of_a_declared_dependency(folder: str) -> None:
    known = declared("token", "ansible", "archives", "center", "desk", "s3")
    distributions = packages_distributions()
    strange = {
        module: path
        for module, path in imported(ROOT / folder).items()
        if module not in sys.stdlib_module_names
        and module not in OWN
        and not known & {normal(name) for name in distributions.get(module, [module])}
    }
    assert strange == {}, "next: add them to dependencies in pyproject.toml"


def test_every_dependency_is_used() -> None:
    """A dependency without an import is one that nobody would miss; the drivers of databases are named in URLs."""
    named_elsewhere = {"pytest", "locust", "psycopg", "typst", "psutil"}
    distributions = packages_distributions()
    used = {normal(name) for module in imported(ROOT / "harness") for name in distributions.get(module, [])}
    assert declared() - used - named_elsewhere == set()


@pytest.mark.parametrize(("lock", "groups"), [("python.lock", ()), ("tests.lock", ("test", "fuzz"))])
def test_every_declared_dependency_stands_in_its_lock(lock: str, groups: tuple[str, ...]) -> None:
    """What the gate installs are the locks: a dependency that only pyproject.toml names is not there."""
    text = (ROOT / "setup" / lock).read_text()
    locked = {normal(name) for name in re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", text, re.MULTILINE)}
    assert declared(*groups) - locked == set(), "run: make lock"
