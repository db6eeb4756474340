"""The status of certificates at the desk: what the database refuses, whatever asks, and how an older desk gets it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from harness.center.queueing import Center
from harness.desk.database import PUBLIC, Actor, Database
from harness.desk.refusing import Refusal
from harness.desk.status_flow import CHANGES
from harness.evidence import Workspace
from harness.evidence.database import DatabaseJournal
from harness.evidence.engines import engine_of
from harness.evidence.migrating import HEAD, upgrade
from tests.databases import cluster
from tests.desks import Desk
from tests.integration.test_desk_statuses import number, propose, there

__all__ = ["number", "there"]  # fixtures

PROPOSE = (
    "INSERT INTO desk.status_changes (certificate, kind, source, target, reason, opinion, successor, proposer, "
    "proposer_name, proposed) VALUES (:n, :kind, :source, 'x', :r, :o, :s, 1, 'somebody', now()) RETURNING id"
)
DECIDE = "UPDATE desk.status_changes SET decision = :d, answer = :a WHERE id = :i"


def by_sql(there: Desk, who: str | Actor, statement: str, **values: Any) -> list[Any]:
    actor = there.actors[who] if isinstance(who, str) else who
    with there.office.desk.acting(actor) as connection:
        result = connection.execute(sa.text(statement), values)
        return list(result) if result.returns_rows else []


def proposed(there: Desk, who: str, number: str, **other: Any) -> int:
    values = {"n": number, "kind": "suspend", "source": "active", "r": "r", "o": "o", "s": None, **other}
    return int(by_sql(there, who, PROPOSE, **values)[0][0])


def decided(there: Desk, who: str | Actor, change: int, decision: str = "carried_out", answer: str = "") -> None:
    by_sql(there, who, DECIDE, i=change, d=decision, a=answer)


def test_the_table_of_changes_is_the_one_of_the_program(there: Desk) -> None:
    rows = there.sql("SELECT kind, source, target FROM desk.status_kinds")
    assert set(rows) == {(change.kind, source, change.target) for change in CHANGES for source in change.sources}


def test_who_proposed_decides_nothing_whatever_asks(there: Desk, number: str) -> None:
    """A person with both roles, by SQL past all functions, and the owner of the tables too."""
    change = proposed(there, "both", number)
    for who, word in (
        ("both", "second: "),
        ("reviewer", "role: "),
        ("auditor", "role: "),
        ("administrator", "role: "),
        ("tester", "role: "),
    ):
        for decision in ("carried_out", "refused"):
            with pytest.raises(Refusal, match=word):
                decided(there, who, change, decision, "x")
    with pytest.raises(Refusal, match="only who proposed"):
        decided(there, "approver", change, "withdrawn")
    for who in ("applicant", "stranger", PUBLIC):
        decided(there, who, change, "carried_out")  # no row is reached
    for statement in (
        "UPDATE desk.status_changes SET decision = 'carried_out' WHERE id = %s",
        "UPDATE desk.status_changes SET proposer = 1 WHERE id = %s",
        "DELETE FROM desk.status_changes WHERE id = %s",
    ):
        with pytest.raises(psycopg.Error, match=r"nobody acts|never change"):
            there.sql(statement, change)
    assert there.sql("SELECT decision, proposer_name FROM desk.status_changes WHERE id = %s", change) == [
        (None, "both 某")
    ], "and nobody proposes in another's name"
    decided(there, "approver", change)
    for who, decision in (("second", "refused"), ("approver", "carried_out"), ("both", "withdrawn")):
        with pytest.raises(Refusal, match="decided once"):
            decided(there, who, change, decision, "x")


def test_who_tested_decides_nothing_about_the_certificate(there: Desk, number: str) -> None:
    tester = there.actors["tester"].person
    change = proposed(there, "reviewer", number)
    there.sql("INSERT INTO desk.memberships VALUES (%s, 'approver')", tester)
    try:
        for decision in ("carried_out", "refused"):
            with pytest.raises(Refusal, match="duty: "):
                decided(there, "tester", change, decision, "x")
    finally:
        there.sql("DELETE FROM desk.memberships WHERE person = %s AND role = 'approver'", tester)


def test_a_person_who_was_let_out_neither_proposes_nor_decides(there: Desk, number: str) -> None:
    change = proposed(there, "reviewer", number)
    there.sql("UPDATE desk.people SET active = false WHERE id = %s", there.actors["second"].person)
    try:
        with pytest.raises(Refusal, match="nobody acts"):
            decided(there, "second", change)
        with pytest.raises(Refusal, match="role"):
            proposed(there, "second", number)
    finally:
        there.sql("UPDATE desk.people SET active = true WHERE id = %s", there.actors["second"].person)


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"kind": "reinstate"}, "status: "),
        ({"kind": "none"}, "status: "),
        ({"source": "revoked", "kind": "reinstate"}, "status: "),
        ({"r": "  "}, "opinion: "),
        ({"o": " \n"}, "opinion: "),
        ({"kind": "supersede"}, "successor: "),
        ({"s": "XC-2"}, "successor: "),
        ({"n": "XC-NONE"}, "missing: "),
    ],
)
def test_a_proposal_by_sql_is_whole_and_leads_somewhere(there: Desk, number: str, other: Any, word: str) -> None:
    with pytest.raises(Refusal, match=word):
        proposed(there, "reviewer", number, **other)
    for who in ("tester", "administrator", "auditor", "applicant", "stranger"):
        with pytest.raises(Refusal, match="role"):
            proposed(there, who, number)


def test_a_certificate_has_one_open_proposal_also_where_two_propose_at_once(there: Desk, number: str) -> None:
    barrier = threading.Barrier(4)

    def try_it(who: str) -> str:
        barrier.wait()
        try:
            propose(there, who, number)
        except Refusal as refusal:
            return refusal.word
        return "good"

    with ThreadPoolExecutor(4) as pool:
        words = list(pool.map(try_it, ("reviewer", "approver", "second", "both")))
    assert sorted(words) == ["good", "open", "open", "open"]
    with pytest.raises(Refusal, match="open: "):
        proposed(there, "reviewer", number)


def test_after_a_revocation_there_is_nothing_more(there: Desk, number: str) -> None:
    decided(there, "approver", proposed(there, "reviewer", number, kind="revoke"))
    with pytest.raises(Refusal, match="status: "):
        proposed(there, "reviewer", number)


def test_a_vendor_sees_what_was_carried_out_of_its_own_certificates(there: Desk, number: str) -> None:
    change = proposed(there, "reviewer", number)
    seen = "SELECT decision FROM desk.status_changes WHERE id = :i"
    assert by_sql(there, "applicant", seen, i=change) == []
    with there.office.desk.acting(there.actors["auditor"]) as connection:
        assert len(list(connection.execute(sa.text(seen), {"i": change}))) == 1
    decided(there, "approver", change, "refused", "no")
    assert by_sql(there, "applicant", seen, i=change) == []
    change = proposed(there, "reviewer", number)
    decided(there, "approver", change)
    assert by_sql(there, "applicant", seen, i=change) == [("carried_out",)]
    for who in ("stranger", PUBLIC):
        assert by_sql(there, who, seen, i=change) == []
    asked = f"/api/v1/certificates/{number}/changes"
    told = there.program("applicant").get(asked).json()["changes"]
    assert [set(each) for each in told] == [{"kind", "target", "reason", "successor", "decided"}]
    assert there.program("stranger").get(asked).status_code == 404


def shape(url: str) -> dict[str, Any]:
    queries = {
        "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default FROM "
        "information_schema.columns WHERE table_schema = 'desk' ORDER BY 1, 2",
        "functions": "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'desk'::regnamespace ORDER BY 1",
        "policies": "SELECT tablename, policyname, cmd, qual, with_check FROM pg_policies WHERE schemaname = 'desk' "
        "ORDER BY 1, 2",
        "triggers": "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal "
        "AND tgrelid::regclass::text LIKE 'desk.%' ORDER BY 1, 2",
        "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'desk' ORDER BY 1",
        "kinds": "SELECT * FROM desk.status_kinds ORDER BY 1, 2",
    }
    with psycopg.connect(url) as connection:
        return {name: connection.execute(query.encode()).fetchall() for name, query in queries.items()}


def test_a_desk_of_before_is_upgraded_with_all_it_holds(there: Desk, tmp_path: Path) -> None:
    with cluster() as server:
        url = server.database()
        engine = engine_of(url)
        with engine.writing() as connection:
            upgrade(connection, "0006")
        engine.pool.dispose()
        with psycopg.connect(url, autocommit=True) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0006",)]
            connection.execute("SET session_replication_role = replica")
            connection.execute("INSERT INTO desk.organisations (name, kind) VALUES ('示例中心', 'center')")
            connection.execute(
                "INSERT INTO desk.people (organisation, account, name, password, must_change) "
                "VALUES (1, 'r', 'r', 'x', false)"
            )
            connection.execute("INSERT INTO desk.memberships VALUES (1, 'reviewer')")
            connection.execute(
                "INSERT INTO desk.applications (organisation, creator, state, form, product, version, campaign) "
                "VALUES (1, 1, 'issued', '{}', 'p', '1', 'c')"
            )
            connection.execute(
                "INSERT INTO desk.certificates VALUES ('XC-OLD', 1, 'c', 'p', '1', 'v', 'k', 'i', '', '[]', '[]')"
            )
        place = Workspace(tmp_path / "ws", url)
        assert isinstance(place.journal, DatabaseJournal)
        upgraded = Database(Center(place))
        person = Actor(person=1, organisation=1, roles=frozenset({"reviewer"}), reach="center")
        values = {"n": "XC-OLD", "kind": "suspend", "source": "active", "r": "r", "o": "o", "s": None}
        with upgraded.acting(person) as connection:
            assert connection.execute(sa.text(PROPOSE), values).scalar_one() == 1
        place.journal.close()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
        assert shape(url) == shape(there.url)
