"""What is installed is listed, and known vulnerabilities of it are named by data that the matrix gives."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom

from tests.conftest import Run
from tests.products import WEB, product

pytestmark = pytest.mark.systems
TODAY = datetime.datetime.now(datetime.UTC).date()


def record(name: str, package: str, *events: dict[str, str]) -> dict[str, Any]:
    place = {"name": package, "ecosystem": "Debian:12"}
    return {"id": name, "affected": [{"package": place, "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}]}


#: Of the product's package: one that is fixed later than any version, one that is fixed in what is there, one without
#: a fix; and one of the system, which is not the product's.
SEEDED = [
    record("DEBIAN-CVE-2026-1001", "busybox", {"introduced": "0"}, {"fixed": "1:1.35.0-4+deb12u99"}),
    record("DEBIAN-CVE-2026-1002", "busybox", {"introduced": "0"}, {"fixed": "1:1.35.0-1~rc1"}),
    record("DEBIAN-CVE-2026-1003", "busybox", {"introduced": "0"}),
    record("DEBIAN-CVE-2026-1004", "dpkg", {"introduced": "0"}, {"fixed": "99"}),
]


def cases(ran: Any) -> tuple[dict[str, Any], Path]:
    path = Path(ran.json["outputs"]["json"])
    (cell,) = json.loads(path.read_text())["cells"]
    return {case["id"]: case for case in cell["cases"]} | {"cell": cell}, path


def run(harness: Run, folder: Path, records: list[dict[str, Any]], *, days: int) -> tuple[dict[str, Any], Path]:
    given = {"file": "osv.jsonl", "date": str(TODAY - datetime.timedelta(days=days)), "days": 30}
    root = product(folder, WEB, suites=["security/product"], vulnerabilities=[given])
    (root / "osv.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in records))
    chosen = [word for case in ("SEC-12", "SEC-13", "SEC-14") for word in ("--case", case)]
    return cases(harness("run", root, "--format", "json", *chosen))


def kept(case: dict[str, Any], workspace: Path, name: str) -> str:
    (entry,) = [each for each in case["evidence"] if each["name"].endswith(name)]
    (file,) = workspace.rglob(f"*{entry['sha256']}")
    return file.read_text()


def test_a_vulnerability_that_is_fixed_elsewhere_is_named(harness: Run, tmp_path: Path) -> None:
    found, _ = run(harness, tmp_path / "p", SEEDED, days=1)
    assert found["SEC-13"]["result"] == "fail", found["SEC-13"]
    detail = found["SEC-13"]["detail"]
    assert "1 known vulnerabilities of the product's packages have a fix (osv.jsonl of " in detail
    assert "CVE-2026-1001, fixed in 1:1.35.0-4+deb12u99" in detail
    assert "CVE-2026-1004" not in detail
    assert found["SEC-12"]["result"] == "pass", found["SEC-12"]
    assert found["SEC-14"]["result"] == "pass", found["SEC-14"]
    assert "apt" in found["SEC-14"]["detail"]


def test_stale_data_show_no_absence(harness: Run, tmp_path: Path) -> None:
    found, _ = run(harness, tmp_path / "p", SEEDED[1:], days=45)
    assert found["SEC-13"]["result"] == "skip", found["SEC-13"]
    assert "the data are stale: osv.jsonl is of " in found["SEC-13"]["detail"]
    assert "45 days old" in found["SEC-13"]["detail"]
    assert found["cell"]["verdict"] == "inconclusive"


def test_fresh_data_without_a_fix_pass_and_the_list_of_parts_is_kept(harness: Run, tmp_path: Path) -> None:
    found, record_file = run(harness, tmp_path / "p", SEEDED[1:], days=1)
    assert found["SEC-13"]["result"] == "pass", found["SEC-13"]
    assert "3 records" in found["SEC-13"]["detail"]
    assert "1 without a fix in the product's packages, 1 in others of the system" in found["SEC-13"]["detail"]
    text = kept(found["SEC-12"], tmp_path, "sbom.cdx.json")
    bom = Bom.from_json(json.loads(text))  # type: ignore[attr-defined]  # added by its decorator
    assert json.loads(text)["specVersion"] == "1.6"
    names = {component.name: component for component in bom.components}
    assert names["busybox"].version
    assert str(names["busybox"].purl).startswith("pkg:deb/debian/busybox@1")
    assert "dpkg" in names
    assert record_file.is_file()
