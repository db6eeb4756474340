"""A load over HTTPS: generators verify the product as the application declares, whichever client a locustfile uses."""

from __future__ import annotations

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import harness
from tests.certificates import Authority, served

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

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.hosts.add(self.headers["Host"])
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"good")


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


def drive(folder: Path, port: int, tls: dict[str, str]) -> set[str]:
    """Whether the samples of a short load are good or bad."""
    spec = {"locustfile": str(folder / "locustfile.py"), "host": f"https://127.0.0.1:{port}", "rate": 10, "ramp": 0}
    spec |= {"hold": 0.5, "users": 2, "tls": tls, "out": str(folder / "out.json"), "log": str(folder / "log")}
    (folder / "spec.json").write_text(json.dumps(spec))
    subprocess.run([sys.executable, "-P", str(DRIVER), str(folder / "spec.json")], check=True, timeout=60)
    outcome = json.loads((folder / "out.json").read_text())
    assert outcome["finished"] == 5, outcome
    return {"good" if sample[3] else "bad" for sample in outcome["samples"]}
