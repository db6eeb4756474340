"""Products that speak protocols of the field, deployed for real: the shipped example, and seeded faults."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.opcua_product import PLANT, pack_library
from tests.opcua_product import POINTS as NODES
from tests.products import product

ROOT = Path(__file__).parents[2]

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


#: A suite of the vendor, in its sandbox, asks the device by the same client.
CHECK = """
def test_the_set_point(interfaces):
    plcs = {plc.name: plc for plc in interfaces("modbus")}
    (energy,) = plcs["meter-2.b"].points
    assert energy.name == "电能"
    assert plcs["plc"].points[0].value_of(plcs["plc"].read_point(plcs["plc"].points[0])) == 21.5
"""


def test_each_seeded_fault_of_a_device_is_named_by_its_case(harness: Run, tmp_path: Path) -> None:
    """One answers, and wrongly; of the other nobody listens where it says."""
    absent = {**INTERFACES, "plc": {**INTERFACES["plc"], "port": "none"}}
    kinds: dict[str, tuple[dict[str, Any], str, str]] = {
        "swapped": ({"start": f"{DEVICE['start']} swapped"}, "MB-06", "count: in ABCD it reads"),
        "absent": ({"ports": {"field": 5020, "none": 5021}, "interfaces": absent}, "MB-01", "plc (port 5021"),
    }
    variants = [{"when": {"kind": kind}, "set": changed} for kind, (changed, _, _) in kinds.items()]
    application = {**DEVICE, "variants": variants}
    suites = ["industrial/modbus", "checks"]
    root = product(tmp_path / "p", application, suites=suites, database=["none"], axes={"kind": [*kinds]}, check=CHECK)
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
        assert (cell["verdict"], [*bad]) == ("nonconformant", [wrong]), (kind, bad)
        assert cases[wrong]["result"] == "fail"
        assert words in bad[wrong], kind
        if kind == "absent":
            assert {case["result"] for name, case in cases.items() if name != "MB-01"} == {"skip"}
        if kind == "swapped":
            own = next(case for case in cell["cases"] if case["suite"] == "checks")
            assert own["result"] == "pass", own


BROKER_CONF = """listener {port}
allow_anonymous {anonymous}
password_file /run/field/users
acl_file /etc/field/rights
persistence {persistence}
persistence_location /var/lib/field/
"""
RIGHTS = """user line
topic readwrite harness/#
topic readwrite #
user gauge 2
topic readwrite plant/hall 2/#
"""
USERS = (
    "mkdir -p /run/field /var/lib/field && touch /run/field/users && chmod 700 /run/field/users && "
    "mosquitto_passwd -b /run/field/users line '{{ secrets.line }}' && "
    "mosquitto_passwd -b /run/field/users 'gauge 2' '{{ secrets.gauge }}' && "
    "chown -R mosquitto: /run/field /var/lib/field && "
)
BROKER: dict[str, Any] = {
    "application": "broker",
    "name": {"zh": "消息代理", "en": "Broker"},
    "vendor": "Example",
    "version": "1.0",
    "packages": ["mosquitto"],
    "needs": ["python3"],
    "artifacts": [{"path": "mqtt_proxy.py", "install": "copy", "to": "/opt/broker/proxy.py", "mode": "0755"}],
    "templates": [
        {"template": "field.conf", "path": "/etc/field/field.conf"},
        {"template": "rights", "path": "/etc/field/rights"},
    ],
    "parameters": {"port": "1883", "anonymous": "false", "persistence": "true"},
    "secrets": ["line", "gauge"],
    "start": f"{USERS}exec mosquitto -c /etc/field/field.conf",
    "ready": {"command": READY.replace("5020", "1883"), "seconds": 30},
    "ports": {"mqtt": 1883},
    "interfaces": {
        "broker": {
            "protocol": "mqtt",
            "port": "mqtt",
            "anonymous": False,
            "persistent": True,
            "packet": 1048576,
            "users": [
                {"user": "line", "password": "{{ secrets.line }}", "allowed": "harness/own"},
                {
                    "user": "gauge 2",
                    "password": "{{ secrets.gauge }}",
                    "allowed": "plant/hall 2/压力",
                    "forbidden": "plant/hall 1/压力",
                },
            ],
        }
    },
    "limits": {"memory": "128m", "cpus": 1, "processes": 128},
}
#: A broker behind a program that breaks what it sends.
BEHIND = f"{USERS}(mosquitto -c /etc/field/field.conf &) && exec python3 /opt/broker/proxy.py 1883 1884 "


def test_each_seeded_fault_of_a_broker_is_named_by_its_case(harness: Run, tmp_path: Path) -> None:
    """mosquitto of the distribution, set otherwise than it is declared, behind a program that breaks what it sends."""
    (interface,) = BROKER["interfaces"].values()
    behind = {**BROKER["parameters"], "port": "1884"}
    kinds: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
        "doubled": (
            {
                "start": f"{BEHIND}doubled",
                "parameters": {**behind, "anonymous": "true"},
                "interfaces": {"broker": {**interface, "versions": ["5"]}},
            },
            {"MQ-03": "2 of 1100 messages came more than once", "MQ-12": "a client without a user is let in"},
        ),
        "lost": (
            {
                "start": f"{BEHIND}lost",
                "parameters": {**behind, "persistence": "false"},
                "interfaces": {"broker": {**interface, "versions": ["3.1.1"]}},
            },
            {
                "MQ-03": "2 of 1100 messages with QoS 1 did not come",
                "MQ-09": "the broker does not know the session any more",
            },
        ),
    }
    variants = [{"when": {"kind": kind}, "set": changed} for kind, (changed, _) in kinds.items()]
    application = {**BROKER, "variants": variants}
    root = product(tmp_path / "p", application, suites=["industrial/mqtt"], database=["none"], axes={"kind": [*kinds]})
    shutil.copy(Path(__file__).with_name("mqtt_proxy.py"), root)
    words = {key: f"{{{{ params.{key} }}}}" for key in BROKER["parameters"]}
    (root / "field.conf").write_text(BROKER_CONF.format(**words))
    (root / "rights").write_text(RIGHTS)
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err + ran.out
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    assert len(record["cells"]) == len(kinds)
    for cell in record["cells"]:
        kind = cell["axes"]["kind"]
        _, wrong = kinds[kind]
        cases = {case["id"]: case for case in cell["cases"] if case["id"].startswith("MQ")}
        bad = {name: case["detail"] for name, case in cases.items() if case["result"] not in ("pass", "skip")}
        assert (cell["verdict"], {*bad}) == ("nonconformant", {*wrong}), (kind, bad)
        skipped = {name for name, case in cases.items() if case["result"] == "skip"}
        assert skipped == ({"MQ-10"} if kind == "lost" else set()), kind
        assert all(said in bad[name] for name, said in wrong.items()), (kind, bad)


SERVER: dict[str, Any] = {
    "application": "plant",
    "name": {"zh": "车间服务器", "en": "Plant server"},
    "vendor": "Example",
    "version": "1.0",
    "needs": ["python3"],
    "artifacts": [
        {"path": "opcua_server.py", "install": "copy", "to": "/opt/plant/server.py", "mode": "0755"},
        {"path": "library.tar.gz", "install": "archive", "to": "/opt/plant/library"},
    ],
    "secrets": ["line", "gauge"],
    "start": "export LINE='{{ secrets.line }}' GAUGE='{{ secrets.gauge }}' PYTHONPATH=/opt/plant/library; "
    "exec python3 /opt/plant/server.py 4840",
    "ready": {"command": READY.replace("5020", "4840"), "seconds": 60},
    "ports": {"field": 4840},
    "interfaces": {"plant": {**PLANT, "refresh": 1, "in_time": 0.5}},
    "limits": {"memory": "256m", "cpus": 1, "processes": 128},
}


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="Debian 12 has Python 3.11 and no other")
def test_each_seeded_fault_of_an_opc_ua_server_is_named_by_its_case(harness: Run, tmp_path: Path) -> None:
    """A right one passes every case, over its namespaces' URIs after a restart; faults fail theirs and no other."""
    kinds: dict[str, tuple[str, dict[str, str]]] = {
        "right": ("", {}),
        "faulty": (
            " swapped open silent anyone fragile",
            {
                "UA-05": "count: 1105330432, expected 123457",
                "UA-10": "serial: it is declared read-only, and a write was answered by Good",
                "UA-12": "设定值 1: 0 was written, and not told of within",
                "UA-14": "line is let in with a wrong password",
                "UA-16": "it ended once although nobody had asked for it",
            },
        ),
    }
    variants = [
        {"when": {"kind": kind}, "set": {"start": SERVER["start"] + words}} for kind, (words, _) in kinds.items()
    ]
    application = {**SERVER, "variants": variants}
    suites = ["industrial/opcua"]
    root = product(tmp_path / "p", application, suites=suites, database=["none"], axes={"kind": [*kinds]})
    shutil.copy(Path(__file__).with_name("opcua_server.py"), root)
    pack_library(root / "library.tar.gz")
    (root / "points.csv").write_text(NODES)
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err + ran.out
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    assert len(record["cells"]) == len(kinds)
    for cell in record["cells"]:
        kind = cell["axes"]["kind"]
        _, wrong = kinds[kind]
        cases = {case["id"]: case for case in cell["cases"] if case["id"].startswith("UA")}
        bad = {name: case["detail"] for name, case in cases.items() if case["result"] != "pass"}
        verdict = "nonconformant" if wrong else "conformant"
        assert (cell["verdict"], {*bad}) == (verdict, {*wrong}), (kind, bad, cell["message"])
        assert {name: bad[name] for name, said in wrong.items() if said not in bad[name]} == {}, kind
        assert len(cases) == 19


@pytest.mark.parametrize(
    "cpu",
    [
        "x86-64",
        pytest.param("kunpeng-920", marks=pytest.mark.full),
        pytest.param("loongson-3a5000", marks=pytest.mark.full),
    ],
)
def test_the_shipped_example_is_conformant(harness: Run, cpu: str) -> None:
    """mosquitto and a device in one product: every case of both suites passes, and none is left out."""
    ran = harness("run", ROOT / "matrices" / "industrial", "--only", f"cpu={cpu}", "--format", "json", timeout=4 * 3600)
    assert ran.code == 3, ran.err + ran.out  # the other cells are not tested
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    (cell,) = [cell for cell in record["cells"] if cell["axes"]["cpu"] == cpu]
    cases = {case["id"]: case for case in cell["cases"] if case["id"][:2] in ("MB", "MQ")}
    assert {name: case["detail"] for name, case in cases.items() if case["result"] != "pass"} == {}
    assert len(cases) == 26
    assert cell["verdict"] == "conformant", cell["message"]
    points = {m["name"]: m["value"] for m in cases["MB-05"]["measurements"]}
    assert (points["right"], points["not judged"], points["not read"]) == (6, 1, 0)
    counted = {m["name"]: m["value"] for m in cases["MQ-03"]["measurements"]}
    assert counted == dict.fromkeys(
        (f"plant, MQTT {v}: {what}" for v in ("3.1.1", "5") for what in ("lost", "twice")), 0
    )
