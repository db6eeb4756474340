"""Points of an interface: what their registers hold, and what lint says of their sheets."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DefinitionError
from harness.model.points import ORDERS, TYPES, Point
from harness.reading.points import functions_of, read_points
from harness.reading.read import read
from tests.products import WEB, product

HEAD = "name,area,address,type,scale,range,access,order,expected\n"
GOOD = (
    HEAD + "设定值 1,holding,0,int16,0.1,0..100,rw,,\n"
    "flow,holding,2,float32,,-1e3..1e3,r,CDAB,\n"
    "count,input,0x10,uint32,,,,,123456\n"
    "pump,coil,7,bool,,,rw,,\n"
)
FIELD: dict[str, Any] = {
    **WEB,
    "ports": {"web": 8080, "field": 502},
    "interfaces": {
        "plc": {"protocol": "modbus", "port": "field", "points": "points.csv"},
        "meter-2.b": {"protocol": "modbus", "port": "field", "unit": 2, "points": "测点.csv"},
    },
}


def sheet(folder: Path, text: str, name: str = "points.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_sheet_is_read_with_its_own_order_and_types(tmp_path: Path) -> None:
    points = read_points(sheet(tmp_path, GOOD), "BADC")
    assert [(point.name, point.address, point.order, point.writable) for point in points] == [
        ("设定值 1", 0, "BADC", True),
        ("flow", 2, "CDAB", False),
        ("count", 16, "BADC", False),
        ("pump", 7, "BADC", True),
    ]
    assert (points[0].low, points[0].high, points[2].expected) == (0, 100, 123456)
    assert functions_of((), points) == (1, 3, 4, 5, 6)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_headings_and_words_in_chinese(tmp_path: Path, separator: str) -> None:
    rows = [["名称", "区", "地址", "类型", "范围", "访问"], ["温度", "保持寄存器", "4", "int16", "-40~120", "读写"]]
    (point,) = read_points(sheet(tmp_path, "\n".join(separator.join(row) for row in rows)))
    assert (point.area, point.low, point.high, point.writable) == ("holding", -40, 120, True)


def test_a_workbook_says_the_same_as_a_csv(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in GOOD.splitlines():
        book.active.append(row.split(","))
    whole = io.BytesIO()
    book.save(whole)
    (tmp_path / "points.xlsx").write_bytes(whole.getvalue())
    assert read_points(tmp_path / "points.xlsx") == read_points(sheet(tmp_path, GOOD))


@pytest.mark.parametrize(
    ("row", "line", "words"),
    [
        ("a,holding,65535,float32,,,,,", 2, "no address"),
        ("a,holding,-1,int16,,,,,", 2, "no address"),
        ("a,register,0,int16,,,,,", 2, "no such area"),
        ("a,holding,0,int17,,,,,", 2, "no such type"),
        ("a,holding,0,bool,,,,,", 2, "a holding holds no bool"),
        ("a,coil,0,int16,,,,,", 2, "a coil holds no int16"),
        ("a,holding,0,int16,0,,,,", 2, "with scale 0"),
        ("a,holding,0,int16,x,,,,", 2, "the scale is no number"),
        ("a,holding,0,int16,,5,,,", 2, "has not the form"),
        ("a,holding,0,int16,,9..1,,,", 2, "ends before it begins"),
        ("a,holding,0,int16,0.1,0..5000,,,", 2, "beyond int16"),
        ("a,holding,0,int16,,0..5,,,7", 2, "out of the range"),
        ("a,holding,0,uint16,,-1..5,,,", 2, "beyond uint16"),
        ("a,input,0,int16,,0..5,rw,,", 2, "nothing writes"),
        ("a,holding,0,int16,,,rw,,", 2, "that is written has a range"),
        ("a,holding,0,int16,,,x,,", 2, "no such access"),
        ("a,holding,0,float32,,,,ACBD,", 2, "no such order"),
        (",holding,0,int16,,,,,", 2, "the name of a point"),
        ("a,holding,0,int64,,,,,\nb,holding,3,int16,,,,,", 3, "lies in a (line 2)"),
        ("a,holding,9,int16,,,,,\nb,holding,6,int64,,,,,", 2, "lies in b (line 3)"),
        ("a,holding,0,int16,,,,,\na,input,0,int16,,,,,", 3, "a second point of this name"),
    ],
)
def test_what_is_wrong_with_a_row_is_named_with_its_line(tmp_path: Path, row: str, line: int, words: str) -> None:
    with pytest.raises(DefinitionError) as error:
        read_points(sheet(tmp_path, HEAD + row + "\n"))
    (fault,) = error.value.faults
    assert words in fault.message
    assert fault.line == line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the sheet is empty"),
        (HEAD, "the sheet has no point"),
        ("name,area,adress,type\na,coil,0,bool\n", "unknown heading"),
        ("name,name,area,address,type\na,a,coil,0,bool\n", "two columns are the name"),
        ("name,type\na,bool\n", "no column area, address"),
    ],
)
def test_a_sheet_that_is_no_list_of_points(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        read_points(sheet(tmp_path, text))


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != "bool"])
@given(data=st.data())
def test_what_is_written_is_what_is_read_in_every_order(kind: str, data: st.DataObject) -> None:
    size, form = TYPES[kind]
    words = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=size, max_size=size))
    for order in ORDERS:
        point = Point(name="p", area="holding", address=0, kind=kind, order=order)
        value = point.value_of(words)
        if value == value and abs(value) < 2**53:  # what a float of Python holds wholly
            assert point.value_of(point.registers_of(value)) == value, (order, form)


def test_the_orders_are_those_that_makers_mean() -> None:
    """0x12345678 as the four orders lay it into two registers."""
    written = {"ABCD": [0x1234, 0x5678], "CDAB": [0x5678, 0x1234], "BADC": [0x3412, 0x7856], "DCBA": [0x7856, 0x3412]}
    for order, registers in written.items():
        point = Point(name="p", area="holding", address=0, kind="uint32", order=order)
        assert point.registers_of(0x12345678) == registers


def folder(tmp_path: Path, application: dict[str, Any], first: str = GOOD, second: str = GOOD) -> Path:
    root = product(tmp_path / "p", application)
    sheet(root, first)
    sheet(root, second, "测点.csv")
    return root


def test_two_interfaces_are_read_with_the_product_and_their_sheets_are_part_of_it(tmp_path: Path) -> None:
    definitions = read(folder(tmp_path, FIELD))
    assert list(definitions.application.interfaces) == ["plc", "meter-2.b"]
    assert {"points.csv", "测点.csv"} <= definitions.files.keys()


def changed(**keys: Any) -> dict[str, Any]:
    interfaces = {name: dict(value) for name, value in FIELD["interfaces"].items()}
    interfaces["meter-2.b"] |= keys
    return {**FIELD, "interfaces": interfaces}


@pytest.mark.parametrize(
    ("keys", "words", "line"),
    [
        ({"port": "fjeld"}, "interfaces.meter-2.b.port 'fjeld' is not one of ports: web, field", "port: fjeld"),
        ({"unit": 256}, "less than or equal to 255", "unit: 256"),
        ({"unit": 1}, "has the port field and unit 1 of interface plc", "port: field"),
        ({"untt": 1}, "unknown key 'untt'", "untt: 1"),
        ({"protocol": "modbux"}, "not one of the values known here", "protocol: modbux"),
        ({"functions": [3, 7]}, "not one of the values known here", "- 7"),
        ({"order": "ACBD"}, "not one of the values known here", "order: ACBD"),
        ({"points": "nothing.csv"}, "no such file", "points: nothing.csv"),
        ({"functions": [1, 3, 4, 5, 6, 16, 22, 15]}, "", ""),
        ({"functions": [1, 3, 4, 16]}, "no declared function writes this point: pump", ""),
    ],
)
def test_what_is_wrong_with_an_interface_is_named_with_its_line(
    tmp_path: Path, keys: dict[str, Any], words: str, line: str
) -> None:
    root = folder(tmp_path, changed(**keys))
    if not words:
        read(root)
        return
    with pytest.raises(DefinitionError) as error:
        read(root)
    (fault,) = [fault for fault in error.value.faults if words in fault.message]
    if line:
        lines = (root / "application.yaml").read_text().splitlines()
        below = next(number for number, text in enumerate(lines, 1) if "meter-2.b" in text)
        assert fault.line == next(n for n, text in enumerate(lines, 1) if n > below and text.strip() == line)
    else:
        assert fault.file.endswith("测点.csv")


def test_a_function_that_could_not_be_tried_is_a_fault(tmp_path: Path) -> None:
    reads = HEAD + "a,holding,0,int16,,,,,\n"
    with pytest.raises(DefinitionError, match="function 16 writes, and no point may be written with it"):
        read(folder(tmp_path, changed(functions=[3, 16]), second=reads))


def test_an_unknown_key_is_held_against_those_of_its_protocol(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as error:
        read(folder(tmp_path, changed(conections=2)))
    (fault,) = error.value.faults
    assert fault.hint == "did you mean connections?"
    assert "persistent" not in fault.expected


def test_a_variant_has_a_sheet_of_its_own(tmp_path: Path) -> None:
    own = {"plc": {"protocol": "modbus", "port": "field", "points": "other.csv"}}
    application = {**FIELD, "variants": [{"when": {"cpu": "kunpeng-920"}, "set": {"interfaces": own}}]}
    root = folder(tmp_path, application)
    sheet(root, HEAD + "a,coil,0,int16,,,,,\n", "other.csv")
    with pytest.raises(DefinitionError, match="a coil holds no int16"):
        read(root)
