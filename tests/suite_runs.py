"""Runs suites of pytest files for real, in forked processes, against a product that is this machine."""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.model.context import Access, CellContext, ServerContext
from harness.model.definitions import Application, Case, Database, Suite
from harness.model.machine import MachineReference
from harness.model.plan import LocatedSuite
from harness.model.results import Observation
from harness.reading.parsing import parse
from harness.runners.pytest.run import run_pytest
from harness.runners.sandboxed import Sandboxes
from harness.system.forking import ForkServer

ROOT = Path(__file__).parents[1]


@dataclass
class Kept:
    """A ledger that remembers what was kept."""

    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def keep(self, name: str, data: bytes, media: str = "text/plain") -> str:
        self.files[name] = (data, media)
        return name


def shipped_suite(file: str) -> ModuleType:
    """A file below suites/ as a module, to call its tests with what a test gives them."""
    spec = importlib.util.spec_from_file_location(f"shipped_{Path(file).stem}", ROOT / "suites" / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def context(folder: Path, **changes: Any) -> CellContext:
    machine = MachineReference(kind="local", name="local")
    application = Application.model_validate(
        {
            "application": "tiny",
            "name": "Tiny",
            "vendor": "Example",
            "version": "1.0",
            "packages": ("busybox",),
            "start": "sleep 60",
            "ready": {"command": "true"},
        }
    )
    given: dict[str, Any] = {
        "campaign": "c",
        "cell": "cell",
        "attempt": 1,
        "axes": {"cpu": "x86-64", "os": "debian-12", "database": "sqlite"},
        "architecture": "x86_64",
        "emulated": False,
        "qemu_cpu": None,
        "factor": 1.0,
        "application": application,
        "servers": {
            "database": ServerContext(
                definition=parse(ROOT / "targets" / "database" / "sqlite.yaml", Database),
                access=Access(kind="sqlite", path="/nowhere"),
                machine=machine,
            )
        },
        "secrets": {},
        "application_machine": machine,
        "ports": {},
        "template_folder": folder,
    }
    return CellContext(**{**given, **changes})


def located(folder: Path, *tests: str, seconds: float = 60, **cases: dict[str, Any]) -> LocatedSuite:
    """A suite of ``folder`` with a case for each of ``tests``; ``T-0`` is the first."""
    definition = Suite(
        suite="own",
        version="1",
        title="own",  # type: ignore[arg-type]
        runner="pytest",
        cases=tuple(
            Case.model_validate(
                {
                    "id": f"T-{number}",
                    "test": test,
                    "title": test,
                    "characteristic": "functional_suitability",
                    "clause": "5.3.1",
                    "blocker": True,
                    "seconds": seconds,
                    **cases.get(test.replace("::", "__"), {}),
                }
            )
            for number, test in enumerate(tests)
        ),
    )
    return LocatedSuite(definition=definition, folder=folder)


def run(
    forks: ForkServer,
    folder: Path,
    *tests: str,
    ledger: Kept | None = None,
    sandboxes: Sandboxes | None = None,
    **more: Any,
) -> dict[str, Observation]:
    """Run all tests named and give what was seen of each by the test's name."""
    suite = located(folder, *tests, **more)
    cases = suite.definition.cases
    kept: Any = ledger if ledger is not None else Kept()
    seen = run_pytest(suite, cases, context(folder), kept, threading.Event(), forks, sandboxes)
    assert [one.case for one in seen] == [case.id for case in cases]
    return {case.test: one for case, one in zip(cases, seen, strict=True)}
