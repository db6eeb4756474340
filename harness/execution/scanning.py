"""Static scans of a cell: files are read, nothing of the product runs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.control.installation import Installation
from harness.errors import InfrastructureError
from harness.execution.attempt import Attempt
from harness.execution.contexts import Secrets, context_of
from harness.execution.making import Target
from harness.execution.suites import take
from harness.model.definitions import Rule
from harness.model.finding import ScanResult, Targets
from harness.model.plan import LocatedSuite
from harness.model.results import State
from harness.runners.runner import FILES_RUNNERS, FilesTask
from harness.scan import scan
from harness.scan.inputs import product_files, targets_of
from harness.system.redact import token

#: Where the product's files are put together for the static scan, on the target: a folder that only root can write to,
#: and a name that nothing there knows. A product that runs as another user could have left a link at a fixed one.
_FOLDER = "/run/harness"


def scan_submitted(attempt: Attempt) -> None:
    """Scan what lies beside the definition: before anything is made, so also where nothing can serve the cell."""
    placed, folder = attempt.placed, attempt.lab.definitions.application_folder
    files = product_files(placed.application, folder, placed.cpu.architecture)
    if not files:
        return
    names = {path: str(path.relative_to(folder)) for path in files}

    def read(suite: LocatedSuite, rules: tuple[Rule, ...]) -> ScanResult | None:
        key = (suite.digest, placed.cpu.architecture, tuple(files))
        return attempt.lab.scans.get(key, lambda: scan(files, rules, _targets(attempt), names=names))

    _scan(attempt, read)


def scan_installed(attempt: Attempt, target: Target, secrets: Secrets) -> None:
    """Scan a product without files of its own as its packages are installed."""
    placed = attempt.placed
    if product_files(placed.application, attempt.lab.definitions.application_folder, placed.cpu.architecture):
        return

    def read(suite: LocatedSuite, rules: tuple[Rule, ...]) -> ScanResult | None:
        # What is installed on a lab host comes from its own repositories: no other cell has the same.
        key = (suite.digest, target.product.image or attempt.cell.id)
        return attempt.lab.scans.get(key, lambda: _scan_machine(attempt, target, secrets, rules))

    _scan(attempt, read)


def _scan(attempt: Attempt, read: Callable[[LocatedSuite, tuple[Rule, ...]], ScanResult | None]) -> None:
    """Run each suite of the cell that decides from files."""
    for suite in attempt.suites:
        if suite.definition.runner not in FILES_RUNNERS:
            continue
        cases = take(attempt, suite, suite.definition.cases)
        if not cases:
            continue
        attempt.state(State.RUNNING, suite.definition.suite)
        with attempt.step(suite.definition.suite):
            outcome = FILES_RUNNERS[suite.definition.runner](
                FilesTask(
                    suite=suite,
                    cases=cases,
                    axes=attempt.cell.axes,
                    architecture=attempt.placed.cpu.architecture,
                    ledger=attempt.record,
                    read=partial(read, suite),
                )
            )
            attempt.findings += outcome.findings
            attempt.observe(*outcome.observations)


def _targets(attempt: Attempt) -> Targets:
    return targets_of(attempt.lab.definitions, attempt.placed.cpu.architecture)


def _scan_machine(attempt: Attempt, target: Target, secrets: Secrets, rules: tuple[Rule, ...]) -> ScanResult | None:
    """Scan the files of the product's packages; None where it has none.

    Raises:
        InfrastructureError: they cannot be read.
    """
    machine = target.machines.application
    installation = Installation(context_of(attempt, target, secrets), machine)
    paths = "\n".join(path.lstrip("/") for path in installation.files())
    if not paths:
        return None
    archive = f"{_FOLDER}/scan-{token()}.tar"
    script = (
        f"mkdir -p {_FOLDER} && umask 077 && "
        'cd / && while read -r f; do if [ -f "$f" ] && [ ! -L "$f" ]; then echo "$f"; fi; done '
        f"| tar -cf {archive} -T -"
    )
    completed = machine.run(script, stdin=paths, timeout=120 * target.factors.used)
    if not completed.ok:
        raise InfrastructureError(
            f"the files of the product could not be read: {completed.text.strip()[-300:]}",
            advice="see the logs of the cell",
        )
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(machine.get(archive))
        file.flush()
        machine.run(f"rm -f {archive}", timeout=60)
        path = Path(file.name)
        return scan([path], rules, _targets(attempt), names={path: attempt.placed.application.application})
