"""Wheels for a database's machine, fetched by a real pip from an index of files."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from pathlib import Path

import pytest

from harness.errors import Canceled, ProvisionError
from harness.provision.wheels import PLATFORM, fetched


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the only place where pip looks."""
    folder = tmp_path / "index-索引"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def wheel(folder: Path, architecture: str, content: str) -> str:
    """A wheel of ``tiny`` 1.0; gives its digest."""
    path = folder / f"tiny-1.0-cp311-cp311-{PLATFORM}_{architecture}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny/server", content)
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp311-cp311-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_wheel_of_each_architecture_is_fetched_and_goes_again(index: Path) -> None:
    digests = {name: wheel(index, name, f"server for {name}") for name in ("x86_64", "aarch64")}
    for architecture, digest in digests.items():
        with fetched("tiny==1.0", digest, architecture) as path, zipfile.ZipFile(path) as archive:
            assert archive.read("tiny/server").decode() == f"server for {architecture}"
        assert not path.exists()


def test_another_content_is_refused(index: Path) -> None:
    digest = wheel(index, "x86_64", "as the catalogue knows it")
    wheel(index, "x86_64", "something else")
    words = rf"tiny==1.0 for x86_64 is another .*expected {digest}"
    with pytest.raises(ProvisionError, match=words) as caught, fetched("tiny==1.0", digest, "x86_64"):
        pass
    assert "do not use it" in caught.value.advice


@pytest.mark.parametrize("wanted", [("tiny==2.0", "x86_64"), ("absent==1.0", "x86_64"), ("tiny==1.0", "loongarch64")])
def test_what_the_index_has_not_is_a_sentence(index: Path, wanted: tuple[str, str]) -> None:
    wheel(index, "x86_64", "server")
    name, architecture = wanted
    words = f"the wheel {name} for {architecture} could not be fetched: "
    with pytest.raises(ProvisionError, match=words) as caught, fetched(name, "0" * 64, architecture):
        pass
    assert "pip download" in caught.value.advice


def test_it_stops_when_the_campaign_does(index: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Canceled), fetched("tiny==1.0", "0" * 64, "x86_64", cancel=stop):
        pass
