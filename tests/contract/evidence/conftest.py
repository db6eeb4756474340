"""Evidence in every store; one S3-compatible server serves the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.evidence import s3
from harness.evidence.store import EvidenceStore, FolderStore
from tests.buckets import Gateway, Proxy, gateway, proxied


@pytest.fixture(scope="package")
def server() -> Iterator[Gateway]:
    with gateway() as running:
        yield running


@pytest.fixture
def bucket(server: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> s3.S3Store:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    return s3.S3Store(f"s3://{server.bucket()}/中文 a/b", tmp_path / "near", server.keys)


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> EvidenceStore:
    if request.param == "folder":
        return FolderStore(tmp_path / "evidence 证据")
    made: EvidenceStore = request.getfixturevalue("bucket")
    return made


@pytest.fixture
def proxy(server: Gateway) -> Iterator[Proxy]:
    with proxied(server) as running:
        yield running


@pytest.fixture
def behind(server: Gateway, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> s3.S3Store:
    """A bucket of the real server, whose way there can be broken."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.environment["AWS_ENDPOINT_URL_S3"])
    return s3.S3Store(f"s3://{server.bucket()}", tmp_path / "near", server.keys)
