"""The static scan in a matrix: results of cells, under waivers, in report and certificate; its page in a browser."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.test_report_in_browser import browse
from tests.conftest import Run
from tests.elves import elf
from tests.inputs import pack
from tests.pages import pdf_text
from tests.products import WEB, lse_program, product

#: A program for ARM that is carried along and never started: only the scan sees what is wrong with it.
CARRIED: dict[str, Any] = {
    **WEB,
    "packages": ["busybox"],
    "artifacts": [
        {"path": "tool", "install": "copy", "to": "/opt/tool", "architecture": "aarch64"},
        {"path": "tool-x86", "install": "copy", "to": "/opt/tool", "architecture": "x86_64"},
    ],
}
CPUS = ["x86-64", "kunpeng-920", "phytium-ft2000plus"]
SUITES = ["static/porting", "checks"]


def carried(root: Path, **matrix: Any) -> Path:
    made = product(root, CARRIED, cpu=CPUS, suites=SUITES, **matrix)
    (made / "tool").write_bytes(lse_program())
    (made / "tool-x86").write_bytes(elf(machine="x86_64", kind="executable"))
    return made


def record(folder: Path) -> Any:
    (path,) = folder.glob(".harness/campaigns/*/campaign.json")
    return json.loads(path.read_text())


def test_findings_are_results_of_the_cells_that_they_concern(harness: Run, tmp_path: Path) -> None:
    ran = harness("run", carried(tmp_path / "p"), "--format", "json")
    assert ran.code == 1, ran.err
    assert {cpu: cell["verdict"] for cpu, cell in ran.cells.items()} == {
        "x86-64": "conformant",
        "kunpeng-920": "conformant",
        "phytium-ft2000plus": "nonconformant",
    }
    cells = {cell["axes"]["cpu"]: cell for cell in record(tmp_path)["cells"]}
    for cpu, result in (("x86-64", "pass"), ("kunpeng-920", "pass"), ("phytium-ft2000plus", "fail")):
        case = next(one for one in cells[cpu]["cases"] if one["id"] == "ISA-3")
        assert (case["result"], case["fidelity"]) == (result, "static")
        other = next(one for one in cells[cpu]["cases"] if one["suite"] == "checks")
        assert other["fidelity"] == cells[cpu]["fidelity"] != "static"
    case = next(one for one in cells["phytium-ft2000plus"]["cases"] if one["id"] == "ISA-3")
    assert "tool: code+0x84: uses atomics: ldadd x1, x3, [x2]" in case["detail"]
    (evidence,) = case["evidence"]
    assert evidence["name"] == "static-porting.json"
    report = next(tmp_path.glob(".harness/campaigns/*/report.html")).read_text()
    assert '"static":["静态分析","static"]' in report
    assert "uses atomics: ldadd" in report
    assert "certificate" not in ran.json["outputs"]


@pytest.mark.full
def test_a_waiver_makes_it_conditional_and_reaches_the_certificate(harness: Run, tmp_path: Path) -> None:
    root = carried(tmp_path / "p", waivers="waivers.yaml")
    expires = datetime.date.today() + datetime.timedelta(days=30)
    waiver = {
        "case": "ISA-3",
        "files": ["tool"],
        "because": "never started on Phytium",
        "approved_by": "QA lead",
        "evidence": "ticket 7",
        "expires": str(expires),
    }
    (root / "waivers.yaml").write_text(yaml.safe_dump({"waivers": [waiver]}))
    ran = harness("run", root, "--format", "json")
    assert ran.code == 0, ran.err
    assert ran.cells["phytium-ft2000plus"]["verdict"] == "conditional"
    assert ran.cells["kunpeng-920"]["verdict"] == "conformant"
    text = pdf_text(ran.json["outputs"]["certificate"])
    assert "never started on Phytium" in text
    assert "static/porting" in text
    waiver["files"] = ["other"]
    (root / "waivers.yaml").write_text(yaml.safe_dump({"waivers": [waiver]}))
    again = harness("run", root, "--format", "json", "--only", "cpu=phytium-ft2000plus")
    assert again.cells["phytium-ft2000plus"]["verdict"] == "nonconformant"


def test_a_cell_that_nothing_can_serve_has_its_static_results(harness: Run, tmp_path: Path) -> None:
    """A class of another vendor that QEMU has no model of: blocked, but what is wrong with the files is known."""
    shipped = yaml.safe_load((Path(__file__).parents[2] / "targets/cpu/hygon-c86.yaml").read_text())
    folder = tmp_path / "targets" / "cpu"
    folder.mkdir(parents=True)
    (folder / "other.yaml").write_text(
        yaml.safe_dump(
            {**shipped, "cpu": "other", "ids": {"vendor_id": "NoSuchVendor"}, "emulation": {}}, allow_unicode=True
        )
    )
    root = product(tmp_path / "p", {**CARRIED, "artifacts": [CARRIED["artifacts"][1]]}, cpu=["other"], suites=SUITES)
    (root / "tool-x86").write_bytes(elf(machine="x86_64", kind="executable", code="62f1f54858c2" * 3 + "c3"))
    ran = harness("run", root, "--format", "json")
    assert ran.code == 1, ran.err
    (cell,) = record(tmp_path)["cells"]
    results = {one["id"]: one["result"] for one in cell["cases"]}
    assert (results["ISA-2"], results["ARCH-1"], results["DEP-1"]) == ("fail", "pass", "miss")


def test_what_could_not_be_read_leaves_the_cell_without_a_verdict(harness: Run, tmp_path: Path) -> None:
    root = product(tmp_path / "p", {**WEB, "scan": ["src"]}, suites=SUITES)
    (root / "src").mkdir()
    (root / "src" / "x.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(60))
    ran = harness("run", root, "--format", "json")
    assert ran.code == 3, ran.err
    (cell,) = record(tmp_path)["cells"]
    case = next(one for one in cell["cases"] if one["id"] == "READ-1")
    assert (cell["verdict"], case["result"], case["cause"]) == ("inconclusive", "error", "config")


def test_the_page_of_a_scan_in_a_browser(harness: Run, tmp_path: Path) -> None:
    (tmp_path / "app.jar").write_bytes(pack("app.jar", [("native/linux-x86_64/libx.so", elf(machine="x86_64"))]))
    assert harness("scan", "app.jar", "--html", "scan.html").code == 1
    browse(tmp_path, "--window-size=1200,1400", f"--screenshot={tmp_path / 'scan.png'}", f"file://{tmp_path}/scan.html")
    assert (tmp_path / "scan.png").stat().st_size > 20_000
