"""A product behind a login, with a token in each form: the shipped suites test it by its declaration alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import product

TOKEN = {"token": {"pattern": 'name="token" value="([^"]+)"'}}


def posted(path: str, **form: str) -> dict[str, Any]:
    return {
        "method": "POST",
        "path": path,
        "before": [{"method": "GET", "path": "/new", "capture": TOKEN}],
        "form": {"name": "{{ key }}", "token": "{{ got.token }}", **form},
        "status": [303],
    }


DESK: dict[str, Any] = {
    "application": "desk",
    "name": {"zh": "笔记台", "en": "Desk"},
    "vendor": "Example",
    "version": "1.0",
    "needs": ["python3"],
    "artifacts": [{"path": "notes_desk.py", "install": "copy", "to": "/opt/desk/desk.py", "mode": "0755"}],
    "setup": ["mkdir -p /var/lib/desk"],
    "start": "python3 /opt/desk/desk.py 8080 /var/lib/desk/notes.json",
    "environment": {"DESK_PASSWORD": "{{ secrets.password }}"},
    "secrets": ["password"],
    "ready": {"path": "/health", "seconds": 30},
    "ports": {"web": 8080},
    "limits": {"memory": "128m", "cpus": 1, "processes": 128},
    "http": {
        "port": "web",
        "refused": [302],
        "session": {
            "expired": [302],
            "requests": [
                {"method": "GET", "path": "/login", "capture": TOKEN},
                {
                    "method": "POST",
                    "path": "/login",
                    "form": {"password": "{{ secrets.password }}", "token": "{{ session.token }}"},
                    "status": [302],
                },
            ],
        },
        "resource": {
            "key": "n{{ n }}",
            "create": posted("/save", text="{{ text }}"),
            "read": {"method": "GET", "path": "/{{ key }}"},
            "update": posted("/save", text="{{ text }}"),
            "delete": posted("/delete"),
            "stored": "SELECT 1",
        },
    },
}


def test_a_product_with_a_login_is_tested_by_its_declaration(harness: Run, tmp_path: Path) -> None:
    """Its sessions end with each kill and each restart; what it took before is still there after a new login. With a
    wrong password nothing of it is seen, and it is the product's refusal that is reported."""
    suites = ["compat/http", "compat/lifecycle"]
    application = {
        **DESK,
        "variants": [{"when": {"door": "shut"}, "set": {"environment": {"DESK_PASSWORD": "another"}}}],
    }
    root = product(tmp_path / "p", application, suites=suites, database=["none"], axes={"door": ["open", "shut"]})
    shutil.copy(Path(__file__).with_name("notes_desk.py"), root)
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err + ran.out
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    cells = {cell["axes"]["door"]: cell for cell in record["cells"]}
    cases = {door: {case["id"]: case for case in cell["cases"]} for door, cell in cells.items()}
    assert cells["open"]["verdict"] == "conformant", [c for c in cases["open"].values() if c["result"] != "pass"]
    assert {cases["open"][f"HTTP-0{number}"]["result"] for number in range(1, 9)} == {"pass"}
    kept = {m["name"]: m["value"] for m in cases["open"]["LC-06"]["measurements"]}
    assert kept["texts kept"] == 5
    assert cells["shut"]["verdict"] == "nonconformant"
    assert cases["shut"]["HTTP-02"]["result"] == "fail"
    assert "the session is refused: POST /login gave status 401" in cases["shut"]["HTTP-02"]["detail"]
