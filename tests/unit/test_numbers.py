"""Numbers out of files beside what is expected: at their place, within a tolerance of their quantity, or not."""

from __future__ import annotations

import json
import math
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.campaigns.referring import reference_of
from harness.errors import DefinitionError
from harness.model.definitions import NumberFile
from harness.model.formula import columns_of, parse_formula
from harness.numerics.comparing import Difference, compare_numbers, compare_runs, not_finite
from harness.numerics.evaluating import NoValue, evaluate
from harness.numerics.histogram import histogram
from harness.numerics.reading import Reading, number, read_numbers
from harness.numerics.units import ulps_between
from harness.planning import expand
from harness.reading.read import read as read_matrix

ROOT = Path(__file__).parents[2]


def file(kind: str, *quantities: dict[str, Any] | str, **more: Any) -> NumberFile:
    rows = [{"quantity": each} if isinstance(each, str) else each for each in quantities]
    return NumberFile.model_validate({"file": "f", "format": kind, "quantities": rows, **more})


def read(kind: str, text: str, *quantities: dict[str, Any] | str, **more: Any) -> Reading:
    return read_numbers(file(kind, *quantities, **more), text.encode())


def values(reading: Reading, name: str) -> list[float]:
    return [float(value) for value in reading.series[name].values]


def compared(actual: str, expected: str, quantity: dict[str, Any], kind: str = "csv", **more: Any) -> Difference:
    declared = file(kind, {"quantity": "u", **quantity}, **more)
    sides = [read_numbers(declared, side.encode()) for side in (actual, expected)]
    assert not sides[1].faults
    (difference,) = compare_numbers(declared, *sides)
    return difference


def column(*numbers: object, name: str = "u") -> str:
    return "\n".join([name, *map(str, numbers)]) + "\n"


READ = [
    ("csv", 'x,"力, F"\n1,2.5\n\n3,-4D+02\n', "力, F", [2.5, -400.0], ["line 2", "line 4"], {}),
    ("csv", "\ufeffu;v\r\n1;.5\r\n", "v", [0.5], ["line 2"], {"delimiter": ";"}),
    (
        "columns",
        " 1.0  2\n# made today\n 3 4.\n",
        "2",
        [2.0, 4.0],
        ["line 1", "line 3"],
        {"header": False, "ignore": ["^#"]},
    ),
    ("columns", "time v(out)\n0 1e-3\n", "v(out)", [1e-3], ["line 2"], {}),
    ("rows", "solve 1 2\neig = 3, 4\nsolve 5\n", "eig", [3.0, 4.0], ["line 2, number 1", "line 2, number 2"], {}),
    (
        "rows",
        "solve 1 2\neig = 3\nsolve 5\n",
        "solve",
        [1.0, 2.0, 5.0],
        ["line 1, number 1", "line 1, number 2", "line 3, number 1"],
        {},
    ),
    ("json", '{"a/b": [[1, 2.5], [3]]}', "/a~1b", [1.0, 2.5, 3.0], ["/a~1b/0/0", "/a~1b/0/1", "/a~1b/1/0"], {}),
    ("json", "[0.1]", "/0", [0.1], ["/0"], {}),
]
FAULTY = [
    ("csv", "x,y\n1,2\n", "u", "quantity u is missing: the file has 'x', 'y'", {}),
    ("csv", "", "u", "quantity u is missing: the file has nothing", {}),
    ("csv", "u\n", "u", "u has no value", {}),
    ("csv", "u,v\n1,2\nabc,2\n", "u", "line 3, u: 'abc' is no number", {}),
    ("csv", "v,u\n1\n", "u", "line 2, u: nothing is no number", {}),
    ("columns", "1 2\n", "3", "line 1, 3: nothing is no number", {"header": False}),
    ("rows", "u 1 x\n", "u", "line 1, u: 'x' is no number", {}),
    ("rows", "v 1\n", "u", "quantity u is missing: the file has 'v'", {}),
    ("json", '{"v": 1}', "/u", "quantity /u is missing: there is no 'u'; there are 'v'", {}),
    ("json", '{"u": [1, "2"]}', "/u", "/u/1: '2' is no number", {}),
    ("json", '{"u": true}', "/u", "/u: 'True' is no number", {}),
    ("json", '{"u": []}', "/u", "the list is empty", {}),
    ("json", "[1", "/0", "the file is no JSON that can be read", {}),
    ("json", "[" * 100_000, "/0", "the file is no JSON that can be read", {}),
]


@pytest.mark.parametrize(("kind", "text", "name", "expected", "places", "more"), READ, ids=range(len(READ)))
def test_numbers_are_read_with_their_places(
    kind: str, text: str, name: str, expected: list[float], places: list[str], more: dict[str, Any]
) -> None:
    reading = read(kind, text, name, **more)
    assert reading.faults == []
    assert values(reading, name) == expected
    assert list(reading.series[name].places) == places


@pytest.mark.parametrize(("kind", "text", "name", "words", "more"), FAULTY, ids=range(len(FAULTY)))
def test_what_is_missing_or_no_number_is_named(
    kind: str, text: str, name: str, words: str, more: dict[str, Any]
) -> None:
    faults = read(kind, text, name, **more).faults
    assert any(words in fault for fault in faults), faults


def test_what_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.numerics.reading.MOST_NUMBERS", 1000)
    monkeypatch.setattr("harness.numerics.reading.MOST_JSON", 5000)
    assert "more than 1000 numbers" in read("json", json.dumps({"u": [1] * 1001}), "/u").faults[0]
    assert "at most 5000 are read" in read("json", " " * 5001, "/u").faults[0]
    assert "more than 1000 numbers" in read("csv", column(*range(2000)), "u").faults[0]
    assert "more than 1000 numbers" in read("rows", "u 1\n" * 2000, "u").faults[0]
    assert len(read("csv", column(*"x" * 900), "u").faults) == 100


@given(st.binary(max_size=400), st.sampled_from(["csv", "columns", "rows", "json"]))
def test_no_bytes_end_the_reading(data: bytes, kind: str) -> None:
    name = "/u" if kind == "json" else "u"
    declared = file(kind, {"quantity": name, "relative": 0.1}, *([] if kind == "json" else ["x"]))
    reading = read_numbers(declared, data)
    for difference in compare_numbers(declared, reading, reading):
        assert difference.good == (name in reading.series) or not_finite(declared, reading) or reading.faults


@given(st.floats())
def test_every_double_is_read_as_it_is(value: float) -> None:
    for text in (repr(value), json.dumps(value), f"{value:.17g}"):
        read_value = number(text)
        assert read_value is not None
        assert math.isnan(value) == read_value.is_nan()
        assert math.isnan(value) or float(read_value) == value


WITHIN: list[tuple[str, str, dict[str, Any]]] = [
    (column("1.0", "2e0"), column(1, 2), {}),
    (column("0.10000000000000001"), column("0.1"), {}),
    (column(1.0000001), column(1), {"relative": 1e-6}),
    (column(1e-9, 100), column(0, 100), {"scale": 1e-10}),
    (column(math.nextafter(0.1, 1)), column(0.1), {"ulps": 1}),
    (column(3, 1, 2), column(1, 2, 3), {"invariant": "sorted"}),
    (column(-3, 4), column(3, -4), {"invariant": "norm"}),
    (column(1e16, 1, -1e16), column(1), {"invariant": "sum"}),
    (column(5, 7), column(6), {"invariant": "mean"}),
    (column(5, 7), column(1, 2), {"invariant": "count"}),
    (column("nan", "-inf"), column("NaN", "-Infinity"), {"not_finite": True}),
]
BEYOND: list[tuple[str, str, dict[str, Any], str]] = [
    (column(1, 2.1), column(1, 2), {"absolute": 0.05}, "u: 1 of 2 values are beyond the tolerance (absolute 0.05)"),
    (column(1, 3), column(1, 2), {"relative": 0.1}, "line 3: 3 instead of 2: 1 off, 0.5 of it"),
    (column(math.nextafter(math.nextafter(0.1, 1), 1)), column(0.1), {"ulps": 1}, "2 ulp"),
    (column(1, 2), column(1, 2, 3), {}, "2 values, expected 3"),
    (column("nan"), column(1), {"absolute": 1e9}, "NaN instead of 1"),
    (column("inf"), column("inf"), {"absolute": 1e9, "not_finite": False}, ""),
    (column("inf"), column("-inf"), {"absolute": 1e9, "not_finite": True}, "Infinity instead of -Infinity"),
    (column(1, 2), column(1, 2.5), {"invariant": "sum", "relative": 1e-3}, "sum of u: 1 of 1 values"),
    (column(1, 2), column(2, 1), {}, "2 of 2 values"),
    (column("18446744073709551617"), column("18446744073709551616"), {}, "1 of 1 values"),
]


@pytest.mark.parametrize(("actual", "expected", "quantity"), WITHIN, ids=range(len(WITHIN)))
def test_within(actual: str, expected: str, quantity: dict[str, Any]) -> None:
    difference = compared(actual, expected, quantity)
    assert difference.good, difference.text
    assert difference.compared > 0


@pytest.mark.parametrize(("actual", "expected", "quantity", "words"), BEYOND, ids=range(len(BEYOND)))
def test_beyond(actual: str, expected: str, quantity: dict[str, Any], words: str) -> None:
    difference = compared(actual, expected, quantity)
    assert words in difference.text
    assert bool(difference.text) != difference.good


def test_the_farthest_and_the_first_are_named() -> None:
    difference = compared(column(1, 2.5, 3, 9, 5), column(1, 2, 3, 4, 5), {"absolute": 0.1})
    assert (difference.compared, difference.differing, difference.beyond) == (5, 2, 2)
    assert "the farthest: line 5: 9 instead of 4" in difference.text
    assert "the first of them: line 3: 2.5 instead of 2" in difference.text


def test_waveforms_of_other_steps_are_compared_in_between() -> None:
    """Steps that adapt are other on each target; what lies between them must be the same."""
    fine = "t,u\n" + "\n".join(f"{t / 100},{math.sin(t / 100)}" for t in range(315))
    coarse = "t,u\n" + "\n".join(f"{t / 10},{math.sin(t / 10)}" for t in range(32))
    declared = {"along": "t", "absolute": 2e-3}
    assert compared(fine, coarse, declared).good
    assert compared(coarse, "t,u\n0.05,0.05\n1.55,0.99978\n", declared).good
    assert "3 places of the reference are outside" in compared("t,u\n0,0\n2.85,0\n", coarse, declared).text
    assert "falls at line 3" in compared("t,u\n1,0\n0,0\n", coarse, declared).text
    assert "beyond" in compared(fine.replace("1.57,", "1.57,1"), "t,u\n1.57,1\n", declared).text


def test_what_lies_outside_by_a_place_is_no_value() -> None:
    assert "the first at 1.5" in compared("t,u\n0,0\n1,1\n", "t,u\n1,1\n1.5,1\n", {"along": "t"}).text


def test_a_second_run_must_be_the_same_unless_its_quantity_says_otherwise() -> None:
    declared = file(
        "csv", {"quantity": "u", "relative": 0.1}, {"quantity": "v", "relative": 0.1, "repeat": "tolerance"}
    )
    first, second = (read_numbers(declared, text.encode()) for text in ("u,v\n1,1\n", "u,v\n1.01,1.01\n"))
    assert [difference.good for difference in compare_runs(declared, first, second)] == [False, True]
    assert all(difference.good for difference in compare_runs(declared, first, first))


FORMULAS = [
    ("sqrt(2)*2", math.sqrt(8)),
    ("-x**2 + 0.1", -8.9),
    ("atan2(1, x)", math.atan2(1, 3)),
    ("i + n", 11),
    ('column("v(out)") / 4', 0.25),
    ("2*pi - e", math.tau - math.e),
    ("cbrt(27) + log2(8)", 6.0),
]


@pytest.mark.parametrize(("text", "expected"), FORMULAS)
def test_formulas(text: str, expected: float) -> None:
    columns = {"x": Decimal(3), "v(out)": Decimal(1)}
    assert float(evaluate(parse_formula(text), text, columns, 1, 10)) == pytest.approx(expected, rel=1e-15)


def test_a_tenth_in_a_formula_is_a_tenth() -> None:
    assert evaluate(parse_formula("0.1"), "0.1", {}, 0, 1) == Decimal("0.1")


@pytest.mark.parametrize("text", ["1/x", "sqrt(0-1)", "exp(exp(exp(9)))", "9**9**9**9", "log(x)", "exp(1e6*7)"])
def test_a_formula_without_a_value_says_so_at_once(text: str) -> None:
    with pytest.raises(NoValue):
        evaluate(parse_formula(text), text, {"x": Decimal(0)}, 0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x.real",
        "x[0]",
        "__import__('os')",
        "open('f')",
        "lambda: 1",
        "'a'",
        "1 if x else 2",
        "x; y",
        "sin(1, 2)",
        "column(x)",
        "f'{x}'",
        "[1]",
        "True",
        "1j",
        "x := 1",
        "(" * 300,
        "\0",
        "1+" * 500 + "1",
    ],
)
def test_nothing_but_mathematics_is_a_formula(text: str) -> None:
    with pytest.raises(ValueError, match=r"formula|argument"):
        parse_formula(text)


@given(st.text(max_size=60))
def test_any_text_is_a_formula_or_refused(text: str) -> None:
    try:
        tree = parse_formula(text)
    except ValueError:
        return
    columns_of(tree)


def test_formulas_are_compared_with_columns_beside_them() -> None:
    declared = file("csv", {"quantity": "u", "formula": "1/x", "relative": 1e-15})
    reading = read_numbers(declared, b"x,u\n2,0.5\n4,0.26\n0,1\n")
    (difference,) = compare_numbers(declared, reading, None)
    assert "line 3: 0.26 instead of 0.25" in difference.text
    assert "line 4: the formula 1/x has no value there" in difference.text


WRONG_DEFINITIONS: list[tuple[dict[str, Any], str]] = [
    ({"quantity": "u", "formula": "u+1"}, "needs u itself"),
    ({"quantity": "u", "formula": "x."}, "no formula"),
    ({"quantity": "u", "along": "u"}, "along itself"),
    ({"quantity": "u", "along": "t", "invariant": "sum"}, "not both"),
    ({"quantity": "u", "relative": 1.5}, "less than 1"),
]


@pytest.mark.parametrize(("quantity", "words"), WRONG_DEFINITIONS, ids=range(len(WRONG_DEFINITIONS)))
def test_what_cannot_be_meant_is_a_fault_of_the_definition(quantity: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        file("csv", quantity)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"format": "json", "quantities": [{"quantity": "u"}]}, "begins with /"),
        ({"format": "json", "delimiter": ";", "quantities": [{"quantity": "/u"}]}, "does not belong"),
        ({"format": "columns", "header": False, "quantities": [{"quantity": "u"}]}, "named by its number"),
        ({"format": "csv", "quantities": [{"quantity": "u"}, {"quantity": "u"}]}, "declared twice"),
        ({"format": "csv", "file": "a/../b", "quantities": [{"quantity": "u"}]}, "below the task's folder"),
        ({"format": "csv", "ignore": ["("], "quantities": [{"quantity": "u"}]}, "no regular expression"),
    ],
)
def test_files_that_cannot_be_meant(value: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        NumberFile.model_validate({"file": "f", **value})


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-3, 3))
def test_ulps_are_steps_between_doubles(value: float, steps: int) -> None:
    other = value
    for _ in range(abs(steps)):
        other = math.nextafter(other, math.copysign(math.inf, steps))
    assert math.isinf(other) or ulps_between(other, value) == abs(steps)


def test_the_histogram_has_every_value_and_escapes_names() -> None:
    difference = compared(column(1, 2.5, "nan", 4.0000001), column(1, 2, 3, 4), {"relative": 1e-3})
    assert {decade: sum(counts.values()) for decade, counts in difference.decades.items()} == {
        "0": 1,
        "-1": 1,
        "no number": 1,
        "-8": 1,
    }
    difference.name = "<u&>"
    picture = histogram([difference, difference])
    assert "&lt;u&amp;&gt;" in picture
    assert "2 超出 beyond" in picture
    assert picture.count("url(#b)") == 2 * 2 + 1


def test_the_matrix_of_engineering_compares_foreign_cells_with_the_native_one() -> None:
    definitions = read_matrix(ROOT / "matrices" / "engineering")
    cells = expand(definitions).cells
    references = {cell.axes["cpu"]: reference_of(cell, definitions.matrix.reference_cell) for cell in cells}
    (native,) = [cell for cell in cells if cell.axes["cpu"] == "x86-64"]
    assert references == {"x86-64": "", "kunpeng-920": native.id, "loongson-3a5000": native.id}


def test_a_reference_cell_of_unknown_values_is_a_fault_with_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    shutil.copytree(ROOT / "matrices" / "engineering", folder)
    matrix = (folder / "matrix.yaml").read_text()
    (folder / "matrix.yaml").write_text(matrix.replace("{cpu: x86-64}", "{cpu: x86_64, locale: zh}"))
    with pytest.raises(DefinitionError) as caught:
        expand(read_matrix(folder))
    assert [fault.line for fault in caught.value.faults] == [7, 7]
    assert "axis cpu has no value 'x86_64'" in caught.value.message
    assert "unknown axis 'locale'" in caught.value.message
