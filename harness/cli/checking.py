"""What ``lint`` checks: a matrix with everything that it names, or one definition."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.campaigns import choosing
from harness.cli.shared import catalogue_here, databases_of
from harness.errors import DefinitionError, Fault, UsageError
from harness.model.definitions import Application, Database, Databases, Middleware, Policy, Waivers
from harness.model.plan import Definitions
from harness.reading.endpoints import databases_faults
from harness.reading.kinds import KINDS, kind_of_file
from harness.reading.naming import Names, expired, matrix_axes, names_beside, policy_faults, waiver_faults
from harness.reading.origins import replaced
from harness.reading.parsing import parse, validate
from harness.reading.products import missing_files
from harness.reading.read import read_matrix
from harness.reading.source import Loc, Source, read_source
from harness.reading.templating import SERVER_WORDS, application_faults, server_faults

#: Suites that create, read, change and remove a resource of the product.
NEED_RESOURCE = ("compat/http", "compat/database")
#: The suite that looks at the rows that a resource stores.
NEEDS_ROWS = "compat/database"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of a check that passed. ``summary`` says what was checked; ``warnings`` do not make the check fail."""

    summary: str
    warnings: tuple[Fault, ...] = ()


def check(place: Path, today: datetime.date) -> Checked:
    """Check a folder with a matrix, or one file.

    Raises:
        UsageError: there is no such file.
        DefinitionError: with every fault.
    """
    if not place.exists():
        raise UsageError(f"no such file or folder: {place}", advice="name a folder with matrix.yaml, or a definition")
    if place.is_dir():
        return _matrix(place, today)
    source = read_source(place)
    kind = kind_of_file(place.resolve(), source.value)
    if kind is None:
        raise UsageError(
            f"{place}: its keys are those of no kind of definition", advice=f"kinds are: {', '.join(KINDS)}"
        )
    if kind == "matrix":
        return _matrix(place, today)
    return _definition(source, kind, today)


def _matrix(place: Path, today: datetime.date) -> Checked:
    definitions, plan = choosing.plan_of(place, catalogue_here())
    databases_of(None)
    source, matrix = read_matrix(place)
    warnings = list(source.warnings)
    if matrix.waivers:
        path = definitions.matrix_path.parent / matrix.waivers
        warnings += expired(read_source(path), parse(path, Waivers), today)
    warnings += _without_a_case(source, definitions)
    warnings += _replaced(source, definitions)
    return Checked(summary=f"{len(plan.cells)} cell{'' if len(plan.cells) == 1 else 's'}", warnings=tuple(warnings))


def _replaced(source: Source, definitions: Definitions) -> Iterator[Fault]:
    """What stands in for something that is shipped, where the matrix names it."""
    for entry in replaced(definitions.basis):
        named = {located.definition.suite: name for name, located in definitions.suites.items()}
        key, names = "suites", list(definitions.matrix.suites)
        wanted = named.get(entry.name, entry.name)
        if entry.kind != "suite":
            key, names, wanted = "axes", list(definitions.matrix.axes.get(entry.kind, ())), entry.name
        loc: Loc = (key,) if key == "suites" else (key, entry.kind)
        yield source.fault((*loc, names.index(wanted)) if wanted in names else loc, entry.warning)


def _without_a_case(source: Source, definitions: Definitions) -> Iterator[Fault]:
    """Suites of which no case can apply to the product: their cells stay inconclusive."""
    http = definitions.application.http
    rows = http is None or http.resource is None or bool(http.resource.stored)
    if any({"http", "resource"} & variant.set.keys() for variant in definitions.application.variants):
        return
    for index, name in enumerate(definitions.matrix.suites):
        if name in NEED_RESOURCE and not definitions.application.has_resource:
            message = f"no case of {name} can apply: the application declares no resource"
            yield source.fault(
                ("suites", index), message, expected="http.resource or resource in application.yaml, or no such suite"
            )
        elif name == NEEDS_ROWS and not rows:
            message = f"no case of {name} can apply: no SQL reads what the resource stored"
            yield source.fault(("suites", index), message, expected="`stored` in http.resource, or no such suite")


def _definition(source: Source, kind: str, today: datetime.date) -> Checked:
    value = validate(source, KINDS[kind])
    faults: list[Fault] = []
    warnings: tuple[Fault, ...] = ()
    if isinstance(value, Waivers):
        faults += waiver_faults(source, value, _names(source.path))
        warnings = tuple(expired(source, value, today))
    elif isinstance(value, Policy):
        faults += policy_faults(source, value, _names(source.path))
    elif isinstance(value, Application):
        faults += missing_files(value, source.path)
        faults += application_faults(source, _axes_beside(source.path))
    elif isinstance(value, Databases):
        faults += databases_faults(source, value, catalogue_here())
    elif isinstance(value, Database | Middleware):
        faults += server_faults(source, SERVER_WORDS[kind])
    if faults:
        raise DefinitionError(faults)
    return Checked(summary=f"a good definition of kind {kind}", warnings=warnings)


def _names(path: Path) -> Names:
    """Names that a file may use: those of the matrix beside it, of the catalogue, of suites in folders beside it."""
    return names_beside(path.parent, _axes_beside(path), catalogue_here())


def _axes_beside(path: Path) -> dict[str, set[str]] | None:
    """Axes of the matrix beside a file; None where there is none, or where its own faults hide them."""
    with contextlib.suppress(UsageError, DefinitionError):
        return matrix_axes(read_matrix(path.parent)[1])
    return None
