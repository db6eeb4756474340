"""The tables of the journal: made, migrated, refused where they are no journal's."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from harness.errors import InfrastructureError, UsageError
from harness.evidence import Workspace, broken_at
from harness.evidence.database import DatabaseJournal
from harness.evidence.migrating import HEAD, upgrade
from harness.evidence.sqlite import url_of
from harness.evidence.tables import metadata
from tests.databases import Cluster, cluster
from tests.journals import campaign, whole, wrong


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
        for table in ("claims", "submissions", "queues", "workers", "limits"):
            connection.execute(sa.text(f"DROP TABLE {table}"))
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("DROP SCHEMA desk CASCADE"))
        connection.execute(sa.text("ALTER TABLE attempts DROP COLUMN token"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    journal.close()
    opened = Workspace(tmp_path / "ws2", place)
    assert opened.journal.events() == before
    assert wrong(opened) == set()
    with opened.hold("c1") as held:
        assert held.token == 1
    opened.journal.close()


def test_submissions_of_before_versions_belong_to_who_submitted_them(server: Cluster, url: str, tmp_path: Path) -> None:
    from harness.evidence.engines import engine_of

    place = url_of(tmp_path / "old.sqlite") if url.startswith("sqlite") else server.database()
    engine = engine_of(place)
    with engine.writing() as connection:
        upgrade(connection, "0006")
        for identity, version in (("c1", "0.0.8"), ("c2", "0.0.9")):
            opened = {"id": identity, "conditions": json.dumps({"harness": version})}
            connection.execute(
                sa.text(
                    "INSERT INTO campaigns (id, created, matrix, folder, plan_digest, plan, options, conditions) "
                    "VALUES (:id, '', 'm', '/m', 'd', '{}', '{}', :conditions)"
                ),
                opened,
            )
            connection.execute(sa.text("INSERT INTO submissions VALUES (:id, 'v', 0, 'queued')"), {"id": identity})
    engine.pool.dispose()
    again = DatabaseJournal(place)
    with again.engine.reading() as connection:
        found = connection.execute(sa.text("SELECT campaign, harness FROM submissions ORDER BY campaign")).all()
    assert found == [("c1", "0.0.8"), ("c2", "0.0.9")]
    again.close()


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
