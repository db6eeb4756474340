"""Files that are made to harm the scan: each ends in a sentence, and costs only itself."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model.finding import Finding
from harness.scan import scan
from tests.elves import elf
from tests.hostile_inputs import READ, UNREAD, static_library_of_negative_size
from tests.unit.test_scan_rules import RULES, TARGETS

GIB = 1 << 30


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No test takes more than 1 GiB of addresses beside what there is already."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def unread(folder: Path) -> list[Finding]:
    return [finding for finding in scan([folder], RULES, TARGETS).findings if finding.rule == "READ-1"]


@pytest.mark.parametrize("name", UNREAD)
def test_what_cannot_be_read_is_told_and_costs_nothing_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(UNREAD[name]())
    (tmp_path / "good.so").write_bytes(elf(machine="x86_64"))
    result = scan([tmp_path], RULES, TARGETS)
    assert result.unread >= 1
    lost = [finding for finding in result.findings if finding.rule == "READ-1"]
    assert {finding.file.partition("!/")[0] for finding in lost} == {str(tmp_path / name)}
    assert any(f.rule.startswith("ARCH") and f.file == str(tmp_path / "good.so") for f in result.findings)


@pytest.mark.parametrize("name", READ)
def test_what_can_be_read_is_read_in_time(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(READ[name]())
    assert unread(tmp_path) == []


def test_a_static_library_of_negative_size_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "x.a").write_bytes(static_library_of_negative_size())
    findings = scan([tmp_path], RULES, TARGETS).findings
    assert any(f.file == str(tmp_path / "x.a") and "size" in f.message for f in findings), findings
