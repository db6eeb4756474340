"""Expands a matrix into a plan."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from harness.errors import HarnessBug, UsageError
from harness.model.definitions import Matrix
from harness.model.plan import FRESH, ROLES, SAME, UPGRADE, Cell, Definitions, Excluded, Plan
from harness.planning.bounding import few_enough
from harness.planning.combinations import Axes, Combinations, combine, indices, lacks, listed
from harness.planning.coverage import coverage_of
from harness.planning.covering import covering_array
from harness.planning.faults import Faults
from harness.planning.proof import faults_of
from harness.system.canonical import digest_of

#: What a note on a cell begins with, whose product reaches places outside of it.
REACHES = "reaches outside of its cell, as the application declares: "


def expand(definitions: Definitions, locked: Sequence[Axes] | None = None) -> Plan:
    """Expand a matrix into its plan.

    ``locked``: the cells of a lock, as axis -> value; the plan then has these cells, and the strategy chooses none.

    Raises:
        DefinitionError: an exclude that matches nothing, an include with an unknown or missing axis or a
            combination that exists already, an adjust that matches nothing, a combination no system serves, a must
            that is excluded, a plan too large.
        UsageError: ``locked`` does not prove to be a plan of this matrix.
    """
    matrix = definitions.matrix
    faults = Faults(definitions)
    combinations = combine(definitions, faults)
    faults.refuse()
    if locked is not None:
        chosen = [(dict(cell), "lock") for cell in locked]
    else:
        if matrix.strategy.kind == "full":
            with faults.at(("axes",)):
                few_enough(combinations.number)
        with faults.at(("strategy",)):
            chosen = list(_chosen(matrix, combinations))
    with faults.at(("strategy",) if locked is None else ()):
        few_enough(len(chosen))
    _prove(matrix, [axes for axes, _ in chosen], locked=locked is not None)
    cells = _cells(definitions, chosen, faults)
    _applications(definitions, cells, faults)
    _roles(definitions, cells, faults)
    faults.refuse()
    base = definitions_digest(definitions)
    planned = [
        {"id": cell.id, "suites": cell.suites, "factor": cell.timeout_factor, "prefer": cell.prefer} for cell in cells
    ]
    return Plan(
        matrix=matrix.matrix,
        cells=tuple(cells),
        definitions=base,
        excluded=_excluded(matrix, combinations.counts),
        valid=combinations.number,
        coverage=coverage_of(
            matrix, combinations.space, list(matrix.axes), combinations.owners, [axes for axes, _ in chosen]
        ),
        digest=digest_of({"definitions": base, "cells": planned}),
    )


def _prove(matrix: Matrix, cells: Sequence[Axes], *, locked: bool) -> None:
    """Prove that the cells are a plan of the matrix.

    Raises:
        UsageError: the cells of a lock are not.
        HarnessBug: the cells that the strategy chose are not.
    """
    faults = faults_of(matrix, cells)
    if not faults:
        return
    text = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")
    if locked:
        raise UsageError(f"the lock is no plan of this matrix: {text}", advice="make it anew: harness plan --lock")
    raise HarnessBug(f"the plan does not prove: {text}")


def _excluded(matrix: Matrix, counts: Sequence[int]) -> tuple[Excluded, ...]:
    """Each exclude of the matrix with the number of combinations that it forbids; ``counts`` are in their order."""
    return tuple(
        Excluded(
            axes={axis: listed(value) for axis, value in rule.axes.items()},
            unless=dict(rule.unless),
            because=rule.because,
            count=count,
        )
        for rule, count in zip(matrix.exclude, counts, strict=True)
    )


def _chosen(matrix: Matrix, combinations: Combinations) -> Iterator[tuple[Axes, str]]:
    """The cells that the strategy takes, each with its reason; the includes come last."""
    names, values = list(matrix.axes), list(matrix.axes.values())
    strategy, space, includes = matrix.strategy, combinations.space, combinations.includes
    if strategy.kind == "full":
        for axes in space.cells(names, values):
            yield axes, "axes"
    elif space.count:
        must = [indices(matrix, choice) for choice in strategy.must]
        fixed = [indices(matrix, include) for include in includes]
        rows = covering_array(space, strategy.strength_of(len(names)), seed=strategy.seed, must=must, fixed=fixed)
        for row in rows:
            axes = {name: of[index] for name, of, index in zip(names, values, row, strict=True)}
            asked = any(choice.items() <= axes.items() for choice in strategy.must)
            yield axes, f"must, {strategy.kind}" if asked else strategy.kind
    for cell in includes:
        yield cell, "include"


def _cells(definitions: Definitions, chosen: list[tuple[Axes, str]], faults: Faults) -> list[Cell]:
    """The chosen cells with their suites, limits and notes, as the adjusts of the matrix make them."""
    matrix = definitions.matrix
    cells = []
    adjusted = set()
    for axes, reason in chosen:
        suites, notes = matrix.suites, _reached(definitions, axes)
        factor = definitions.cpus[axes["cpu"]].timeout_factor * definitions.interpreted(axes)
        prefer = matrix.prefer
        for index, adjust in enumerate(matrix.adjust):
            if all(axes.get(key) == value for key, value in adjust.when.items()):
                adjusted.add(index)
                suites = adjust.set.suites if adjust.set.suites is not None else suites
                factor = adjust.set.timeout_factor or factor
                prefer = adjust.set.prefer or prefer
                notes.append(adjust.because)
        cells.append(
            Cell(axes=axes, suites=suites, reason=reason, timeout_factor=factor, notes=tuple(notes), prefer=prefer)
        )
    for index in set(range(len(matrix.adjust))) - adjusted:
        faults.add(("adjust", index), "this adjust matches no cell")
    return cells


def _reached(definitions: Definitions, axes: Axes) -> list[str]:
    """What is to be said of places outside of the cell, which the product declares."""
    application = definitions.application
    if not application.reach and not any("reach" in variant.set for variant in application.variants):
        return []
    with contextlib.suppress(ValidationError):  # a fault that is named later
        places = definitions.application_of(axes).reach
        return [f"{REACHES}{', '.join(map(str, places))}"] if places else []
    return []


def _applications(definitions: Definitions, cells: list[Cell], faults: Faults) -> None:
    """Check that the variants give a valid application on every cell, and so does the version before an upgrade."""
    for cell in cells:
        try:
            application = definitions.application_of(cell.axes)
            if (name := cell.axes.get(UPGRADE, FRESH)) != FRESH and name in application.former:
                definitions.former_of(cell.axes, name)
            if application.wars:
                _without_container(definitions, cell, faults)
            if own := sorted({place.host for place in application.reach} & {"application", *ROLES}):
                file = str(definitions.application_folder / Path(definitions.matrix.application).name)
                message = f"reach names a machine of the cell: {', '.join(own)}"
                faults.add_to(file, message, expected="a place outside of the cell", actual=own[0])
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            file = str(definitions.application_folder / Path(definitions.matrix.application).name)
            message = f"the variants make no valid application on {', '.join(cell.axes.values())}"
            faults.add_to(file, message, expected=first["msg"], actual=place)


def _without_container(definitions: Definitions, cell: Cell, faults: Faults) -> None:
    """A cell whose product is WARs, and that has nothing to run them in."""
    known = [name for name, middleware in definitions.middlewares.items() if middleware.servlet is not None]
    expected = f"an axis middleware that names a servlet container, such as {', '.join(known) or 'tomcat-10'}"
    name = cell.axes.get("middleware")
    if name is None:
        faults.add(("axes",), "the application has WARs, and no axis names what runs them", expected=expected)
        return
    values = definitions.matrix.axes["middleware"]
    place: tuple[str | int, ...] = ("axes", "middleware", *([values.index(name)] if name in values else []))
    if definitions.middlewares[name].servlet is None:
        message = f"the application has WARs, and middleware {name} is no servlet container"
    else:
        message, expected = f"{name} deploys no WAR as the context /", "another context, such as /app, by a variant"
    faults.add(place, message, expected=expected)


def _roles(definitions: Definitions, cells: list[Cell], faults: Faults) -> None:
    """Check the machines of the roles: only a server has a machine beside the product's, and its system must exist."""
    for cell, role in itertools.product(cells, ROLES):
        axes = (f"{role}_os", f"{role}_cpu")
        apart = {axis: cell.axes[axis] for axis in axes if cell.axes.get(axis, SAME) != SAME}
        if not apart:
            continue
        axis, values = next(iter(apart)), ", ".join(f"{axis}: {value}" for axis, value in apart.items())
        server = definitions.server(role, cell.axes)
        system, cpu = definitions.server_machine(role, cell.axes)
        if server is None:
            faults.add(
                ("axes", axis),
                f"a machine for {role}, and the matrix has no axis {role}",
                expected=f"an axis {role}, or no {axis}",
            )
        elif server.placement not in ("server", "external"):
            name = cell.axes[role]
            faults.add(
                ("axes", axis),
                "without a database there is no machine for it"
                if server.placement == "none"
                else f"{name} is part of the product's machine and can have none of its own",
                expected=f"an exclude for {role}: {name}, {values}",
            )
        elif lacks(system, cpu):
            faults.add(
                ("axes", axis),
                f"{system.os} has no {cpu.architecture} release for a {role} on {cpu.cpu}",
                expected=f"an exclude for os: {cell.axes['os']}, {values}",
            )


def definitions_digest(definitions: Definitions) -> str:
    """SHA-256 of everything that a plan follows from: matrix, application, suites, targets and the files they name."""
    return digest_of(
        {
            "matrix": definitions.matrix.model_dump(mode="json"),
            "application": definitions.application.model_dump(mode="json"),
            "suites": {
                n: [s.definition.model_dump(mode="json"), s.digest] for n, s in sorted(definitions.suites.items())
            },
            "files": definitions.files,
            "targets": [
                value.model_dump(mode="json")
                for group in (
                    definitions.cpus,
                    definitions.systems,
                    definitions.databases,
                    definitions.runtimes,
                    definitions.middlewares,
                )
                for _, value in sorted(group.items())
            ],
        }
    )
