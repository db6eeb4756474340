"""Known vulnerabilities are read from each shape of file, and judged by spans of versions."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from harness.campaigns import inputs
from harness.errors import DefinitionError, UsageError
from harness.reading.read import read
from harness.scan.osv import Span, advisories
from tests.products import WEB, product


def record(identity: str, name: str, *events: dict[str, str], **more: Any) -> dict[str, Any]:
    package = {"name": name, "ecosystem": "Debian:12"}
    return {
        "id": identity,
        "affected": [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}],
    } | more


FIXED = record("DSA-1", "nginx", {"introduced": "0"}, {"fixed": "1.22.1-9+deb12u2"}, upstream=["DEBIAN-CVE-2026-1"])
OPEN = record("DEBIAN-CVE-2026-2", "nginx", {"introduced": "1.20"})
LAST = record("DEBIAN-CVE-2026-3", "nginx", {"introduced": "0"}, {"last_affected": "1.22"})
TWICE = record("X-4", "nginx", {"introduced": "0"}, {"fixed": "1.10"}, {"introduced": "1.21"}, {"fixed": "1.23"})
OVER = record("X-5", "nginx", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z")
ELSE = {"id": "X-6", "affected": [{"package": {"name": "nginx", "ecosystem": "Debian:11"}}]}
EVERY = [FIXED, OPEN, LAST, TWICE, OVER, ELSE, record("X-7", "other", {"introduced": "0"})]


def written(folder: Path, shape: str) -> Path:
    path = folder / f"data.{shape}"
    if shape == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for each in EVERY:
                archive.writestr(f"{each['id']}.json", json.dumps(each))
    elif shape == "json":
        path.write_text(json.dumps(EVERY))
    else:
        path.write_text("".join(f"{json.dumps(each)}\n" for each in EVERY))
    return path


def dotted(version: str) -> list[int]:
    return [int(part) for part in version.partition("-")[0].split(".")]


@pytest.mark.parametrize("shape", ["zip", "json", "jsonl"])
def test_spans_of_versions_say_what_is_affected(tmp_path: Path, shape: str) -> None:
    known, records = advisories(written(tmp_path, shape), "Debian:12", {"nginx"}.__contains__)
    assert records == 6  # one is withdrawn, one of another package; neither is of another system
    assert [each.cve for each in known] == ["CVE-2026-1", "CVE-2026-2", "CVE-2026-3", "X-4"]

    def affected(version: str) -> list[str]:
        pairs = {pair for each in known for pair in each.bounds(version)}
        less = {(low, high): dotted(low) < dotted(high) for low, high in pairs}
        return [each.id for each in known if each.affects(version, less)]

    assert affected("1.5") == ["DSA-1", "DEBIAN-CVE-2026-3", "X-4"]
    assert affected("1.22") == ["DSA-1", "DEBIAN-CVE-2026-2", "DEBIAN-CVE-2026-3", "X-4"]
    assert affected("1.23") == ["DEBIAN-CVE-2026-2"]
    fixed, less = known[0], {("1.5", "1.22.1-9+deb12u2"): True}
    assert fixed.affects("1.5", less) == Span("0", fixed="1.22.1-9+deb12u2")


@pytest.mark.parametrize("text", ["", "[1]", '{"no": "id"}', "<oval/>"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    if not text:
        assert advisories(path, "Debian:12", {"nginx"}.__contains__) == ([], 0)
        return
    with pytest.raises(UsageError, match=r"data\.json holds no OSV records"):
        advisories(path, "Debian:12", {"nginx"}.__contains__)


@pytest.mark.parametrize("flaw", ["encrypted", "unknown method", "cut", "damaged"])
def test_a_zip_that_cannot_be_read_is_named(tmp_path: Path, flaw: str) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", '{"id": "A-1"}' + " " * 5000)
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\1\2")
    if flaw == "encrypted":
        data[6] |= 1
        data[central + 8] |= 1
    elif flaw == "unknown method":
        data[8] = data[central + 10] = 77
    elif flaw == "damaged":
        data[40:50] = b"\xff" * 10
    path.write_bytes(bytes(data[:60] if flaw == "cut" else data))
    with pytest.raises(UsageError, match=r"data\.zip holds no OSV records"):
        advisories(path, "Debian:12", {"nginx"}.__contains__)


def test_the_data_are_an_input_of_the_campaign(tmp_path: Path) -> None:
    """Else resume, bundle and replay would not have them."""
    given = {"file": "osv.jsonl", "date": "2026-11-20"}
    root = product(tmp_path / "p", WEB, suites=["security/product"], vulnerabilities=[given])
    with pytest.raises(DefinitionError, match="no such file"):
        read(root)
    (root / "osv.jsonl").write_text("")
    assert root.resolve() / "osv.jsonl" in set(inputs._named(read(root)))
