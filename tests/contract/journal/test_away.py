"""A server of the journal that is away for a moment: what was begun goes on, and nothing is written twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.errors import InfrastructureError
from harness.evidence import broken_at, postgresql
from harness.evidence.database import DatabaseJournal
from tests.databases import Cluster, cluster


@pytest.fixture
def own() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


def test_writers_wait_for_a_server_that_is_started_again(own: Cluster) -> None:
    journal, begun = DatabaseJournal(own.database()), threading.Barrier(3)

    def write(name: str) -> int:
        begun.wait(20)
        lost = 0
        for number in range(40):
            try:
                journal.event("note", {"by": name, "number": number})
            except InfrastructureError:  # it was on its way: nobody knows whether it arrived, and it is not repeated
                lost += 1
            time.sleep(0.02)
        return lost

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, name) for name in ("first", "second")]
        begun.wait(20)
        time.sleep(0.2)
        own.stop()
        time.sleep(2)
        own.start()
        lost = [writer.result() for writer in writers]
    assert max(lost) <= 1, "no more than the write that was on its way"
    notes = [event.data for event in journal.events("") if event.kind == "note"]
    assert len(set(notes)) == len(notes), "nothing twice"
    assert 80 - sum(lost) <= len(notes) <= 80
    assert broken_at(journal) is None
    journal.close()


def test_a_server_that_never_answered_is_not_waited_for(own: Cluster) -> None:
    url = own.database()
    own.stop()
    began = time.monotonic()
    with pytest.raises(InfrastructureError, match="cannot be reached"):
        DatabaseJournal(url)
    assert time.monotonic() - began < postgresql.AWAY_SECONDS


def test_a_server_that_stays_away_ends_the_wait(own: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "AWAY_SECONDS", 1.0)
    journal = DatabaseJournal(own.database())
    own.stop()
    with pytest.raises(InfrastructureError, match="cannot be reached"):
        journal.event("note", {})
    journal.close()
