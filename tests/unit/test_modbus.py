"""industrial/modbus against servers on this machine: a right one, and one for each seeded fault."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from harness.clients.modbus import ModbusClient, blocks_of
from harness.clients.opening import open_interfaces
from harness.errors import InfrastructureError
from harness.model.points import Point
from tests.fields import Seen, deployment, failed, run_cases, served

POINTS = """name,area,address,type,scale,range,access,expected
设定值 1,holding,0,int16,0.1,0..100,rw,
"flow, main",holding,2,float32,,1..10,,
count,holding,4,uint32,,,,123457
outside,input,0,int16,0.1,-40..120,,
mains,input,2,float64,,49..51,,
pump,coil,0,bool,,,rw,
alarm,coil,1,bool,,,,1
door,discrete,0,bool,,,,
"""
#: Another unit of the same device: 300 points in the headings of a Chinese list.
MANY = "名称,区,地址,类型,范围,访问\n" + "".join(
    f"测点{number},保持寄存器,{100 + number},uint16,0~9,{'读写' if number in (0, 150) else '读'}\n"
    for number in range(300)
)
INTERFACES: dict[str, Any] = {
    "plc": {
        "protocol": "modbus",
        "port": "field",
        "functions": [1, 2, 3, 4, 5, 6, 15, 16, 22, 23],
        "points": "points.csv",
        "connections": 20,
    },
    "meter-2.b": {
        "protocol": "modbus",
        "port": "field",
        "unit": 2,
        "points": "测点.csv",
        "refresh": 0.2,
        "in_time": 0.5,
    },
}


def ran(folder: Path, port: int, interfaces: dict[str, Any] = INTERFACES, requests: int = 100) -> dict[str, Seen]:
    (folder / "points.csv").write_text(POINTS)
    (folder / "测点.csv").write_text(MANY)
    product = deployment(folder, interfaces, port)
    with contextlib.ExitStack() as stack:
        clients = open_interfaces(product, "modbus")
        for client in clients:
            stack.callback(client.close)
            client.seconds = 0.5
        fixtures = {"interfaces": lambda protocol: clients, "application": product}
        return run_cases("industrial/modbus", fixtures, {"requests": requests, "seconds": 0.6})


def test_a_right_server_fails_nothing(tmp_path: Path) -> None:
    with served("modbus_server.py") as port:
        results = ran(tmp_path, port)
    assert failed(results) == {}
    assert {case: seen.words for case, seen in results.items() if seen.result == "skip"} == {}
    points = results["MB-05"]
    assert points.measured == {"right": 306, "wrong": 0, "not judged": 2, "not read": 0, "in another order": 0}
    assert "meter-2.b,测点7,holding,107,uint16,7,right" in points.kept["points.csv"]
    assert results["MB-06"].measured == {"order told apart": 3}
    assert results["MB-02"].measured == {"functions tried": 12}
    assert results["MB-11"].measured["lost requests"] == 0
    assert results["MB-12"].measured["meter-2.b: in time"] > 50


@pytest.mark.parametrize(
    ("fault", "cases", "words"),
    [
        ("swapped", {"MB-06"}, "flow, main: in ABCD it reads"),
        ("exceptions", {"MB-03"}, "a read beyond address 65535: 8304, expected 8302"),
        ("lost", {"MB-11"}, "request "),
        ("stuck", {"MB-02", "MB-07"}, "was written"),
        ("numbers", {"MB-08"}, "came back as"),
        ("fragile", {"MB-09"}, "after a length of 0"),
    ],
)
def test_a_seeded_fault_is_named_by_its_case(tmp_path: Path, fault: str, cases: set[str], words: str) -> None:
    with served("modbus_server.py", fault) as port:
        found = failed(ran(tmp_path, port, requests=1100 if fault == "lost" else 100))
    assert found.keys() == cases, found
    assert words in found[min(cases)]


def test_a_point_that_is_not_there_is_named_and_never_right(tmp_path: Path) -> None:
    """It lies in the midst of others, which are read by the same request: they are still read."""
    with served("modbus_server.py") as port:
        one = {"plc": {"protocol": "modbus", "port": "field", "points": "absent.csv"}}
        (tmp_path / "absent.csv").write_text(
            "name,area,address,type,range\n" + "".join(f"p{n},holding,{n},uint16,0..65535\n" for n in range(390, 404))
        )
        results = ran(tmp_path, port, one)
    assert results["MB-05"].measured["right"] == 10
    assert results["MB-05"].measured["not read"] == 4
    assert "p402: not read: plc: holding 402, 1: exception 02" in results["MB-05"].words


def test_two_orders_that_both_fit_are_not_told_apart(tmp_path: Path) -> None:
    with served("modbus_server.py") as port:
        one = {"plc": {"protocol": "modbus", "port": "field", "points": "wide.csv"}}
        (tmp_path / "wide.csv").write_text("name,area,address,type,range\na,holding,4,uint32,0..4294967295\n")
        results = ran(tmp_path, port, one)
    assert results["MB-05"].result == "pass"
    assert results["MB-06"].result == "skip"
    assert "could not check" in results["MB-06"].words


def test_a_server_that_is_not_there_is_said_with_its_port(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        found = failed(ran(tmp_path, port))
    assert f"plc (port 502, from here 127.0.0.1:{port}): connecting: no answer" in found["MB-01"]


def test_what_is_no_modbus_is_said_with_its_bytes(tmp_path: Path) -> None:
    with served("talker.py") as port:
        assert "what came back is no frame of Modbus: 5353482d" in failed(ran(tmp_path, port))["MB-01"]


def test_a_library_that_is_missing_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "points.csv").write_text(POINTS)
    (tmp_path / "测点.csv").write_text(MANY)
    with pytest.raises(InfrastructureError, match="pymodbus is not installed on this machine") as error:
        open_interfaces(deployment(tmp_path, INTERFACES, 1), "modbus")
    assert error.value.advice == "pip install 'xinchuang-harness[industrial]'"


def test_a_point_that_is_not_writable_is_never_written(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(POINTS)
    (tmp_path / "测点.csv").write_text(MANY)
    client = open_interfaces(deployment(tmp_path, INTERFACES, 1), "modbus")[0]
    assert isinstance(client, ModbusClient)
    flow = next(point for point in client.points if point.name == "flow, main")
    with pytest.raises(ValueError, match="function 16 does not write flow, main"):
        client.write(16, flow, [1, 2])


def test_points_are_read_in_few_requests_and_nothing_between_them() -> None:
    def point(address: int, kind: str = "uint16", area: Any = "holding") -> Point:
        return Point(name=f"{area}{address}", area=area, address=address, kind=kind)

    points = [point(n) for n in range(130)] + [point(200, "float64"), point(204), point(206), point(0, "bool", "coil")]
    shape = [(block.area, block.address, block.count) for block in blocks_of(reversed(points))]
    assert shape == [("coil", 0, 1), ("holding", 0, 125), ("holding", 125, 5), ("holding", 200, 5), ("holding", 206, 1)]
