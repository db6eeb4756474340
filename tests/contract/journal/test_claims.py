"""The claims of campaigns over every database: one worker at a time, and no late write of another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from harness.errors import ClaimLost, UsageError
from harness.evidence import Recorder, Workspace, claims, holding
from harness.evidence.claims import DatabaseClaims, HeartbeatLiveness
from harness.evidence.database import DatabaseJournal
from harness.model.records import AttemptFacts
from harness.model.results import State, Verdict
from harness.system.wait import wait_until
from tests.journals import FAIL, PASS, campaign


def holders(workspace: Workspace, url: str) -> tuple[DatabaseClaims, DatabaseClaims, DatabaseJournal]:
    """Two workers' claims, each over a connection of its own, as the workspace makes them."""
    first = workspace.claims
    assert isinstance(first, DatabaseClaims)
    journal = DatabaseJournal(url)
    return first, DatabaseClaims(journal, first._liveness), journal


def test_a_campaign_is_held_by_one_worker_at_a_time(workspace: Workspace, url: str) -> None:
    first, second, journal = holders(workspace, url)
    assert first.holder("c1") is None
    claim = first.claim("c1")
    assert second.holder("c1") is not None
    with pytest.raises(UsageError, match="being worked on"):
        second.claim("c1")
    other = second.claim("c2")
    first.release(claim)
    assert second.holder("c1") is None
    later = second.claim("c1")
    assert later.token == claim.token + 1
    second.release(later)
    second.release(other)
    journal.close()


def test_to_ask_who_holds_it_never_gets_in_the_way(workspace: Workspace, url: str) -> None:
    first, second, journal = holders(workspace, url)
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            second.holder("c1")
            second.expired()

    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(look) for _ in range(2)]
        try:
            for _ in range(40):
                first.release(first.claim("c1"))
        finally:
            ended.set()
        for each in looks:
            each.result()
    journal.close()


def test_late_writes_of_a_worker_that_lost_its_claim_are_refused(
    workspace: Workspace, journal: DatabaseJournal, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker sleeps; the second takes over; the first wakes up in the middle of its attempt."""
    monkeypatch.setattr(claims, "EXPIRES_SECONDS", 0.0)
    late = DatabaseClaims(DatabaseJournal(url), HeartbeatLiveness())
    first = late.claim("c1")
    campaign(journal)
    number = late._journal.begin("c1", "cell", token=first.token)
    fresh = DatabaseClaims(journal, HeartbeatLiveness())
    assert [row.campaign for row in fresh.expired()] == ["c1"]
    second = fresh.claim("c1")
    journal.adopt("c1", "cell", number, token=second.token)
    before = journal.events("c1")
    old = late._journal
    recorder = Recorder(old, workspace.store, "c1", "cell", number, token=first.token)
    for write in (
        lambda: recorder.observe(PASS),
        lambda: recorder.state(State.RUNNING),
        lambda: recorder.event("note"),
        lambda: recorder.intent("container", "x"),
        lambda: recorder.keep("log", b"late"),
        lambda: recorder.finish(Verdict.CONFORMANT, None, "", AttemptFacts()),
        lambda: old.begin("c1", "another", token=first.token),
        lambda: old.close_campaign("c1", Verdict.CONFORMANT, {}, token=first.token),
        lambda: late.beat(first),
        lambda: late.cancelled(first),
    ):
        with pytest.raises(ClaimLost):
            write()
    assert journal.events("c1") == before
    late.release(first)  # releases nothing of the second's
    assert journal.events("c1") == before
    Recorder(journal, workspace.store, "c1", "cell", number, token=second.token).observe(FAIL)
    fresh.beat(second)
    assert journal.observations("c1") == {("cell", 1): [FAIL]}
    old.close()


def test_a_claim_that_was_released_writes_nothing_more(workspace: Workspace, journal: DatabaseJournal) -> None:
    campaign(journal)
    claim = workspace.claims.claim("c1")
    workspace.claims.release(claim)
    with pytest.raises(ClaimLost, match="nobody works on it"):
        journal.begin("c1", "cell", token=claim.token)


def test_a_worker_that_does_not_beat_expires_and_one_that_beats_does_not(
    workspace: Workspace, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = workspace.journal
    assert isinstance(journal, DatabaseJournal)
    beating, gone = DatabaseClaims(journal, HeartbeatLiveness()), DatabaseClaims(journal, HeartbeatLiveness())
    alive, dead = beating.claim("c1"), gone.claim("c2")
    with journal.engine.writing() as connection:  # both were silent for ten minutes
        connection.execute(sa.text("UPDATE claims SET heartbeat = heartbeat - 600"))
    beating.beat(alive)
    assert [row.campaign for row in beating.expired()] == ["c2"]
    assert gone.holder("c2") is None
    assert gone.holder("c1") is not None
    with pytest.raises(UsageError):
        gone.claim("c1")
    assert gone.claim("c2").token == dead.token + 1


@pytest.mark.parametrize(
    ("wishes", "seen"), [(["drain"], "drain"), (["now", "drain"], "now"), (["drain", "now"], "now")]
)
def test_the_worker_sees_that_it_is_asked_to_stop(workspace: Workspace, url: str, wishes: list[str], seen: str) -> None:
    _, others, journal = holders(workspace, url)
    with pytest.raises(UsageError, match="not running"):
        others.cancel("c1", stop="now")
    with workspace.hold("c1") as held, workspace.hold("c2") as beside:
        asked: list[str] = []
        arrived = threading.Event()
        held.on_stop(lambda wish: (asked.append(wish), wish == seen and arrived.set()))
        beside.on_stop(lambda wish: pytest.fail(f"the other campaign was asked too: {wish}"))
        assert workspace.claims.cancelled(held.claim) is None
        for wish in wishes:
            others.cancel("c1", stop=wish)  # type: ignore[arg-type]
        assert arrived.wait(20)
        assert workspace.claims.cancelled(held.claim) == seen
    assert workspace.claims.holder("c1") is None
    with workspace.hold("c1") as held:  # a wish of before is none of the new claim
        assert workspace.claims.cancelled(held.claim) is None
    journal.close()


def test_a_hold_says_that_the_campaign_was_taken_over(
    workspace: Workspace, journal: DatabaseJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = threading.Event()
    with workspace.hold("c1") as held:
        held.on_stop(lambda wish: wish == "lost" and lost.set())
        with journal.engine.writing() as connection:
            connection.execute(sa.text("UPDATE claims SET token = token + 1, worker = 'another'"))
        assert lost.wait(20)
    with journal.engine.reading() as connection:
        assert connection.execute(sa.text("SELECT worker FROM claims")).scalar() == "another"


def test_a_hold_shows_by_itself_that_its_worker_lives(
    workspace: Workspace, journal: DatabaseJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "BEAT_SECONDS", 0.0)
    monkeypatch.setattr(holding, "LOOK_SECONDS", 0.05)
    judge = DatabaseClaims(journal, HeartbeatLiveness())
    with workspace.hold("c1"):
        with journal.engine.writing() as connection:
            connection.execute(sa.text("UPDATE claims SET heartbeat = heartbeat - 600"))
        wait_until(lambda: judge.holder("c1"), seconds=20, what="the claim beats")


def test_cells_of_a_campaign_are_held_side_by_side_and_its_whole_excludes_them(workspace: Workspace, url: str) -> None:
    first, second, journal = holders(workspace, url)
    one, other = first.claim("c1", "a=1#11111111"), second.claim("c1", "a=2#22222222")
    assert one.token != other.token
    for held, claims_of in (("a=1#11111111", second), ("", first), ("", second)):
        with pytest.raises(UsageError, match="being worked on"):
            claims_of.claim("c1", held)
    assert {row.cell for row in second.holders("c1")} == {"a=1#11111111", "a=2#22222222"}
    assert second.claim("c2", "a=1#11111111").token == 1, "another campaign has the same cell"
    first.release(one)
    again = second.claim("c1", "a=1#11111111")
    assert again.token > max(one.token, other.token)
    first.release(again)  # not of this worker's making, but the token is the claim's
    second.release(other)
    whole = first.claim("c1")
    with pytest.raises(UsageError, match="being worked on"):
        second.claim("c1", "a=1#11111111")
    first.release(whole)
    journal.close()


def test_a_cell_is_written_by_its_own_worker_alone(
    workspace: Workspace, journal: DatabaseJournal, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers on two cells; one is silent for too long, its cell is taken over, and it wakes up."""
    campaign(journal)
    late = DatabaseClaims(DatabaseJournal(url), HeartbeatLiveness(), 0.0)
    fresh = DatabaseClaims(journal, HeartbeatLiveness())
    slow, beside = late.claim("c1", "one"), fresh.claim("c1", "two")
    begun = {
        cell: source.begin("c1", cell, token=claim.token)
        for cell, source, claim in (("one", late._journal, slow), ("two", journal, beside))
    }
    taken = fresh.claim("c1", "one")
    old = Recorder(late._journal, workspace.store, "c1", "one", begun["one"], token=slow.token)
    for write in (lambda: old.observe(PASS), lambda: old.intent("container", "x"), lambda: late.beat(slow)):
        with pytest.raises(ClaimLost):
            write()
    Recorder(journal, workspace.store, "c1", "two", begun["two"], token=beside.token).observe(PASS)
    journal.adopt("c1", "one", begun["one"], token=taken.token)
    Recorder(journal, workspace.store, "c1", "one", begun["one"], token=taken.token).observe(FAIL)
    assert journal.observations("c1") == {("one", 1): [FAIL], ("two", 1): [PASS]}
    late._journal.close()


def test_a_whole_campaign_takes_cells_of_dead_workers_over(workspace: Workspace, journal: DatabaseJournal) -> None:
    campaign(journal)
    dead = DatabaseClaims(journal, HeartbeatLiveness(), 0.0)
    cell = dead.claim("c1", "one")
    whole = DatabaseClaims(journal, HeartbeatLiveness()).claim("c1")
    with pytest.raises(ClaimLost):
        journal.begin("c1", "one", token=cell.token)
    assert journal.begin("c1", "one", token=whole.token) == 1


def test_claims_on_many_cells_at_once_have_different_tokens(workspace: Workspace, url: str) -> None:
    first, second, journal = holders(workspace, url)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda n: (first, second)[n % 2].claim("c1", f"cell#{n:08x}"), range(16)))
    assert len({claim.token for claim in taken}) == 16
    journal.close()


def test_everybody_who_works_on_a_campaign_is_asked_to_stop(workspace: Workspace, url: str) -> None:
    _, others, journal = holders(workspace, url)
    seen: list[str] = []
    both = threading.Barrier(3)

    def note(name: str) -> None:
        seen.append(name)
        both.wait(20)

    with workspace.hold("c1", "a=1#11111111") as one, workspace.hold("c1", "a=2#22222222") as two:
        one.on_stop(lambda wish: note(f"one {wish}"))
        two.on_stop(lambda wish: note(f"two {wish}"))
        others.cancel("c1", stop="drain")
        both.wait(20)
    assert sorted(seen) == ["one drain", "two drain"]
    journal.close()


def test_a_process_that_forfeits_holds_nothing_and_writes_nothing_more(workspace: Workspace, url: str) -> None:
    """Two cells of one campaign are given up; that of another process is not."""
    first, second, journal = holders(workspace, url)
    campaign(journal)
    own = [first.claim("c1", cell) for cell in ("a#00000001", "b#00000002")]
    other = second.claim("c1", "c#00000003")
    number = journal.begin("c1", "a#00000001", token=own[0].token)
    first.forfeit()
    for claim in own:
        with pytest.raises(ClaimLost):
            first.cancelled(claim)
    with pytest.raises(ClaimLost):
        journal.observe("c1", "a#00000001", number, [PASS], token=own[0].token)
    assert second.cancelled(other) is None
    for claim in own:
        first.release(claim)
    taken = second.claim("c1", "a#00000001")
    assert taken.token > own[0].token
    for claim in (taken, other):
        second.release(claim)
    journal.close()
