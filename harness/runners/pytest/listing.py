"""Lists what pytest collects in a folder: ``python -m harness.runners.pytest.listing FOLDER`` prints JSON.

``tests``: for each test function ``path``, ``names`` of its classes and itself, ``nodeid``, ``line``; all parameters
are one test.
``errors``: ``path`` and ``text`` of each file that cannot be collected; its first line says why. ``status``: pytest's.
Modules of the folder are imported: what is generated or inherited is known in no other way.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.model.testnames import TestName
from harness.runners.pytest.command import arguments
from harness.runners.pytest.selection import name_of


class _Collector:
    """A plugin object of pytest that remembers every item, also those that the suite leaves out itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tests: dict[str, TestName] = {}
        self.errors: list[dict[str, str]] = []

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        name = name_of(item, self.folder)
        self.tests.setdefault(name.function, name)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            text = str(report.longrepr)
            last = next((line for line in reversed(text.splitlines()) if line.startswith("E ")), "E  cannot be read")
            self.errors.append({"path": report.nodeid, "text": f"{last[1:].strip()}\n{text}"})


def listed(folder: Path) -> dict[str, Any]:
    """What pytest collects in ``folder``, as the module says."""
    collector = _Collector(folder)
    options = [*arguments(folder), "--collect-only"]
    options = [o for o in options if o != "harness.runners.pytest.plugin"]
    index = options.index("-p")
    del options[index]
    status = int(pytest.main(options, plugins=[collector]))
    tests = [
        {"path": test.path, "names": test.names, "nodeid": function, "line": test.line}
        for function, test in collector.tests.items()
    ]
    return {"tests": tests, "errors": collector.errors, "status": status}


def main() -> None:
    """List the tests of the folder that is the first argument, as JSON on the output."""
    folder = Path(sys.argv[1]).resolve()
    sys.dont_write_bytecode = True
    os.environ["PYTEST_ADDOPTS"] = ""
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever the folder prints is no answer
    with contextlib.chdir(folder):
        sys.path.insert(0, str(folder))
        result = listed(folder)
    with os.fdopen(answer, "w", encoding="ascii") as out:
        out.write(json.dumps(result))


if __name__ == "__main__":
    main()
