"""A journal over every database; one PostgreSQL server serves the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.evidence import Workspace
from harness.evidence.database import DatabaseJournal
from harness.evidence.sqlite import url_of
from tests.databases import Cluster, cluster


@pytest.fixture(scope="package")
def server() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, server: Cluster, tmp_path: Path) -> str:
    return url_of(tmp_path / "journal.sqlite") if request.param == "sqlite" else server.database()


@pytest.fixture
def workspace(url: str, tmp_path: Path) -> Iterator[Workspace]:
    place = Workspace(tmp_path / "ws", url)
    yield place
    place.journal.close()


@pytest.fixture
def journal(workspace: Workspace) -> DatabaseJournal:
    assert isinstance(workspace.journal, DatabaseJournal)
    return workspace.journal
