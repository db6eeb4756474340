"""A product of three processes (a web server, an application, a worker that is a client of the database): the shipped
suites test each of them and all of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_login import DESK
from tests.conftest import Run
from tests.products import product

NGINX = """\
user www-data;
error_log stderr;
pid /run/desk-nginx.pid;
events {}
http {
  access_log off;
  server {
    listen {{ ports.web }};
    location / { proxy_pass http://127.0.0.1:{{ ports.app }}; }
  }
}
"""
WORKER = """\
export PGPASSWORD='{{ db.password }}'
while :; do
  psql -qtA -h {{ db.host }} -p {{ db.port }} -U {{ db.user }} -d {{ db.name }} -v ON_ERROR_STOP=1 \\
    -c "INSERT INTO beat VALUES (now())" || exit 4
  echo beat
  : >/var/lib/desk/beat
  sleep 1
  {{ 'sleep 2; exit 7' if cell.worker == 'weak' else '' }}
done
"""
SERVICES: list[dict[str, Any]] = [
    {
        "service": "app",
        "start": "python3 /opt/desk/desk.py {{ ports.app }} /var/lib/desk/notes.json",
        "user": "daemon",
        "ports": ["app"],
        "environment": {"DESK_PASSWORD": "{{ secrets.password }}"},
    },
    {
        "service": "worker",
        "start": "rm -f /var/lib/desk/beat; exec sh /etc/desk/worker.sh",
        "ready": {"command": "test -e /var/lib/desk/beat", "seconds": 20},
    },
    {
        "service": "web",
        "start": "nginx -c /etc/desk/nginx.conf -g 'daemon off;'",
        "ports": ["web"],
        "stop": "QUIT",
        "stop_seconds": 10,
    },
]


@pytest.mark.full
def test_each_process_of_a_product_is_tested_and_all_of_them(harness: Run, tmp_path: Path) -> None:
    """Two cells at once: in one, the worker dies again and again, and is the one that is named."""
    application = {key: value for key, value in DESK.items() if key not in ("start", "environment")} | {
        "packages": ["nginx-light", "postgresql-client"],
        "setup": ["mkdir -p /var/lib/desk && chown daemon /var/lib/desk"],
        "services": SERVICES,
        "ports": {"web": 8080, "app": 8081},
        "limits": {"memory": "256m", "cpus": 1, "processes": 128},
        "templates": [
            {"template": "nginx.conf", "path": "/etc/desk/nginx.conf"},
            {"template": "worker.sh", "path": "/etc/desk/worker.sh", "mode": "0700"},
        ],
        "schema": {"postgresql": [{"sql": "CREATE TABLE beat (at timestamptz NOT NULL)"}]},
    }
    suites = ["compat/http", "compat/lifecycle"]
    root = product(
        tmp_path / "p", application, suites=suites, database=["postgresql"], axes={"worker": ["strong", "weak"]}
    )
    shutil.copy(Path(__file__).with_name("notes_desk.py"), root)
    (root / "nginx.conf").write_text(NGINX)
    (root / "worker.sh").write_text(WORKER)
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err + ran.out
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    cells = {cell["axes"]["worker"]: cell for cell in record["cells"]}
    cases = {worker: {case["id"]: case for case in cell["cases"]} for worker, cell in cells.items()}
    strong = cases["strong"]
    assert cells["strong"]["verdict"] == "conformant", [c for c in strong.values() if c["result"] != "pass"]
    assert {strong[f"LC-0{number}"]["result"] for number in range(3, 7)} == {"pass"}
    measured = {m["name"] for case in strong.values() for m in case["measurements"]}
    for service in ("app", "worker", "web"):
        assert {f"time to stop {service}", f"time to ready after restart of {service}"} <= measured
    kept = {m["name"]: m["value"] for m in strong["LC-06"]["measurements"]}
    assert kept["texts kept"] == 5 + 3 * 2
    log = harness("logs", cells["strong"]["short"], "service-worker.log").out
    assert "beat" in log
    assert cells["weak"]["verdict"] == "nonconformant"
    assert "service worker exited with status 7" in cases["weak"]["DEP-11"]["detail"]
