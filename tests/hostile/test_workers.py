"""What somebody does who has a worker's credentials of a center and no good will: the database refuses.

Two workers with roles of their own, two customers' campaigns; the server, the tables and the queue are real.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from procrastinate.exceptions import ConnectorException

from harness.campaigns.options import RunOptions
from harness.center import watching
from harness.center.granting import grant_worker, revoke_worker, worker_role
from harness.center.queueing import Center
from harness.center.submitting import submit
from harness.errors import HarnessError, InfrastructureError, UsageError
from harness.evidence import Claim, Recorder, Workspace, broken_at
from harness.evidence.chain import link
from harness.evidence.checking import differences
from harness.evidence.database import DatabaseJournal
from harness.evidence.lookup import row_of
from harness.model.records import AttemptFacts
from harness.model.results import Observation, Result, State, Verdict
from harness.reading.catalogue import Catalogue
from tests.databases import Cluster
from tests.products import WEB, product

NORTH, SOUTH = "north-1", "south.2"


@dataclass
class Player:
    """A worker as a process has it: its own connection, and a job and a claim where it took some."""

    center: Center
    url: str
    identity: int = 0
    job: int = 0
    campaign: str = ""
    cell: str = ""
    claim: Claim | None = None
    number: int = 0

    def held(self) -> Claim:
        assert self.claim is not None
        return self.claim

    def take(self) -> None:
        async def go() -> None:
            app = self.center.app()
            async with app.open_async():
                self.identity = await app.job_manager.register_worker()
                queues = [queue if isinstance(queue, str) else queue[0] for queue in self._queues()]
                job = await app.job_manager.fetch_job(queues=queues, worker_id=self.identity)
                assert job is not None
                assert job.id is not None
                self.job, self.campaign = job.id, str(job.task_kwargs["campaign"])
                self.cell = str(job.task_kwargs["cell"])

        asyncio.run(go())
        self.claim = self.center.workspace.claims.claim(self.campaign, self.cell)
        self.number = self.journal.begin(self.campaign, self.cell, token=self.claim.token)

    def _queues(self) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return [name for (name,) in connection.execute("SELECT queue FROM queues").fetchall()]

    @property
    def journal(self) -> DatabaseJournal:
        return self.center.journal

    @property
    def token(self) -> int:
        assert self.claim is not None
        return self.claim.token

    def sql(self, statement: str, *values: Any) -> Any:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else cursor.rowcount


@dataclass
class Scene:
    owner: Center
    north: Player
    south: Player
    server: Cluster

    def state(self) -> dict[str, Any]:
        """Everything that matters, as the owner sees it; heartbeats aside."""
        tables = {
            "campaigns": "*",
            "attempts": "*",
            "observations": "*",
            "files": "*",
            "events": "*",
            "chains": "*",
            "submissions": "*",
            "queues": "*",
            "resources": "*",
            "claims": "campaign, cell, worker, token, cancel, patience, role",
            "workers": "name, state, says",
            "procrastinate_jobs": "id, queue_name, status, worker_id, attempts, priority, args",
            "procrastinate_workers": "id",
        }
        with self.owner.journal.engine.reading() as connection:
            read = {
                name: sorted(map(repr, connection.exec_driver_sql(f"SELECT {columns} FROM {name}").fetchall()))
                for name, columns in tables.items()
            }
            relations = (
                "SELECT relname, relrowsecurity, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            )
            read["tables"] = sorted(map(repr, connection.exec_driver_sql(relations).fetchall()))
        return read


@pytest.fixture
def scene(server: Cluster, tmp_path: Path) -> Iterator[Scene]:
    url = server.database()
    owner = Center(Workspace(tmp_path / "owner", url))
    players = []
    for name in (NORTH, SOUTH):
        role = f"{name}-{secrets.token_hex(4)}"  # roles are the whole server's
        granted = grant_worker(owner, role)
        assert granted.password
        assert grant_worker(owner, role).password == "", "it may be said again"
        players.append(Player(Center(Workspace(tmp_path / name, granted.url)), granted.url))
    for name in ("prod-a", "prod-b"):
        folder = product(tmp_path / name, {**WEB, "application": name}, database=["sqlite", "none"])
        submit(folder, owner, RunOptions(), Catalogue.standard(), customer=name)
    made = Scene(owner, players[0], players[1], server)
    yield made
    for place in (owner, *(player.center for player in players)):
        place.journal.close()


@pytest.fixture
def working(scene: Scene) -> Scene:
    """Each worker has a cell, of another customer each."""
    scene.north.take()
    scene.south.take()
    assert scene.north.campaign != scene.south.campaign
    for player in (scene.north, scene.south):
        player.journal.state(player.campaign, player.cell, player.number, State.PROVISIONING, token=player.token)
        record = _recorder(player)
        kept = record.keep("log.txt", b"a log of " + player.campaign.encode())
        record.observe(Observation(case="C1", suite="s", result=Result.PASS, evidence=(kept,)))
    return scene


def _recorder(player: Player) -> Recorder:
    store = player.center.workspace.store
    return Recorder(player.journal, store, player.campaign, player.cell, player.number, token=player.token)


def _role(player: Player) -> str:
    return player.url.split("//")[1].split(":")[0]


def test_an_honest_worker_brings_its_cell_to_an_end(working: Scene) -> None:
    for player in (working.north, working.south):
        assert worker_role(player.center) == _role(player)
        player.center.workspace.claims.beat(player.held())
        record = _recorder(player)
        record.event("waiting", message="for nothing")
        record.intent("container", f"c-{player.campaign}")
        record.created("container", f"c-{player.campaign}", "id")
        record.removed("container", f"c-{player.campaign}")
        record.finish(Verdict.CONFORMANT, None, "", AttemptFacts())
        player.center.workspace.claims.release(player.held())
        assert player.center.end(player.job, player.identity)
        player.center.advance(player.campaign)
        assert broken_at(working.owner.journal) is None
        events = working.owner.journal.events(player.campaign)
        assert differences(working.owner.journal, player.campaign, events) == []
    assert worker_role(working.owner) == ""
    kept = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
    with psycopg.connect(working.owner.url) as connection:
        for player in (working.north, working.south):
            verifier = connection.execute(kept, (_role(player),)).fetchone()
            assert verifier is not None
            assert verifier[0].startswith("SCRAM-SHA-256$4096:")


def refuse(scene: Scene, attack: Callable[[], object]) -> str:
    """The attack ends in a refusal, or touches no row; and nothing is changed. Gives the refusal."""
    before, said = scene.state(), ""
    try:
        touched = attack()
    except (psycopg.Error, HarnessError, ConnectorException) as error:
        said = str(error)
    else:
        assert touched in (0, [], None, False), f"it was let through: {touched}"
    assert scene.state() == before
    return said


def test_1_a_result_in_another_s_attempt(working: Scene) -> None:
    north, south = working.north, working.south
    seen = Observation(case="C2", suite="s", result=Result.FAIL, detail="not so")
    attempts: list[Callable[[], object]] = [
        lambda: north.journal.observe(south.campaign, south.cell, south.number, [seen], token=south.token),
        lambda: north.journal.observe(south.campaign, south.cell, south.number, [seen], token=north.token),
        lambda: north.journal.finish(
            south.campaign,
            south.cell,
            south.number,
            verdict=Verdict.NONCONFORMANT,
            cause=None,
            message="",
            facts=AttemptFacts(),
            token=south.token,
        ),
        lambda: north.sql(
            'INSERT INTO observations (campaign, cell, number, suite, "case", seq, result, seconds, detail, '
            "measurements, evidence) VALUES (%s, %s, %s, 's', 'C9', 1, 'fail', 0, '', '[]', '[]')",
            south.campaign,
            south.cell,
            south.number,
        ),
        lambda: north.sql("UPDATE attempts SET verdict = 'nonconformant' WHERE campaign = %s", south.campaign),
        lambda: north.sql("UPDATE attempts SET token = token WHERE campaign = %s RETURNING 1", south.campaign),
        # As its own attempt, in a campaign and a cell that it was never given.
        lambda: north.journal.begin(south.campaign, south.cell, token=0),
        lambda: north.sql(
            "INSERT INTO attempts (campaign, cell, number, state, started, facts, token) "
            "VALUES (%s, %s, 77, 'queued', '', '{}', %s)",
            south.campaign,
            south.cell,
            north.token,
        ),
        # A result that no event says, in its own attempt.
        lambda: north.sql(
            'INSERT INTO observations (campaign, cell, number, suite, "case", seq, result, seconds, detail, '
            "measurements, evidence) VALUES (%s, %s, %s, 's', 'C9', 1, 'fail', 0, '', '[]', '[]')",
            north.campaign,
            north.cell,
            north.number,
        ),
    ]
    for attack in attempts:
        refuse(working, attack)


def test_2_a_claim_that_lives(working: Scene) -> None:
    north, south = working.north, working.south
    take = "UPDATE claims SET worker = 'mine', token = token + 1, heartbeat = 0 WHERE campaign = %s AND cell = %s"
    other_cell = next(
        c["id"] for c in row_of(working.owner.journal, north.campaign).plan["cells"] if c["id"] != north.cell
    )
    for attack in (
        lambda: north.center.workspace.claims.claim(south.campaign, south.cell),
        lambda: north.sql(take, south.campaign, south.cell),
        lambda: north.sql("UPDATE claims SET worker = '' WHERE campaign = %s", south.campaign),
        lambda: north.sql("UPDATE claims SET role = session_user WHERE campaign = %s", south.campaign),
        # The whole campaign, without the job that closes it; a cell of its own campaign that it was not given.
        lambda: north.center.workspace.claims.claim(north.campaign),
        lambda: north.center.workspace.claims.claim(north.campaign, other_cell),
        lambda: north.sql("UPDATE claims SET token = 2000000000 WHERE campaign = %s", north.campaign),
        lambda: north.sql("UPDATE claims SET cell = %s WHERE cell = %s", other_cell, north.cell),
        lambda: north.sql("DELETE FROM claims"),
    ):
        refuse(working, attack)
    working.south.center.workspace.claims.beat(south.held())


def test_2_a_claim_that_lives_in_a_campaign_of_both(scene: Scene) -> None:
    """Both take part in the campaign, so each sees the other's claim."""
    watching.pause(scene.owner, scene.owner.submissions()[0]["campaign"])
    scene.north.take()
    scene.south.take()
    assert scene.north.campaign == scene.south.campaign
    assert scene.north.cell != scene.south.cell
    north, south = scene.north, scene.south
    for attack in (
        lambda: north.center.workspace.claims.claim(south.campaign, south.cell),
        lambda: north.sql("UPDATE claims SET worker = '' WHERE cell = %s", south.cell),
        lambda: north.sql("UPDATE claims SET worker = 'x', token = token + 1 WHERE cell = %s", south.cell),
        lambda: north.sql("UPDATE claims SET heartbeat = 0 WHERE cell = %s", south.cell),
        lambda: north.journal.state(south.campaign, south.cell, south.number, State.RUNNING, token=south.token),
    ):
        assert refuse(scene, attack)
    refuse(scene, lambda: north.journal.adopt(south.campaign, south.cell, south.number, token=north.token))
    # Nor does its own claim live longer than the database's clock says.
    north.sql("UPDATE claims SET heartbeat = 9e12, patience = 9e9 WHERE cell = %s", north.cell)
    held = [row for row in scene.owner.workspace.claims.holders(north.campaign) if row.cell == north.cell]
    assert abs(held[0].age) < 60
    assert held[0].patience <= 3600


def test_3_what_was_recorded(working: Scene) -> None:
    north = working.north
    for table in ("attempts", "observations", "files", "events", "chains", "campaigns", "resources", "submissions"):
        said = refuse(working, lambda table=table: north.sql(f"DELETE FROM {table}"))
        assert "permission denied" in said
    for attack in (
        lambda: north.sql("UPDATE events SET data = '{}'"),
        lambda: north.sql("UPDATE observations SET result = 'pass'"),
        lambda: north.sql("UPDATE files SET sha256 = repeat('0', 64)"),
        lambda: north.sql("UPDATE chains SET head = repeat('0', 64), length = length + 1"),
        lambda: north.sql("UPDATE chains SET length = 0 WHERE campaign = %s", north.campaign),
        lambda: north.sql("UPDATE attempts SET started = ''"),
        lambda: north.sql("UPDATE attempts SET number = 9"),
    ):
        assert refuse(working, attack)


def test_3_a_closed_attempt_of_its_own(working: Scene) -> None:
    north = working.north
    _recorder(north).finish(Verdict.CONFORMANT, None, "", AttemptFacts())
    refuse(working, lambda: north.sql("UPDATE attempts SET verdict = 'nonconformant' WHERE number = %s", north.number))
    refuse(working, lambda: north.sql("UPDATE attempts SET state = 'queued'"))


@pytest.mark.parametrize(
    "change",
    [
        {"previous": "0" * 64},
        {"digest": "0" * 64},
        {"seq": 4000},
        {"kind": "campaign-closed"},
        {"kind": "submission", "data": '{"state": "cancelled"}'},
        {"campaign": ""},
        {"cell": "another"},
        {},
    ],
)
def test_3_events_that_do_not_follow(working: Scene, change: dict[str, Any]) -> None:
    """With an empty change it follows, and is still behind the end of its chain, which was not lengthened."""
    north = working.north
    length, head = north.journal.chain(change.get("campaign", north.campaign))
    row = {
        "campaign": north.campaign,
        "seq": length + 1,
        "time": "2026-01-01T00:00:00.000+00:00",
        "cell": north.cell,
        "number": north.number,
        "kind": "waiting",
        "data": "{}",
        "previous": head,
    }
    row |= {key: value for key, value in change.items() if key != "digest"}
    row["digest"] = change.get("digest", link(row))
    columns = ", ".join(row)
    insert = f"INSERT INTO events ({columns}) VALUES ({', '.join(['%s'] * len(row))})"
    assert refuse(working, lambda: north.sql(insert, *row.values()))


def test_4_a_campaign_that_is_another_s(working: Scene) -> None:
    north, south = working.north, working.south
    for campaign in (south.campaign, north.campaign):
        for attack in (
            lambda campaign=campaign: watching.cancel(north.center, campaign, now=True),
            lambda campaign=campaign: watching.pause(north.center, campaign),
            lambda campaign=campaign: north.journal.close_campaign(campaign, Verdict.CONFORMANT, {}),
            lambda campaign=campaign: north.sql(
                "UPDATE campaigns SET finished = 'now', verdict = 'conformant' WHERE id = %s", campaign
            ),
            lambda campaign=campaign: north.sql(
                "UPDATE submissions SET state = 'closed' WHERE campaign = %s", campaign
            ),
            lambda campaign=campaign: north.sql("UPDATE campaigns SET plan = '{}' WHERE id = %s", campaign),
            lambda campaign=campaign: north.sql("UPDATE submissions SET priority = 9 WHERE campaign = %s", campaign),
            lambda campaign=campaign: north.center.withdraw(campaign),
        ):
            refuse(working, attack)


def test_5_a_job_that_is_another_s(working: Scene) -> None:
    north, south = working.north, working.south
    jobs = [job for (job,) in north.sql("SELECT id FROM procrastinate_jobs WHERE status = 'todo'")]
    finish = "SELECT {}procrastinate_finish_job_v1({}, 'succeeded', {})"
    for attack in (
        lambda: north.center.end(south.job, south.identity),
        lambda: north.center.give_back(south.job, south.identity),
        lambda: north.sql(finish.format("", south.job, "false")),
        lambda: north.sql(finish.format("public.", south.job, "false")),
        lambda: north.sql(finish.format("", jobs[0], "false")),
        lambda: north.sql(finish.format("", north.job, "true")),
        lambda: north.sql(f"SELECT public.procrastinate_cancel_job_v1({jobs[0]}, false, true)"),
        lambda: north.sql(f"SELECT procrastinate_retry_job_v2({north.job}, now(), 999, NULL, NULL)"),
        lambda: north.sql(f"SELECT procrastinate_retry_job_v2({south.job}, now(), NULL, NULL, NULL)"),
        lambda: north.sql(f"SELECT procrastinate_update_heartbeat_v1({south.identity})"),
        lambda: north.sql(f"SELECT procrastinate_unregister_worker_v1({south.identity})"),
        lambda: north.sql(f"SELECT * FROM procrastinate_fetch_job_v2(NULL, {south.identity})"),
        lambda: north.sql("SELECT public.procrastinate_prune_stalled_workers_v1(0)"),
        lambda: north.sql("SELECT public.procrastinate_register_worker_v1()"),
        lambda: north.sql("UPDATE procrastinate_jobs SET abort_requested = true"),
        lambda: north.sql("UPDATE procrastinate_jobs SET worker_id = NULL"),
        lambda: north.sql("DELETE FROM procrastinate_jobs"),
        lambda: north.sql("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 'cell')"),
        lambda: north.sql("INSERT INTO harness_worker.identities VALUES (%s, session_user)", south.identity),
        lambda: north.center.journal.transact(
            "x", lambda unit: north.center.put(unit, [north.center.close_job(north.campaign, "0.1.0")])
        ),
        lambda: north.center.journal.transact(
            "x",
            lambda unit: north.center.put(unit, north.center.cell_jobs(north.campaign, [], 0) or [_cell_job(north)]),
        ),
    ):
        said = refuse(working, attack)
        assert said or attack() is False


def test_5_a_job_that_is_given_back_for_ever(working: Scene) -> None:
    """No campaign waits for longer than an hour because a worker wants it to."""
    for player in (working.north, working.south):
        player.sql(f"SELECT procrastinate_retry_job_v2({player.job}, 'infinity', NULL, NULL, NULL)")
        late = "SELECT count(*) FROM procrastinate_jobs WHERE scheduled_at > clock_timestamp() + interval '61 minutes'"
        assert player.sql(late) == [(0,)]


def _cell_job(player: Player) -> Any:
    from harness.center.queueing import Entry

    return player.center.cell_jobs(player.campaign, [Entry(cell="made up", queue="q")], 900)[0]


def test_6_another_worker_s_name(working: Scene) -> None:
    north, south = working.north, working.south
    insert = "INSERT INTO workers (name, started, heartbeat, state, says) VALUES (%s, '', 0, 'working', '{}')"
    own, other = _role(north), _role(south)
    south.sql(insert, other)
    for attack in (
        lambda: north.sql(insert, "somebody"),
        lambda: north.sql(insert, other),
        lambda: north.sql("UPDATE workers SET state = 'gone' WHERE name = %s", other),
        lambda: north.sql("DELETE FROM workers WHERE name = %s", other),
        lambda: north.sql("SELECT says FROM workers"),
        lambda: north.sql(f'SET SESSION AUTHORIZATION "{other}"'),
        lambda: north.sql(f'SET ROLE "{other}"'),
        lambda: north.sql(f"ALTER ROLE \"{other}\" PASSWORD 'x'"),
        lambda: north.sql(f'GRANT "{other}" TO "{own}"'),
        lambda: north.sql("UPDATE workers SET name = %s", other),
    ):
        refuse(working, attack)
    north.sql(insert, own)
    refuse(working, lambda: north.sql("UPDATE workers SET name = %s WHERE name = %s", "somebody", own))


def test_7_what_another_customer_s_cells_showed(working: Scene) -> None:
    north, south = working.north, working.south
    for table in ("attempts", "observations", "files", "events", "chains", "claims"):
        assert north.sql(f"SELECT count(*) FROM {table} WHERE campaign = %s", north.campaign)[0][0]
        assert north.sql(f"SELECT count(*) FROM {table} WHERE campaign = %s", south.campaign) == [(0,)], table
    for statement in (
        "SELECT * FROM harness_worker.tasks",
        "SELECT * FROM harness_worker.identities",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY events TO PROGRAM 'cat'",
        "COPY events TO '/tmp/events'",
        "SELECT lo_import('/etc/passwd')",
    ):
        said = refuse(working, lambda statement=statement: north.sql(statement))
        assert "permission denied" in said or "must be superuser" in said, (statement, said)
    watching.cancel(working.owner, south.campaign, now=True)
    assert north.sql("SELECT id FROM campaigns WHERE id = %s", south.campaign) == [], "it is not open any more"


def test_8_and_9_tables(working: Scene) -> None:
    north = working.north
    for statement in (
        "ALTER TABLE attempts DROP COLUMN verdict",
        "ALTER TABLE attempts DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE claims DISABLE TRIGGER ALL",
        "DROP TABLE events",
        "DROP SCHEMA harness_worker CASCADE",
        "DROP POLICY harness_worker_begin ON attempts",
        "CREATE TABLE public.mine (a int)",
        "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'",
        "CREATE FUNCTION harness_worker.trusted() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
        "CREATE OR REPLACE FUNCTION harness_worker.runs(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
        "UPDATE alembic_version SET version_num = '9999'",
        "DELETE FROM alembic_version",
        "TRUNCATE attempts",
        "TRUNCATE events, chains",
        "TRUNCATE procrastinate_jobs CASCADE",
        "SET session_replication_role = replica",
        "ALTER DATABASE postgres RENAME TO mine",
        "CREATE DATABASE mine",
        "CREATE EXTENSION dblink",
    ):
        said = refuse(working, lambda statement=statement: north.sql(statement))
        assert "permission denied" in said or "must be owner" in said or "must be" in said, (statement, said)


def test_8_a_later_harness_with_a_worker_s_rights_changes_no_table(working: Scene, monkeypatch: Any) -> None:
    from harness.evidence import migrating

    monkeypatch.setattr(migrating, "HEAD", "9999")
    monkeypatch.setattr(migrating, "EARLIER", ("0004",))
    monkeypatch.setattr(migrating, "upgrade", lambda connection: connection.exec_driver_sql("DROP TABLE files"))
    refuse(working, lambda: DatabaseJournal(working.north.url))


def test_8_a_temporary_table_of_the_same_name_deceives_nobody(working: Scene) -> None:
    """The functions look at the tables of the center, whatever a session has made before."""
    north, south = working.north, working.south

    def attack() -> None:
        with psycopg.connect(north.url) as connection:
            connection.execute("CREATE TEMP TABLE claims AS SELECT * FROM public.claims")
            connection.execute("INSERT INTO claims SELECT %s, '', 'x', 1, 0, '', 9e9, session_user", (south.campaign,))
            connection.execute("SET search_path = pg_temp, public")
            connection.execute(
                "INSERT INTO public.attempts (campaign, cell, number, state, started, facts, token) "
                "VALUES (%s, %s, 5, 'queued', '', '{}', 1)",
                (south.campaign, south.cell),
            )

    assert "row-level security" in refuse(working, attack)


def test_10_evidence_that_is_not_what_it_says(working: Scene) -> None:
    north, south = working.north, working.south
    one = next(row for row in north.journal.files(north.campaign))
    insert = (
        "INSERT INTO files (campaign, seq, cell, number, name, sha256, size, media) "
        "VALUES (%s, %s, %s, %s, 'x', %s, 1, 'text/plain')"
    )
    for attack in (
        lambda: north.sql(insert, north.campaign, 999, north.cell, north.number, "f" * 64),
        lambda: north.sql(insert, north.campaign, 2, north.cell, north.number, one.sha256),
        lambda: north.sql(insert, south.campaign, 999, south.cell, south.number, one.sha256),
        lambda: north.journal.file(
            north.campaign, north.cell, north.number, "x", "no digest", 1, "text/plain", token=north.token
        ),
        lambda: north.journal.file(
            south.campaign, south.cell, south.number, "x", "0" * 64, 1, "text/plain", token=north.token
        ),
        lambda: north.journal.file(south.campaign, "", 0, "x", "0" * 64, 1, "text/plain"),
    ):
        assert refuse(working, attack)


def test_a_worker_whose_rights_were_taken_is_out_at_once(working: Scene) -> None:
    north, south = working.north, working.south
    with psycopg.connect(north.url, autocommit=True) as standing:
        standing.execute("SELECT 1")
        revoke_worker(working.owner, _role(north))
        with pytest.raises(psycopg.Error):
            standing.execute("SELECT id FROM campaigns")
    with pytest.raises(psycopg.Error):
        north.sql("SELECT 1")
    south.center.workspace.claims.beat(south.held())
    again = grant_worker(working.owner, _role(north))
    assert again.password
    north.sql("SELECT id FROM campaigns")


@pytest.mark.parametrize("name", ["", "pg_x", "A", "a b", 'a"b', "a;b", "-a", "x" * 64, "中"])
def test_names_that_no_worker_has(scene: Scene, name: str) -> None:
    with pytest.raises(UsageError, match="no worker may be named"):
        grant_worker(scene.owner, name)


def test_a_role_that_may_do_more_is_no_worker_s(scene: Scene) -> None:
    scene.owner.journal.transact(
        "x",
        lambda unit: unit.connection.exec_driver_sql("CREATE ROLE mighty SUPERUSER; CREATE ROLE member IN ROLE tests"),
    )
    for name in ("mighty", "member", "tests"):
        with pytest.raises(UsageError, match="may do more"):
            grant_worker(scene.owner, name)
    with pytest.raises(UsageError, match="no role"):
        revoke_worker(scene.owner, "nobody")
    with pytest.raises(InfrastructureError, match="42501"):
        grant_worker(scene.north.center, "another")
