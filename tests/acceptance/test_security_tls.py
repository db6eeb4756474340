"""TLS with old settings is named by its case: versions, ciphers, certificate, national suites; good ones fail none."""

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
  server_tokens off;
  server {
    listen 8443 ssl;
    server_name notes.example;
    ssl_certificate /etc/tiny/server.crt;
    ssl_certificate_key /etc/tiny/server.key;
{% if cell.settings == 'old' %}
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2;
    ssl_ciphers ALL:eNULL:@SECLEVEL=0;
{% else %}
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
{% endif %}
    add_header Strict-Transport-Security "max-age=31536000" always;
    root /srv/notes;
  }
}
"""


def template(name: str, path: str) -> dict[str, str]:
    return {"template": name, "path": f"/etc/tiny/{path}"}


TLS = {"name": "notes.example", "authority": {"cell": True}}
NOTES: dict[str, Any] = {
    "application": "notes",
    "name": {"zh": "笔记", "en": "Notes"},
    "vendor": "Example",
    "version": "1.0",
    "packages": ["nginx"],
    "setup": ["mkdir -p /srv/notes /etc/tiny && echo good >/srv/notes/health"],
    "templates": [template(name, name) for name in ("nginx.conf", "server.crt", "server.key")],
    "start": "exec nginx -c /etc/tiny/nginx.conf -g 'daemon off;'",
    "ready": {"path": "/health", "seconds": 10},
    "ports": {"web": 8443},
    "limits": {"memory": "128m", "cpus": 1, "processes": 64},
    "http": {"port": "web", "tls": TLS},
    "variants": [
        {
            "when": {"settings": "old"},
            "set": {
                "http": {
                    "port": "web",
                    "tls": {**TLS, "authority": {"file": "tls/Test-authority.pem"}, "national": ["tlcp", "rfc8998"]},
                },
                "templates": [
                    template("nginx.conf", "nginx.conf"),
                    template("tls/notes.example.pem", "server.crt"),
                    template("tls/notes.example.pem", "server.key"),
                ],
            },
        },
    ],
}


def test_old_settings_are_named_each_by_its_case(harness: Run, tmp_path: Path) -> None:
    root = product(
        tmp_path / "p", NOTES, suites=["security/product"], database=["none"], axes={"settings": ["good", "old"]}
    )
    Authority(root / "tls").certificate("notes.example")  # no subjectAltName: its name is the common name alone
    (root / "nginx.conf").write_text(NGINX)
    for name, word in (("server.crt", "certificate"), ("server.key", "key")):
        (root / name).write_text(f"{{{{ tls.{word} }}}}")
    chosen = [word for number in (8, 15, 16, 17, 18) for word in ("--case", f"SEC-{number:02}")]
    ran = harness("run", root, "--format", "json", *chosen)
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    of = {cell["axes"]["settings"]: {case["id"]: case for case in cell["cases"]} for cell in record["cells"]}
    good, old = of["good"], of["old"]
    for name in ("SEC-08", "SEC-15", "SEC-16", "SEC-17"):
        assert good[name]["result"] == "pass", good[name]
    assert "TLS 1.2, TLS 1.3" in good["SEC-15"]["detail"]
    assert good["SEC-18"]["result"] == "skip"
    assert "TLCP: not offered; TLS 1.3 (RFC 8998): not offered" in good["SEC-18"]["detail"]
    for name, words in {
        "SEC-15": "it still speaks TLS 1.0, TLS 1.1 (RFC 8996); it offers TLS 1.0, TLS 1.1, TLS 1.2",
        "SEC-16": "ECDHE_ECDSA_WITH_NULL_SHA (TLS 1.2)",
        "SEC-17": "it has no subjectAltName",
        "SEC-18": "declared in http.tls.national and not offered: TLCP (GB/T 38636-2020) and TLS 1.3 with SM4",
    }.items():
        assert old[name]["result"] == "fail", old[name]
        assert words in old[name]["detail"], old[name]
