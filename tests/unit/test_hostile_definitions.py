"""Definitions and sheets that would take all memory, or minutes, end in a fault with its place before they are read."""

from __future__ import annotations

import contextlib
import io
import resource
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import openpyxl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DefinitionError
from harness.reading import source
from harness.reading.parts import MAX_CELLS, MAX_UNPACKED
from harness.reading.source import read_source
from harness.reading.workbooks import read_workbook

GIB = 1 << 30


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No test takes more than 1 GiB of addresses beside what there is already."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def workbook(change: Callable[[bytes], bytes], part: str = "xl/worksheets/sheet1.xml") -> bytes:
    """A workbook of two cells, a part of which is changed."""
    plain, out = io.BytesIO(), io.BytesIO()
    book = openpyxl.Workbook()
    book.worksheets[0].append(["os", "x"])
    book.save(plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info.filename, change(data) if info.filename == part else data)
    return out.getvalue()


def put(data: bytes, before: bytes, more: bytes) -> bytes:
    assert before in data
    return data.replace(before, more + before)


def of_rows(cells: int, rows: int) -> bytes:
    row = b"<row>" + b"<c><v>1</v></c>" * cells + b"</row>"
    return workbook(lambda data: put(data, b"</sheetData>", row * rows))


PLAIN = workbook(lambda data: data)
ENTITIES = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
WORKBOOKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "one cell of a gigabyte": (
        lambda: workbook(
            lambda data: put(data, b"</sheetData>", b"<row><c><v>" + b"1" * (30 << 20) + b"</v></c></row>")
        ),
        "unfolds to",
    ),
    "many cells": (lambda: of_rows(500, 500), "cells; the limit is"),
    "merged cells": (
        lambda: workbook(
            lambda data: put(
                data, b"<pageMargins", b'<mergeCells count="1"><mergeCell ref="A1:XFD1048576"/></mergeCells>'
            )
        ),
        "cells; the limit is",
    ),
    "entities": (
        lambda: workbook(lambda data: put(data, b"<worksheet", ENTITIES)),
        "document type",
    ),
    "entities of styles": (
        lambda: workbook(lambda data: put(data, b"<styleSheet", ENTITIES), "xl/styles.xml"),
        "document type",
    ),
    "entities in another encoding": (
        lambda: workbook(
            lambda data: (b'<?xml version="1.0" encoding="utf-16"?>' + ENTITIES + b"<x/>").decode().encode("utf-16"),
            "xl/styles.xml",
        ),
        "document type",
    ),
    "no XML": (lambda: workbook(lambda data: b"<x", "xl/styles.xml"), "no XML"),
}


@pytest.mark.parametrize("name", WORKBOOKS)
def test_a_workbook_that_would_take_all_memory_is_refused_before_it_is_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, message = WORKBOOKS[name]
    monkeypatch.setattr(openpyxl, "load_workbook", lambda *_, **__: pytest.fail("it is read"))
    with pytest.raises(DefinitionError) as caught:
        read_workbook(tmp_path / "cells.xlsx", make(), [])
    (fault,) = caught.value.faults
    assert message in fault.message
    assert fault.file.endswith("cells.xlsx")
    assert fault.line == 1


def test_a_cell_far_to_the_right_makes_no_millions_of_cells(tmp_path: Path) -> None:
    far = b'<row r="900"><c r="XFD900"><v>1</v></c></row>'
    with pytest.raises(DefinitionError, match="beyond the columns"):
        read_workbook(tmp_path / "x.xlsx", workbook(lambda data: put(data, b"</sheetData>", far)), [])


def test_a_workbook_of_many_cells_within_the_limits_is_read(tmp_path: Path) -> None:
    assert MAX_UNPACKED > 20 * MAX_CELLS
    rows = read_workbook(tmp_path / "x.xlsx", of_rows(50, 100), [])
    assert len(rows) == 101


@given(
    changes=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), min_size=1, max_size=4), cut=st.booleans()
)
@settings(max_examples=150, deadline=None)
def test_a_damaged_workbook_is_read_or_ends_in_a_fault(changes: list[tuple[int, int]], cut: bool) -> None:
    data = bytearray(PLAIN)
    for place, byte in changes:
        data[place % len(data)] = byte
    with contextlib.suppress(DefinitionError):
        read_workbook(Path("x.xlsx"), bytes(data[: changes[0][0]] if cut else data), [])


YAML = {
    "a list of 0.8 MB": "x: [" + "1," * 400_000 + "1]",
    "a block list": "x:\n" + "- 1\n" * 240_000,
    "keys": "\n".join(f"k{i}:" for i in range(101_000)),
    "mappings": "x: [" + "{a: 1}," * 100_000 + "]",
    "flow depth": "x: " + "[" * 100 + "]" * 100,
    "block depth": "\n".join(" " * i + "a:" for i in range(200)),
    "mapping depth": "x: " + "{a: " * 100 + "1" + "}" * 100,
}


@pytest.mark.parametrize("name", YAML)
def test_yaml_beyond_the_limits_is_refused_before_nodes_are_made(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "matrix.yaml"
    path.write_text(YAML[name])
    monkeypatch.setattr(yaml, "compose", lambda *_, **__: pytest.fail("nodes are made"))
    with pytest.raises(DefinitionError) as caught:
        read_source(path)
    (fault,) = caught.value.faults
    assert fault.message == "the file unfolds to too much"
    assert fault.expected == source.LIMIT
    assert 0 < fault.line <= YAML[name].count("\n") + 1
    assert fault.column > 0


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{" * 200_000, "- " * 200_000, "? " * 200_000, "*a " * 100_000, "&a " * 9]
)
def test_yaml_that_is_none_ends_in_a_fault(tmp_path: Path, text: str) -> None:
    path = tmp_path / "matrix.yaml"
    path.write_text(text)
    with pytest.raises(DefinitionError) as caught:
        read_source(path)
    assert caught.value.faults[0].line >= 1


def test_yaml_at_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "matrix.yaml"
    deep = source.MAX_DEPTH - 1
    path.write_text("x: " + "[" * deep + "1" + "]" * deep + "\ny: [" + "1," * 20_000 + "]")
    assert len(read_source(path).value["y"]) == 20_000
