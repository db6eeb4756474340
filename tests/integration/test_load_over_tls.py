"""A load over HTTPS: generators verify the product as the application declares, whichever client a locustfile uses."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import harness
from harness.control.deployment import Deployment
from harness.model.context import Certificates
from harness.model.definitions import Application, Suite
from harness.model.plan import LocatedSuite
from harness.model.results import Result
from harness.reading.parsing import parse
from harness.runners.locust.run import run_locust
from tests.certificates import Authority, served
from tests.integration.test_load_truth import Started
from tests.suite_runs import ROOT, Kept, context

DRIVER = Path(harness.__file__).parent / "runners" / "locust" / "driver.py"
NAME = "product.example"
LOCUSTFILE = """
from locust import HttpUser, task
from locust.contrib.fasthttp import FastHttpUser

class Reader({user}):
    @task
    def read(self):
        self.client.get("/")
"""


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hosts: set[str] = set()  # noqa: RUF012
    texts: dict[str, bytes] = {}  # noqa: RUF012

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.hosts.add(self.headers["Host"])
        body = self.texts.get(self.path, b"good")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.texts[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()


@pytest.mark.parametrize("user", ["FastHttpUser", "HttpUser"])
def test_a_generator_verifies_the_product_and_shows_its_certificate(tmp_path: Path, user: str) -> None:
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE.format(user=user))
    authority, other = Authority(tmp_path / "own"), Authority(tmp_path / "other", "Other")
    client = authority.certificate("client", "client").read_text()
    good, unknown = authority.certificate("good", NAME), other.certificate("unknown", NAME)
    seen = {}
    for name, certificate, shown in (
        ("good", good, client),
        ("other name", authority.certificate("name", "else.example"), client),
        ("other authority", unknown, client),
        ("no client", good, ""),
    ):
        page: Any = type("Own", (Page,), {"hosts": set()})
        with served(page, certificate, clients=authority.file) as (port, _):
            tls = {"product": NAME, "authority": authority.file.read_text(), "client": shown, "host": f"{NAME}:8443"}
            seen[name] = drive(tmp_path, port, tls), page.hosts
    assert seen["good"] == ({"good"}, {f"{NAME}:8443"})
    assert [seen[name] for name in ("other name", "other authority", "no client")] == [({"bad"}, set())] * 3


@pytest.mark.parametrize("sandboxed", [False, True])
def test_a_load_of_a_cell_is_verified_and_known(tmp_path: Path, *, sandboxed: bool) -> None:
    """All the way from the declaration, also where the generator reaches a port of its sandbox."""
    definition = parse(ROOT / "suites" / "load" / "http" / "suite.yaml", Suite)
    assert definition.profile is not None
    profile = definition.profile.model_copy(update={"rate": 10.0, "ramp": 0.0, "hold": 1.0, "p95_ms": 5000.0})
    definition = definition.model_copy(update={"profile": profile})
    suite = LocatedSuite(definition=definition, folder=ROOT / "suites" / "load" / "http")
    authority = Authority(tmp_path / "own")
    request = {"path": "/{{ key }}", "content": "{{ text }}"}
    actions = {name: {**request, "method": "PUT"} for name in ("create", "update", "delete")}
    tls = {"name": NAME, "authority": {"file": "ca"}, "client": {"certificate": "client", "key": "client"}}
    application = Application.model_validate(
        {
            "application": "tiny",
            "name": "Tiny",
            "vendor": "Example",
            "version": "1.0",
            "start": "sleep 60",
            "ready": {"command": "true"},
            "ports": {"web": 8443},
            "http": {
                "port": "web",
                "tls": tls,
                "resource": {
                    "key": "k{{ n }}",
                    "read": {"method": "GET", "path": "/{{ key }}"},
                    "stored": "select 1",
                    **actions,
                },
            },
        }
    )
    files = {
        name: SecretStr(path.read_text())
        for name, path in (("ca", authority.file), ("client", authority.certificate("client", "client")))
    }
    page: Any = type("Own", (Page,), {"hosts": set(), "texts": {}})
    with served(page, authority.certificate("good", NAME), clients=authority.file) as (port, _):
        given = {"ports": {"web": ("127.0.0.1", port)}, "certificates": Certificates(files=files)}
        deployment = Deployment.of(context(tmp_path, application=application, **given))
        deployment._control = Started()
        ledger: Any = Kept()
        seen = run_locust(suite, definition.cases, deployment, ledger, threading.Event(), sandboxed=sandboxed)
    assert [one.result for one in seen] == [Result.PASS] * 3, seen
    assert page.hosts == {f"{NAME}:8443"}


def drive(folder: Path, port: int, tls: dict[str, str]) -> set[str]:
    """Whether the samples of a short load are good or bad."""
    spec = {"locustfile": str(folder / "locustfile.py"), "host": f"https://127.0.0.1:{port}", "rate": 10, "ramp": 0}
    spec |= {"hold": 0.5, "users": 2, "tls": tls, "out": str(folder / "out.json"), "log": str(folder / "log")}
    (folder / "spec.json").write_text(json.dumps(spec))
    subprocess.run([sys.executable, "-P", str(DRIVER), str(folder / "spec.json")], check=True, timeout=60)
    outcome = json.loads((folder / "out.json").read_text())
    assert outcome["finished"] == 5, outcome
    return {"good" if sample[3] else "bad" for sample in outcome["samples"]}
