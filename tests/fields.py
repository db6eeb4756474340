"""Runs a shipped suite of the field against a program on this machine: each case as pytest would, without a cell."""

from __future__ import annotations

import contextlib
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.control.fault import ProductFault
from harness.model.definitions import Application, Suite
from harness.reading.parsing import parse
from tests.products import WEB
from tests.suite_runs import ROOT, shipped_suite

ACCEPTANCE = Path(__file__).parent / "acceptance"


@dataclass
class Seen:
    """What a case came to: ``pass``, ``fail``, ``skip``; its words, measurements, evidence."""

    result: str = "pass"
    words: str = ""
    notes: list[str] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def served(program: str, *arguments: str) -> Iterator[int]:
    """A program of ``tests/acceptance`` on a port of 127.0.0.1 that it chose itself; gives the port."""
    process = subprocess.Popen(
        [sys.executable, str(ACCEPTANCE / program), "0", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().split()[-1])
    finally:
        process.kill()
        process.communicate()


def deployment(folder: Path, interfaces: dict[str, Any], port: int, **more: Any) -> Any:
    """What a client knows of a product that is here: its application, its ports, its folder."""
    application = Application.model_validate({**WEB, "ports": {"web": 8080, "field": 502}, "interfaces": interfaces})
    context = SimpleNamespace(
        application=application,
        ports={"field": ("127.0.0.1", port)},
        template_folder=folder,
        factor=1.0,
        values=lambda: {"secrets": more.get("secrets", {})},
    )
    ends = more.get("ends", lambda: None)
    restart = more.get("restart", lambda: None)
    return SimpleNamespace(context=context, demand_no_end=ends, restart=restart, expect_end=lambda: None)


def run_cases(suite: str, fixtures: dict[str, Any], amounts: dict[str, float], *wanted: str) -> dict[str, Seen]:
    """Every case of a suite (or those wanted) by its id; ``fixtures``: what the harness gives its tests beside measure,
    note, keep and amount. The fixtures of its own file are asked as pytest does."""
    definition = parse(ROOT / "suites" / suite / "suite.yaml", Suite)
    (file,) = (ROOT / "suites" / suite).glob("test_*.py")
    module = shipped_suite(str(file.relative_to(ROOT / "suites")))
    results = {}
    for case in definition.cases:
        if wanted and case.id not in wanted:
            continue
        seen = results[case.id] = Seen()
        offered = {"amount": amounts.__getitem__, **_recorders(seen), **fixtures}
        try:
            _called(module, getattr(module, case.test), offered)
        except (AssertionError, ProductFault) as fault:
            seen.result, seen.words = "fail", str(fault)
        except pytest.skip.Exception as skip:
            seen.result, seen.words = "skip", str(skip)
    return results


def _recorders(seen: Seen) -> dict[str, Callable[..., None]]:
    return {
        "note": seen.notes.append,
        "measure": lambda name, value, unit: seen.measured.__setitem__(name, value),
        "keep": lambda name, data, media="": seen.kept.__setitem__(name, data),
    }


def _called(module: ModuleType, function: Callable[..., Any], offered: dict[str, Any]) -> Any:
    """A function with what its parameters name: what is offered, or a fixture of the module."""
    given = {}
    for name in inspect.signature(function).parameters:
        if name not in offered:
            offered[name] = _called(module, getattr(module, name).__wrapped__, offered)
        given[name] = offered[name]
    return function(**given)


def failed(results: dict[str, Seen]) -> dict[str, str]:
    """The cases that failed, with their words."""
    return {case: seen.words for case, seen in results.items() if seen.result == "fail"}
