"""A vendor's own product, tests and load, without a line of the harness changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.products import WEB, product

LOCUSTFILE = """
from locust import HttpUser, task

class Visitor(HttpUser):
    @task
    def visit(self):
        self.client.get("/health")
"""


@pytest.mark.load
def test_own_pytest_folder_and_own_locustfile(harness: Run, tmp_path: Path) -> None:
    check = (
        "import pytest\n\n"
        "@pytest.mark.parametrize('path', ['/health', '/health'])\n"
        "def test_page(http, path, measure, keep):\n"
        "    answer = http.send('GET', path)\n"
        "    measure('bytes', len(answer.content), '1')\n"
        "    keep('page.txt', answer.text)\n"
        "    assert answer.text == 'good\\n'\n\n"
        "def test_with_testinfra(host):\n"
        "    assert host.file('/srv/www/health').content_string == 'good\\n'\n"
        "    assert host.package('busybox').is_installed\n"
    )
    root = product(tmp_path / "p", WEB, check=check, suites=["checks", "stress"])
    (root / "stress").mkdir()
    (root / "stress" / "locustfile.py").write_text(LOCUSTFILE)
    ran = harness("run", root, "--format", "json")
    assert ran.code == 0, ran.err
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    cases = {case["id"]: case for case in record["cells"][0]["cases"]}
    assert [m["value"] for m in cases["V-PAGE"]["measurements"]] == [5.0, 5.0]
    assert len(cases["V-PAGE"]["evidence"]) == 2
    assert cases["V-WITH-TESTINFRA"]["result"] == "pass"
    assert (cases["LOAD-02"]["result"], cases["LOAD-03"]["result"]) == ("pass", "recorded")
    assert {s[3] for s in record["cells"][0]["loads"]["stress"]["samples"]} == {True}


def test_a_locustfile_that_cannot_be_used_is_the_suites_fault(harness: Run, tmp_path: Path) -> None:
    root = product(tmp_path / "p", WEB, suites=["stress"])
    (root / "stress").mkdir()
    (root / "stress" / "locustfile.py").write_text("import nothing_like_this\n")
    ran = harness("run", root, "--format", "json")
    cell = ran.json["cells"][0]
    assert ran.code == 3, ran.err
    assert (cell["verdict"], cell["cause"]) == ("inconclusive", "test")


@pytest.mark.load
def test_a_stalling_product_shows_in_the_latency_from_the_intended_start(harness: Run, tmp_path: Path) -> None:
    slow = "#!/bin/sh\nsleep 1\nprintf 'Content-Type: text/plain\\r\\n\\r\\ngood\\n'\n"
    application = {
        **WEB,
        "setup": [
            "mkdir -p /srv/www/cgi-bin && echo good >/srv/www/health",
            f"cat >/srv/www/cgi-bin/slow <<'X'\n{slow}X\nchmod 755 /srv/www/cgi-bin/slow",
        ],
    }
    root = product(tmp_path / "p", application, suites=["stress"], require={"performance": True}, retries={"infra": 0})
    (root / "stress").mkdir()
    (root / "stress" / "locustfile.py").write_text(LOCUSTFILE.replace("/health", "/cgi-bin/slow"))
    ran = harness("run", root, "--format", "json")
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    samples = record["cells"][0]["loads"]["stress"]["samples"]
    # Sixteen users cannot keep 40 requests a second of one second each: the backlog must show in the latency.
    assert max(s[1] for s in samples) > 2 * max(s[2] for s in samples)
    # A machine that is busy with other work leaves open whether the product or that work was slow.
    cases = [case for case in record["cells"][0]["cases"] if case["id"] in ("LOAD-01", "LOAD-03")]
    assert all(case["result"] == "fail" or case["skip_reason"] == "laboratory" for case in cases), cases
    assert ran.code == (1 if any(case["result"] == "fail" for case in cases) else 3), ran.err


def test_a_folder_made_by_init_runs_as_it_is(harness: Run, tmp_path: Path) -> None:
    assert harness("init", "my product").code == 0
    ran = harness("run", "my product", "--format", "json")
    assert ran.code == 0, ran.err
    assert [cell["verdict"] for cell in ran.json["cells"]] == ["conformant"]
    assert harness("gate").code == 0
    assert (tmp_path / ".harness").is_dir()
