"""The pytest plugin of a cell: fixtures for suites, and a record of every test as it ends.

Loaded by ``harness.runners`` with ``-p harness.runners.pytest.plugin`` in pytest's own process. It offers:

=================  ==========================================================================================
``host``           pytest-testinfra's, on the application's machine, whatever that is made of
``target``         the cell: axes, architecture, emulated, factor, declared application and database
``application``    control of the product: start, stop, restart, kill, wait_ready, log
``installation``   what it left on its machine: files, linked, remains, uninstall
``database``       the target's database: query, restart, ready, version
``http``           requests to the product
``resource``       its declared resource: create, read, update, delete by key and text
``measure``        ``measure(name, value, unit)`` records a number
``keep``           ``keep(name, text)`` stores evidence
``settle``         ``settle(check, what=…)`` waits for a product that needs a moment
=================  ==========================================================================================

A failed assertion, or a ``ProductFault``, is the product's failure. Any other exception says nothing of the
product and is recorded as an error. Only ``pytest.skip("REASON: text")`` with a known reason code is a skip.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from harness.clients.http import HttpClient, ResourceClient
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.control.installation import Installation
from harness.control.servers import CellDatabase
from harness.errors import HarnessError, StepTimeout
from harness.model.context import CellContext
from harness.runners.pytest.testinfra import Host, MachineBackend
from harness.system.wait import wait_until

CONTEXT = "HARNESS_CONTEXT"
RECORDS = "HARNESS_RECORDS"
LIMITS = "HARNESS_LIMITS"


class CaseTimeout(BaseException):
    """The limit of a case ran out; derived so that no suite catches it by chance."""


class _Cell:
    """One connection for the whole session."""

    def __init__(self) -> None:
        self.context = CellContext.model_validate_json(Path(os.environ[CONTEXT]).read_text())
        self.deployment = Deployment.of(self.context)
        self.limits: dict[str, float] = json.loads(os.environ.get(LIMITS, "{}"))


_cell = pytest.StashKey[_Cell]()
_notes = pytest.StashKey[dict[str, Any]]()


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.has_plugin("pytest11.testinfra"):
        raise pytest.UsageError("pytest-testinfra's own host would be this machine, not the cell's")
    config.stash[_cell] = _Cell()


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> CellContext:
    return pytestconfig.stash[_cell].context


@pytest.fixture(scope="module")
def host(pytestconfig: pytest.Config) -> Host:
    """pytest-testinfra's ``host`` on the application's machine."""
    return MachineBackend(pytestconfig.stash[_cell].deployment.machine).get_host()


@pytest.fixture
def application(pytestconfig: pytest.Config) -> Deployment:
    """The product, running and ready when the test begins."""
    deployment = pytestconfig.stash[_cell].deployment
    deployment.ensure_running()
    return deployment


@pytest.fixture
def installation(pytestconfig: pytest.Config) -> Installation:
    cell = pytestconfig.stash[_cell]
    return Installation(cell.context, cell.deployment.machine)


@pytest.fixture
def database(pytestconfig: pytest.Config) -> CellDatabase:
    return pytestconfig.stash[_cell].deployment.database


@pytest.fixture
def http(application: Deployment) -> Iterator[HttpClient]:
    if application.context.application.http is None:
        pytest.skip("not-applicable: the application declares no http section")
    client = HttpClient(application)
    yield client
    client.close()


@pytest.fixture
def resource(http: HttpClient) -> ResourceClient:
    if http.resource is None:
        pytest.skip("not-applicable: the application declares no http.resource")
    return http.resource


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Callable[[str, float, str], None]:
    def record(name: str, value: float, unit: str) -> None:
        note = {"name": name, "value": round(float(value), 3), "unit": unit}
        _of(request.node)["measurements"].append(note)

    return record


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    def record(name: str, text: str) -> None:
        _of(request.node)["evidence"].append({"name": name, "text": text})

    return record


@pytest.fixture
def settle(target: CellContext) -> Callable[..., None]:
    """Wait up to ``seconds`` (scaled by the target's factor) for ``check``; then it is the product's failure."""

    def wait(check: Callable[[], bool], *, what: str, seconds: float = 15) -> None:
        limit = seconds * target.factor
        try:
            wait_until(check, seconds=limit, what=what)
        except StepTimeout:
            raise ProductFault(
                f"within {limit:.0f} s it did not happen: {what}", f"{limit:.0f} 秒内未发生：{what}"
            ) from None

    return wait


def _of(item: pytest.Item) -> dict[str, Any]:
    return item.stash.setdefault(_notes, {"measurements": [], "evidence": [], "phases": {}})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Bound each test by its case's limit, and write its record when it ended."""
    limits = item.config.stash[_cell].limits
    limit = limits.get(getattr(item, "originalname", item.name), limits.get("", 600.0))

    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise CaseTimeout(f"the case did not end within {limit:.0f} s")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, limit)
    started = time.monotonic()
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        _write(item, time.monotonic() - started)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    notes = _of(item)
    error = call.excinfo.value if call.excinfo is not None else None
    notes["phases"][call.when] = {
        "outcome": report.outcome,
        "exception": type(error).__name__ if error is not None else "",
        "kind": _kind(error),
        "text": _told(error, report),
        "cause": getattr(error, "cause", "harness") if isinstance(error, HarnessError) else "",
    }
    notes["log"] = "\n".join(f"--- {title}\n{text}" for title, text in report.sections)
    return report


def _kind(error: BaseException | None) -> str:
    """What an exception says: of the product, of time, of the harness's surroundings, or nothing known."""
    if error is None:
        return ""
    if isinstance(error, pytest.skip.Exception):
        return "skip"
    if isinstance(error, ProductFault | AssertionError | pytest.fail.Exception):
        return "product"
    if isinstance(error, CaseTimeout):
        return "timeout"
    return "harness-error" if isinstance(error, HarnessError) else "unknown"


def _told(error: BaseException | None, report: Any) -> str:
    if error is None:
        return ""
    if isinstance(error, ProductFault):
        return f"{error}\n{error.log}".rstrip()
    if isinstance(error, pytest.skip.Exception | HarnessError | CaseTimeout):
        return str(error)
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{first}\n\n{report.longrepr}"


def _write(item: pytest.Item, seconds: float) -> None:
    notes = _of(item)
    lab = None
    if any(phase["kind"] in ("product", "timeout") for phase in notes["phases"].values()):
        lab = item.config.stash[_cell].deployment.lab_trouble()
    record = {
        "test": getattr(item, "originalname", item.name),
        "nodeid": item.nodeid,
        "seconds": round(seconds, 3),
        "lab": lab,
        **notes,
    }
    _append(record)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _append({"collect": report.nodeid, "text": str(report.longrepr)})


def _append(record: dict[str, Any]) -> None:
    with Path(os.environ[RECORDS]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
