"""Expands a matrix into a plan."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from harness.errors import DefinitionError, Fault, HarnessBug, UsageError
from harness.model.definitions import Cpu, Matrix, Os
from harness.model.plan import FRESH, ROLES, SAME, UPGRADE, Cell, Definitions, Excluded, Plan
from harness.planning.bounding import few_enough, within_limits
from harness.planning.coverage import coverage_of
from harness.planning.covering import covering_array
from harness.planning.proof import faults_of
from harness.planning.space import Rule, Space
from harness.reading.parsing import nearest
from harness.system.canonical import digest_of

Axes = dict[str, str]
Tell = Callable[..., None]
ValueT = TypeVar("ValueT")


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
    faults: list[Fault] = []

    def fault(loc: tuple[str | int, ...], message: str, **more: str) -> None:
        while loc and loc not in definitions.matrix_places:
            loc = loc[:-1]
        line, column = definitions.matrix_places.get(loc, (1, 1))
        if more.get("expected", "").startswith("one of ") and "found" in more:
            more["hint"] = nearest(more["found"], more["expected"].removeprefix("one of ").split(", "))
        faults.append(Fault(file=str(definitions.matrix_path), line=line, column=column, message=message, **more))

    def bounded(loc: tuple[str | int, ...], work: Callable[[], ValueT]) -> ValueT:
        try:
            return work()
        except UsageError as error:
            fault(loc, error.message, expected=error.advice)
            raise DefinitionError(faults) from error

    names = list(matrix.axes)
    bounded(("strategy",) if "strategy" in matrix.model_fields_set else ("axes",), lambda: within_limits(matrix))
    rules, owners = _rules(matrix, fault)
    space = bounded(("exclude",), lambda: Space(tuple(len(values) for values in matrix.axes.values()), rules))
    counts = [0] * len(matrix.exclude)
    for owner, count in zip(owners, space.excluded, strict=True):
        counts[owner] += count
    for index in set(owners):
        if not counts[index]:
            fault(("exclude", index), "this exclude matches nothing", expected="a combination of the axes above")
    includes = _includes(matrix, space, fault)
    _check_musts(matrix, space, fault)
    _check_served(definitions, space, includes, fault)
    if not space.count and not includes and not faults:
        fault(("exclude",), "no cell is left: everything is excluded")
    if faults:
        raise DefinitionError(_unique(faults))

    if locked is not None:
        chosen = [(dict(cell), "lock") for cell in locked]
    else:
        if matrix.strategy.kind == "full":
            bounded(("axes",), lambda: few_enough(space.count + len(includes)))
        chosen = bounded(("strategy",), lambda: list(_chosen(matrix, space, includes)))
    bounded(("strategy",) if locked is None else (), lambda: few_enough(len(chosen)))
    _prove(matrix, [axes for axes, _ in chosen], locked=locked is not None)
    cells = _cells(definitions, chosen, fault)
    _applications(definitions, cells, faults)
    _roles(definitions, cells, fault)
    if faults:
        raise DefinitionError(_unique(faults))
    base = definitions_digest(definitions)
    planned = [
        {"id": cell.id, "suites": cell.suites, "factor": cell.timeout_factor, "prefer": cell.prefer} for cell in cells
    ]
    return Plan(
        matrix=matrix.matrix,
        cells=tuple(cells),
        definitions=base,
        excluded=_excluded(matrix, counts),
        valid=space.count + len(includes),
        coverage=coverage_of(matrix, space, names, owners, [a for a, _ in chosen]),
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
            axes={axis: _listed(value) for axis, value in rule.axes.items()},
            unless=dict(rule.unless),
            because=rule.because,
            count=count,
        )
        for rule, count in zip(matrix.exclude, counts, strict=True)
    )


def _rules(matrix: Matrix, fault: Tell) -> tuple[tuple[Rule, ...], list[int]]:
    """Every exclude as forbidden conjunctions of indices, and the exclude that each came from."""
    names = list(matrix.axes)
    rules: list[Rule] = []
    owners: list[int] = []
    for index, rule in enumerate(matrix.exclude):
        wrong = False
        when: dict[int, list[int]] = {}
        unless: dict[int, list[int]] = {}
        for group, values, prefix in ((when, rule.axes, ()), (unless, rule.unless, ("unless",))):
            for axis, wanted in values.items():
                if axis not in matrix.axes:
                    fault(
                        ("exclude", index, *prefix, axis),
                        f"unknown axis {axis!r}",
                        expected=f"one of {', '.join(names)}",
                        found=axis,
                    )
                    wrong = True
                    continue
                known = list(matrix.axes[axis])
                for value in _listed(wanted):
                    if value not in known:
                        fault(
                            ("exclude", index, *prefix, axis),
                            f"axis {axis} has no value {value!r}",
                            expected=f"one of {', '.join(known)}",
                            found=value,
                        )
                        wrong = True
                group[names.index(axis)] = sorted({known.index(v) for v in _listed(wanted) if v in known})
        if not when and not wrong:
            fault(("exclude", index), "an exclude names at least one axis", expected=f"one of {', '.join(names)}")
        if wrong or not when:
            continue
        if not unless:
            rules.append(when)
            owners.append(index)
        for number, allowed in unless.items():  # it is forbidden as soon as one of them does not hold
            every = when.get(number, list(range(len(matrix.axes[names[number]]))))
            others = [value for value in every if value not in allowed]
            if others:
                rules.append({**when, number: others})
                owners.append(index)
        if unless and index not in owners:
            fault(("exclude", index), "this exclude matches nothing", expected="a combination of the axes above")
    return tuple(rules), owners


def _includes(matrix: Matrix, space: Space, fault: Tell) -> list[Axes]:
    names = list(matrix.axes)
    kept: list[Axes] = []
    known: set[frozenset[tuple[str, str]]] = set()
    for index, include in enumerate(matrix.include):
        unknown, missing = sorted(include.keys() - set(names)), sorted(set(names) - include.keys())
        for key in unknown:
            fault(("include", index, key), f"unknown axis {key!r}", expected=f"one of {', '.join(names)}", found=key)
        if missing:
            fault(("include", index), "an include adds whole cells", expected=f"also {', '.join(missing)}")
        if unknown or missing:
            continue
        own = _indices(matrix, include)
        pairs = frozenset(include.items())
        if pairs in known or (len(own) == len(names) and space.possible({a: (v,) for a, v in own.items()})):
            fault(("include", index), "this combination is in the matrix already")
            continue
        known.add(pairs)
        kept.append(dict(include))
    return kept


def _check_musts(matrix: Matrix, space: Space, fault: Tell) -> None:
    for index, must in enumerate(matrix.strategy.must):
        loc = ("strategy", "must", index)
        for axis, value in must.items():
            if axis not in matrix.axes:
                fault((*loc, axis), f"unknown axis {axis!r}", expected=f"one of {', '.join(matrix.axes)}", found=axis)
            elif value not in matrix.axes[axis]:
                known = ", ".join(matrix.axes[axis])
                fault((*loc, axis), f"axis {axis} has no value {value!r}", expected=f"one of {known}", found=value)
        own = _indices(matrix, must)
        if len(own) == len(must) and not space.possible({axis: (value,) for axis, value in own.items()}):
            fault(
                loc,
                "this must is excluded",
                expected="values that some cell has",
                found=", ".join(f"{a}: {v}" for a, v in must.items()),
            )


def _check_served(definitions: Definitions, space: Space, includes: list[Axes], fault: Tell) -> None:
    """Every pair of system and CPU that a cell can have must exist."""
    matrix = definitions.matrix
    names = list(matrix.axes)
    for os, cpu_name in itertools.product(matrix.axes["os"], matrix.axes["cpu"]):
        pair = _indices(matrix, {"os": os, "cpu": cpu_name})
        if not space.possible({axis: (value,) for axis, value in pair.items()}):
            continue
        system, cpu = definitions.systems[os], definitions.cpus[cpu_name]
        if _lacks(system, cpu):
            fault(
                ("axes", "os", list(matrix.axes["os"]).index(os)),
                f"{os} has no {cpu.architecture} release, which {cpu_name} needs",
                expected=f"an exclude for os: {os}, cpu: {cpu_name}",
            )
    for cell in includes:
        if all(name in cell for name in names):
            system, cpu = definitions.systems[cell["os"]], definitions.cpus[cell["cpu"]]
            if _lacks(system, cpu):
                fault(
                    ("include", list(matrix.include).index(cell)),
                    f"{system.os} has no {cpu.architecture} release, which {cpu.cpu} needs",
                )


def _lacks(system: Os, cpu: Cpu) -> bool:
    """Whether a system is known to have no release for a CPU's architecture."""
    return bool(system.architectures) and cpu.architecture not in system.architectures


def _chosen(matrix: Matrix, space: Space, includes: list[Axes]) -> Iterator[tuple[Axes, str]]:
    names, values = list(matrix.axes), list(matrix.axes.values())
    strategy = matrix.strategy
    if strategy.kind == "full":
        for axes in space.cells(names, values):
            yield axes, "axes"
    elif space.count:
        must = [_indices(matrix, choice) for choice in strategy.must]
        fixed = [_indices(matrix, include) for include in includes]
        rows = covering_array(space, strategy.strength_of(len(names)), seed=strategy.seed, must=must, fixed=fixed)
        for row in rows:
            axes = {name: of[index] for name, of, index in zip(names, values, row, strict=True)}
            asked = any(choice.items() <= axes.items() for choice in strategy.must)
            yield axes, f"must, {strategy.kind}" if asked else strategy.kind
    for cell in includes:
        yield cell, "include"


def _cells(definitions: Definitions, chosen: list[tuple[Axes, str]], fault: Tell) -> list[Cell]:
    matrix = definitions.matrix
    cells = []
    adjusted = set()
    for axes, reason in chosen:
        suites, factor, notes = matrix.suites, definitions.cpus[axes["cpu"]].timeout_factor, []
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
        fault(("adjust", index), "this adjust matches no cell")
    return cells


def _applications(definitions: Definitions, cells: list[Cell], faults: list[Fault]) -> None:
    """Check that the variants give a valid application on every cell, and so does the version before an upgrade."""
    for cell in cells:
        try:
            application = definitions.application_of(cell.axes)
            if (name := cell.axes.get(UPGRADE, FRESH)) != FRESH and name in application.former:
                application.before(name)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            file = str(definitions.application_folder / Path(definitions.matrix.application).name)
            message = f"the variants make no valid application on {', '.join(cell.axes.values())}"
            faults.append(Fault(file=file, line=1, column=1, message=message, expected=first["msg"], found=place))


def _roles(definitions: Definitions, cells: list[Cell], fault: Tell) -> None:
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
            fault(
                ("axes", axis),
                f"a machine for {role}, and the matrix has no axis {role}",
                expected=f"an axis {role}, or no {axis}",
            )
        elif server.placement != "server":
            name = cell.axes[role]
            fault(
                ("axes", axis),
                f"{name} is part of the product's machine and can have none of its own",
                expected=f"an exclude for {role}: {name}, {values}",
            )
        elif _lacks(system, cpu):
            fault(
                ("axes", axis),
                f"{system.os} has no {cpu.architecture} release for a {role} on {cpu.cpu}",
                expected=f"an exclude for os: {cell.axes['os']}, {values}",
            )


def _indices(matrix: Matrix, axes: Mapping[str, str]) -> dict[int, int]:
    """Axis and value by index; what the matrix's axes do not have is left out."""
    return {
        number: matrix.axes[name].index(axes[name])
        for number, name in enumerate(matrix.axes)
        if name in axes and axes[name] in matrix.axes[name]
    }


def _listed(values: object) -> tuple[str, ...]:
    return tuple(str(value) for value in values) if isinstance(values, list | tuple) else (str(values),)


def _unique(faults: list[Fault]) -> list[Fault]:
    return list(dict.fromkeys(faults))


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
