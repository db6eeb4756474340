"""The guards of the desk's database, tried by SQL directly: what no page and no program can go round."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.center.migrating import backup, restore
from harness.center.queueing import Center
from harness.desk import auditing, tables
from harness.desk.database import PUBLIC, Actor, Database, note, system
from harness.desk.flow import TRANSITIONS
from harness.desk.refusing import Refusal
from harness.errors import InfrastructureError, UsageError
from harness.evidence import Workspace
from harness.evidence.database import DatabaseJournal
from tests.databases import cluster
from tests.desks import Desk, desk

WAY = (
    ("applicant", "submit"),
    ("reviewer", "accept_plan"),
    ("tester", "finish_testing"),
    ("tester", "machine_pass"),
    ("tester", "submit_report"),
    ("reviewer", "pass_first"),
    ("approver", "pass_second"),
    ("reviewer", "make_draft"),
    ("applicant", "confirm"),
    ("approver", "issue"),
)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with cluster() as server, desk(tmp_path_factory.mktemp("desk"), server.database()) as made:
        yield made


def as_person(there: Desk, who: str | Actor, statement: str, **values: Any) -> list[Any]:
    """SQL in a transaction of a person, as the desk opens it, past all its functions."""
    actor = there.actors[who] if isinstance(who, str) else who
    with there.office.desk.acting(actor) as connection:
        result = connection.execute(sa.text(statement), values)
        return list(result) if result.returns_rows else []


CERTIFICATE = "INSERT INTO desk.certificates VALUES ('X', %s, 'c', 'p', 'v', 'w', 'k', 'i', '', '[]', '[]')"
UPLOAD = "INSERT INTO desk.uploads (application, person, name, size, sha256) VALUES (:a, 1, 'x', 1, 'x')"
STEP = "INSERT INTO desk.application_steps (application, action, reason, opinion) VALUES (:a, :b, :r, :o)"


def take(there: Desk, who: str, application: int, action: str, reason: str = "x", opinion: str = "x") -> None:
    as_person(there, who, STEP, a=application, b=action, r=reason, o=opinion)


def at(there: Desk, state: str) -> int:
    """An application in a state, taken there by SQL alone."""
    application = there.application()
    for who, action in WAY:
        if there.state(application) == state:
            break
        take(there, who, application, action)
    assert there.state(application) == state
    return application


def test_the_table_of_steps_is_the_one_of_the_program(there: Desk) -> None:
    rows = there.sql("SELECT action, source, target, role, duty, back FROM desk.transitions")
    assert set(rows) == {(s.action, s.source, s.target, s.role, s.duty, s.back) for s in TRANSITIONS}


def test_the_tables_are_as_queries_name_them(there: Desk) -> None:
    inspector = sa.inspect(there.office.center.journal.engine.pool)
    shape = {
        name: [c["name"] for c in inspector.get_columns(name, "desk")] for name in inspector.get_table_names("desk")
    }
    assert shape == {table.name: list(table.columns.keys()) for table in tables.metadata.tables.values()}


def test_a_step_by_sql_is_held_against_state_role_and_organisation(there: Desk) -> None:
    application = at(there, "plan_review")
    for who, action, word in (
        ("reviewer", "pass_first", "state"),
        ("tester", "accept_plan", "role"),
        ("administrator", "accept_plan", "role"),
        ("applicant", "accept_plan", "role"),
        ("stranger", "withdraw", "no such application"),
    ):
        with pytest.raises(Refusal, match=word):
            take(there, who, application, action)
    with pytest.raises(Refusal, match="opinion"):
        take(there, "reviewer", application, "return_application", opinion="  ")
    assert there.state(application) == "plan_review"


def test_nobody_reviews_or_approves_what_they_tested(there: Desk) -> None:
    """One person with every role of the center tests, and cannot go on with it, not even much later."""
    number = there.actors["tester"].person
    there.sql("INSERT INTO desk.memberships VALUES (%s, 'reviewer'), (%s, 'approver')", number, number)
    try:
        application = at(there, "first_review")
        with pytest.raises(Refusal, match="duty"):
            take(there, "tester", application, "pass_first")
        take(there, "reviewer", application, "pass_first")
        with pytest.raises(Refusal, match="duty"):
            take(there, "tester", application, "pass_second")
        for who, action in WAY[6:9]:
            take(there, who, application, action)
        with pytest.raises(Refusal, match="duty"):
            take(there, "tester", application, "issue")
    finally:
        there.sql("DELETE FROM desk.memberships WHERE person = %s AND role <> 'tester'", number)


def test_who_drafted_does_not_issue(there: Desk) -> None:
    number = there.actors["reviewer"].person
    there.sql("INSERT INTO desk.memberships VALUES (%s, 'approver')", number)
    try:
        application = at(there, "issuing")
        with pytest.raises(Refusal, match="duty"):
            take(there, "reviewer", application, "issue")
    finally:
        there.sql("DELETE FROM desk.memberships WHERE person = %s AND role = 'approver'", number)


@pytest.mark.parametrize("who", ["applicant", "tester", "approver", "auditor"])
def test_only_an_administrator_gives_roles_and_lets_people_in(there: Desk, who: str) -> None:
    number, tester = there.actors[who].person, there.actors["tester"].person
    role = "applicant" if who == "applicant" else "administrator"
    with pytest.raises(Refusal):
        as_person(there, who, "INSERT INTO desk.memberships VALUES (:p, :r)", p=number, r=role)
    with pytest.raises(Refusal):
        as_person(there, who, "INSERT INTO desk.organisations (name, kind) VALUES ('x', 'vendor')")
    as_person(there, who, "UPDATE desk.people SET active = false WHERE id <> :p", p=number)
    assert there.sql("SELECT active FROM desk.people WHERE id = %s", tester) == [(True,)], "no row was reached"


def test_a_person_who_was_let_out_takes_no_step(there: Desk) -> None:
    application = at(there, "plan_review")
    number = there.actors["reviewer"].person
    there.sql("UPDATE desk.people SET active = false WHERE id = %s", number)
    try:
        with pytest.raises(Refusal, match="role"):
            take(there, "reviewer", application, "accept_plan")
    finally:
        there.sql("UPDATE desk.people SET active = true WHERE id = %s", number)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE desk.applications SET state = 'issued' WHERE id = :a",
        "UPDATE desk.applications SET campaign = 'c' WHERE id = :a",
        "UPDATE desk.applications SET organisation = 3 WHERE id = :a",
        "UPDATE desk.applications SET form = '{}' WHERE id = :a",
        "DELETE FROM desk.applications WHERE id = :a",
        "UPDATE desk.application_steps SET person = 1 WHERE application = :a",
        "DELETE FROM desk.application_steps WHERE application = :a",
        "INSERT INTO desk.transitions VALUES ('x', 'plan_review', 'issued', 'applicant', 'apply', false)",
        "INSERT INTO desk.certificates VALUES ('X', :a, 'c', 'p', 'v', 'w', 'k', 'i', '', '[]', '[]')",
        "DELETE FROM desk.audit WHERE seq > :a",
        "UPDATE desk.audit SET who = 'x' WHERE seq > :a",
        "TRUNCATE desk.audit",
        "UPDATE desk.people SET organisation = 1, account = 'x' WHERE id <> :a",
    ],
)
@pytest.mark.parametrize("who", ["applicant", "administrator", "approver"])
def test_what_sql_of_a_request_may_not_do(there: Desk, statement: str, who: str) -> None:
    application = at(there, "plan_review")
    before = there.sql("SELECT to_jsonb(a) FROM desk.applications a WHERE id = %s", application)
    with pytest.raises((Refusal, sa.exc.DBAPIError)):
        as_person(there, who, statement.replace(":a", str(application)))
    assert there.sql("SELECT to_jsonb(a) FROM desk.applications a WHERE id = %s", application) == before


@pytest.mark.parametrize("table", ["audit", "application_steps", "certificates"])
def test_not_even_the_owner_changes_what_is_only_added_to(there: Desk, table: str) -> None:
    at(there, "plan_review")
    for statement in (f"DELETE FROM desk.{table}", f"TRUNCATE desk.{table} CASCADE"):
        with pytest.raises(psycopg.Error, match="never changed"):
            there.sql(statement)


def test_a_certificate_needs_an_application_that_was_issued_by_three_people(there: Desk) -> None:
    application = at(there, "issuing")
    with pytest.raises(psycopg.Error, match="was issued"):
        there.sql(
            "INSERT INTO desk.certificates VALUES ('X', %s, 'c', 'p', 'v', 'w', 'k', 'i', '', '[]', '[]')", application
        )


def test_rows_of_another_organisation_are_not_there(there: Desk) -> None:
    own, other = there.application("applicant"), there.application("stranger")
    for who, seen, hidden in (("applicant", own, other), ("stranger", other, own)):
        numbers = {row[0] for row in as_person(there, who, "SELECT id FROM desk.applications")}
        assert seen in numbers
        assert hidden not in numbers
        assert as_person(there, who, "SELECT * FROM desk.application_steps WHERE application = :a", a=hidden) == []
        assert len(as_person(there, who, "SELECT * FROM desk.organisations")) == 1
        assert len(as_person(there, who, "SELECT * FROM desk.people")) == 1
        assert as_person(there, who, "SELECT * FROM desk.audit") == []
        with pytest.raises(Refusal):
            as_person(there, who, UPLOAD, a=hidden)
    for query in (
        "applications",
        "people",
        "organisations",
        "application_steps",
        "uploads",
        "tokens",
        "sessions",
        "audit",
    ):
        assert as_person(there, PUBLIC, f"SELECT * FROM desk.{query}") == [], query
    assert {own, other} <= {row[0] for row in as_person(there, "tester", "SELECT id FROM desk.applications")}
    assert as_person(there, "tester", "SELECT * FROM desk.audit") == [], "the trail is for auditors"
    assert as_person(there, "auditor", "SELECT * FROM desk.audit")


def test_what_a_transaction_told_the_policies_ends_with_it(there: Desk) -> None:
    as_person(there, system(), "SELECT 1")
    with there.office.center.journal.engine.pool.connect() as connection:
        assert not connection.execute(sa.text("SELECT current_setting('desk.reach', true)")).scalar()
        assert connection.execute(sa.text("SELECT current_user")).scalar() == "tests"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), max_size=3))
def test_the_chain_of_the_trail_holds_whatever_words_are_in_it(there: Desk, lines: list[tuple[str, str]]) -> None:
    with there.office.desk.acting(there.actors["tester"]) as connection:
        for subject, detail in lines:
            subject, detail = (text.replace("\0", "").encode("utf-8", "replace").decode() for text in (subject, detail))
            note(connection, there.actors["tester"], "tried", subject, detail=detail)
    assert auditing.broken_at(there.office.desk, there.actors["auditor"]) is None


def test_a_line_that_its_owner_changed_by_force_is_told(there: Desk, tmp_path: Path) -> None:
    with cluster() as server, desk(tmp_path, server.database()) as own:
        auditor = own.actors["auditor"]
        assert auditing.broken_at(own.office.desk, auditor) is None
        own.sql("ALTER TABLE desk.audit DISABLE TRIGGER append_only")
        own.sql("UPDATE desk.audit SET subject = 'somebody else' WHERE seq = 3")
        assert auditing.broken_at(own.office.desk, auditor) == 3
        own.sql("DELETE FROM desk.audit WHERE seq = 2")
        assert auditing.broken_at(own.office.desk, auditor) == 2


def test_an_owner_without_more_rights_serves_a_desk_and_its_backup_is_whole(there: Desk, tmp_path: Path) -> None:
    """No superuser: the role of requests is asked for in a sentence, and rows behind policies are in the backup."""
    with cluster() as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE plain LOGIN")
            for name in ("first", "second"):
                connection.execute(f"CREATE DATABASE {name} OWNER plain".encode())
        first, second = (server.url(name).replace("tests@", "plain@") for name in ("first", "second"))
        refused = Workspace(tmp_path / "a", first)
        with pytest.raises(InfrastructureError, match=r"the desk needs the role harness_desk") as told:
            Database(Center(refused))
        assert isinstance(refused.journal, DatabaseJournal)
        refused.journal.close()
        assert "CREATE ROLE harness_desk NOLOGIN" in told.value.advice
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE harness_desk NOLOGIN")
            connection.execute("GRANT harness_desk TO plain")
        with desk(tmp_path / "desk", first) as own:
            application = at(own, "first_review")
            assert as_person(own, "stranger", "SELECT * FROM desk.applications") == []
            backup(own.office.center, tmp_path / "desk.dump")
        place = Workspace(tmp_path / "b", second)
        restore(place, tmp_path / "desk.dump")
        with pytest.raises(UsageError, match="holds a record"):
            restore(place, tmp_path / "desk.dump")
        again = Database(Center(place))
        with again.acting(system()) as connection:
            state = connection.execute(
                sa.select(tables.applications.c.state).where(tables.applications.c.id == application)
            )
            assert state.scalar() == "first_review"
        assert auditing.broken_at(again, own.actors["auditor"]) is None
        assert isinstance(place.journal, DatabaseJournal)
        place.journal.close()
