"""Packages of the RPM family are listed with their signatures, and compared by a real rpm."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from harness.control.parts import Parts
from harness.errors import InfrastructureError
from tests.distribution import Key, rpm


class OfRpm(Parts):
    """This machine's dpkg is not asked."""

    def family(self) -> Literal["rpm"]:
        return "rpm"


class Here:
    """This machine with a database of packages of its own."""

    name = "here"

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, command: str, **_more: Any) -> Any:
        argv = ["env", f"HOME={self.home}", "sh", "-c", command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return SimpleNamespace(out=done.stdout, ok=done.returncode == 0)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    key = Key.new(tmp_path / "key")
    signed, plain = rpm(tmp_path, "signed"), rpm(tmp_path, "plain", "2.0", more="Epoch: 1\n")
    key.sign(signed)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".rpmmacros").write_text(f"%_dbpath {home}/db\n")
    machine = Here(home)
    installed = machine.run(f"rpm --initdb && rpm -i --nosignature --nodeps --justdb {signed} {plain} 2>/dev/null")
    assert installed.ok
    return OfRpm(SimpleNamespace(machine=machine, context=SimpleNamespace(factor=1.0)), None)


def test_packages_are_listed_with_epoch_and_signature(parts: Parts) -> None:
    plain, signed = parts.packages()
    assert (plain.name, plain.version, plain.source, plain.signature) == ("plain", "1:2.0-1", "plain", "")
    assert (signed.name, signed.version) == ("signed", "1.0-1")
    assert "Key ID" in signed.signature


def test_versions_are_compared_as_rpm_does(parts: Parts) -> None:
    lower = {("1.0-1", "1.0-2"), ("1.0~rc1-1", "1.0-1"), ("2-1", "1:1-1.el8"), ("1:2.0-1", "2.1-1")}
    higher = {(second, first) for first, second in lower} - {("1:1-1.el8", "2-1")}
    # Where only one has an epoch, it is left out: advisories of some distributions have none.
    known = parts.less(lower | higher)
    assert {pair for pair, less in known.items() if less} == lower - {("2-1", "1:1-1.el8")}


def test_an_rpm_that_says_nothing_shows_no_package(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "home" / ".rpmmacros").write_text("%_dbpath /nowhere/at/all\n")
    with pytest.raises(InfrastructureError, match="its packages could not be read"):
        parts.packages()
