"""A database server of a laboratory, for real: places, accounts, what killed runs leave, ends, odd names, TLS."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.control.servers import CellDatabase, QueryFailed
from harness.endpoints.asking import Account, Refused, connect
from harness.endpoints.holding import account_at, clean, left_at, placed_at
from harness.endpoints.inventory import Server, resolved
from harness.endpoints.machine import EndpointMachine
from harness.endpoints.places import take
from harness.endpoints.sessions import conduct
from harness.errors import Canceled, InfrastructureError, SuiteError, UnsupportedVerb
from harness.execution.endpoints import attest_endpoint
from harness.execution.looking import look_at
from harness.model.context import Access
from harness.model.machine import MachineReference
from harness.model.sessions import SessionPlan, SessionStep
from harness.model.verbs import Verb, note_deed
from harness.system.waiting import QUIET, Waiting
from tests.endpoints import ODD_PASSWORD, Standing, mariadb, postgresql

PASSWORD = "Xc1_0123456789abcdef"
TEXT = "适配测试 𠀀\\n"


class Book:
    """A ledger that is looked into."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, ...]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []

    def intent(self, kind: str, name: str) -> None:
        self.notes.append(("intent", kind, name))

    def created(self, kind: str, name: str, engine_id: str) -> None:
        self.notes.append(("created", kind, name))

    def removed(self, kind: str, name: str) -> None:
        self.notes.append(("removed", kind, name))

    def event(self, kind: str, **data: Any) -> None:
        self.events.append((kind, data))

    def keep(self, name: str, data: bytes, media: str = "text/plain") -> str:
        return ""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Standing]:
    with postgresql() as standing:
        yield standing


@pytest.fixture(scope="module")
def maria() -> Iterator[Standing]:
    with mariadb() as standing:
        yield standing


@pytest.fixture(params=["postgres", "maria"])
def standing(request: pytest.FixtureRequest) -> Standing:
    value: Standing = request.getfixturevalue(request.param)
    return value


def held(server: Server, book: Book | None = None, **terms: Any) -> Any:
    return placed_at((server,), book or Book(), QUIET, threading.Event(), **{"patience": 0.0, **terms})


def database(server: Server, account: Account, deeds: Path = Path()) -> CellDatabase:
    machine = EndpointMachine(MachineReference(kind="endpoint", name="database", endpoint=server.endpoint, deeds=deeds))
    access = Access(kind="x", name=account.database, user=account.user, password=account.password or "")
    return CellDatabase(machine, server.database.at_endpoint(), access, restart_seconds=server.endpoint.restart_seconds)


def test_a_cell_has_a_user_and_database_of_its_own_until_it_ends(standing: Standing) -> None:
    server, book = standing.server(), Book()
    with held(server, book) as place, account_at(place, PASSWORD, book) as account:
        own = database(server, account)
        assert own.ready()
        own.query(f"create table t (a integer, b varchar(40)); insert into t values (1, '{TEXT}'), (2, null)")
        rows = own.query("select b from t order by a")
        assert rows[0] == ["适配测试 𠀀\\n"]  # MariaDB stores a line's end, and writes it so
        assert rows[1] == ([""] if standing.database == "postgresql" else ["NULL"])
        with pytest.raises(QueryFailed, match="nothing_there"):
            own.query("select * from nothing_there")
        assert list(left_at(server)) == [account.user]
        facts = {fact.name: fact for fact in attest_endpoint(own).facts}
        assert facts["database version"].observed
        assert all(fact.holds for fact in facts.values())
    assert left_at(server) == []
    with pytest.raises(InfrastructureError, match="takes no connection"):
        connect(server.endpoint, account)
    assert [note[0] for note in book.notes] == ["intent", "created", "removed"]
    assert not any(kind.startswith("endpoint-") for kind, _ in book.events)


def test_several_sessions_are_given_their_steps_in_turn(standing: Standing) -> None:
    with held(standing.server()) as place, account_at(place, PASSWORD, Book()) as account:
        own = database(place.server, account)
        own.query("create table t (a integer primary key, b integer); insert into t values (1, 10)")
        steps = [
            ("A", "start transaction"),
            ("A", "update t set b = 11 where a = 1"),
            ("B", "select b from t where a = 1"),
            ("B", "update t set b = b + 1 where a = 1"),
            ("A", "commit"),
            ("B", "select b from t where a = 1"),
            ("B", "select nothing_there from t"),
        ]
        answers = own.sessions([SessionStep(session=session, sql=sql) for session, sql in steps])
        assert [answer.waited for answer in answers] == [False, False, False, True, False, False, False]
        assert (answers[2].rows, answers[5].rows) == ((("10",),), (("12",),))
        assert "nothing_there" in answers[6].refusal


def test_a_session_that_waits_without_end_holds_nobody(standing: Standing) -> None:
    with held(standing.server()) as place, account_at(place, PASSWORD, Book()) as account:
        own = database(place.server, account)
        own.query("create table t (a integer primary key, b integer); insert into t values (1, 10)")
        hold = [
            ("A", "start transaction"),
            ("A", "update t set b = 11"),
            ("B", "update t set b = 12"),
            ("B", "select 1"),
        ]
        plan = SessionPlan(steps=tuple(SessionStep(session=s, sql=sql) for s, sql in hold), look=0.5, bound=1)
        answers = conduct(place.server.endpoint, account, plan)
        assert [(answer.given, answer.answered) for answer in answers] == [(True, True)] * 2 + [
            (True, False),
            (False, False),
        ]
        own.query("update t set b = 13")  # what the sessions held is free


def test_cells_at_once_are_counted_and_see_nothing_of_each_other(standing: Standing) -> None:
    server = standing.server(at_once=2)
    with held(server) as one, held(server) as two, account_at(one, PASSWORD, Book()) as a:
        with account_at(two, PASSWORD + "2", Book()) as b:
            assert {one.number, two.number} == {0, 1}
            first, second = database(server, a), database(server, b)
            first.query("create table secret (n integer)")
            with pytest.raises(QueryFailed):
                second.query(f"select * from {a.database}.secret")
            assert take(server, Book()) is None  # type: ignore[arg-type]
            with pytest.raises(InfrastructureError, match="every place stayed in use"), held(server):
                pass
        # The end of one takes nothing from the other.
        assert first.query("select count(*) from secret") == [["0"]]


def test_a_wait_for_a_place_is_announced_and_stopped(postgres: Standing) -> None:
    server, said, stop = postgres.server(), [], threading.Event()
    waiting = Waiting(notify=lambda words: (said.append(words), stop.set()), stopped=stop.is_set, notice_seconds=0.0)
    with held(server), pytest.raises(Canceled), placed_at((server,), Book(), waiting, threading.Event()):
        pass
    assert "a place at endpoint center-1" in said[0]


def test_of_two_servers_a_cell_takes_the_one_that_stands(postgres: Standing) -> None:
    good, gone = postgres.server("good"), postgres.server("gone", port=1)
    for _ in range(3):
        with placed_at((gone, good), Book(), QUIET, threading.Event(), 0.0) as place:
            assert place.server.endpoint.endpoint == "good"
    with pytest.raises(InfrastructureError, match=r"endpoint gone \(127\.0\.0\.1:1\) takes no connection"), held(gone):
        pass


KILLED = """
import sys, threading, time
sys.path.insert(0, {root!r})
from tests.contract.test_endpoints import Book, held, server_from
from harness.endpoints.holding import account_at
server = server_from({plain!r})
with held(server, Book()) as place, account_at(place, "Xc1_0123456789", Book()) as account:
    print(account.user, flush=True)
    time.sleep(600)
"""


def server_from(plain: dict[str, Any]) -> Server:
    from harness.model.definitions import Databases
    from tests.endpoints import entry

    return resolved(Databases.model_validate({"databases": [plain]}).databases[0], entry(plain["database"]))


def test_what_a_killed_run_left_is_dropped_and_what_runs_stays(standing: Standing) -> None:
    plain = standing.plain(at_once=3)
    code = KILLED.format(root=str(Path(__file__).parents[2]), plain=plain)
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        names = [str(run.stdout.readline()).strip() for run in runs if run.stdout]  # type: ignore[union-attr]
        server = server_from(plain)
        assert set(left_at(server)) == set(names)
        assert clean(server) == []  # both run
        runs[0].kill()
        runs[0].wait()
        book = Book()
        for _ in range(50):  # the server sees the end of the connection a moment later
            with held(server, book):
                pass
            if left_at(server) == [names[1]]:
                break
        assert left_at(server) == [names[1]], "the next cell removes what the killed one left, and nothing else"
        assert any(kind == "endpoint-cleaned" and data["names"] == [names[0]] for kind, data in book.events)
        runs[1].send_signal(signal.SIGKILL)
        runs[1].wait()
        gone: list[str] = []
        for _ in range(50):
            gone += clean(server)
            if gone:
                break
        assert gone == [names[1]]
    finally:
        for run in runs:
            run.kill()
            run.communicate()


def test_a_connection_of_the_product_does_not_keep_its_database(standing: Standing) -> None:
    server = standing.server()
    with held(server) as place, account_at(place, PASSWORD, Book()) as account:
        stays = connect(server.endpoint, account)
        stays.rows("create table t (n integer)")
    assert left_at(server) == []
    assert not stays.alive()
    stays.close()


def test_a_server_that_ends_is_the_laboratorys_trouble(tmp_path: Path) -> None:
    with postgresql() as standing:
        server, book = standing.server(), Book()
        with held(server, book) as place, account_at(place, PASSWORD, book) as account:
            own, began = database(server, account), __import__("time").time()
            place.check()
            assert place.troubles(began) == []
            standing.stop(signal.SIGQUIT)
            with pytest.raises(InfrastructureError, match="takes no connection"):
                own.query("select 1")
            assert any("endpoint center-1" in words for words in place.troubles(began))
            with pytest.raises(InfrastructureError, match="which serves the database of this cell"):
                place.check()
            standing.start()
            assert place.troubles(began), "that it is back does not undo what happened meanwhile"
            place.check()
            after = __import__("time").time()
            assert place.troubles(after) == []
            # A restart that a suite asked for is no trouble.
            deeds = tmp_path / "deeds"
            place.deeds = deeds
            note_deed(deeds, "database", Verb.REBOOT)
            standing.stop()
            assert place.troubles(after) == []
            place.check()
            standing.start()
            note_deed(deeds, "database", Verb.REBOOT, ends=True)
            assert place.troubles(after) == []
        assert left_at(server) == []
        assert [kind for kind, _ in book.events if kind == "endpoint-lost"]


def test_a_server_that_is_gone_at_the_end_keeps_its_user_until_it_is_asked_again() -> None:
    with postgresql() as standing:
        server, book = standing.server(), Book()
        with held(server, book) as place, account_at(place, PASSWORD, book):
            standing.stop()
        assert ("removed", "database") not in [note[:2] for note in book.notes]
        assert [kind for kind, _ in book.events][-1] == "endpoint-left"
        standing.start()
        assert len(clean(server)) == 1


def test_an_administrator_who_is_no_superuser_serves(postgres: Standing) -> None:
    with postgres.server().administer() as session:
        session.rows("CREATE ROLE \"O'Neill %s\" LOGIN CREATEDB CREATEROLE PASSWORD 'p''w'")
    plain = postgres.plain(user="O'Neill %s")
    secret = Path(str(plain["password"]).removeprefix("file:")).with_name("second")
    secret.write_text("p'w\n")
    report = look_at(server_from({**plain, "password": f"file:{secret}"}))
    assert (report.trouble, report.left) == ("", ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"user": "nobody-there"}, "takes no connection of 'nobody-there'"),
        ({"port": 1}, "takes no connection"),
        ({"declared": "1.0"}, ""),
        ({"settings": {"lc_collate": "zh_CN.UTF-8", "collation_server": "gbk_bin"}}, ""),
    ],
)
def test_what_a_server_is_not_is_said(standing: Standing, change: dict[str, Any], words: str) -> None:
    report = look_at(standing.server(**change))
    assert not report.good
    assert words in report.trouble
    if not words:
        wrong = [fact for fact in report.facts if not fact.holds]
        assert wrong
        assert all("by inventory" in fact.name for fact in wrong)
    assert ODD_PASSWORD not in report.trouble


def test_a_right_that_is_missing_is_the_laboratorys_trouble(postgres: Standing) -> None:
    with postgres.server().administer() as session:
        session.rows("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    secret = postgres.folder / "third"
    secret.write_text("plain")
    server = server_from({**postgres.plain(user="plain"), "password": f"file:{secret}"})
    refused = pytest.raises(InfrastructureError, match="could not be made: permission denied")
    with held(server) as place, refused, account_at(place, PASSWORD, Book()):
        pass


def test_nobody_has_a_shell_on_it(postgres: Standing) -> None:
    server = postgres.server()
    machine = EndpointMachine(MachineReference(kind="endpoint", name="database", endpoint=server.endpoint))
    for refused in (lambda: machine.run("id"), lambda: machine.put("/x", b""), lambda: machine.run("restart")):
        with pytest.raises(SuiteError):
            refused()
    with pytest.raises(UnsupportedVerb):
        machine.verbs.cut_network()
    assert machine.processes() == {}


@pytest.mark.parametrize("make", [postgresql, mariadb])
def test_the_certificate_is_demanded(make: Callable[..., Any], tmp_path: Path) -> None:
    from tests.endpoints import certificates

    with make(tls=True) as standing:
        own, other = standing.folder / "tls" / "ca.pem", certificates(tmp_path / "other")
        with standing.server(tls={"ca": str(own)}).administer() as session:
            shown = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
            if standing.database == "mariadb":
                shown = "select variable_value <> '' from information_schema.session_status"
                shown += " where variable_name='ssl_cipher'"
            assert session.rows(shown)[0][0] in ("t", "1")
        with pytest.raises(InfrastructureError, match="certificate"):
            standing.server(tls={"ca": str(other)}).administer()
        if standing.database == "postgresql":
            with pytest.raises(InfrastructureError, match="localhost"):
                standing.server(tls={"ca": str(own)}, address="localhost").administer()
            standing.server(tls={"ca": str(own), "verify": "signer"}, address="localhost").administer().close()


def test_a_server_without_tls_is_refused_where_it_is_demanded(postgres: Standing, tmp_path: Path) -> None:
    from tests.endpoints import certificates

    ca = certificates(tmp_path / "ca")
    with pytest.raises(InfrastructureError, match="SSL"):
        postgres.server(tls={"ca": str(ca)}).administer()


def test_a_lock_that_is_not_the_servers_counts_cells_of_this_machine(
    postgres: Standing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For servers that know no such locks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plain = postgres.server(at_once=1)
    recipe = plain.recipe.model_copy(update={"lease": ""})
    server = Server(plain.endpoint, plain.database.model_copy(update={"endpoint": recipe}))
    assert server.scope != plain.scope, "what one counts is nothing of the other's"
    with held(server) as place, account_at(place, PASSWORD, Book()) as account:
        assert take(server, Book()) is None  # type: ignore[arg-type]
        assert clean(server) == []
        assert left_at(server) == [account.user]
    assert left_at(server) == []


def test_a_statement_that_the_server_refuses_names_no_password(postgres: Standing) -> None:
    server = postgres.server()
    recipe = server.recipe.model_copy(update={"create": ("CREATE NONSENSE '{{ db.password }}'",)})
    wrong = Server(server.endpoint, server.database.model_copy(update={"endpoint": recipe}))
    refused = pytest.raises(InfrastructureError, match="syntax error")
    with held(wrong) as place, refused as caught, account_at(place, PASSWORD, Book()):
        pass
    assert PASSWORD not in str(caught.value)
    with server.administer() as session, pytest.raises(Refused):
        session.rows("select nothing")


def test_statements_for_opengauss_on_postgresql_as_a_stand_in(postgres: Standing) -> None:
    """It says nothing of openGauss: only that the statements are SQL that its ancestor takes."""
    report = look_at(server_from({**postgres.plain(), "database": "opengauss", "driver": "psycopg"}))
    assert (report.trouble, report.left) == ("", ())
    assert {fact.name: fact.observed for fact in report.facts}["database server_encoding"] == "UTF8"


def test_statements_for_kingbase_on_postgresql_as_a_stand_in(postgres: Standing) -> None:
    """As above, with the names of KingbaseES' views made there."""
    with postgres.server().administer() as session:
        session.rows("CREATE DATABASE test")
    with postgres.server(maintenance="test").administer() as session:
        for view in ("stat_activity", "roles", "database"):
            session.rows(f"CREATE VIEW sys_{view} AS SELECT * FROM pg_{view}")
        session.rows(
            "CREATE FUNCTION sys_terminate_backend(integer) RETURNS boolean LANGUAGE sql "
            "AS 'SELECT pg_terminate_backend($1)'"
        )
    report = look_at(server_from({**postgres.plain(), "database": "kingbase-v8", "driver": "psycopg"}))
    assert (report.trouble, report.left) == ("", ())


def test_statements_for_mysql_on_mariadb_as_a_stand_in(maria: Standing) -> None:
    report = look_at(server_from({**maria.plain(), "database": "mysql"}))
    assert (report.trouble, report.left) == ("", ())


def test_statements_for_oceanbase_on_mariadb_as_a_stand_in(maria: Standing) -> None:
    """MySQL mode. MariaDB has no tenants: an administrator whose name holds one is made, and what cells get is looked
    at; only OceanBase itself lets them in by it."""
    report = look_at(server_from({**maria.plain(), "database": "oceanbase"}))
    facts = {fact.name: fact.observed for fact in report.facts}
    assert not report.trouble, report
    assert "MariaDB" in facts["database version"]
    assert facts["database character_set_server"] == "utf8mb4"
    with maria.server().administer() as session:
        session.rows(
            "CREATE USER IF NOT EXISTS 'keeper@test#lab'@'%' IDENTIFIED BY 'k'",
            "GRANT ALL ON *.* TO 'keeper@test#lab'@'%' WITH GRANT OPTION",
        )
    own = {**maria.plain(), "user": "keeper@test#lab", "password": "env:KEEPER", "database": "oceanbase"}
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setenv("KEEPER", "k")
        server = server_from(own)
        with held(server) as place, account_at(place, PASSWORD, Book()) as account:
            assert account.user == f"{account.database}@test#lab"
            assert list(left_at(server)) == [account.database]
        assert left_at(server) == []
    with maria.server().administer() as session:
        session.rows("DROP USER 'keeper@test#lab'@'%'")
