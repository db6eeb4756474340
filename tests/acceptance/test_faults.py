"""Faults that were put in on purpose are caught and named as what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Run
from tests.products import WEB, deb, lse_program, product


def case(folder: Path, identity: str, *, cpu: str | None = None) -> dict[str, Any]:
    """A case as the authoritative record has it."""
    (path,) = folder.glob(".harness/campaigns/*/campaign.json")
    cells = json.loads(path.read_text())["cells"]
    cell = next(c for c in cells if cpu is None or c["axes"]["cpu"] == cpu)
    return next(c for c in cell["cases"] if c["id"] == identity)


def test_a_package_for_the_wrong_architecture(harness: Run, tmp_path: Path) -> None:
    root = product(
        tmp_path / "p",
        {
            **WEB,
            "application": "foreign",
            "packages": [],
            "artifacts": [{"path": "tool.deb"}],
            "start": "/opt/seeded/tool",
            "ready": {"command": "true"},
            "setup": [],
        },
        cpu=["kunpeng-920"],
    )
    deb(root, "amd64")
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err
    assert ran.cells["kunpeng-920"]["verdict"] == "nonconformant"
    found = case(tmp_path, "DEP-1")
    assert found["result"] == "fail"
    assert "wrong architecture: the package is built for amd64, the target is arm64" in found["detail"]
    assert case(tmp_path, "DEP-6")["skip_reason"] == "dependency"
    report = next(tmp_path.glob(".harness/campaigns/*/report.html")).read_text()
    assert "wrong architecture: the package is built for amd64" in report
    assert "certificate" not in ran.json["outputs"]


def test_lse_atomics_die_on_phytium_and_run_on_kunpeng(harness: Run, tmp_path: Path) -> None:
    root = product(
        tmp_path / "p",
        {
            **WEB,
            "application": "too-new",
            "packages": [],
            "setup": [],
            "artifacts": [{"path": "serve", "install": "copy", "to": "/opt/seeded/serve", "architecture": "aarch64"}],
            "start": "/opt/seeded/serve",
            "ready": {"command": "grep -q ready /var/log/harness/app.log", "seconds": 5},
        },
        cpu=["kunpeng-920", "phytium-ft2000plus"],
    )
    (root / "serve").write_bytes(lse_program())
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err
    assert ran.cells["kunpeng-920"]["verdict"] == "conformant", ran.err
    assert ran.cells["phytium-ft2000plus"]["verdict"] == "nonconformant"
    assert "SIGILL" in ran.cells["phytium-ft2000plus"]["message"]
    report = next(tmp_path.glob(".harness/campaigns/*/report.html")).read_text()
    assert "非法指令" in report
    assert "phytium-ft2000plus (cortex-a72)" in report


def down(tmp_path: Path, **keys: object) -> None:
    """A database of the user's own catalogue that installs as PostgreSQL does, and then lets one down."""
    shipped = Path(__file__).parents[2] / "targets" / "database" / "postgresql.yaml"
    value = yaml.safe_load(shipped.read_text())
    folder = tmp_path / "targets" / "database"
    folder.mkdir(parents=True)
    (folder / "down.yaml").write_text(yaml.safe_dump({**value, "database": "down", **keys}, allow_unicode=True))


def test_a_database_that_never_comes_up_blocks(harness: Run, tmp_path: Path) -> None:
    down(tmp_path, start="true", start_seconds=3)
    root = product(tmp_path / "p", WEB, database=["down"])
    ran = harness("run", root, "--format", "json")
    cell = ran.json["cells"][0]
    assert ran.code == 3, ran.err
    assert (cell["verdict"], cell["cause"]) == ("inconclusive", "infra")
    assert case(tmp_path, "DEP-2")["result"] == "error"
    assert cell["cases"]["fail"] == 0


def test_a_database_that_goes_away_blocks_and_is_not_the_products_failure(harness: Run, tmp_path: Path) -> None:
    check = (
        "def test_it_answers(http, database):\n"
        "    database.stop()\n"
        "    assert http.send('GET', '/x').status_code == 200\n"
    )
    root = product(tmp_path / "p", WEB, database=["postgresql"], check=check)
    ran = harness("run", root, "--format", "json")
    cell = ran.json["cells"][0]
    assert ran.code == 3, ran.err
    assert (cell["verdict"], cell["cause"]) == ("inconclusive", "infra")
    assert "the database postgresql does not answer" in case(tmp_path, "V-IT-ANSWERS")["detail"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"start": "sleep 1000", "ready": {"path": "/health", "seconds": 3}}, "it runs but never got ready"),
        ({"start": "sh -c 'echo no licence; exit 3'"}, "it exited at once with status 3"),
        ({"start": "tail /dev/zero", "limits": {"memory": "64m"}}, "it took more memory than its limit of 64m"),
        ({"start": "/opt/not/there"}, "program or its ELF interpreter not found"),
    ],
)
def test_products_that_do_not_serve(harness: Run, tmp_path: Path, change: dict[str, Any], told: str) -> None:
    ran = harness("run", product(tmp_path / "p", {**WEB, **change}), "--format", "json")
    cell = ran.json["cells"][0]
    assert ran.code == 1, ran.err
    assert cell["verdict"] == "nonconformant"
    assert told in cell["message"]


def test_a_broken_suite_is_not_the_products_failure(harness: Run, tmp_path: Path) -> None:
    check = "def test_it_runs(application):\n    raise KeyError('oops')\n\ndef test_two(nonsense):\n    pass\n"
    ran = harness("run", product(tmp_path / "p", WEB, check=check), "--format", "json")
    cell = ran.json["cells"][0]
    assert ran.code == 3, ran.err
    assert (cell["verdict"], cell["cases"]["error"], cell["cases"]["fail"]) == ("inconclusive", 2, 0)


def test_a_failed_assertion_is_the_products_failure(harness: Run, tmp_path: Path) -> None:
    check = (
        "def test_it_runs(http):\n    assert http.send('GET', '/missing').status_code == 200, 'the page is missing'\n"
    )
    ran = harness("run", product(tmp_path / "p", WEB, check=check), "--format", "json")
    assert ran.code == 1, ran.err
    assert "the page is missing" in ran.json["cells"][0]["message"]


def test_an_attestation_mismatch_blocks(harness: Run, tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "targets" / "cpu" / "kunpeng-920.yaml"
    folder = tmp_path / "targets" / "cpu"
    folder.mkdir(parents=True)
    own = yaml.safe_load(shipped.read_text())
    own["features"]["present"].append("sve")
    own["features"]["absent"] = []
    (folder / "kunpeng-920.yaml").write_text(yaml.safe_dump(own, allow_unicode=True))
    ran = harness("run", product(tmp_path / "p", WEB, cpu=["kunpeng-920"]), "--format", "json")
    cell = ran.json["cells"][0]
    assert ran.code == 3, ran.err
    assert (cell["verdict"], cell["cause"]) == ("inconclusive", "config")
    assert "feature sve: declared present, observed absent" in cell["message"]


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("exit 0", "it exited with status 0"),
        ("kill -SEGV $$", "it died with signal 11 (SIGSEGV)"),
        ("exec tail /dev/zero", "it took more memory than its limit of 64m"),
    ],
)
def test_an_end_between_cases_is_a_failure_although_the_next_case_starts_it_again(
    harness: Run, tmp_path: Path, end: str, told: str
) -> None:
    check = (
        "import time\n"
        "def test_first(application):\n    time.sleep(4)\n"
        "def test_second(application):\n    assert application.is_ready()\n"
    )
    start = f"sh -c 'busybox httpd -f -p 8080 -h /srv/www & sleep 3; echo goodbye; kill $!; {end}'"
    change = {"start": start, "limits": {"memory": "64m"}}
    ran = harness("run", product(tmp_path / "p", {**WEB, **change}, check=check), "--format", "json")
    assert ran.code == 1, ran.err
    assert case(tmp_path, "V-SECOND")["result"] == "pass"
    seen = case(tmp_path, "DEP-11")
    assert seen["result"] == "fail"
    assert told in seen["detail"]
    assert "goodbye" in seen["detail"]
