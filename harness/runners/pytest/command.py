"""How pytest is called for the folder of a suite."""

from __future__ import annotations

import configparser
import contextlib
import tomllib
from pathlib import Path

#: Word in a suite's files -> pytest plugin that it may need.
OPTIONAL_PLUGINS = {
    "anyio": "anyio",
    "hypothesis": "hypothesispytest",
    "locust": "locust",
    "platformdirs": "platformdirs",
}


def arguments(folder: Path) -> list[str]:
    """Arguments of pytest for a suite's folder; settings of a folder further up do not count.

    The same ones list a folder's tests and run them, so that what is listed is what runs.
    """
    plugins = "".join(path.read_text(encoding="utf-8", errors="replace") for path in folder.rglob("*.py"))
    unused = [plugin for word, plugin in OPTIONAL_PLUGINS.items() if word not in plugins]  # together they take a second
    return [
        "-c",
        str(settings_of(folder) or "/dev/null"),
        "-p",
        "harness.runners.pytest.plugin",
        *(option for plugin in ("cacheprovider", "pytest11.testinfra", *unused) for option in ("-p", f"no:{plugin}")),
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
        "-q",
        "--tb=short",
        "--color=no",
        "--rootdir",
        str(folder),
        "--import-mode=importlib",
        "--continue-on-collection-errors",
        str(folder),
    ]


def settings_of(folder: Path) -> Path | None:
    """The file in ``folder`` that holds settings of pytest, in pytest's own order."""
    for name in ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini"):
        if (folder / name).is_file():
            return folder / name
    project = folder / "pyproject.toml"
    with contextlib.suppress(OSError, ValueError):
        if "pytest" in tomllib.loads(project.read_text(encoding="utf-8")).get("tool", {}):
            return project
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        parser = configparser.ConfigParser(interpolation=None)
        with contextlib.suppress(configparser.Error, UnicodeDecodeError):
            if parser.read(folder / name, encoding="utf-8") and parser.has_section(section):
                return folder / name
    return None
