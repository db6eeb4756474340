"""The shipped suites find what they are for: faults seeded into one small product of scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Run
from tests.products import product

#: How both products answer; their methods follow it.
HANDLER = r"""
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, status, body):
        text = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
"""
SERVER = (
    r"""
import http.server, json, os, threading, time
mode, store, data, last, lock = os.environ["MODE"], "/var/lib/kv/data.json", {}, [""], threading.Lock()
os.makedirs("/var/lib/kv", exist_ok=True)
if mode != "memory" and os.path.exists(store):
    data = json.load(open(store))
if mode == "leaves":
    for path in ("/usr/local/bin/kvctl", "/usr/local/lib/kv-plugin.so", "/etc/kv.conf"):
        open(path, "w").write("x")

"""
    + HANDLER
    + r"""    def do_POST(self):
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        last[0] = text
        if mode == "mixes":
            time.sleep(0.05)
            text = last[0]
        with lock:
            data[self.path] = text
            if mode != "memory":
                json.dump(data, open(store + ".new", "w"))
                os.replace(store + ".new", store)
        self.answer(201, {})
    do_PUT = do_POST
    def do_GET(self):
        if self.path == "/health":
            return self.answer(200, {})
        if self.path not in data:
            return self.answer(404, {})
        self.answer(200, {"text": last[0] if mode == "last" else data[self.path]})
    def do_DELETE(self):
        with lock:
            data.pop(self.path, None)
        self.answer(204, None)

http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
)


def kv(root: Path, mode: str, *uninstall: str) -> Path:
    """A product of one script that keeps texts in a file; ``mode`` is its fault."""
    body = {"text": "{{ text }}"}
    resource = {
        "key": "k{{ n }}",
        "create": {"method": "POST", "path": "/r/{{ key }}", "body": body, "status": [201]},
        "read": {"method": "GET", "path": "/r/{{ key }}", "status": [200]},
        "update": {"method": "PUT", "path": "/r/{{ key }}", "body": body, "status": [201]},
        "delete": {"method": "DELETE", "path": "/r/{{ key }}", "status": [204]},
        "gone": [404],
        "stored": "select 1",
    }
    application: dict[str, Any] = {
        "application": "kv",
        "name": "kv",
        "vendor": "Example",
        "version": "1.0",
        "packages": ["python3"],
        "artifacts": [{"path": "server.py", "to": "/opt/kv/server.py", "install": "copy"}],
        "start": "python3 /opt/kv/server.py",
        "environment": {"MODE": mode},
        "ready": {"path": "/health", "seconds": 20},
        "ports": {"web": 8080},
        "http": {"port": "web", "resource": resource},
        "uninstall": ["rm -rf /opt/kv /var/lib/kv", *uninstall],
        "limits": {"memory": "256m", "cpus": 1, "processes": 64},
    }
    product(root, application, suites=["compat/lifecycle", "compat/http"])
    (root / "server.py").write_text(SERVER)
    return root


@pytest.mark.parametrize(
    ("mode", "uninstall", "failed", "words"),
    [
        pytest.param("good", (), set(), "", marks=pytest.mark.full),
        ("memory", (), {"LC-06"}, "texts that the product had acknowledged are lost"),
        pytest.param(
            "last",
            (),
            {"LC-06", "HTTP-07", "HTTP-08"},
            "the first resource lost its text to the second",
            marks=pytest.mark.full,
        ),
        ("mixes", (), {"HTTP-08"}, "texts that concurrent writers wrote came back wrong"),
        ("leaves", (), {"LC-07"}, "/usr/local/bin/kvctl"),
        ("good", ("rm -f /usr/bin/[a-z]* /bin/[a-z]*",), {"LC-07"}, "the machine runs no command any more"),
    ],
    ids=["good", "memory", "last", "mixes", "leaves", "takes the system"],
)
def test_a_seeded_fault_is_found(
    harness: Run, tmp_path: Path, mode: str, uninstall: tuple[str, ...], failed: set[str], words: str
) -> None:
    ran = harness("run", kv(tmp_path / "p", mode, *uninstall), "--format", "json")
    cases = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"][0]["cases"]
    seen = {case["id"]: case for case in cases}
    assert {case["id"] for case in cases if case["result"] == "fail"} == failed
    assert words in " ".join(case["detail"] for case in cases if case["result"] == "fail")
    assert seen["LC-02"]["result"] == "skip", "a product of scripts has no library that could be missing"
    assert ran.code == (1 if failed else 0)


#: Keeps texts in the cell's PostgreSQL by its own client. After an unclean end the fault ``wipes`` empties the table;
#: what the product acknowledges stands in the database all the while, so only a kill shows it.
DATABASE_SERVER = (
    r"""
import http.server, json, os, signal, subprocess, sys
environment = {**os.environ, "PGPASSWORD": os.environ["DB_PASSWORD"]}
def sql(text):
    words = ["psql", "-h", os.environ["DB_HOST"], "-U", "app", "-d", "app", "-qAtX", "-v", "ON_ERROR_STOP=1"]
    words += ["-c", text]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.rstrip("\n")
unclean = "/var/lib/kv-unclean"
if os.path.exists(unclean) and os.environ["MODE"] == "wipes":
    sql("delete from note")
open(unclean, "w").close()
def stop(*_):
    os.unlink(unclean)
    os._exit(0)
signal.signal(signal.SIGTERM, stop)

"""
    + HANDLER
    + r"""    @property
    def key(self):
        return self.path.rpartition("/")[2]
    def do_POST(self):
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"].replace("'", "''")
        sql(f"insert into note values ('{self.key}', '{text}') on conflict (key) do update set text = excluded.text")
        self.answer(201, {})
    do_PUT = do_POST
    def do_GET(self):
        if self.path == "/health":
            return self.answer(200, {})
        text = sql(f"select text from note where key = '{self.key}'")
        self.answer(200, {"text": text}) if text else self.answer(404, {})
    def do_DELETE(self):
        sql(f"delete from note where key = '{self.key}'")
        self.answer(204, None)

http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
)


@pytest.mark.parametrize(("mode", "failed"), [("good", set()), ("wipes", {"DB-05"})])
def test_texts_that_are_wiped_after_a_kill_are_missed_in_a_real_database(
    harness: Run, tmp_path: Path, mode: str, failed: set[str]
) -> None:
    root = kv(tmp_path / "p", mode)
    (root / "server.py").write_text(DATABASE_SERVER)
    application = yaml.safe_load((root / "application.yaml").read_text())
    application["packages"] = ["python3", "postgresql-client"]
    application["environment"] |= {"DB_HOST": "{{ db.host }}", "DB_PASSWORD": "{{ db.password }}"}
    application["schema"] = {"postgresql": [{"sql": "create table note (key text primary key, text text)"}]}
    application["http"]["resource"]["stored"] = "select text from note where key = '{{ key }}'"
    product(root, application, database=["postgresql"], suites=["compat/database"])
    ran = harness("run", root, "--format", "json")
    cases = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"][0]["cases"]
    assert {
        case["id"] for case in cases if case["result"] != "pass" and case["id"] not in ("DEP-0", "DEP-10")
    } == failed
    assert ran.code == (1 if failed else 0)
    if failed:
        (case,) = [case for case in cases if case["id"] == "DB-05"]
        assert "the product lost a text that it had acknowledged" in case["detail"]
