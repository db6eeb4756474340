"""A product over HTTPS that asks for certificates: shipped suites and a vendor's own reach it as it is declared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.certificates import Authority
from tests.conftest import Run
from tests.products import product

NGINX = """\
user www-data;
pid /run/tiny.pid;
error_log stderr;
events {}
http {
  access_log off;
  server {
    listen 8443 ssl;
    server_name notes.example;
    ssl_certificate /etc/tiny/server.crt;
    ssl_certificate_key /etc/tiny/server.key;
    ssl_client_certificate /etc/tiny/clients.pem;
    ssl_verify_client on;
    root /srv/notes;
    dav_methods PUT DELETE;
  }
}
"""


def asked(method: str, status: int, **more: Any) -> dict[str, Any]:
    return {"method": method, "path": "/{{ key }}", "status": [status], **more}


HTTP: dict[str, Any] = {
    "port": "web",
    "tls": {"name": "notes.example", "authority": {"cell": True}, "client": {"cell": True}},
    "refused": [400],
    "resource": {
        "key": "n{{ n }}",
        "create": asked("PUT", 201, content="{{ text }}", media="text/plain"),
        "read": asked("GET", 200),
        "update": asked("PUT", 204, content="{{ text }}", media="text/plain"),
        "delete": asked("DELETE", 204),
        "stored": "SELECT 1",
    },
}


def template(name: str, path: str) -> dict[str, str]:
    return {"template": name, "path": f"/etc/tiny/{path}"}


MADE = [
    template("nginx.conf", "nginx.conf"),
    template("server.crt", "server.crt"),
    template("server.key", "server.key"),
    template("clients.pem", "clients.pem"),
]
NOTES: dict[str, Any] = {
    "application": "notes",
    "name": {"zh": "笔记", "en": "Notes"},
    "vendor": "Example",
    "version": "1.0",
    "packages": ["nginx"],
    "setup": ["mkdir -p /srv/notes /etc/tiny && chown www-data /srv/notes && echo good >/srv/notes/health"],
    "templates": MADE,
    "start": "exec nginx -c /etc/tiny/nginx.conf -g 'daemon off;'",
    "ready": {"path": "/health", "seconds": 3},
    "ports": {"web": 8443},
    "limits": {"memory": "128m", "cpus": 1, "processes": 64},
    "http": HTTP,
    "variants": [
        {
            "when": {"certificate": "expired"},
            "set": {
                "http": {**HTTP, "tls": {**HTTP["tls"], "authority": {"file": "tls/Test-authority.pem"}}},
                "templates": [
                    MADE[0],
                    template("tls/old.pem", "server.crt"),
                    template("tls/old.pem", "server.key"),
                    MADE[3],
                ],
            },
        },
    ],
}
CHECK = """
import ssl
import urllib.request

import pytest


def test_the_fixture_verifies(http):
    assert http.send("GET", "/health").text == "good\\n"
    assert http.client.get(http.deployment.url("/health")).status_code == 200
    assert http.send("GET", "/health", headers={}).status_code == 400


def test_another_client_has_what_it_needs(application):
    context = application.tls.context()
    assert urllib.request.urlopen(application.url("/health"), context=context).read() == b"good\\n"
    with pytest.raises(OSError):
        urllib.request.urlopen(application.url("/health"))
"""


def test_a_product_with_certificates_is_tested_by_its_declaration(harness: Run, tmp_path: Path) -> None:
    """Both sides show certificates that were made for the cell; with a certificate that is over, the product never gets
    ready, and the report says why."""
    root = product(
        tmp_path / "p",
        NOTES,
        suites=["compat/http", "checks"],
        database=["none"],
        axes={"certificate": ["made", "expired"]},
        check=CHECK,
    )
    Authority(root / "tls").certificate("old", "notes.example", since=30, days=-2)
    (root / "nginx.conf").write_text(NGINX)
    for name, word in (("server.crt", "certificate"), ("server.key", "key"), ("clients.pem", "authority")):
        (root / name).write_text(f"{{{{ tls.{word} }}}}")
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err + ran.out
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    cells = {cell["axes"]["certificate"]: cell for cell in record["cells"]}
    cases = {name: {case["id"]: case for case in cell["cases"]} for name, cell in cells.items()}
    assert cells["made"]["verdict"] == "conformant", [c for c in cases["made"].values() if c["result"] != "pass"]
    assert {cases["made"][f"HTTP-0{number}"]["result"] for number in range(1, 9)} == {"pass"}
    assert cells["expired"]["verdict"] == "nonconformant"
    assert (
        "its certificate has expired (valid from" in cells["expired"]["message"] + cases["expired"]["DEP-6"]["detail"]
    )
