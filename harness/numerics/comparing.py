"""Quantities of a file beside what is expected of them: where they differ, how far, and how many do."""

from __future__ import annotations

import decimal
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from harness.model.definitions import NumberFile, Quantity
from harness.model.formula import columns_of, parse_formula
from harness.numerics.evaluating import NoValue, evaluate
from harness.numerics.reading import Reading, Series
from harness.numerics.units import ulps_between

#: Digits of the arithmetic on differences; a quotient of two doubles is exact enough with far fewer.
_DIGITS = 60
#: Decimal digits with which every double can be written (IEEE 754-2019, 5.12.2).
_DIGITS_OF_A_DOUBLE = 17
_INFINITE = Decimal("Infinity")
#: Key of ``decades`` for equal numbers, and for pairs of which one is no finite number.
SAME, NO_NUMBER = "0", "no number"
#: The smallest and the largest decade that are told apart.
_LEAST, _MOST = -20, 3


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """A value that is not the expected one: where it stands, both as text, and how far they are apart.

    ``relative`` and ``ulps`` are None where they have no meaning: the expected value is zero, or one is no number.
    """

    place: str
    value: str
    expected: str
    absolute: Decimal
    relative: Decimal | None
    ulps: float | None

    def __str__(self) -> str:
        parts = [f"{self.absolute:.3g} off"] if self.absolute.is_finite() else []
        parts += [f"{self.relative:.3g} of it"] if self.relative is not None else []
        parts += [f"{self.ulps:.0f} ulp"] if self.ulps is not None else []
        return f"{self.place}: {self.value} instead of {self.expected}{': ' if parts else ''}{', '.join(parts)}"


@dataclass(kw_only=True)
class Difference:
    """What comparing a quantity gave.

    ``decades``: power of ten of a difference, as a part of the largest expected value, or ``SAME``, or ``NO_NUMBER`` ->
    how many, within and beyond the tolerance. ``worst``: of those beyond it, else of all that differ, the farthest.
    """

    name: str
    unit: str
    tolerance: str
    compared: int = 0
    differing: int = 0
    beyond: int = 0
    first: Deviation | None = None
    worst: Deviation | None = None
    decades: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every value is within its tolerance, and none is missing."""
        return not (self.beyond or self.faults)

    @property
    def text(self) -> str:
        """What is wrong, in a few lines."""
        lines = [f"{self.name}: {fault}" for fault in self.faults[:5]]
        if self.beyond and self.worst is not None and self.first is not None:
            lines.append(
                f"{self.name}: {self.beyond} of {self.compared} values are beyond the tolerance ({self.tolerance}); "
                f"the farthest: {self.worst}"
            )
            if self.first.place != self.worst.place:
                lines.append(f"{self.name}: the first of them: {self.first}")
        return "\n".join(lines)


def tolerance_words(quantity: Quantity) -> str:
    """A tolerance in a line."""
    parts = [f"{name} {value:g}" for name in ("absolute", "relative") if (value := getattr(quantity, name))]
    parts += [f"{quantity.scale:g} of the largest"] if quantity.scale else []
    parts += [f"{quantity.ulps} ulp"] if quantity.ulps else []
    return " or ".join(parts) or "the same number"


def compare_numbers(file: NumberFile, actual: Reading, expected: Reading | None) -> list[Difference]:
    """Compare quantities with those of a reference, and with their formulas; those without either are left out."""
    differences = []
    for quantity in file.quantities:
        if not quantity.formula and expected is None:
            continue
        difference = Difference(name=name_of(quantity), unit=quantity.unit, tolerance=tolerance_words(quantity))
        differences.append(difference)
        with decimal.localcontext() as context:
            context.prec, context.Emax, context.Emin = _DIGITS, decimal.MAX_EMAX, decimal.MIN_EMIN
            context.traps[decimal.InvalidOperation] = False
            values = actual.series.get(quantity.quantity)
            if values is None:
                difference.faults.append("it is missing")
            elif quantity.formula:
                _compare_all(difference, quantity, values, _of_formula(difference, quantity, actual, values))
            elif expected is not None:
                _with_reference(difference, quantity, actual, expected)
    return differences


def compare_runs(file: NumberFile, first: Reading, second: Reading) -> list[Difference]:
    """Compare a run with another one on the same target: the same numbers, where a quantity does not say otherwise."""
    quantities = [
        each.model_copy(update={"formula": ""})
        if each.repeat == "tolerance"
        else Quantity(quantity=each.quantity, unit=each.unit, not_finite=True)
        for each in file.quantities
    ]
    return compare_numbers(file.model_copy(update={"quantities": tuple(quantities)}), second, first)


def not_finite(file: NumberFile, reading: Reading) -> list[str]:
    """Values that are NaN or infinite where that is not declared to be right: how many, and the first, in words."""
    lines = []
    for name in dict.fromkeys(each.quantity for each in file.quantities if not each.not_finite):
        series = reading.series.get(name)
        wrong = [index for index, value in enumerate(series.values if series else ()) if not value.is_finite()]
        if series is not None and wrong:
            first = wrong[0]
            lines.append(
                f"{name}: {len(wrong)} of {len(series.values)} values are not finite; the first is "
                f"{series.values[first]} at {series.places[first]}"
            )
    return lines


def name_of(quantity: Quantity) -> str:
    """The quantity, and what of it is compared."""
    if quantity.invariant:
        return f"{quantity.invariant} of {quantity.quantity}"
    return f"{quantity.quantity} along {quantity.along}" if quantity.along else quantity.quantity


def _of_formula(difference: Difference, quantity: Quantity, actual: Reading, values: Series) -> Series:
    tree, source = parse_formula(quantity.formula), quantity.formula.strip()
    columns = {name: actual.series.get(name) for name in columns_of(tree)}
    expected: list[Decimal] = []
    for index, place in enumerate(values.places):
        row = {n: c.values[index] for n, c in columns.items() if c is not None and index < len(c.values)}
        if len(row) < len(columns):
            lacking = ", ".join(name for name in columns if name not in row)
            difference.faults.append(f"{place}: the file has no value of {lacking}, which the formula {source} needs")
            expected.append(Decimal("NaN"))
            continue
        try:
            expected.append(evaluate(tree, source, row, index, len(values.places)))
        except NoValue as error:
            difference.faults.append(f"{place}: the formula {source} has no value there: {error}")
            expected.append(Decimal("NaN"))
    return Series(tuple(expected), values.places)


def _with_reference(difference: Difference, quantity: Quantity, actual: Reading, expected: Reading) -> None:
    values, wanted = actual.series[quantity.quantity], expected.series[quantity.quantity]
    if quantity.along:
        along = actual.series.get(quantity.along)
        if along is None:
            difference.faults.append(f"{quantity.along} is missing, along which it lies")
            return
        values = _interpolated(difference, values, along, expected.series[quantity.along])
        if len(values.values) == len(wanted.values):
            _compare_all(difference, quantity, values, wanted)
        return
    if quantity.invariant and quantity.invariant != "sorted":
        values, wanted = (_invariant(quantity.invariant, series) for series in (values, wanted))
    elif len(values.values) != len(wanted.values):
        difference.faults.append(f"{len(values.values)} values, expected {len(wanted.values)}")
    if quantity.invariant == "sorted":
        values, wanted = _sorted(values), _sorted(wanted)
    _compare_all(difference, quantity, values, wanted)


def _compare_all(difference: Difference, quantity: Quantity, values: Series, wanted: Series) -> None:
    scale = max((abs(value) for value in wanted.values if value.is_finite()), default=Decimal(0))
    tolerances = tuple(Decimal(each) for each in (quantity.absolute, quantity.relative, quantity.scale))
    for value, place, want in zip(values.values, values.places, wanted.values, strict=False):
        difference.compared += 1
        if _same(value, want) or (quantity.not_finite and value.is_nan() and want.is_nan()):
            _count(difference, SAME, "within")
            continue
        difference.differing += 1
        deviation = _deviation(place, value, want)
        within = _within(quantity.ulps, tolerances, deviation, want, scale)
        _count(difference, _decade(deviation.absolute, scale), "within" if within else "beyond")
        _keep(difference, deviation, within=within)


def _same(value: Decimal, want: Decimal) -> bool:
    """Whether two texts mean one number. Few digits are those of a double, which has more than one text: 0.1 is
    0.10000000000000001 there too."""
    if value == want:
        return True
    if not (value.is_finite() and want.is_finite()):
        return False
    few = all(len(number.as_tuple().digits) <= _DIGITS_OF_A_DOUBLE for number in (value, want))
    return few and float(value) == float(want) and abs(float(want)) < math.inf


def _keep(difference: Difference, deviation: Deviation, *, within: bool) -> None:
    if not within:
        difference.beyond += 1
        difference.first = difference.first or deviation
        if difference.beyond == 1:
            difference.worst = None
    if within and difference.beyond:
        return
    if difference.worst is None or deviation.absolute > difference.worst.absolute:
        difference.worst = deviation


def _deviation(place: str, value: Decimal, want: Decimal) -> Deviation:
    numbers = value.is_finite() and want.is_finite()
    absolute = abs(value - want) if numbers else _INFINITE
    return Deviation(
        place=place,
        value=_text(value),
        expected=_text(want),
        absolute=absolute,
        relative=absolute / abs(want) if numbers and want else None,
        ulps=ulps_between(float(value), float(want)) if numbers else None,
    )


def _within(ulps: int, tolerances: Sequence[Decimal], deviation: Deviation, want: Decimal, scale: Decimal) -> bool:
    if not deviation.absolute.is_finite():
        return False
    absolute, relative, of_scale = tolerances
    limit = max(absolute, relative * abs(want), of_scale * scale)
    return deviation.absolute <= limit or (deviation.ulps is not None and ulps > 0 and deviation.ulps <= ulps)


def _decade(absolute: Decimal, scale: Decimal) -> str:
    if not absolute.is_finite():
        return NO_NUMBER
    return str(min(max((absolute / scale if scale else absolute).adjusted(), _LEAST), _MOST))


def _count(difference: Difference, decade: str, kind: str) -> None:
    difference.decades.setdefault(decade, Counter())[kind] += 1


def _text(value: Decimal) -> str:
    text = str(value)
    return text if len(text) <= 30 else f"{value:.20g}"


def _invariant(kind: str, series: Series) -> Series:
    values, count = series.values, len(series.values)
    if kind == "count":
        result = Decimal(count)
    elif not count:
        result = Decimal("NaN")
    elif kind in ("minimum", "maximum"):
        result = Decimal("NaN") if any(v.is_nan() for v in values) else (min if kind == "minimum" else max)(values)
    elif kind == "norm":
        result = sum((value * value for value in values), Decimal(0)).sqrt()
    else:
        result = sum(values, Decimal(0)) / (count if kind == "mean" else 1)
    return Series((result,), (f"{kind} of {count} values",))


def _sorted(series: Series) -> Series:
    pairs = sorted(zip(series.values, series.places, strict=True), key=lambda pair: (pair[0].is_nan(), _key(pair[0])))
    return Series(tuple(value for value, _ in pairs), tuple(place for _, place in pairs))


def _key(value: Decimal) -> Decimal:
    return Decimal(0) if value.is_nan() else value


def _interpolated(difference: Difference, values: Series, along: Series, places: Series) -> Series:
    """The values at places of the reference, linear between those of the run."""
    points = list(zip(along.values, values.values, along.places, strict=False))
    if any(not x.is_finite() for x, _, _ in points) or not points:
        difference.faults.append("what it lies along is not finite")
        return Series((), ())
    falls = next((p for (x, _, _), (later, _, p) in itertools.pairwise(points) if later < x), None)
    if falls is not None:
        difference.faults.append(f"what it lies along falls at {falls}, where it must grow")
        return Series((), ())
    result = list(_at(points, places.values))
    lacking = [place for place, value in zip(places.values, result, strict=True) if value is None]
    if lacking:
        difference.faults.append(
            f"it lies between {points[0][0]} and {points[-1][0]}; {len(lacking)} places of the reference are outside, "
            f"the first at {lacking[0]}"
        )
        return Series((), ())
    return Series(tuple(v for v in result if v is not None), tuple(f"at {_text(place)}" for place in places.values))


def _at(points: Sequence[tuple[Decimal, Decimal, str]], places: Sequence[Decimal]) -> Iterator[Decimal | None]:
    """The values at places that grow, None outside of the points."""
    index = 0
    for place in places:
        while index + 1 < len(points) - 1 and points[index + 1][0] < place:
            index += 1
        low, high = points[index], points[min(index + 1, len(points) - 1)]
        if not low[0] <= place <= high[0]:
            yield None
        elif high[0] == low[0]:
            yield high[1]
        else:
            yield low[1] + (high[1] - low[1]) * (place - low[0]) / (high[0] - low[0])
