"""The combinations of a matrix that its excludes leave, and what is wrong with its excludes, includes and musts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.model.definitions import Cpu, Foundation, Matrix, Os
from harness.model.plan import Definitions
from harness.planning.bounding import within_limits
from harness.planning.faults import Faults
from harness.planning.space import Rule, Space

Axes = dict[str, str]
NOTHING = "this exclude matches nothing"


@dataclass(frozen=True, kw_only=True)
class Combinations:
    """What may become a cell.

    ``owners``: for each rule of the space the index of the exclude that it came from. ``counts``: for each exclude the
    number of combinations that it forbids. ``includes``: whole cells beside the space.
    """

    space: Space
    owners: list[int]
    counts: list[int]
    includes: list[Axes]

    @property
    def number(self) -> int:
        """The number of combinations, includes too."""
        return self.space.count + len(self.includes)


def combine(definitions: Definitions, faults: Faults) -> Combinations:
    """The combinations of a matrix; whatever is wrong with it goes to ``faults``.

    Raises:
        DefinitionError: its plan would be too large.
    """
    matrix = definitions.matrix
    with faults.at(("strategy",) if "strategy" in matrix.model_fields_set else ("axes",)):
        within_limits(matrix)
    rules, owners = _rules(matrix, faults)
    with faults.at(("exclude",)):
        space = Space(tuple(len(values) for values in matrix.axes.values()), rules)
    counts = [0] * len(matrix.exclude)
    for owner, count in zip(owners, space.excluded, strict=True):
        counts[owner] += count
    for index in set(owners):
        if not counts[index]:
            faults.add(("exclude", index), NOTHING, expected="a combination of the axes above")
    includes = _includes(matrix, space, faults)
    _check_musts(matrix, space, faults)
    _numbers(matrix, matrix.reference_cell, ("reference_cell",), faults)
    _check_served(definitions, space, includes, faults)
    _check_foundations(definitions, space, faults)
    if not space.count and not includes and not faults:
        faults.add(("exclude",), "no cell is left: everything is excluded")
    return Combinations(space=space, owners=owners, counts=counts, includes=includes)


def _rules(matrix: Matrix, faults: Faults) -> tuple[tuple[Rule, ...], list[int]]:
    """Every exclude as forbidden conjunctions of indices, and the exclude that each came from."""
    rules: list[Rule] = []
    owners: list[int] = []
    for index, exclude in enumerate(matrix.exclude):
        when = _numbers(matrix, exclude.axes, ("exclude", index), faults)
        unless = _numbers(matrix, exclude.unless, ("exclude", index, "unless"), faults)
        if when is None or unless is None:
            continue
        if not when:
            expected = f"one of {', '.join(matrix.axes)}"
            faults.add(("exclude", index), "an exclude names at least one axis", expected=expected)
            continue
        forbidden = list(_forbidden(matrix, when, unless))
        if not forbidden:
            faults.add(("exclude", index), NOTHING, expected="a combination of the axes above")
        rules += forbidden
        owners += [index] * len(forbidden)
    return tuple(rules), owners


def _numbers(
    matrix: Matrix, values: Mapping[str, object], loc: tuple[str | int, ...], faults: Faults
) -> dict[int, list[int]] | None:
    """Axes and their values by index; None where an axis or a value is not in the matrix."""
    names = list(matrix.axes)
    numbers: dict[int, list[int]] = {}
    wrong = False
    for axis, wanted in values.items():
        if axis not in matrix.axes:
            faults.add((*loc, axis), f"unknown axis {axis!r}", expected=f"one of {', '.join(names)}", actual=axis)
            wrong = True
            continue
        known = list(matrix.axes[axis])
        for value in listed(wanted):
            if value not in known:
                expected = f"one of {', '.join(known)}"
                faults.add((*loc, axis), f"axis {axis} has no value {value!r}", expected=expected, actual=value)
                wrong = True
        numbers[names.index(axis)] = sorted({known.index(v) for v in listed(wanted) if v in known})
    return None if wrong else numbers


def _forbidden(matrix: Matrix, when: dict[int, list[int]], unless: dict[int, list[int]]) -> Iterator[Rule]:
    """The conjunctions that an exclude forbids: ``when`` holds, and one condition of ``unless`` does not."""
    if not unless:
        yield when
    sizes = [len(values) for values in matrix.axes.values()]
    for number, allowed in unless.items():
        others = [value for value in when.get(number, range(sizes[number])) if value not in allowed]
        if others:
            yield {**when, number: others}


def _includes(matrix: Matrix, space: Space, faults: Faults) -> list[Axes]:
    """The includes that add a cell."""
    names = list(matrix.axes)
    kept: list[Axes] = []
    known: set[frozenset[tuple[str, str]]] = set()
    for index, include in enumerate(matrix.include):
        unknown, missing = sorted(include.keys() - set(names)), sorted(set(names) - include.keys())
        for key in unknown:
            faults.add(
                ("include", index, key), f"unknown axis {key!r}", expected=f"one of {', '.join(names)}", actual=key
            )
        if missing:
            faults.add(("include", index), "an include adds whole cells", expected=f"also {', '.join(missing)}")
        if unknown or missing:
            continue
        own = indices(matrix, include)
        pairs = frozenset(include.items())
        if pairs in known or (len(own) == len(names) and space.possible({a: (v,) for a, v in own.items()})):
            faults.add(("include", index), "this combination is in the matrix already")
            continue
        known.add(pairs)
        kept.append(dict(include))
    return kept


def _check_musts(matrix: Matrix, space: Space, faults: Faults) -> None:
    """Every must names known values that some cell can have."""
    for index, must in enumerate(matrix.strategy.must):
        loc = ("strategy", "must", index)
        for axis, value in must.items():
            if axis not in matrix.axes:
                faults.add(
                    (*loc, axis), f"unknown axis {axis!r}", expected=f"one of {', '.join(matrix.axes)}", actual=axis
                )
            elif value not in matrix.axes[axis]:
                known = ", ".join(matrix.axes[axis])
                faults.add(
                    (*loc, axis), f"axis {axis} has no value {value!r}", expected=f"one of {known}", actual=value
                )
        own = indices(matrix, must)
        if len(own) == len(must) and not space.possible({axis: (value,) for axis, value in own.items()}):
            faults.add(
                loc,
                "this must is excluded",
                expected="values that some cell has",
                actual=", ".join(f"{a}: {v}" for a, v in must.items()),
            )


def _check_served(definitions: Definitions, space: Space, includes: list[Axes], faults: Faults) -> None:
    """Every pair of system and CPU that a cell can have must exist."""
    matrix = definitions.matrix
    names = list(matrix.axes)
    for os, cpu_name in itertools.product(matrix.axes["os"], matrix.axes["cpu"]):
        pair = indices(matrix, {"os": os, "cpu": cpu_name})
        if not space.possible({axis: (value,) for axis, value in pair.items()}):
            continue
        system, cpu = definitions.systems[os], definitions.cpus[cpu_name]
        if lacks(system, cpu):
            faults.add(
                ("axes", "os", list(matrix.axes["os"]).index(os)),
                f"{os} has no {cpu.architecture} release, which {cpu_name} needs",
                expected=f"an exclude for os: {os}, cpu: {cpu_name}",
            )
    for cell in includes:
        if all(name in cell for name in names):
            system, cpu = definitions.systems[cell["os"]], definitions.cpus[cell["cpu"]]
            if lacks(system, cpu):
                faults.add(
                    ("include", list(matrix.include).index(cell)),
                    f"{system.os} has no {cpu.architecture} release, which {cpu.cpu} needs",
                )


def _check_foundations(definitions: Definitions, space: Space, faults: Faults) -> None:
    """Every pair of a system that is built here and a runtime or middleware that a cell can have must exist: an entry
    names the systems that have its packages. A server may be on another system than the product."""
    matrix = definitions.matrix
    foundations: dict[str, Mapping[str, Foundation]] = {
        "runtime": definitions.runtimes,
        "middleware": {n: m for n, m in definitions.middlewares.items() if m.placement == "beneath"},
    }
    for axis, named in foundations.items():
        for name, os in itertools.product(matrix.axes.get(axis, ()), matrix.axes["os"]):
            had = named[name].systems if name in named else ()
            if not had or os in had or not definitions.systems[os].suite:
                continue
            pair = indices(matrix, {"os": os, axis: name})
            if space.possible({number: (value,) for number, value in pair.items()}):
                faults.add(
                    ("axes", axis, list(matrix.axes[axis]).index(name)),
                    f"{os} has no {name}, which {', '.join(had)} has",
                    expected=f"an exclude for os: {os}, {axis}: {name}",
                )


def lacks(system: Os, cpu: Cpu) -> bool:
    """Whether a system is known to have no release for a CPU's architecture."""
    return bool(system.architectures) and cpu.architecture not in system.architectures


def indices(matrix: Matrix, axes: Mapping[str, str]) -> dict[int, int]:
    """Axis and value by index; what the matrix's axes do not have is left out."""
    return {
        number: matrix.axes[name].index(axes[name])
        for number, name in enumerate(matrix.axes)
        if name in axes and axes[name] in matrix.axes[name]
    }


def listed(values: object) -> tuple[str, ...]:
    """The values that a definition gives alone or as a list."""
    return tuple(str(value) for value in values) if isinstance(values, list | tuple) else (str(values),)
