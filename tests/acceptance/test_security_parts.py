"""What is installed is listed, and known vulnerabilities of it are named by data that the matrix gives."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from cyclonedx.model.bom import Bom

from tests.conftest import Run
from tests.products import WEB, archive, product

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


def library(name: str, ecosystem: str, package: str, **events: str) -> dict[str, Any]:
    place = {"name": package, "ecosystem": ecosystem}
    given = [{key: value} for key, value in {"introduced": "0", **events}.items()]
    kind = "SEMVER" if ecosystem == "npm" else "ECOSYSTEM"
    return {"id": name, "affected": [{"package": place, "ranges": [{"type": kind, "events": given}]}]}


def test_libraries_in_archives_of_the_product_are_held_against_data_of_their_ecosystem(
    harness: Run, tmp_path: Path
) -> None:
    """Three campaigns: in the first the data of Maven know a fix; in the second the jar is newer, and npm has no data;
    in the third npm has data too, and an archive beside them cannot be read."""
    for version, result, words in (
        ("2.14.1", "fail", "org.example:log-core 2.14.1: CVE-2026-2001, fixed in 2.15.0"),
        ("2.15.0", "skip", "the matrix gives no data for libraries: 1 of npm; 2 records of others show nothing"),
        ("2.16.0", "skip", "could not check wholly"),
    ):
        folder = tmp_path / version
        folder.mkdir()
        jar = archive(
            {
                "META-INF/maven/org.example/log-core/pom.properties": (
                    f"groupId=org.example\nartifactId=log-core\nversion={version}\n".encode()
                )
            }
        )
        site = {"www/health": b"good\n", "lib/app.war": archive({"WEB-INF/lib/日志.jar": jar})}
        site["node_modules/left/package.json"] = b'{"name": "left", "version": "1.0.0"}'
        if version == "2.16.0":
            site["lib/broken.jar"] = b"PK\x03\x04" + bytes(40)
        web = {
            **WEB,
            "artifacts": [{"path": "site.zip", "install": "archive", "to": "/opt/site"}],
            "setup": [],
            "start": "busybox httpd -f -p 8080 -h /opt/site/www",
        }
        data = [{"file": "maven.json", "date": str(TODAY), "ecosystem": "Maven"}]
        if version == "2.16.0":
            data.append({"file": "npm.json", "date": str(TODAY), "ecosystem": "npm"})
        root = product(folder / "p", web, suites=["security/product"], vulnerabilities=data)
        (root / "site.zip").write_bytes(archive(site))
        known = [
            library("GHSA-1", "Maven", "org.example:log-core", fixed="2.15.0") | {"aliases": ["CVE-2026-2001"]},
            library("GHSA-2", "Maven", "org.other:log-core", fixed="9"),
        ]
        (root / "maven.json").write_text(json.dumps(known))
        (root / "npm.json").write_text(json.dumps([library("GHSA-3", "npm", "left", fixed="0.9.0")]))
        ran = harness("run", root, "--format", "json", *("--case", "SEC-12", "--case", "SEC-13", "--case", "SEC-19"))
        found, _ = cases(ran)
        assert found["SEC-19"]["result"] == result, found["SEC-19"]
        assert words in found["SEC-19"]["detail"]
        assert found["SEC-13"]["result"] == "skip", "data of libraries say nothing of the system"
        bom = json.loads(kept(found["SEC-12"], tmp_path, "sbom.cdx.json"))
        files = {
            part["purl"]: part["properties"][0]["value"]
            for part in bom["components"]
            if {"purl", "properties"} <= part.keys()
        }
        inside = "!/META-INF/maven/org.example/log-core/pom.properties"
        place = f"site.zip!/lib/app.war!/WEB-INF/lib/日志.jar{inside}"
        assert files[f"pkg:maven/org.example/log-core@{version}"] == place
        assert "pkg:npm/left@1.0.0" in files


def cases(ran: Any) -> tuple[dict[str, Any], Path]:
    path = Path(ran.json["outputs"]["json"])
    (cell,) = json.loads(path.read_text())["cells"]
    return {case["id"]: case for case in cell["cases"]} | {"cell": cell}, path


def run(harness: Run, folder: Path, records: list[dict[str, Any]], *, days: int) -> tuple[dict[str, Any], Path]:
    today = datetime.datetime.now(datetime.UTC).date()  # a ring of tests may begin on the day before
    given = {"file": "osv.jsonl", "date": str(today - datetime.timedelta(days=days)), "days": 30}
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
    # Midnight may lie between the date and the look.
    assert any(f"{days} days old" in found["SEC-13"]["detail"] for days in (45, 46))
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
