"""A product that speaks no HTTP: shipped suites test it by a class of its vendor, which runs in its own sandbox."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import product

CLASS = '''
import socket

from wire import asked


class Notes:
    """A resource of the product: one connection, made anew by the harness when the product was started again."""

    def __init__(self, application):
        self.password = application.context.secrets["line"].get_secret_value()
        self.connection = socket.create_connection(application.context.ports["line"], timeout=10)

    def create(self, key, text):
        asked(self.connection, self.password, "put", key, text)

    update = create

    def read(self, key):
        return asked(self.connection, self.password, "get", key).get("text")

    def delete(self, key):
        asked(self.connection, self.password, "delete", key)

    def texts(self, key):
        return [self.read(key)]

    def refused(self, action, key, text):
        do = {"create": "put", "update": "put", "read": "get"}.get(action, action)
        return asked(self.connection, "wrong", do, key, text) == {"refused": True}

    def close(self):
        self.connection.close()
'''
WIRE = """
import json


def asked(connection, password, do, key, text=""):
    request = {"password": password, "do": do, "key": key, "text": text}
    connection.sendall(json.dumps(request).encode() + b"\\n")
    line = b""
    while not line.endswith(b"\\n"):
        if not (piece := connection.recv(65536)):
            raise ConnectionResetError("the product closed the connection")
        line += piece
    return json.loads(line)
"""
LINE: dict[str, Any] = {
    "application": "line",
    "name": {"zh": "行协议笔记", "en": "Line notes"},
    "vendor": "Example",
    "version": "2.0",
    "needs": ["python3"],
    "artifacts": [{"path": "line_notes.py", "install": "copy", "to": "/opt/line/line.py", "mode": "0755"}],
    "setup": ["mkdir -p /var/lib/line"],
    "start": "exec python3 /opt/line/line.py 7070 /var/lib/line/notes.json",
    "environment": {"LINE_PASSWORD": "{{ secrets.line }}"},
    "secrets": ["line"],
    "ready": {
        "command": "python3 -c \"import socket; socket.create_connection(('127.0.0.1', 7070), 2)\"",
        "seconds": 30,
    },
    "ports": {"line": 7070},
    "limits": {"memory": "128m", "cpus": 1, "processes": 128},
    "resource": {"python": "resources/notes.py:Notes"},
    "former": {"1.0": {"set": {"version": "1.0"}}},
}

CHECK = """
def test_a_suite_of_the_vendor_asks_it_too(resource, application):
    with resource.made("text") as key:
        application.restart()
        assert resource.texts(key) == ["text"]
"""


def test_a_product_without_http_is_tested_by_a_class_of_its_vendor(harness: Run, tmp_path: Path) -> None:
    """Kills, concurrent writers, strangers, and what a former version stored, over one connection of its own kind."""
    suites, axes = ["compat/http", "compat/lifecycle", "checks"], {"upgrade_from": ["none", "1.0"]}
    root = product(tmp_path / "p", LINE, suites=suites, database=["none"], axes=axes, check=CHECK)
    shutil.copy(Path(__file__).with_name("line_notes.py"), root)
    (root / "resources").mkdir()
    (root / "resources" / "notes.py").write_text(CLASS)
    (root / "resources" / "wire.py").write_text(WIRE)
    ran = harness("run", root, "--format", "json")
    assert ran.code == 0, ran.err + ran.out
    assert "not the harness's own, runs in a sandbox / 非本工具自带: resource" in ran.err
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    for cell in record["cells"]:
        cases = {case["id"]: case for case in cell["cases"]}
        assert {cases[f"HTTP-0{number}"]["result"] for number in range(1, 9)} == {"pass"}
        assert {m["name"]: m["value"] for m in cases["LC-06"]["measurements"]}["texts kept"] == 5
        if cell["axes"]["upgrade_from"] != "none":
            assert cases["DEP-8"]["result"] == "pass"
