"""The journal over every database: written through, chained, immutable."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from harness.errors import HarnessBug, InfrastructureError
from harness.evidence import Recorder, Workspace, broken_at
from harness.evidence.checking import chain_faults, differences, unknown_chains
from harness.evidence.database import DatabaseJournal
from harness.evidence.exporting import exported
from harness.issuing.integrity import check_campaigns, check_workspace
from harness.model.records import AttemptFacts
from harness.model.results import Observation, Result, State, Verdict
from tests.journals import FAIL, PASS, STRANGE, campaign, close, whole, wrong


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


def test_a_cell_is_expected_to_take_as_long_as_it_worked(journal: DatabaseJournal) -> None:
    """A wait for other cells says nothing of it: with waits, the cell that waited once would be held to be the long
    one."""
    campaign(journal)
    for database, seconds in (("waited", {"total": 90.0, "wait": 70.0}), ("worked", {"total": 60.0})):
        cell = f"cpu=x,database={database}#1"
        number = journal.begin("c1", cell)
        journal.finish(
            "c1",
            cell,
            number,
            verdict=Verdict.CONFORMANT,
            cause=None,
            message="",
            facts=AttemptFacts(seconds=seconds),
        )
    took = {axes["database"]: seconds for axes, seconds in journal.timings(10)}
    assert took == {"waited": 20.0, "worked": 60.0}
