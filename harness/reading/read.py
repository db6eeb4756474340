"""Reads a matrix and everything that it names into the models of ``harness.model.definitions``; gathers every fault.

Usage::

    definitions = read(Path("matrices/powerdns"))
    definitions.matrix, definitions.cpus["kunpeng-920"], definitions.suites["compat/http"].folder
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, get_args

from harness.errors import DefinitionError, Fault, UsageError
from harness.model.definitions import (
    Application,
    Architecture,
    Cpu,
    Database,
    DatedData,
    Matrix,
    Middleware,
    Os,
    Profile,
    Runtime,
    Waivers,
)
from harness.model.plan import FRESH, UPGRADE, Definitions, LocatedSuite
from harness.reading.catalogue import Catalogue
from harness.reading.confining import file_fault
from harness.reading.kinds import kind_of_content
from harness.reading.naming import known_names, matrix_axes, names_of, pair_faults, waiver_faults
from harness.reading.origins import basis_of
from harness.reading.parsing import nearest, parse, validate
from harness.reading.products import file_digests, missing_files
from harness.reading.sheets import fill_from_sheets
from harness.reading.source import Loc, Source, read_source
from harness.reading.suites import gather_suite
from harness.reading.targets import TargetReader
from harness.reading.templating import application_faults

ValueT = TypeVar("ValueT")
#: The families of packages: the values that ``family`` in a variant may have.
FAMILIES = ("debian", "rpm")


def read(folder: Path, catalogue: Catalogue | None = None, profile: Profile | None = None) -> Definitions:
    """Read the matrix in ``folder`` (or the matrix file itself) and everything that it names.

    ``profile``: instead of the one that the matrix names. Suites are as they are in that profile.

    Raises:
        UsageError: there is no matrix.
        DefinitionError: with every fault of every file.
    """
    source, matrix = read_matrix(folder)
    if profile is not None:
        matrix = matrix.model_copy(update={"profile": profile})
    return _MatrixReader(source, matrix, catalogue or Catalogue.standard()).definitions()


def read_matrix(folder: Path) -> tuple[Source, Matrix]:
    """The matrix in ``folder`` (or the matrix file itself) with its sheets, and nothing else that it names.

    Raises:
        UsageError: there is no matrix.
        DefinitionError: with every fault of the matrix and its sheets.
    """
    path = folder / "matrix.yaml" if folder.is_dir() else folder
    if not path.is_file():
        raise UsageError(
            f"no matrix at {folder}: expected a folder with matrix.yaml, or the file itself",
            advice="name a folder such as matrices/powerdns",
        )
    source = read_source(path)
    kind = kind_of_content(source.value)
    if kind not in (None, "matrix") and "matrix" not in source.value:
        raise UsageError(
            f"{path} is a definition of kind {kind}, not a matrix",
            advice="name the folder with matrix.yaml; one definition alone is checked by: harness lint",
        )
    fill_from_sheets(source)
    return source, validate(source, Matrix)


class _MatrixReader:
    """Reads what a matrix names. Every fault is kept, so that an author sees all of them at once."""

    def __init__(self, source: Source, matrix: Matrix, catalogue: Catalogue) -> None:
        self.source, self.matrix, self.catalogue = source, matrix, catalogue
        self.path = source.path
        self.faults: list[Fault] = []

    def definitions(self) -> Definitions:
        """Raises:
        DefinitionError: with every fault of every file.
        """
        matrix, folder = self.matrix, self.path.parent
        application_path = folder / matrix.application
        product = None
        if self._is_beside(("application",), matrix.application):
            product = self._gather(lambda: read_source(application_path))
        application = self._gather(lambda: validate(product, Application)) if product is not None else None
        targets = TargetReader(self.source, matrix, self.catalogue, self.faults)
        cpus, systems, databases = targets.load(Cpu), targets.load(Os), targets.in_modes(targets.load(Database))
        runtimes, middlewares = targets.load(Runtime), targets.load(Middleware)
        waivers = self._waivers()
        self._dated("vulnerabilities", matrix.vulnerabilities)
        self._dated("malware", matrix.malware)
        files: dict[str, str] | None = None
        suites = self._suites()
        if application is not None and product is not None:
            self.faults += missing_files(application, application_path)
            self.faults += application_faults(product, self.matrix.axes)
            self._former(application)
            if self.catalogue.whole:
                self._variants(product, application)
            if not self.faults:
                files = self._gather(lambda: file_digests(application, application_path.parent))
        if self.catalogue.whole:
            self._adjusts()
        if self.faults or application is None:
            raise DefinitionError(self.faults)
        definitions = Definitions(
            matrix=matrix,
            application=application,
            cpus=cpus,
            systems=systems,
            databases=databases,
            suites=suites,
            runtimes=runtimes,
            middlewares=middlewares,
            waivers=waivers.waivers if waivers is not None else (),
            folder=folder.resolve(),
            application_folder=application_path.parent.resolve(),
            matrix_places=dict(self.source.places),
            matrix_path=self.path,
            files=files or {},
        )
        definitions = dataclasses.replace(definitions, basis=basis_of(definitions, self.catalogue))
        if waivers is not None and self.catalogue.whole:
            names = names_of(definitions, self.catalogue)
            faults = list(waiver_faults(read_source(folder / str(matrix.waivers)), waivers, names))
            if faults:
                raise DefinitionError(faults)
        return definitions

    def _is_beside(self, loc: Loc, name: str) -> bool:
        """Whether a file that the matrix names is one of its folder; else a fault says what is wrong with it."""
        fault = file_fault(self.source, loc, name, "the file")
        self.faults += [fault] if fault is not None else []
        return fault is None

    def _dated(self, key: str, given: Sequence[DatedData]) -> None:
        for index, data in enumerate(given):
            self._is_beside((key, index, "file"), data.file)

    def _waivers(self) -> Waivers | None:
        if not self.matrix.waivers or not self._is_beside(("waivers",), self.matrix.waivers):
            return None
        path = self.path.parent / self.matrix.waivers
        return self._gather(lambda: parse(path, Waivers))

    def _adjusts(self) -> None:
        """Conditions of adjusts; whether one matches any cell is seen when the matrix is expanded."""
        axes = known_names(matrix_axes(self.matrix), {}, self.catalogue).axes
        for index, adjust in enumerate(self.matrix.adjust):
            for axis, value in adjust.when.items():
                self.faults += pair_faults(self.source, ("adjust", index, "when", axis), axis, value, axes)

    def _variants(self, product: Source, application: Application) -> None:
        """A variant is for cells of this matrix or of another one that tests the same product; so is a driver."""
        facts = {"architecture": get_args(Architecture), "family": FAMILIES}
        axes = {**known_names(matrix_axes(self.matrix), {}, self.catalogue).axes, **facts}
        for name in application.driver_jars:
            self.faults += pair_faults(product, ("driver_jars", name), "database", name, axes)
        for index, variant in enumerate(application.variants):
            for axis, value in variant.when.items():
                self.faults += pair_faults(product, ("variants", index, "when", axis), axis, value, axes)

    def _gather(self, work: Callable[[], ValueT]) -> ValueT | None:
        try:
            return work()
        except DefinitionError as error:
            self.faults.extend(error.faults)
            return None

    def _suites(self) -> dict[str, LocatedSuite]:
        wanted: list[tuple[Loc, str]] = [(("suites", i), name) for i, name in enumerate(self.matrix.suites)]
        for i, adjust in enumerate(self.matrix.adjust):
            wanted += [(("adjust", i, "set", "suites", j), name) for j, name in enumerate(adjust.set.suites or ())]
        suites: dict[str, LocatedSuite] = {}
        for loc, name in wanted:
            try:
                located = gather_suite(name, self.path.parent, self.catalogue)
            except DefinitionError as error:
                self.faults.extend(error.faults)
                continue
            if located is None:
                self._no_such_suite(loc, name)
                continue
            self._named_once(loc, located, suites)
            suites[name] = dataclasses.replace(located, definition=located.definition.under(self.matrix.profile))
        return suites

    def _named_once(self, loc: Loc, located: LocatedSuite, others: dict[str, LocatedSuite]) -> None:
        """Results are kept by the name of their suite: two suites of one name would write into each other's."""
        name = located.definition.suite
        for other in others.values():
            if other.definition.suite == name and other.folder != located.folder:
                message = f"a second suite that calls itself {name}"
                expected = f"another name in {located.folder / 'suite.yaml'} or in {other.folder / 'suite.yaml'}"
                self.faults.append(self.source.fault(loc, message, expected=expected, found=name))

    def _no_such_suite(self, loc: Loc, name: str) -> None:
        folder = self.path.parent / name
        if folder.is_dir():
            message = f"the folder {folder} holds no suite"
            expected = "a suite.yaml, a locustfile.py, or files with tests that pytest collects (test_*.py)"
            self.faults.append(self.source.fault(loc, message, expected=expected, found=name))
            return
        known = self.catalogue.suites()
        self.faults.append(
            self.source.fault(
                loc,
                "no such suite",
                expected=f"one of {', '.join(known)}, or a folder beside the matrix",
                found=name,
                hint=nearest(name, known),
            )
        )

    def _former(self, application: Application) -> None:
        """The axis ``upgrade_from`` names former versions of the application."""
        for i, name in enumerate(self.matrix.axes.get(UPGRADE, ())):
            if name != FRESH and name not in application.former:
                known = [FRESH, *application.former]
                self.faults.append(
                    self.source.fault(
                        ("axes", UPGRADE, i),
                        "the application names no such former version",
                        expected=f"one of {', '.join(known)}",
                        found=name,
                        hint=nearest(name, known),
                    )
                )
