"""A product behind OAuth with a cookie, forms against forgery, XML and multipart bodies, several requests for a step:
the shipped suites test it by its declaration alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import product

#: Asked for before each request that changes something; good for one.
FORM = {"method": "GET", "path": "/form", "capture": {"form": {"header": "X-Form-Token"}}}
XML = "<order><name>{{ key }}</name><text>{{ text | e }}</text></order>"
OFFICE: dict[str, Any] = {
    "application": "office",
    "name": {"zh": "订单室", "en": "Office"},
    "vendor": "Example",
    "version": "1.0",
    "needs": ["python3"],
    "artifacts": [{"path": "orders_office.py", "install": "copy", "to": "/opt/office/office.py", "mode": "0755"}],
    "setup": ["mkdir -p /var/lib/office"],
    "start": "python3 /opt/office/office.py {{ ports.web }} /var/lib/office/orders.json",
    "environment": {"OFFICE_PASSWORD": "{{ secrets.password }}"},
    "secrets": ["password"],
    "ready": {"path": "/health", "seconds": 30},
    "ports": {"web": 8080},
    "limits": {"memory": "128m", "cpus": 1, "processes": 64},
    "http": {
        "port": "web",
        "session": {
            "expired": [401],
            "requests": [
                {
                    "method": "POST",
                    "path": "/oauth/token",
                    "form": {"grant_type": "password", "username": "tester", "password": "{{ secrets.password }}"},
                    "capture": {"token": {"pointer": "/access_token"}, "office": {"cookie": "office"}},
                }
            ],
            "headers": {"Authorization": "Bearer {{ session.token }}"},
        },
        "resource": {
            "key": "o{{ n }}",
            "create": {
                "method": "POST",
                "path": "/drafts/{{ got.draft }}/release",
                "before": [
                    FORM,
                    {
                        "method": "POST",
                        "path": "/drafts",
                        "headers": {"X-Form-Token": "{{ got.form }}"},
                        "status": [201],
                        "capture": {"draft": {"pattern": "<id>([^<]+)</id>"}},
                    },
                    {"method": "PUT", "path": "/drafts/{{ got.draft }}", "content": XML},
                    FORM,
                ],
                "parts": {
                    "token": {"text": "{{ got.form }}"},
                    "stamp": {"text": "released 放行", "filename": "stamp.txt"},
                },
            },
            "read": {"method": "GET", "path": "/orders/{{ key }}"},
            "update": {"method": "PUT", "path": "/orders/{{ key }}", "content": XML},
            "delete": {
                "method": "DELETE",
                "path": "/orders/{{ key }}",
                "before": [FORM],
                "headers": {"X-Form-Token": "{{ got.form }}"},
                "status": [204],
            },
        },
    },
}


def test_oauth_xml_multipart_cookies_and_forms_are_declared_and_tested(harness: Run, tmp_path: Path) -> None:
    """Two cells: in the second the product demands another stamp, and the step that it refuses is named."""
    refusing = {
        "when": {"stamp": "other"},
        "set": {"start": f"sed -i s/放行/盖章/ /opt/office/office.py; {OFFICE['start']}"},
    }
    root = product(
        tmp_path / "p",
        {**OFFICE, "variants": [refusing]},
        suites=["compat/http"],
        database=["none"],
        axes={"stamp": ["same", "other"]},
    )
    shutil.copy(Path(__file__).with_name("orders_office.py"), root)
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err + ran.out
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    cells = {cell["axes"]["stamp"]: cell for cell in record["cells"]}
    cases = {stamp: {case["id"]: case for case in cell["cases"]} for stamp, cell in cells.items()}
    assert cells["same"]["verdict"] == "conformant", [c for c in cases["same"].values() if c["result"] != "pass"]
    assert {cases["same"][f"HTTP-0{number}"]["result"] for number in range(1, 9)} == {"pass"}
    assert cells["other"]["verdict"] == "nonconformant"
    assert "create gave status 400" in cases["other"]["HTTP-02"]["detail"]
    assert "stamp or token lacks: ['stamp', 'token']" in cases["other"]["HTTP-02"]["detail"], "all parts came"
