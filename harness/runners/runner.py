"""What runs suites, and the table of all runners.

To add a runner:

1. describe it in ``harness.model.definitions.runners`` (``RUNNER_KINDS``): its stage, whether it needs the machine
   alone, what its cases presuppose;
2. write a module ``harness/runners/NAME/run.py`` with a function that implements ``ProductRunner`` or ``FilesRunner``;
3. add it to ``PRODUCT_RUNNERS`` or ``FILES_RUNNERS`` below.

Nothing else asks for a runner by its name: a cell takes it from these tables, reports read ``RUNNER_KINDS``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from harness.control.deployment import Deployment
from harness.model.definitions import Case, Rule
from harness.model.finding import Finding, ScanResult
from harness.model.ledger import Ledger
from harness.model.plan import LocatedSuite
from harness.model.results import Observation
from harness.runners.locust.run import run_locust
from harness.runners.pytest.run import run_pytest
from harness.runners.sandboxed import Sandboxes
from harness.runners.scan import run_scan
from harness.system.forking import ForkServer


@dataclass(frozen=True, kw_only=True)
class ProductTask:
    """Cases of one suite, to run once against the deployed product of a cell."""

    suite: LocatedSuite
    cases: tuple[Case, ...]
    deployment: Deployment
    ledger: Ledger
    cancel: threading.Event
    forks: ForkServer
    sandboxes: Sandboxes | None = None  #: where its code runs, if it is not the harness's own


@dataclass(frozen=True, kw_only=True)
class FilesTask:
    """Cases of one suite, to decide from the files of the product of a cell.

    ``read``: scans the files by the rules of the suite, once for all cells that share them; None: there are no files.
    """

    suite: LocatedSuite
    cases: tuple[Case, ...]
    axes: Mapping[str, str]
    architecture: str
    ledger: Ledger
    read: Callable[[tuple[Rule, ...]], ScanResult | None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a runner saw: one observation a case; ``findings`` of a scan, for waivers that name files."""

    observations: tuple[Observation, ...]
    findings: tuple[Finding, ...] = ()


class ProductRunner(Protocol):
    """Runs suites against a deployed product."""

    def __call__(self, task: ProductTask) -> Outcome:
        """Give one observation for each of ``task.cases``, whatever happens.

        Raises:
            Canceled: the operator stopped it.
            InfrastructureError: the evidence cannot be stored.
        """
        ...


class FilesRunner(Protocol):
    """Decides suites from files."""

    def __call__(self, task: FilesTask) -> Outcome:
        """Give one observation for each of ``task.cases``. Raises as ``ProductRunner``."""
        ...


def _pytest(task: ProductTask) -> Outcome:
    context = task.deployment.context
    return Outcome(
        observations=tuple(
            run_pytest(task.suite, task.cases, context, task.ledger, task.cancel, task.forks, task.sandboxes)
        )
    )


def _locust(task: ProductTask) -> Outcome:
    observations = run_locust(
        task.suite,
        task.cases,
        task.deployment,
        task.ledger,
        task.cancel,
        sandboxed=task.sandboxes is not None,
    )
    return Outcome(observations=tuple(observations))


def _scan(task: FilesTask) -> Outcome:
    observations, findings = run_scan(task.suite, task.cases, task.axes, task.architecture, task.ledger, task.read)
    return Outcome(observations=observations, findings=findings)


#: Runners of stage ``product`` by the name that a suite gives, in the order in which a cell runs them: first those that
#: share the machine, then those that need it alone.
PRODUCT_RUNNERS: Mapping[str, ProductRunner] = MappingProxyType({"pytest": _pytest, "locust": _locust})
#: Runners of stage ``files``.
FILES_RUNNERS: Mapping[str, FilesRunner] = MappingProxyType({"scan": _scan})
