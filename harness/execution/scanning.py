"""Static scans of a cell: files are read, nothing of the product runs."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.control.installation import Installation
from harness.errors import InfrastructureError
from harness.execution.making import Making
from harness.model.definitions import Rule
from harness.model.finding import ScanResult, Targets
from harness.model.plan import LocatedSuite
from harness.model.recipe import Environment
from harness.model.results import State
from harness.provision.provisioner import Machines
from harness.runners.runner import FILES_RUNNERS, FilesTask
from harness.scan import scan
from harness.scan.inputs import product_files, targets_of

#: Where the product's files are put together for the static scan, on the target: a folder that only root can write to,
#: and a name that nothing there knows. A product that runs as another user could have left a link at a fixed one.
_FOLDER = "/run/harness"


class Scanning(Making):
    """Scans of the product's files, wherever they are."""

    def static(self, machines: Machines | None = None, product: Environment | None = None) -> None:
        """Static scans: of what lies beside the definition before anything is made, so also where nothing can serve the
        cell; of a product without files of its own as its packages are installed."""
        architecture = self.target.cpu.architecture
        files = product_files(self.application, self.lab.definitions.application_folder, architecture)
        if bool(files) == (machines is not None):
            return
        targets = targets_of(self.lab.definitions, architecture)
        for suite in (one for one in self.suites_of_cell if one.definition.runner in FILES_RUNNERS):
            self.state(State.RUNNING, suite.definition.suite)

            def read(rules: tuple[Rule, ...], suite: LocatedSuite = suite) -> ScanResult | None:
                make: Callable[[], ScanResult | None]
                if files:
                    names = {path: str(path.relative_to(self.lab.definitions.application_folder)) for path in files}
                    key: tuple[object, ...] = (suite.digest, architecture, tuple(files))
                    make = partial(scan, files, rules, targets, names=names)
                else:
                    assert machines is not None
                    assert product is not None
                    # What is installed on a lab host comes from its own repositories: it is nobody else's.
                    key = (suite.digest, product.image or self.cell.id)
                    make = partial(self.scan_installed, machines, product, rules, targets)
                return self.lab.scans.get(key, make)

            with self.step(suite.definition.suite):
                outcome = FILES_RUNNERS[suite.definition.runner](
                    FilesTask(
                        suite=suite,
                        cases=suite.definition.cases,
                        axes=self.cell.axes,
                        architecture=architecture,
                        ledger=self.record,
                        read=read,
                    )
                )
                self.found += outcome.findings
                self.observe(*outcome.observations)

    def scan_installed(
        self, machines: Machines, product: Environment, rules: tuple[Rule, ...], targets: Targets
    ) -> ScanResult | None:
        """Scan the files of the product's packages; None where it has none."""
        context = self.context(machines, product)
        paths = "\n".join(path.lstrip("/") for path in Installation(context, machines.application).files())
        if not paths:
            return None
        archive = f"{_FOLDER}/scan-{secrets.token_hex(8)}.tar"
        script = (
            f"mkdir -p {_FOLDER} && umask 077 && "
            'cd / && while read -r f; do if [ -f "$f" ] && [ ! -L "$f" ]; then echo "$f"; fi; done '
            f"| tar -cf {archive} -T -"
        )
        done = machines.application.run(script, stdin=paths, timeout=120 * self.factor)
        if not done.ok:
            raise InfrastructureError(
                f"the files of the product could not be read: {done.text.strip()[-300:]}",
                advice="see the logs of the cell",
            )
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            file.write(machines.application.get(archive))
            file.flush()
            machines.application.run(f"rm -f {archive}", timeout=60)
            path = Path(file.name)
            return scan([path], rules, targets, names={path: self.application.application})
