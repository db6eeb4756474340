"""Names in waivers and policies, held against what there is: a misspelt name accepts or weighs nothing, silently."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DefinitionError, Fault
from harness.model.definitions import Matrix, Policy, Waivers
from harness.model.plan import ROLES, SAME, Definitions, role_axes
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import nearest
from harness.reading.source import Loc, Source
from harness.reading.suites import gather_suite

#: The suite of the steps of a deployment, which every cell has.
DEPLOYMENT = "deployment"
#: Kinds of targets that an axis may name.
TARGET_AXES = ("cpu", "os", "runtime", *ROLES)


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names that a waiver or a policy may use.

    ``axes``: axis -> its values. ``cases``: suite -> ids of its cases. ``further`` gives cases of suites that are not
    here but known elsewhere; it is asked only for a case that is unknown otherwise, because it reads many files.
    """

    axes: Mapping[str, Collection[str]]
    cases: Mapping[str, Collection[str]]
    further: Callable[[], Mapping[str, Collection[str]]] = dict
    closed: bool = True  #: whether these are all axes that there are


def matrix_axes(matrix: Matrix) -> dict[str, set[str]]:
    """Axis -> its values, also those that an include alone has."""
    axes = {axis: set(values) for axis, values in matrix.axes.items()}
    for cell in matrix.include:
        for axis, value in cell.items():
            axes.setdefault(axis, set()).add(value)
    return axes


def names_of(definitions: Definitions, catalogue: Catalogue) -> Names:
    """What the definitions of a matrix name, and the suite that every cell has."""
    suites = dict(definitions.suites)
    deployment = gather_suite(DEPLOYMENT, definitions.folder, catalogue)
    if deployment is not None:
        suites[DEPLOYMENT] = deployment
    cases = {name: [case.id for case in suite.definition.cases] for name, suite in suites.items()}
    return known_names(matrix_axes(definitions.matrix), cases, catalogue)


def known_names(
    axes: Mapping[str, Collection[str]], cases: Mapping[str, Collection[str]], catalogue: Catalogue
) -> Names:
    """The names given and those of the catalogue: one file of waivers may serve several matrices."""
    every: dict[str, set[str]] = {axis: set(values) for axis, values in axes.items()}
    for kind in TARGET_AXES:
        every.setdefault(kind, set()).update(catalogue.names(f"targets/{kind}"))
    for role, kind in role_axes().items():
        every.setdefault(role, set()).update([SAME, *catalogue.names(f"targets/{kind}")])

    def further() -> dict[str, list[str]]:
        suites = {name: gather_suite(name, catalogue.roots[0], catalogue) for name in catalogue.suites()}
        return {name: [case.id for case in suite.definition.cases] for name, suite in suites.items() if suite}

    return Names(axes=every, cases=cases, further=further)


def names_beside(folder: Path, axes: Mapping[str, Collection[str]] | None, catalogue: Catalogue) -> Names:
    """For a file of waivers that no matrix names: every suite of the catalogue, and those in folders beside the file.

    ``axes`` are those of a matrix beside it; None: there is none, and axes of the author's own cannot be known.
    """
    cases: dict[str, list[str]] = {}
    for below in sorted({path.parent for path in folder.rglob("*.py") if len(path.relative_to(folder).parts) <= 4}):
        with contextlib.suppress(DefinitionError):  # a suite that is wrong is a fault of its own
            suite = gather_suite(str(below.relative_to(folder)), folder, catalogue)
            if suite is not None:
                cases[suite.definition.suite] = [case.id for case in suite.definition.cases]
    return dataclasses.replace(known_names(axes or {}, cases, catalogue), closed=axes is not None)


def waiver_faults(source: Source, waivers: Waivers, names: Names) -> Iterator[Fault]:
    """Axes, values, suites and cases that there are not."""
    for index, waiver in enumerate(waivers.waivers):
        loc: Loc = ("waivers", index)
        for axis, value in waiver.when.items():
            yield from _pair_faults(source, (*loc, "when", axis), axis, value, names)
        yield from _case_faults(source, loc, waiver.suite, waiver.case, names)


def _case_faults(source: Source, loc: Loc, suite: str | None, case: str, names: Names) -> Iterator[Fault]:
    cases = names.cases
    if (suite is not None and suite not in cases) or (case != "*" and not _has(cases, suite, case)):
        cases = {**names.further(), **cases}
    if suite is not None and suite not in cases:
        yield unknown(source, (*loc, "suite"), "no such suite", suite, cases)
    elif case != "*" and not _has(cases, suite, case):
        of = cases[suite] if suite is not None else [name for some in cases.values() for name in some]
        yield unknown(source, (*loc, "case"), "no such case" + (f" in {suite}" if suite else ""), case, of)


def _has(cases: Mapping[str, Collection[str]], suite: str | None, case: str) -> bool:
    return case in cases.get(suite, ()) if suite is not None else any(case in some for some in cases.values())


def policy_faults(source: Source, policy: Policy, names: Names) -> Iterator[Fault]:
    """Entries of ``cells`` that name an axis or a value that there is not."""
    for index, text in enumerate(policy.cells):
        axis, equals, value = text.partition("=")
        if not equals:
            yield source.fault(("cells", index), "not AXIS=VALUE", expected="for example cpu=x86-64", found=text)
        else:
            yield from _pair_faults(source, ("cells", index), axis, value, names)


def _pair_faults(source: Source, loc: Loc, axis: str, value: str, names: Names) -> Iterator[Fault]:
    if names.closed or axis in names.axes:
        yield from pair_faults(source, loc, axis, value, names.axes)


def pair_faults(
    source: Source, loc: Loc, axis: str, value: str, axes: Mapping[str, Collection[str]]
) -> Iterator[Fault]:
    """An axis or a value that there is not."""
    if axis not in axes:
        yield unknown(source, loc, "no such axis", axis, axes)
    elif value not in axes[axis]:
        yield unknown(source, loc, f"axis {axis} has no such value", value, axes[axis])


def unknown(source: Source, loc: Loc, message: str, name: str, known: Collection[str]) -> Fault:
    """A name that there is not, with the nearest one that there is."""
    every = sorted(known)
    shown = ", ".join(every[:30]) + (f" and {len(every) - 30} more" if len(every) > 30 else "")
    return source.fault(loc, message, expected=f"one of {shown}", found=name, hint=nearest(name, every))


def expired(source: Source, waivers: Waivers, today: datetime.date) -> Iterator[Fault]:
    """Waivers that accept nothing any more: no faults, but an author wants to know."""
    for index, waiver in enumerate(waivers.waivers):
        if not waiver.holds(today):
            yield source.fault(
                ("waivers", index, "expires"),
                "this waiver has expired: it accepts nothing",
                expected=f"a day from {today} on",
                found=str(waiver.expires),
            )
