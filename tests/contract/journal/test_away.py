"""A server of the journal that is away for a moment: what was begun goes on, and nothing is written twice."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from harness.errors import InfrastructureError
from harness.evidence import broken_at, postgresql
from harness.evidence.claims import Claim, DatabaseClaims, HeartbeatLiveness
from harness.evidence.database import DatabaseJournal
from harness.evidence.units import Unit
from harness.model.results import Observation, Result
from tests.databases import Cluster, cluster
from tests.journals import campaign


@pytest.fixture
def own() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_writers_wait_for_a_server_that_is_started_again(own: Cluster, number: signal.Signals) -> None:
    """Three times, at random moments; each event is there once, and no writer is sent away."""
    journal, ended = DatabaseJournal(own.database()), threading.Event()

    def write(name: str) -> int:
        written = 0
        while not ended.is_set():
            journal.event("note", {"by": name, "number": written})
            written += 1
        return written

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, name) for name in ("first", "second")]
        try:
            for _ in range(3):
                time.sleep(random.uniform(0.1, 0.6))
                own.stop(number)
                time.sleep(random.uniform(0, 1))
                own.start()
            time.sleep(0.3)
        finally:
            ended.set()
        written = [writer.result() for writer in writers]
    notes = [event.data for event in journal.events("") if event.kind == "note"]
    assert len(set(notes)) == len(notes), "nothing twice"
    assert len(notes) == sum(written), "nothing lost"
    assert broken_at(journal) is None
    journal.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_who_only_looks_meets_a_server_that_was_started_again(own: Cluster, number: signal.Signals) -> None:
    """Two that wait for nothing; the connections that they kept are dead."""
    journals = [DatabaseJournal(own.database()) for _ in range(2)]
    for journal in journals:
        assert isinstance(journal.engine, postgresql.PostgreSQL)
        journal.engine.waits = 0.0
        journal.event("note", {"n": 1})
        assert journal.campaigns() == []
    own.stop(number)
    for journal in journals:
        with pytest.raises(InfrastructureError, match="cannot be reached"):
            journal.campaigns()
    own.start()
    assert journals[0].campaigns() == []
    journals[1].event("note", {"n": 2})
    own.stop(number)
    own.start()
    assert journals[1].campaigns() == []
    journals[0].event("note", {"n": 2})
    for journal in journals:
        assert [event.data for event in journal.events("") if event.kind == "note"] == ['{"n": 1}', '{"n": 2}']
        journal.close()


def test_who_looks_may_think_for_long_and_who_writes_keeps_no_locks_for_ever(own: Cluster) -> None:
    """With half a second in place of thirty: a report is made in a snapshot; a writer that stands still is ended."""
    url = f"{own.database()}&options=-c%20idle_in_transaction_session_timeout%3D500"
    first, second = DatabaseJournal(url), DatabaseJournal(url)
    campaign(first, "c0")
    with first.snapshot() as reader, second.reading() as connection:
        assert reader.campaign("c0") is not None
        connection.execute(sa.text("SELECT 1"))
        time.sleep(1.5)
        campaign(second, "c1")
        assert [row.id for row in reader.campaigns()] == ["c0"]
        assert connection.execute(sa.text("SELECT count(*) FROM campaigns")).scalar() == 2
    slept: list[int] = []

    def work(unit: Unit) -> None:
        unit.append("note", {"n": len(slept)}, "c0")
        if not slept:
            slept.append(1)
            time.sleep(1.5)

    first.transact("writing", work)
    assert [event.data for event in second.events("c0") if event.kind == "note"] == ['{"n": 1}']
    first.close()
    second.close()


class Between:
    """Hands bytes on between clients and the server, and breaks the connection at its next COMMIT.

    ``before``: the server never gets it. ``after``: its answer is lost. ``late``: the server gets it when the client
    has given up.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.server, self.moment, self.broken = server, "", 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / server.name))
        self.listener.listen(20)
        self.ends: list[socket.socket] = [self.listener]
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def close(self) -> None:
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(20)
        for end in self.ends:
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.server))
                self.ends += [client, server]
                for pair in ((client, server, True), (server, client, False)):
                    self.threads.append(threading.Thread(target=self._pass, args=pair))
                    self.threads[-1].start()

    def _pass(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if asks and self.moment and b"COMMIT" in data:
                    moment, self.moment = self.moment, ""
                    self.broken += 1
                    if moment == "after":
                        target.sendall(data)
                        time.sleep(0.2)
                    source.shutdown(socket.SHUT_RDWR)
                    if moment == "late":
                        time.sleep(1.5)
                        target.sendall(data)
                        time.sleep(0.2)
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("moment", ["before", "after", "late"])
def test_a_commit_whose_answer_is_lost_is_there_once(own: Cluster, moment: str) -> None:
    """Of an event, of an attempt and its results, and of a campaign that is opened."""
    url = own.database()
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        between = Between(Path(folder), own.folder / ".s.PGSQL.5432")
        journal = DatabaseJournal(url.replace(str(own.folder), folder))
        campaign(journal, "c0")

        def broken(work: Callable[[], object]) -> object:
            before, between.moment = between.broken, moment
            result = work()
            assert between.broken == before + 1
            return result

        broken(lambda: journal.event("note", {"n": 1}, "c0"))
        broken(lambda: campaign(journal, "c1"))
        number = broken(lambda: journal.begin("c1", "cell#1"))
        assert number == 1
        broken(lambda: journal.observe("c1", "cell#1", 1, [Observation(case="C", suite="s", result=Result.PASS)]))
        assert [event.data for event in journal.events("c0") if event.kind == "note"] == ['{"n": 1}']
        assert [row.number for row in journal.attempts("c1")] == [1]
        assert len(journal.observations("c1")["cell#1", 1]) == 1
        assert broken_at(journal) is None
        claims = DatabaseClaims(journal, HeartbeatLiveness())
        claim = broken(lambda: claims.claim("c1", "cell#1"))
        assert isinstance(claim, Claim)
        claims.beat(claim)
        broken(lambda: claims.release(claim))
        assert claims.holders("c1") == []
        journal.close()
        between.close()


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
