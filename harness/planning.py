"""Expands a matrix into a plan: axes, exclude, include, adjust, strategy, in that order. Pure: no input or output."""

from __future__ import annotations

import itertools
from pathlib import Path

from pydantic import ValidationError

from harness.errors import DefinitionError, Fault
from harness.model.plan import Cell, Definitions, Excluded, Plan, digest_of


def expand(definitions: Definitions) -> Plan:
    """The plan of a matrix.

    Raises:
        DefinitionError: an exclude that matches nothing, an include with an unknown or missing axis or a
            combination that exists already, an adjust that matches nothing, a combination no system serves.
    """
    matrix = definitions.matrix
    faults: list[Fault] = []

    def fault(loc: tuple[str | int, ...], message: str, **more: str) -> None:
        while loc and loc not in definitions.matrix_places:
            loc = loc[:-1]
        line, column = definitions.matrix_places.get(loc, (1, 1))
        faults.append(Fault(file=str(definitions.matrix_path), line=line, column=column, message=message, **more))

    axes = list(matrix.axes)
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*matrix.axes.values())]
    excluded: list[Excluded] = []
    for index, rule in enumerate(matrix.exclude):
        wanted = {key: value if isinstance(value, list) else [value] for key, value in rule.axes.items()}
        for key in wanted.keys() - set(axes):
            fault(
                ("exclude", index, key),
                f"unknown axis {key!r}",
                expected=f"one of {', '.join(axes)}",
                found=key,
            )
        hit = [c for c in combinations if all(c.get(key) in values for key, values in wanted.items())]
        if not hit or not wanted:
            fault(("exclude", index), "this exclude matches nothing", expected="a combination of the axes above")
        excluded += [Excluded(axes=c, because=rule.because) for c in hit]
        combinations = [c for c in combinations if c not in hit]

    reasons = {_key(c): "axes" for c in combinations}
    for index, include in enumerate(matrix.include):
        unknown, missing = sorted(include.keys() - set(axes)), sorted(set(axes) - include.keys())
        for key in unknown:
            fault(
                ("include", index, key),
                f"unknown axis {key!r}",
                expected=f"one of {', '.join(axes)}",
                found=key,
            )
        if missing:
            fault(("include", index), "an include adds whole cells", expected=f"also {', '.join(missing)}")
        if unknown or missing:
            continue
        if _key(include) in reasons:
            fault(("include", index), "this combination is in the matrix already")
            continue
        reasons[_key(include)] = "include"
        combinations.append(dict(include))

    for combination in combinations:
        system, cpu = definitions.systems[combination["os"]], definitions.cpus[combination["cpu"]]
        if cpu.architecture not in system.architectures:
            loc = ("axes", "os", list(matrix.axes["os"]).index(system.os)) if system.os in matrix.axes["os"] else ()
            fault(loc, f"{system.os} has no {cpu.architecture} release, which {cpu.cpu} needs",
                  expected=f"an exclude for os: {system.os}, cpu: {cpu.cpu}")  # fmt: skip

        try:
            definitions.application.for_axes(combination, cpu.architecture)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            file = str(definitions.application_folder / Path(matrix.application).name)
            told = f"the variants make no valid application on {', '.join(combination.values())}"
            faults.append(Fault(file=file, line=1, column=1, message=told, expected=first["msg"], found=place))

    cells = []
    adjusted = set()
    for combination in combinations:
        suites, factor, notes = matrix.suites, definitions.cpus[combination["cpu"]].timeout_factor, []
        for index, adjust in enumerate(matrix.adjust):
            if all(combination.get(key) == value for key, value in adjust.when.items()):
                adjusted.add(index)
                suites = adjust.set.suites if adjust.set.suites is not None else suites
                factor = adjust.set.timeout_factor or factor
                notes.append(adjust.because)
        cells.append(Cell(axes=combination, suites=suites, reason=reasons[_key(combination)],
                          timeout_factor=factor, notes=tuple(notes)))  # fmt: skip
    for index in set(range(len(matrix.adjust))) - adjusted:
        fault(("adjust", index), "this adjust matches no cell")
    if not cells and not faults:
        fault(("exclude",), "no cell is left: everything is excluded")
    if faults:
        raise DefinitionError(_unique(faults))
    return Plan(matrix=matrix.matrix, cells=tuple(cells), excluded=tuple(excluded), digest=_digest(definitions, cells))


def _key(axes: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(axes.items()))


def _unique(faults: list[Fault]) -> list[Fault]:
    return list(dict.fromkeys(faults))


def _digest(definitions: Definitions, cells: list[Cell]) -> str:
    return digest_of({
        "matrix": definitions.matrix.model_dump(mode="json"),
        "application": definitions.application.model_dump(mode="json"),
        "cells": [{"id": cell.id, "suites": cell.suites, "factor": cell.timeout_factor} for cell in cells],
        "suites": {n: [s.definition.model_dump(mode="json"), s.digest] for n, s in sorted(definitions.suites.items())},
        "files": definitions.files,
        "targets": [
            value.model_dump(mode="json")
            for group in (definitions.cpus, definitions.systems, definitions.databases)
            for _, value in sorted(group.items())
        ],
    })  # fmt: skip
