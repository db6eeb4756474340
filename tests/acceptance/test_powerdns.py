"""The main job, whole: PowerDNS on four CPU classes with three databases, to the certificate.

Each CPU class and each database is in the gate, in six of the twelve cells; all twelve are in the full ring.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pypdfium2
import pytest
import yaml

from harness.evidence import Workspace, broken_at
from harness.model.results import Result
from tests.conftest import Ran, command
from tests.pages import pdf_text

pytestmark = pytest.mark.load

ROOT = Path(__file__).parents[2]
CPUS = ["x86-64", "kunpeng-920", "phytium-ft2000plus", "loongson-3a5000"]
#: Emulated cells that the gate has, by class and database.
GATE = {("kunpeng-920", "mariadb"), ("phytium-ft2000plus", "sqlite"), ("loongson-3a5000", "postgresql")}


@pytest.fixture(scope="module", params=["gate", pytest.param("whole", marks=pytest.mark.full)])
def shape(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def place(shape: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(f"powerdns-{shape}")


@pytest.fixture(scope="module")
def matrix(shape: str, place: Path) -> Path:
    """The shipped matrix, for the gate without half of its cells."""
    if shape == "whole":
        return ROOT / "matrices" / "powerdns"
    folder = Path(shutil.copytree(ROOT / "matrices" / "powerdns", place / "powerdns"))
    text = yaml.safe_load((folder / "matrix.yaml").read_text())
    text["exclude"] += [
        {"cpu": cpu, "database": database, "because": "tested in another ring"}
        for cpu in CPUS[1:]
        for database in ("sqlite", "postgresql", "mariadb")
        if (cpu, database) not in GATE
    ]
    (folder / "matrix.yaml").write_text(yaml.safe_dump(text, allow_unicode=True))
    return folder


@pytest.fixture(scope="module")
def ran(place: Path, matrix: Path) -> Ran:
    """One run of the matrix, as a user starts it."""
    done = subprocess.run(
        command("run", str(matrix), "--format", "json"),
        cwd=place,
        capture_output=True,
        text=True,
        timeout=2400,
        check=False,
    )
    print(done.stderr)
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def record(ran: Ran) -> Any:
    return json.loads(Path(ran.json["outputs"]["json"]).read_text())


def test_every_cell_is_conformant(ran: Ran, shape: str) -> None:
    summary = ran.json
    assert ran.code == 0, "\n".join(f"{c['id']}: {c['verdict']} {c['message']}" for c in summary["cells"])
    assert summary["verdict"] == "conformant"
    assert len(summary["cells"]) == {"gate": 6, "whole": 12}[shape]
    assert {cell["axes"]["cpu"] for cell in summary["cells"]} == set(CPUS)
    for cell in summary["cells"]:
        assert cell["cases"]["fail"] == cell["cases"]["error"] == cell["cases"]["miss"] == 0
        native = cell["axes"]["cpu"] == "x86-64"
        assert cell["fidelity"] == ("container" if native else "user-emulated")


def test_every_target_was_what_it_was_declared(record: Any) -> None:
    wanted = {
        "x86-64": "x86_64",
        "kunpeng-920": "aarch64",
        "phytium-ft2000plus": "aarch64",
        "loongson-3a5000": "loongarch64",
    }
    for cell in record["cells"]:
        facts = {(f["machine"], f["name"]): f for f in cell["attestation"]}
        assert facts["application", "architecture"]["observed"] == wanted[cell["axes"]["cpu"]]
        assert all(f["holds"] for f in cell["attestation"])
        assert ("database", "database version") in facts
    phytium = next(c for c in record["cells"] if c["axes"]["cpu"] == "phytium-ft2000plus")
    assert next(f for f in phytium["attestation"] if f["name"] == "feature atomics")["observed"] == "absent"


def test_versions_and_package_digests_are_recorded(record: Any) -> None:
    versions = {cell["axes"]["os"]: cell["version"] for cell in record["cells"]}
    assert versions["debian-12"].startswith("4.7")
    assert versions["debian-forky"].startswith("5.")
    for cell in record["cells"]:
        assert all(re.fullmatch("[0-9a-f]{64}", package["sha256"]) for package in cell["packages"])
        assert {"amd64", "arm64", "loong64"} >= {package["architecture"] for package in cell["packages"]}


def test_each_case_that_passed_says_what_was_observed(record: Any) -> None:
    silent = {
        (cell["axes"]["cpu"], case["suite"], case["id"])
        for cell in record["cells"]
        for case in cell["cases"]
        if case["result"] == "pass" and case["fidelity"] != "static" and not case["detail"].strip()
    }
    assert not silent


def test_load_is_recorded_everywhere_and_certifies_no_speed_emulated(record: Any) -> None:
    for cell in record["cells"]:
        loads = [case for case in cell["cases"] if case["suite"] == "load/http"]
        assert len(loads) == 3
        assert all(case["measurements"] for case in loads)
        native = cell["axes"]["cpu"] == "x86-64"
        assert [case["id"] for case in loads if case["decides"]] == (
            ["LOAD-01", "LOAD-02", "LOAD-03"] if native else ["LOAD-02"]
        )
        assert {case["id"]: case["result"] for case in loads}["LOAD-02"] == "pass"
        assert {case["result"] for case in loads if case["id"] != "LOAD-02"} == {"recorded"}
        assert cell["loads"]["load/http"]["resources"], "the product's processes were not sampled"


def test_junit_counts_what_the_record_holds(ran: Ran, record: Any) -> None:
    root = ET.parse(ran.json["outputs"]["junit"]).getroot()
    cases = [case for cell in record["cells"] for case in cell["cases"]]
    assert int(root.get("tests", 0)) == len(cases) == len(root.findall(".//testcase"))
    assert int(root.get("skipped", 0)) == sum(case["result"] in ("skip", "recorded") for case in cases)
    assert int(root.get("failures", 1)) == int(root.get("errors", 1)) == 0


def test_the_certificate_says_what_it_is(ran: Ran, record: Any) -> None:
    text = pdf_text(ran.json["outputs"]["certificate"])
    solid = "".join(text.split())
    assert "预适配证书" in solid
    assert "PRE-ADAPTATION" in solid
    assert "hence a pre-adaptation only" in " ".join(text.split())
    assert "未签名" in solid
    assert "UNSIGNED" in text
    assert solid.count("user-emulated") >= sum(cell["axes"]["cpu"] != "x86-64" for cell in record["cells"])
    assert solid.count("nativecontainer") >= 3
    for name in ("鲲鹏920", "飞腾FT-2000+/64", "龙芯3A5000", "PostgreSQL", "MariaDB", "SQLite"):
        assert name in solid
    assert record["plan_digest"] in solid
    for package in record["cells"][0]["packages"]:
        assert package["sha256"] in solid


def test_the_report_needs_nothing_from_elsewhere(ran: Ran, record: Any) -> None:
    html = Path(ran.json["outputs"]["html"]).read_text()
    links = re.findall(r"(?:src|href)\s*=\s*[\"']([^\"']+)", html)
    assert links
    assert all(link.startswith("#") for link in links)
    assert "@import" not in html
    assert "url(" not in html
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert [cell["id"] for cell in json.loads(data)["cells"]] == [cell["id"] for cell in record["cells"]]


def test_the_full_report_has_every_cell_and_case(ran: Ran, record: Any) -> None:
    document = pypdfium2.PdfDocument(ran.json["outputs"]["report"])
    text = "".join(pdf_text(ran.json["outputs"]["report"]).split())
    assert len(document) > 3 * len(record["cells"])
    assert "报告结束Endofreport" in text
    assert f"第{len(document)}页共{len(document)}页" in text
    scans = {suite["suite"] for suite in record["suites"] if suite["runner"] == "scan"}
    assert scans
    for cell in record["cells"]:
        judged = [case["result"] for case in cell["cases"] if case["suite"] not in scans]
        counts = [judged.count(word.value) for word in Result]
        assert "".join(map(str, counts)) in text
        for case in cell["cases"]:
            assert case["id"] in text
        for file in cell["files"]:
            assert file["sha256"] in text


def test_secrets_are_in_no_output(ran: Ran, place: Path) -> None:
    workspace = Workspace(place / ".harness")
    kept = [
        workspace.store.get(f.sha256).decode(errors="replace") for f in workspace.journal.files(ran.json["campaign"])
    ]
    for text in [*kept, *(Path(p).read_text(errors="replace") for p in ran.json["outputs"].values())]:
        assert not re.search(r"password=[0-9a-f]{24}|api-key=[0-9a-f]{24}", text)


def test_everything_was_journaled_before_it_was_made(ran: Ran, place: Path) -> None:
    journal = Workspace(place / ".harness").journal
    assert broken_at(journal) is None
    intended: set[str] = set()
    for event in journal.events(ran.json["campaign"]):
        name = json.loads(event.data).get("name", "")
        if event.kind == "resource-intent":
            intended.add(name)
        elif event.kind == "resource-created":
            assert name in intended
    assert {r.state for r in journal.resources() if r.kind != "image"} == {"removed"}


def test_a_second_run_installs_nothing(place: Path, matrix: Path, ran: Ran) -> None:
    """With the suite alone that needs both machines: what is installed depends on no suite."""
    assert ran.code == 0
    folder = place / "again"
    shutil.copytree(matrix, folder)
    text = yaml.safe_load((folder / "matrix.yaml").read_text())
    (folder / "matrix.yaml").write_text(yaml.safe_dump({**text, "suites": ["compat/database"]}, allow_unicode=True))
    again = subprocess.run(
        command("run", str(folder), "--only", "database=postgresql", "--format", "json"),
        cwd=place,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    summary = json.loads(again.stdout)
    record = json.loads(Path(summary["outputs"]["json"]).read_text())
    tested = [cell for cell in record["cells"] if cell["verdict"] != "not-tested"]
    having = [cell["axes"]["cpu"] for cell in record["cells"] if cell["axes"]["database"] == "postgresql"]
    assert [cell["axes"]["cpu"] for cell in tested] == having
    assert len(having) >= 2
    for cell in tested:
        assert cell["verdict"] == "conformant", cell["message"]
        assert cell["cached"]
    kinds = {e.kind for e in Workspace(place / ".harness").journal.events(summary["campaign"])}
    assert "environment" not in kinds
    # The cells left out are told as not tested, and nothing is certified.
    assert again.returncode == 3
    assert record["coverage"]["not_tested"] == len(record["cells"]) - len(having) > 0
    assert "certificate" not in summary["outputs"]
