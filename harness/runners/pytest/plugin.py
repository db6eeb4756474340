"""The fixtures that suites of pytest files use; pytest loads them with ``-p harness.runners.pytest.plugin``.

=================  ==========================================================================================
``host``           pytest-testinfra's, on the application's machine, whatever that is made of
``target``         the cell: axes, architecture, emulated, factor, declared application and database
``application``    control of the product: start, stop, restart, kill, wait_ready, log
``installation``   what it left on its machine: files, linked, remains, uninstall
``database``       the target's database: query, restart, ready, version
``http``           requests to the product
``resource``       its declared resource: create, read, update, delete by key and text
``interfaces``     ``interfaces("modbus")``: a client of each declared interface of a protocol
``tasks``          its declared tasks: tasks, first_run, run, written, compared
``amount``         ``amount(name)``: how much, as suite.yaml says it for the profile of the campaign
``measure``        ``measure(name, value, unit)`` records a number
``note``           ``note(text)`` records in words what was observed: the actual result of a test that passes
``keep``           ``keep(name, data, media="text/plain")`` stores evidence: text, or bytes of a picture, PDF, video
``settle``         ``settle(check, what=…)`` waits for a product that needs a moment
=================  ==========================================================================================

A failed assertion of a test, or a ``ProductFault`` anywhere, is the product's failure. Any other exception, also an
assertion in a fixture, says nothing of the product and is recorded as an error of the suite. Only
``pytest.skip("REASON: text")`` with a known reason code is a skip. See docs/guide.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

import pytest

from harness.clients.http import HttpClient
from harness.clients.opening import open_interfaces, open_resource
from harness.clients.resource import ProductResource
from harness.clients.tasks import TaskRunner
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.control.installation import Installation
from harness.control.servers import CellDatabase, NotOffered
from harness.errors import StepTimeout, SuiteError
from harness.model.context import CellContext
from harness.model.results import WITHOUT_DATABASE, WITHOUT_SERVER
from harness.runners.pytest.suite_process import recorder_of
from harness.runners.pytest.testinfra import Host, MachineBackend
from harness.system.wait import wait_until

_MEDIA = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*(;.*)?")
#: Media type -> what its bytes begin with.
_BEGINNINGS = {"image/png": b"\x89PNG\r\n\x1a\n", "application/pdf": b"%PDF-", "image/jpeg": b"\xff\xd8\xff"}


class Measure(Protocol):
    """Records a number."""

    def __call__(self, name: str, value: float, unit: str) -> None:
        """Record ``value`` in ``unit``, as exact as it is.

        Raises:
            SuiteError: it is no finite number.
        """
        ...


class Keep(Protocol):
    """Stores evidence."""

    def __call__(self, name: str, data: str | bytes, media: str = "text/plain") -> None:
        """Store ``data`` under ``name``; ``media`` says what the bytes are (``image/png``, ``video/webm``).

        Raises:
            SuiteError: ``media`` is no media type, or the bytes are not what it says.
        """
        ...


def pytest_configure(config: pytest.Config) -> None:
    """Refuse pytest-testinfra's own plugin.

    Raises:
        pytest.UsageError: it is loaded.
    """
    if config.pluginmanager.has_plugin("pytest11.testinfra"):
        raise pytest.UsageError("pytest-testinfra's own host would be this machine, not the cell's")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """What the laboratory does not let anybody do to a server does not apply."""
    try:
        return (yield)
    except NotOffered as error:
        pytest.skip(f"not-applicable: {error}")


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> CellContext:
    """The cell: ``axes``, ``architecture``, ``emulated``, ``factor``, ``application``, ``database``, ``secrets``."""
    return recorder_of(pytestconfig).context


@pytest.fixture(scope="module")
def host(pytestconfig: pytest.Config) -> Host:
    """pytest-testinfra's ``host`` on the application's machine."""
    recorder = recorder_of(pytestconfig)
    return MachineBackend(recorder.deployment.machine).get_host()


@pytest.fixture
def application(pytestconfig: pytest.Config) -> Deployment:
    """The product, running and ready when the test begins; skipped as not applicable where it is no server."""
    deployment = recorder_of(pytestconfig).deployment
    if not deployment.context.application.serves:
        pytest.skip(f"not-applicable: {WITHOUT_SERVER}")
    deployment.ensure_running()
    return deployment


@pytest.fixture
def installation(pytestconfig: pytest.Config) -> Installation:
    """What the product left on its machine."""
    recorder = recorder_of(pytestconfig)
    return Installation(recorder.context, recorder.deployment.machine)


@pytest.fixture
def database(pytestconfig: pytest.Config) -> CellDatabase:
    """The target's database; skipped as not applicable where the cell has none."""
    database = recorder_of(pytestconfig).deployment.database
    if database.definition.absent:
        pytest.skip(f"not-applicable: {WITHOUT_DATABASE}")
    return database


@pytest.fixture
def http(application: Deployment) -> Iterator[HttpClient]:
    """Requests to the product; skipped as not applicable where it declares no http section."""
    if application.context.application.http is None:
        pytest.skip("not-applicable: the application declares no http section")
    client = HttpClient(application)
    yield client
    client.close()


@pytest.fixture(scope="session")
def _vendors_resource(pytestconfig: pytest.Config) -> Iterator[ProductResource | None]:
    """The resource that is a class of the vendor, in a process that lasts as long as this one."""
    deployment = recorder_of(pytestconfig).deployment
    resource = open_resource(deployment) if deployment.context.application.resource is not None else None
    yield resource
    if resource is not None:
        resource.close()


@pytest.fixture
def resource(application: Deployment, request: pytest.FixtureRequest) -> ProductResource:
    """The product's declared resource; skipped as not applicable where it declares none."""
    declared = application.context.application
    if not declared.has_resource:
        pytest.skip("not-applicable: the application declares no resource")
    name = "_vendors_resource" if declared.resource is not None else "http"
    opened = request.getfixturevalue(name)
    resource: ProductResource | None = opened.resource if isinstance(opened, HttpClient) else opened
    assert resource is not None
    return resource


@pytest.fixture
def interfaces(application: Deployment) -> Iterator[Callable[[str], list[Any]]]:
    """``interfaces(protocol)``: clients of the declared ones; skipped as not applicable where there is none."""
    with contextlib.ExitStack() as stack:

        def of(protocol: str) -> list[Any]:
            clients = open_interfaces(application, protocol)
            if not clients:
                pytest.skip(f"not-applicable: the application declares no interface with protocol {protocol}")
            for client in clients:
                stack.callback(client.close)
            return clients

        yield of


@pytest.fixture(scope="module")
def tasks(pytestconfig: pytest.Config) -> Iterator[TaskRunner]:
    """The product's declared tasks; skipped as not applicable where it declares none."""
    runner = TaskRunner(recorder_of(pytestconfig).deployment)
    if not runner.tasks:
        pytest.skip("not-applicable: the application declares no tasks")
    yield runner
    runner.remove()


@pytest.fixture(scope="session")
def amount(pytestconfig: pytest.Config) -> Callable[[str], float]:
    """``amount(name)``: an amount of suite.yaml in the profile of the campaign; whole numbers are of type int."""
    amounts = recorder_of(pytestconfig).amounts

    def of(name: str) -> float:
        if name not in amounts:
            raise SuiteError(f"the suite has no amount {name}", advice="declare it under `amounts` of suite.yaml")
        value = amounts[name]
        return int(value) if value == int(value) else value

    return of


@pytest.fixture
def measure(pytestconfig: pytest.Config) -> Measure:
    """``measure(name, value, unit)`` records a number of the test that runs."""
    recorder = recorder_of(pytestconfig)

    def record(name: str, value: float, unit: str) -> None:
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise SuiteError(f"measure({name!r}): {value!r} is no number") from error
        if not math.isfinite(number):
            raise SuiteError(
                f"measure({name!r}): {number} is no finite number",
                advice="measure what is finite, or assert that it is",
            )
        recorder.measurement(str(name), number, str(unit))

    return record


@pytest.fixture
def note(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """``note(text)`` records in words what the test that runs observed."""
    recorder = recorder_of(pytestconfig)
    return lambda text: recorder.note(str(text))


@pytest.fixture
def keep(pytestconfig: pytest.Config) -> Keep:
    """``keep(name, data, media="text/plain")`` stores evidence of the test that runs."""
    recorder = recorder_of(pytestconfig)

    def record(name: str, data: str | bytes, media: str = "text/plain") -> None:
        if _MEDIA.fullmatch(media) is None:
            raise SuiteError(f"keep({name!r}): {media!r} is no media type", advice="give one such as image/png")
        content = data.encode(errors="backslashreplace") if isinstance(data, str) else bytes(data)
        if not content.startswith(_BEGINNINGS.get(media, b"")):
            raise SuiteError(f"keep({name!r}): the bytes are no {media}: they begin with {content[:16]!r}")
        recorder.evidence(str(name), content, media)

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
