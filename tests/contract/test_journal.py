"""The journal and its claims over every database: written through, chained, immutable, fenced."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from harness.errors import ClaimLost, HarnessBug, InfrastructureError, UsageError
from harness.evidence import Recorder, Workspace, broken_at, claims, holding
from harness.evidence.checking import chain_faults, differences, unknown_chains
from harness.evidence.claims import DatabaseClaims, HeartbeatLiveness
from harness.evidence.database import DatabaseJournal
from harness.evidence.exporting import exported
from harness.evidence.migrating import HEAD, upgrade
from harness.evidence.sqlite import url_of
from harness.evidence.tables import metadata
from harness.issuing.integrity import check_campaigns, check_workspace
from harness.model.records import AttemptFacts, CampaignRow
from harness.model.results import Cause, Measurement, Observation, Result, State, Verdict
from harness.system.wait import wait_until
from tests.databases import Cluster, cluster


@pytest.fixture(scope="module")
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


def campaign(journal: DatabaseJournal, identity: str = "c1") -> None:
    row = CampaignRow(
        id=identity,
        created="2026-01-01",
        finished=None,
        matrix="m",
        folder="/m",
        plan_digest="d",
        plan={"cells": [], "名": "试"},
        options={},
        conditions={},
        verdict=None,
    )
    journal.open_campaign(row)


def whole(journal: DatabaseJournal, identity: str, token: int = 0) -> None:
    """A campaign with two cells, from its opening to its end."""
    campaign(journal, identity)
    for cell in ("a", "b"):
        number = journal.begin(identity, cell, token=token)
        journal.observe(identity, cell, number, [PASS, FAIL], token=token)
        journal.file(identity, cell, number, "log", "ab" * 32, 3, "text/plain", token=token)
        close(journal, identity, cell, number, token)
    journal.close_campaign(identity, Verdict.NONCONFORMANT, {"json": "x"}, token=token)


def close(journal: DatabaseJournal, identity: str, cell: str, number: int, token: int = 0) -> None:
    facts = AttemptFacts(seconds={"total": 1.25})
    journal.finish(identity, cell, number, verdict=Verdict.CONFORMANT, cause=None, message="", facts=facts, token=token)


PASS = Observation(case="C-1", suite="s", result=Result.PASS)
FAIL = Observation(case="C-2", suite="s", result=Result.FAIL, detail="it's 5% 坏")
STRANGE = Observation(
    case="C-3",
    suite="s",
    result=Result.ERROR,
    cause=Cause.INFRA,
    detail="生僻字 𬱖 \\u0000 %s {} '\" \u2028",
    seconds=1.1,
    measurements=(Measurement(name="p95", value=1e-300, unit="ms"), Measurement(name="n", value=1e300, unit="")),
    evidence=("ab",),
)


def wrong(workspace: Workspace) -> set[str]:
    return {step.name for step in check_workspace(workspace) if not step.ok and step.name != "evidence"}


def test_what_is_recorded_is_read_back_by_another_process(workspace: Workspace, url: str) -> None:
    journal = workspace.journal
    assert isinstance(journal, DatabaseJournal)
    campaign(journal)
    number = journal.begin("c1", "cell")
    journal.observe("c1", "cell", number, [STRANGE, PASS])
    other = DatabaseJournal(url)
    assert other.observations("c1") == {("cell", 1): [STRANGE, PASS]}
    assert other.attempts("c1")[0].state is State.QUEUED
    assert other.campaign("c1") == journal.campaign("c1")
    other.close()
    assert wrong(workspace) == set()


def test_text_that_no_column_can_hold_is_recorded_with_a_mark(workspace: Workspace, journal: DatabaseJournal) -> None:
    campaign(journal)
    recorder = Recorder(journal, workspace.store, "c1", "cell", journal.begin("c1", "cell"))
    recorder.observe(Observation(case="C", suite="s", result=Result.FAIL, detail="a\0b\ud800c"))
    recorder.event("note", text="a\0b\ud800c")
    recorder.keep("a\0b", b"x")
    recorder.finish(Verdict.NONCONFORMANT, None, "a\0b\ud800c", AttemptFacts(version="a\0\ud800"))
    assert wrong(workspace) == set()
    assert "\0" not in journal.observations("c1")["cell", 1][0].detail


def test_an_attempt_is_closed_once_and_never_changes(journal: DatabaseJournal) -> None:
    campaign(journal)
    number = journal.begin("c1", "cell")
    close(journal, "c1", "cell", number)
    with pytest.raises(HarnessBug, match="never changes"):
        close(journal, "c1", "cell", number)
    with pytest.raises(HarnessBug, match="never changes"):
        journal.observe("c1", "cell", number, [PASS])
    with pytest.raises(HarnessBug):
        journal.state("c1", "cell", number, State.RUNNING)
    assert journal.begin("c1", "cell") == 2


@pytest.mark.parametrize("at_once", [False, True])
def test_two_results_of_a_case_are_told_as_two_suites_of_one_name(journal: DatabaseJournal, *, at_once: bool) -> None:
    campaign(journal)
    number = journal.begin("c1", "cell")
    if not at_once:
        journal.observe("c1", "cell", number, [PASS])
    with pytest.raises(InfrastructureError, match=r"two results.*C-1 of suite s") as caught:
        journal.observe("c1", "cell", number, [PASS, PASS] if at_once else [PASS])
    assert caught.value.cause == "config"
    assert "damaged" not in str(caught.value)
    assert "different names" in caught.value.advice
    assert len(journal.observations("c1").get(("cell", 1), [])) == (0 if at_once else 1)


def test_many_writers_keep_every_chain(journal: DatabaseJournal, url: str) -> None:
    campaign(journal, "c0")
    campaign(journal, "c1")

    def work(name: int) -> None:
        own = DatabaseJournal(url) if name % 2 else journal
        for n in range(8):
            own.event("note", {"n": n}, ("c0", "c1", "not-opened", "not-opened", "", "c1")[name], f"cell{name}")
        if own is not journal:
            own.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert sum(event.kind == "note" for event in journal.events()) == 48
    assert broken_at(journal) is None
    assert unknown_chains(journal) == []


def test_attempts_that_are_begun_at_once_get_numbers_of_their_own(journal: DatabaseJournal, url: str) -> None:
    campaign(journal)
    others = [DatabaseJournal(url) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda n: others[n % 4].begin("c1", "cell"), range(16)))
    for other in others:
        other.close()
    assert sorted(numbers) == list(range(1, 17))
    assert broken_at(journal) is None


def test_a_follower_misses_no_event_and_sees_none_twice(journal: DatabaseJournal) -> None:
    campaign(journal)
    ended = threading.Event()

    def work(name: int) -> None:
        for n in range(20):
            journal.event("note", {"n": n, "of": name}, "c1")

    with ThreadPoolExecutor(5) as pool:
        writers = [pool.submit(work, name) for name in range(4)]
        seen: list[int] = []
        while not ended.is_set():
            if all(writer.done() for writer in writers):
                ended.set()
            seen += [event.seq for event in journal.follow("c1", seen[-1] if seen else 0)]
    assert seen == list(range(1, 82))


CHAIN, TABLES = "chain of events", "tables follow from events"


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["UPDATE events SET data = replace(data, 'pass', 'fail') WHERE kind = 'observation'"], {CHAIN, TABLES}),
        (["UPDATE events SET data = 'no json' WHERE kind = 'observation' AND campaign = 'c2'"], {CHAIN, TABLES}),
        (["UPDATE events SET time = '2020' WHERE campaign = 'c2' AND seq = 5"], {CHAIN}),
        (["UPDATE events SET cell = 'other' WHERE campaign = 'c2' AND kind = 'observation'"], {CHAIN, TABLES}),
        (["DELETE FROM events WHERE campaign = 'c2' AND kind = 'file'"], {CHAIN, TABLES}),
        (["DELETE FROM events WHERE campaign = 'c2' AND seq = 1"], {CHAIN, TABLES}),
        (["DELETE FROM events WHERE campaign = '' AND seq = 1"], {CHAIN}),
        (["DELETE FROM events WHERE campaign = '' AND kind = 'chain-head'"], {CHAIN}),
        (
            ["UPDATE events SET data = replace(data, '\"length\": ', '\"length\": 1') WHERE kind = 'chain-head'"],
            {CHAIN},
        ),
        (
            [
                "UPDATE events SET seq = -1 WHERE campaign = 'c2' AND seq = 3",
                "UPDATE events SET seq = 3 WHERE campaign = 'c2' AND seq = 4",
                "UPDATE events SET seq = 4 WHERE campaign = 'c2' AND seq = -1",
            ],
            {CHAIN},
        ),
        (["DELETE FROM events WHERE kind = 'campaign-closed' AND campaign = 'c2'"], {CHAIN, TABLES}),
        (
            [
                "DELETE FROM events WHERE kind = 'campaign-closed' AND campaign = 'c2'",
                "UPDATE campaigns SET verdict = NULL, finished = NULL WHERE id = 'c2'",
                "UPDATE chains SET length = length - 1, head = "
                "(SELECT digest FROM events WHERE campaign = 'c2' ORDER BY seq DESC LIMIT 1) WHERE campaign = 'c2'",
            ],
            {CHAIN},
        ),
        (["UPDATE observations SET result = 'fail' WHERE \"case\" = 'C-1'"], {TABLES}),
        (["UPDATE observations SET measurements = '{' WHERE \"case\" = 'C-1'"], {TABLES}),
        (["DELETE FROM observations WHERE \"case\" = 'C-2' AND cell = 'b'"], {TABLES}),
        (["UPDATE attempts SET verdict = 'nonconformant' WHERE cell = 'a'"], {TABLES}),
        (["UPDATE attempts SET facts = '{}'"], {TABLES}),
        (["DELETE FROM attempts WHERE campaign = 'c1' AND cell = 'b'"], {TABLES}),
        (["UPDATE campaigns SET verdict = 'conformant' WHERE id = 'c2'"], {TABLES}),
        (["UPDATE campaigns SET plan = '{}'"], {TABLES}),
        (["DELETE FROM files WHERE cell = 'a'"], {TABLES}),
        (["UPDATE files SET sha256 = 'cd'"], {TABLES}),
        (
            [
                *(f"DELETE FROM {t} WHERE campaign = 'c1'" for t in ("events", "attempts", "observations", "files")),
                "DELETE FROM chains WHERE campaign = 'c1'",
                "DELETE FROM campaigns WHERE id = 'c1'",
            ],
            {CHAIN},
        ),
        (["UPDATE events SET campaign = 'c9' WHERE campaign = 'c1'"], {CHAIN, TABLES}),
    ],
)
def test_whatever_is_changed_behind_its_back_shows(
    workspace: Workspace, journal: DatabaseJournal, statements: list[str], found: set[str]
) -> None:
    whole(journal, "c1")
    whole(journal, "c2")
    assert wrong(workspace) == set()
    with journal.engine.writing() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    assert wrong(workspace) >= found
    touched = "c2" if any("c2" in statement for statement in statements) else ""
    if touched:  # the campaign beside it is as it was
        assert [step for step in check_campaigns(workspace, ["c1"]) if not step.ok and step.name != "evidence"] == []


def test_every_event_in_turn(journal: DatabaseJournal) -> None:
    whole(journal, "c1")
    whole(journal, "c2")
    for event in journal.events():
        where = f"WHERE campaign = '{event.campaign}' AND seq = {event.seq}"
        with journal.engine.writing() as connection:
            connection.execute(sa.text(f"UPDATE events SET number = 77 {where}"))
        assert broken_at(journal) == (event.campaign, event.seq)
        with journal.engine.writing() as connection:
            connection.execute(sa.text(f"UPDATE events SET number = {event.number} {where}"))
    assert broken_at(journal) is None


def test_a_campaign_beside_another_never_sees_tampering(
    workspace: Workspace, journal: DatabaseJournal, url: str
) -> None:
    campaign(journal, "c1")
    campaign(journal, "c2")
    other, ended = DatabaseJournal(url), threading.Event()
    written = []

    def write() -> None:
        for n in range(100_000):
            if ended.is_set():
                return
            name = ("c1", "c2")[n % 2]
            number = other.begin(name, f"cell-{n}")
            other.observe(name, f"cell-{n}", number, [PASS, FAIL])
            close(other, name, f"cell-{n}", number)
            written.append(n)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(15):
            steps = [*check_campaigns(workspace, ["c1"]), *check_workspace(workspace)]
            assert [step for step in steps if not step.ok] == []
    finally:
        ended.set()
        writer.join()
        other.close()
    assert len(written) > 3, "nobody wrote meanwhile"


def test_a_snapshot_sees_one_moment(journal: DatabaseJournal) -> None:
    whole(journal, "c1")
    with journal.snapshot() as reader:
        before = reader.events("c1")
        journal.event("note", {}, "c1")
        assert reader.events("c1") == before
        assert chain_faults(reader, "c1", before) == differences(reader, "c1", before) == []
    assert len(journal.events("c1")) == len(before) + 1


def test_what_leaves_holds_nothing_of_another_campaign(journal: DatabaseJournal) -> None:
    whole(journal, "c1")
    campaign(journal, "c2-of-somebody-else")
    journal.event("note", {"text": "a secret of theirs"}, "c2-of-somebody-else")
    text = exported(journal, "c1").decode()
    assert "somebody-else" not in text
    assert "secret" not in text
    assert "campaign-closed" in text


# --- claims ---


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
    with journal.engine.writing() as connection:  # both were silent for a minute
        connection.execute(sa.text("UPDATE claims SET heartbeat = heartbeat - 60"))
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
            connection.execute(sa.text("UPDATE claims SET heartbeat = heartbeat - 60"))
        wait_until(lambda: judge.holder("c1"), seconds=20, what="the claim beats")


# --- tables ---


def shape(journal: DatabaseJournal) -> dict[str, object]:
    inspector = sa.inspect(journal.engine.pool)
    return {
        table: (
            [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(table)],
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted((i["name"], i["column_names"]) for i in inspector.get_indexes(table)),
        )
        for table in sorted(inspector.get_table_names())
    }


def migrated(url: str, steps: list[str]) -> DatabaseJournal:
    """A database that went through these steps of the migrations, opened by this harness."""
    from harness.evidence.engines import engine_of

    engine = engine_of(url)
    for step in steps:
        with engine.writing() as connection:
            upgrade(connection, step)
    engine.pool.dispose()
    return DatabaseJournal(url)


def test_new_tables_and_migrated_tables_are_the_same(
    url: str, journal: DatabaseJournal, server: Cluster, tmp_path: Path
) -> None:
    fresh = shape(journal)
    assert set(fresh) == set(metadata.tables)
    again = url_of(tmp_path / "old.sqlite") if url.startswith("sqlite") else server.database()
    old = migrated(again, ["0001"])
    assert shape(old) == fresh
    whole(old, "c1")
    assert broken_at(old) is None
    with old.engine.reading() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).all() == [(HEAD,)]
    old.close()


def test_a_record_of_before_claims_is_migrated_with_all_it_holds(server: Cluster, url: str, tmp_path: Path) -> None:
    place = url_of(tmp_path / "old.sqlite") if url.startswith("sqlite") else server.database()
    journal = DatabaseJournal(place)
    whole(journal, "c1")
    before = journal.events()
    with journal.engine.writing() as connection:  # as the first step left it
        connection.execute(sa.text("DROP TABLE claims"))
        connection.execute(sa.text("ALTER TABLE attempts DROP COLUMN token"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    journal.close()
    opened = Workspace(tmp_path / "ws2", place)
    assert opened.journal.events() == before
    assert wrong(opened) == set()
    with opened.hold("c1") as held:
        assert held.token == 1
    opened.journal.close()


@pytest.mark.parametrize(("version", "sentence"), [("0099", "another version"), ("", "another version")])
def test_tables_of_another_version_are_refused_and_left_alone(
    journal: DatabaseJournal, url: str, version: str, sentence: str
) -> None:
    with journal.engine.writing() as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{version}'"))
    with pytest.raises(InfrastructureError, match=sentence) as caught:
        DatabaseJournal(url)
    assert "--workspace" in caught.value.advice


def test_a_database_of_another_program_is_refused(server: Cluster, url: str, tmp_path: Path) -> None:
    place = url_of(tmp_path / "theirs.sqlite") if url.startswith("sqlite") else server.database()
    engine = sa.create_engine(place.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE customers (id integer)"))
    engine.dispose()
    with pytest.raises(InfrastructureError, match="another program"):
        DatabaseJournal(place)


def test_two_processes_may_open_a_new_database_at_once(server: Cluster, url: str, tmp_path: Path) -> None:
    place = url_of(tmp_path / "new.sqlite") if url.startswith("sqlite") else server.database()
    with ThreadPoolExecutor(6) as pool:
        journals = list(pool.map(lambda _: DatabaseJournal(place), range(6)))
    assert set(journals[0].chains()) == {""}
    for journal in journals:
        journal.close()


def test_a_server_that_is_away_is_told_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="cannot be reached") as caught:
        DatabaseJournal(f"postgresql://harness:s3cret@/none?host={tmp_path}")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://h/x", "no url", "postgres"])
def test_a_url_of_no_known_database(url: str) -> None:
    with pytest.raises(UsageError):
        DatabaseJournal(url)


def test_a_server_that_ends_in_the_middle_is_told() -> None:
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(cluster())
        journal = DatabaseJournal(running.database())
        campaign(journal)
        stack.close()
        with pytest.raises(InfrastructureError, match="cannot be reached"):
            journal.event("note", {}, "c1")
        journal.close()
