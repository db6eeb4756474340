"""Products that speak protocols of the field, deployed for real: right ones, and one for each seeded fault."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import product

READY = "python3 -c \"import socket; socket.create_connection(('127.0.0.1', 5020), 2)\""
POINTS = """name,area,address,type,scale,range,access,expected
设定值 1,holding,0,int16,0.1,0..100,rw,
flow,holding,2,float32,,1..10,,
count,holding,4,uint32,,,,123457
outside,input,0,int16,0.1,-40..120,,
mains,input,2,float64,,49..51,,
pump,coil,0,bool,,,rw,
"""
#: In the words of a Chinese list, of the second unit.
METER = "名称,区,地址,类型,范围\n电能,保持寄存器,4,uint32,123000~124000\n"
INTERFACES: dict[str, Any] = {
    "plc": {"protocol": "modbus", "port": "field", "points": "points.csv", "connections": 4},
    "meter-2.b": {
        "protocol": "modbus",
        "port": "field",
        "unit": 2,
        "points": "测点.csv",
        "refresh": 0.5,
        "in_time": 0.5,
    },
}
DEVICE: dict[str, Any] = {
    "application": "device",
    "name": {"zh": "现场设备", "en": "Field device"},
    "vendor": "Example",
    "version": "1.0",
    "needs": ["python3"],
    "artifacts": [{"path": "modbus_server.py", "install": "copy", "to": "/opt/device/server.py", "mode": "0755"}],
    "start": "exec python3 /opt/device/server.py 5020",
    "ready": {"command": READY, "seconds": 30},
    "ports": {"field": 5020},
    "interfaces": INTERFACES,
    "limits": {"memory": "128m", "cpus": 1, "processes": 128},
}


def test_each_seeded_fault_of_a_device_is_named_by_its_case(harness: Run, tmp_path: Path) -> None:
    """The right device is certified; of another nobody listens where it says; the others answer, and wrongly."""
    absent = {**INTERFACES, "plc": {**INTERFACES["plc"], "port": "none"}}
    kinds: dict[str, tuple[dict[str, Any], str, str]] = {
        "right": ({}, "", ""),
        "swapped": ({"start": f"{DEVICE['start']} swapped"}, "MB-06", "count: in ABCD it reads"),
        "lost": ({"start": f"{DEVICE['start']} lost"}, "MB-11", "updates were lost"),
        "exceptions": ({"start": f"{DEVICE['start']} exceptions"}, "MB-03", "8304, expected 8302"),
        "absent": ({"ports": {"field": 5020, "none": 5021}, "interfaces": absent}, "MB-01", "plc (port 5021"),
    }
    variants = [{"when": {"kind": kind}, "set": changed} for kind, (changed, _, _) in kinds.items() if changed]
    application = {**DEVICE, "variants": variants}
    root = product(
        tmp_path / "p", application, suites=["industrial/modbus"], database=["none"], axes={"kind": [*kinds]}
    )
    shutil.copy(Path(__file__).with_name("modbus_server.py"), root)
    (root / "points.csv").write_text(POINTS)
    (root / "测点.csv").write_text(METER)
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err + ran.out
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    assert len(record["cells"]) == len(kinds)
    for cell in record["cells"]:
        kind = cell["axes"]["kind"]
        _, wrong, words = kinds[kind]
        cases = {case["id"]: case for case in cell["cases"] if case["id"].startswith("MB")}
        bad = {name: case["detail"] for name, case in cases.items() if case["result"] not in ("pass", "skip")}
        expected = ("nonconformant", [wrong]) if wrong else ("conformant", [])
        assert (cell["verdict"], [*bad]) == expected, (kind, bad)
        if wrong:
            assert cases[wrong]["result"] == "fail"
            assert words in bad[wrong], kind
        if kind == "absent":
            assert {case["result"] for name, case in cases.items() if name != "MB-01"} == {"skip"}
        if kind == "right":
            assert {name for name, case in cases.items() if case["result"] == "skip"} == set()
            measured = {m["name"]: m["value"] for m in cases["MB-05"]["measurements"]}
            assert (measured["right"], measured["not judged"]) == (6, 1)
