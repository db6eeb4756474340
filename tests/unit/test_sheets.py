"""Axes and cells from CSV and XLSX."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli.entry import cli
from harness.cli.shared import print_faults
from harness.errors import DefinitionError, Fault
from harness.planning import expand
from harness.reading.read import read
from harness.reading.sheets import fill_from_sheets
from harness.reading.source import Source
from tests.unit.test_definitions import refusals

AXES: list[list[Any]] = [
    ["os", "cpu", "database", "版本"],
    ["debian-12", "x86-64", "sqlite", 22],
    ["", "kunpeng-920", "mariadb", "V8"],
]
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
    rows: list[list[Any]] = [[name if name != "版本" else "release" for name in AXES[0]], *AXES[1:]]
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
    assert "no such file" in faults(folder)[0].message
    folder.change("matrix", axes_from="../../etc/axes.csv")
    assert "outside" in faults(folder)[0].message


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300), kind=st.sampled_from(["csv", "xlsx"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str) -> None:
    place = tmp_path_factory.mktemp("fuzz")
    (place / f"a.{kind}").write_bytes(data)
    source = Source(place / "matrix.yaml", {"axes_from": f"a.{kind}", "include_from": f"a.{kind}"})
    assert all(fault.line >= 1 for fault in refusals(lambda: fill_from_sheets(source)))


# --- as people write sheets ---


@pytest.mark.parametrize("separator", ["\t", "，", ";"])
def test_other_separators(folder: Any, separator: str) -> None:
    folder.change("matrix", include_from=sheet(folder.root / "cells.csv", CELLS, separator=separator))
    assert len(expand(read(folder.root)).cells) == 4


def workbook(folder: Any, change: Any) -> Path:
    """Axes in a workbook that ``change`` was applied to."""
    book = openpyxl.Workbook()
    for row in [["os", "cpu", "database", "release"], ["debian-12", "x86-64", "sqlite", "1"]]:
        book.active.append(row)
    change(book)
    path: Path = folder.root / "axes.xlsx"
    book.save(path)
    folder.change("matrix", axes={}, axes_from=path.name)
    return path


def put(value: Any, form: str = "General") -> Any:
    def change(book: Any) -> None:
        book.active["D2"] = value
        book.active["D2"].number_format = form

    return change


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [(22, "General", "22"), (22.5, "General", "22.5"), (22.1, "0.00", "22.10"), (3, "0", "3"), ("22.10", "@", "22.10")],
)
def test_a_number_is_read_as_it_is_shown(folder: Any, value: Any, form: str, text: str) -> None:
    workbook(folder, put(value, form))
    assert read(folder.root).matrix.axes["release"] == (text,)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (datetime.date(2026, 3, 1), "yyyy-mm-dd"),
        (True, "General"),
        (0.5, "0%"),
        (1200, "#,##0"),
        (123456789012, "General"),
        ("=1+1", "General"),
        ("#N/A", "General"),
    ],
)
def test_a_value_that_is_shown_otherwise_is_refused_with_its_place(folder: Any, value: Any, form: str) -> None:
    path = workbook(folder, put(value, form))
    (fault,) = faults(folder)
    assert (fault.file, fault.line, fault.column) == (str(path), 2, 4)


def test_hidden_rows_and_further_sheets_are_warnings_of_lint(folder: Any) -> None:
    def change(book: Any) -> None:
        book.active.append(["", "kunpeng-920", "", ""])
        book.active.row_dimensions[3].hidden = True
        book.create_sheet("更多").append(["x"])

    workbook(folder, change)
    result = CliRunner().invoke(cli, ["lint", str(folder.root)])
    assert result.exit_code == 0, result.output
    assert "axes.xlsx:3:1: this row is hidden" in result.output
    assert "更多" in result.output


def test_a_table_on_the_second_sheet_is_read(folder: Any) -> None:
    def change(book: Any) -> None:
        second = book.copy_worksheet(book.active)
        book.active.delete_rows(1, 2)
        assert second["A1"].value == "os"

    workbook(folder, change)
    assert read(folder.root).matrix.axes["os"] == ("debian-12",)


def test_a_fault_of_a_value_names_its_place_in_the_sheet(folder: Any) -> None:
    rows = [["os", "cpu", "database"], ["debian-12", "x86-64", "sqlite"], ["", "x86-64", "sqlit"]]
    for kind in ("csv", "xlsx"):
        name = sheet(folder.root / f"axes.{kind}", rows)
        folder.change("matrix", axes={}, axes_from=name)
        (fault,) = faults(folder)
        assert (Path(fault.file).name, fault.line, fault.column) == (name, 3, 2)
        assert "twice" in fault.message


def test_no_bytes_of_a_workbook_are_printed(folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    workbook(folder, put(True))
    with pytest.raises(DefinitionError) as caught:
        read(folder.root)
    print_faults(caught.value)
    shown = capsys.readouterr().err
    assert "truth value" in shown
    assert " | " not in shown
