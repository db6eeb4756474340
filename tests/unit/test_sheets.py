"""Axes and cells from CSV and XLSX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DefinitionError, Fault
from harness.planning import expand
from harness.reading.read import read
from harness.reading.sheets import fill_from_sheets
from harness.reading.source import Source
from tests.unit.test_definitions import refusals

AXES = [["os", "cpu", "database", "版本"], ["debian-12", "x86-64", "sqlite", 22], ["", "kunpeng-920", "mariadb", "V8"]]
CELLS = [
    ["cpu", "os", "database"],
    ["loongson-3a5000", "debian-forky", "sqlite"],
    ["", "", ""],
    ["loongson-3a5000", "debian-forky", "mariadb"],
]


def sheet(path: Path, rows: list[list[Any]], *, separator: str = ",") -> str:
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.save(path)
    else:
        path.write_text("\ufeff" + "".join(separator.join(map(str, row)) + "\r\n" for row in rows), encoding="utf-8")
    return path.name


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_axes_from_a_sheet(folder: Any, kind: str) -> None:
    rows = [[name if name != "版本" else "release" for name in AXES[0]], *AXES[1:]]
    name = sheet(folder.root / f"axes.{kind}", rows)
    folder.change("matrix", axes={}, axes_from=name)
    matrix = read(folder.root).matrix
    assert matrix.axes == {
        "os": ("debian-12",),
        "cpu": ("x86-64", "kunpeng-920"),
        "database": ("sqlite", "mariadb"),
        "release": ("22", "V8"),
    }


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_cells_from_a_sheet(folder: Any, kind: str) -> None:
    folder.change("matrix", include_from=sheet(folder.root / f"cells.{kind}", CELLS))
    plan = expand(read(folder.root))
    assert [cell.axes["database"] for cell in plan.cells if cell.reason == "include"] == ["sqlite", "mariadb"]


def test_semicolons_as_some_programs_write_them(folder: Any) -> None:
    folder.change("matrix", include_from=sheet(folder.root / "cells.csv", CELLS, separator=";"))
    assert len(expand(read(folder.root)).cells) == 4


def faults(folder: Any) -> list[Fault]:
    with pytest.raises(DefinitionError) as caught:
        read(folder.root)
    return caught.value.faults


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_faults_name_row_and_column_of_the_sheet(folder: Any, kind: str) -> None:
    rows = [["os", "cpu", "database"], ["debian-12", "", "sqlite"], ["debian-12", "x86-64", ""]]
    folder.change("matrix", include_from=sheet(folder.root / f"cells.{kind}", rows))
    assert [(Path(f.file).name, f.line, f.column) for f in faults(folder)] == [
        (f"cells.{kind}", 2, 2),
        (f"cells.{kind}", 3, 3),
    ]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([["os", "os"], ["a", "b"]], "stands twice"),
        ([["os", ""], ["a", "b"]], "a value without an axis"),
        ([["", "os"], ["a", "b"]], "a column without a name"),
        ([[""]], "the sheet is empty"),
        ([["cpu"], ["x86-64"]], "stands in the matrix too"),
    ],
)
def test_a_sheet_that_is_no_table(folder: Any, rows: list[list[str]], told: str) -> None:
    folder.change("matrix", axes_from=sheet(folder.root / "axes.csv", rows))
    assert told in faults(folder)[0].message


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("axes.csv", "数据库".encode("gb18030"), "not UTF-8"),
        ("axes.csv", b'os\n"a', "not valid CSV"),
        ("axes.xlsx", b"PK\x03\x04 broken", "not a workbook"),
        ("axes.ods", b"", "not a kind of sheet"),
        ("axes.csv", b"x" * 5_000_001, "too large"),
        ("axes.csv", b"os\n" + b"a\n" * 20_001, "too large"),
    ],
)
def test_a_file_that_is_no_sheet(folder: Any, name: str, data: bytes, told: str) -> None:
    (folder.root / name).write_bytes(data)
    folder.change("matrix", axes_from=name)
    assert told in faults(folder)[0].message


def test_a_sheet_must_be_there_and_below_the_matrix(folder: Any) -> None:
    folder.change("matrix", axes_from="none.csv")
    assert "cannot be read" in faults(folder)[0].message
    folder.change("matrix", axes_from="../../etc/axes.csv")
    assert "outside" in faults(folder)[0].message


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300), kind=st.sampled_from(["csv", "xlsx"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str) -> None:
    place = tmp_path_factory.mktemp("fuzz")
    (place / f"a.{kind}").write_bytes(data)
    source = Source(place / "matrix.yaml", {"axes_from": f"a.{kind}", "include_from": f"a.{kind}"})
    assert all(fault.line >= 1 for fault in refusals(lambda: fill_from_sheets(source)))
