"""Runs a folder of pytest files against a cell and turns what the plugin recorded into observations."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from harness.errors import StepTimeout
from harness.model.context import CellContext
from harness.model.definitions import Case
from harness.model.ledger import Ledger
from harness.model.plan import LocatedSuite
from harness.model.results import Cause, Measurement, Observation, Result, SkipReason
from harness.system.forking import ForkServer
from harness.system.process import Completed, without_proxy

#: From bad to good; a case with several tests (parameters) takes the worst.
_ORDER = [Result.FAIL, Result.ERROR, Result.MISS, Result.SKIP, Result.PASS]
#: What a process that suites are forked from must have imported.
PRELOAD = "harness.runners.pytest.preload"
COLLECTION_SECONDS = 60
#: Word in a suite's files -> pytest plugin that it may need.
OPTIONAL_PLUGINS = {
    "anyio": "anyio",
    "hypothesis": "hypothesispytest",
    "locust": "locust",
    "platformdirs": "platformdirs",
}


def run_pytest(
    suite: LocatedSuite,
    cases: tuple[Case, ...],
    context: CellContext,
    ledger: Ledger,
    cancel: threading.Event,
    forks: ForkServer,
) -> list[Observation]:
    """Run ``cases`` of ``suite`` in a process of ``forks``, which has ``PRELOAD`` imported; one observation a case.

    Raises:
        Canceled: the operator stopped it.
        InfrastructureError: the evidence cannot be stored.
    """
    if not cases:
        return []
    name = suite.definition.suite
    limits = {case.test: case.seconds * (1 if case.absolute else context.factor) for case in cases}
    total = sum(limits.values()) + COLLECTION_SECONDS * context.factor
    with tempfile.TemporaryDirectory(prefix="harness-pytest-") as scratch:
        records, where = Path(scratch, "records.jsonl"), Path(scratch, "context.json")
        where.touch(mode=0o600)  # it holds the cell's passwords
        where.write_text(context.model_dump_json(by_alias=True))
        wanted = " or ".join(case.test for case in cases)
        plugins = [
            "-p",
            "harness.runners.pytest.plugin",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:pytest11.testinfra",
            *_left_out(suite.folder),
        ]
        argv = [
            *plugins,
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
            "-q",
            "--tb=short",
            "--color=no",
            "--rootdir",
            str(suite.folder),
            "--import-mode=importlib",
            "-k",
            wanted,
            str(suite.folder),
        ]
        if not any((suite.folder / name).exists() for name in ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")):
            argv[:0] = ["-c", "/dev/null"]  # else pytest would take settings from a folder further up
        env = {
            "HARNESS_CONTEXT": str(where),
            "HARNESS_RECORDS": str(records),
            "HARNESS_LIMITS": json.dumps(limits),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_ADDOPTS": "",
            **without_proxy(),
        }
        late: StepTimeout | None = None
        done: Completed | None = None
        try:
            done = forks.run(
                "harness.runners.pytest.run:pytest_main",
                argv,
                log=Path(scratch, "output.log"),
                timeout=total,
                cwd=suite.folder,
                env=env,
                cancel=cancel,
            )
        except StepTimeout as error:
            late = error
        found = _read(records)
    output = done.text if done is not None else ""
    ledger.keep(f"{name.replace('/', '-')}-{cases[0].when}-pytest.log", output.encode())
    return [_observe(case, name, found, output, late, ledger) for case in cases]


def pytest_main(*argv: str) -> int:
    """pytest's own main, in a forked process."""
    sys.argv = ["pytest", *argv]
    sys.dont_write_bytecode = True
    import pytest

    return int(pytest.main(list(argv)))


def _left_out(folder: Path) -> list[str]:
    """Options that keep out installed plugins which no file of the suite mentions: together they cost a second."""
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in folder.rglob("*.py"))
    return [
        option for word, plugin in OPTIONAL_PLUGINS.items() if word not in text for option in ("-p", f"no:{plugin}")
    ]


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # cut off when pytest was ended; what came before it is whole
            break
    return found


def _observe(
    case: Case, suite: str, found: list[dict[str, Any]], output: str, late: StepTimeout | None, ledger: Ledger
) -> Observation:
    mine = [record for record in found if record.get("test") == case.test]
    if not mine:
        if late is not None:
            return Observation(case=case.id, suite=suite, result=Result.MISS, cause=Cause.TIMEOUT, detail=late.message)
        broken = next((record["text"] for record in found if "collect" in record), "")
        detail = broken or f"pytest did not run {case.test}; its output ends:\n{output[-1500:]}"
        return Observation(case=case.id, suite=suite, result=Result.MISS, cause=Cause.TEST, detail=detail)
    seen = [fold(record) for record in mine]
    result, cause, reason, detail = min(seen, key=lambda one: _ORDER.index(one[0]))
    evidence = [
        ledger.keep(f"{case.id}-{note['name']}", note["text"].encode())
        for record in mine
        for note in record["evidence"]
    ]
    if any(record.get("log") for record in mine):
        text = "\n".join(record.get("log", "") for record in mine)
        evidence.append(ledger.keep(f"{case.id}-output.txt", text.encode()))
    return Observation(
        case=case.id,
        suite=suite,
        result=result,
        cause=cause,
        skip_reason=reason,
        detail=detail[:6000],
        seconds=sum(record["seconds"] for record in mine),
        evidence=tuple(evidence),
        measurements=tuple(Measurement(**note) for record in mine for note in record["measurements"]),
    )


def fold(record: dict[str, Any]) -> tuple[Result, Cause | None, SkipReason | None, str]:
    """What one record of the plugin means: result, cause, reason of a skip, text."""
    phases = record["phases"]
    bad = next((phases[when] for when in ("setup", "call", "teardown") if phases.get(when, {}).get("kind")), None)
    if bad is None:
        if set(phases) >= {"setup", "call", "teardown"} and all(p["outcome"] == "passed" for p in phases.values()):
            return Result.PASS, None, None, ""
        return Result.ERROR, Cause.HARNESS, None, f"the test did not run to its end: {sorted(phases)}"
    text = bad["text"]
    if record.get("lab"):
        return Result.ERROR, Cause.INFRA, None, f"{record['lab']}; before that: {text}"
    match bad["kind"]:
        case "product":
            return Result.FAIL, None, None, text
        case "timeout":
            return Result.ERROR, Cause.TIMEOUT, None, text
        case "skip":
            word = text.partition(":")[0].removeprefix("Skipped").strip()
            try:
                return Result.SKIP, None, SkipReason(word), text
            except ValueError:
                known = ", ".join(reason.value for reason in SkipReason)
                return Result.ERROR, Cause.TEST, None, f"skip without a known reason code ({known}): {text}"
        case "harness-error":
            return Result.ERROR, Cause(bad["cause"] or "harness"), None, text
    return Result.ERROR, Cause.HARNESS, None, f"unexpected {bad['exception']}: {text}"
