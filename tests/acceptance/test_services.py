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


#: Writes what is due into the database that the worker writes into too; its own clock, no port.
SCHEDULER = {
    "service": "scheduler",
    "start": "exec perl -e '$| = 1; while (1) { print \"tick\\n\"; sleep 1 }'",
    "user": "daemon",
    "stop": "INT",
    "ready": {"command": "true"},
}


def desk(root: Path, services: list[dict[str, Any]], workers: list[str], **change: Any) -> Path:
    """The desk as a product of these processes, on PostgreSQL, which its worker is a client of."""
    application = {key: value for key, value in DESK.items() if key not in ("start", "environment")} | {
        "packages": ["nginx-light", "postgresql-client"],
        "setup": ["mkdir -p /var/lib/desk && chown daemon /var/lib/desk"],
        "services": services,
        "ports": {"web": 8080, "app": 8081},
        "limits": {"memory": "256m", "cpus": 1, "processes": 128},
        "templates": [
            {"template": "nginx.conf", "path": "/etc/desk/nginx.conf"},
            {"template": "worker.sh", "path": "/etc/desk/worker.sh", "mode": "0700"},
        ],
        "schema": {"postgresql": [{"sql": "CREATE TABLE beat (at timestamptz NOT NULL)"}]},
        **change,
    }
    suites = ["compat/http", "compat/lifecycle"]
    folder = product(root, application, suites=suites, database=["postgresql"], axes={"worker": workers})
    shutil.copy(Path(__file__).with_name("notes_desk.py"), folder)
    (folder / "nginx.conf").write_text(NGINX)
    (folder / "worker.sh").write_text(WORKER)
    return folder


def test_an_application_its_worker_and_its_scheduler_are_tested_each_and_all(harness: Run, tmp_path: Path) -> None:
    """Each is restarted, stopped and killed by itself, and all are; what each printed is kept apart."""
    app = {**SERVICES[0], "start": SERVICES[0]["start"].replace("ports.app", "ports.web"), "ports": ["web"]}
    assert app["start"] != SERVICES[0]["start"]
    template = {"template": "worker.sh", "path": "/etc/desk/worker.sh", "mode": "0700"}
    folder = desk(
        tmp_path / "p",
        [app, SERVICES[1], SCHEDULER],
        ["strong"],
        packages=["postgresql-client"],
        ports={"web": 8080},
        templates=[template],
    )
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 0, ran.err + ran.out
    (cell,) = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    cases = {case["id"]: case for case in cell["cases"]}
    assert {cases[f"LC-0{number}"]["result"] for number in range(3, 7)} == {"pass"}
    measured = {m["name"] for case in cases.values() for m in case["measurements"]}
    for service in ("app", "worker", "scheduler"):
        assert {f"time to stop {service}", f"time to ready after restart of {service}"} <= measured
    kept = {m["name"]: m["value"] for m in cases["LC-06"]["measurements"]}
    assert kept["texts kept"] == 5 + 3 * 2, "after five kills of the whole, and two of each"
    said = {name: harness("logs", cell["short"], f"service-{name}.log").out for name in ("worker", "scheduler")}
    assert ("beat" in said["worker"], "tick" in said["worker"]) == (True, False)
    assert ("tick" in said["scheduler"], "beat" in said["scheduler"]) == (True, False)


@pytest.mark.full
def test_each_process_of_a_product_is_tested_and_all_of_them(harness: Run, tmp_path: Path) -> None:
    """Two cells at once: in one, the worker dies again and again, and is the one that is named."""
    root = desk(tmp_path / "p", SERVICES, ["strong", "weak"])
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
