"""Cells whose database is on a server of the laboratory, as a user runs them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.endpoints.asking import Account, connect
from harness.endpoints.holding import left_at
from tests.conftest import Run, command
from tests.endpoints import ODD_PASSWORD, Standing, inventory, mariadb, postgresql, restart_command
from tests.products import WEB, product

CHECK = """
def test_the_product_reaches_it(host, target):
    access = target.access
    ask = "printf '\\\\0\\\\0\\\\0\\\\10\\\\4\\\\322\\\\26\\\\57'"
    said = host.run(f"{ask} | busybox timeout 20 busybox nc {access.host} {access.port}").stdout
    assert said.strip("\\0") in ("N", "S")
    assert access.user.startswith("xch")

def test_it_is_asked(database, target):
    database.query("create table t (x varchar(20)); insert into t values ('适配')")
    assert database.query("select x from t") == [["适配"]]
    assert database.version()

def test_it_is_not_restarted(database):
    database.restart()
"""


def record_of(ran: Any) -> dict[str, Any]:
    return json.loads(Path(ran.json["outputs"]["json"]).read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def standing() -> Iterator[Standing]:
    with postgresql() as server:
        yield server


def test_a_cell_runs_with_a_database_of_its_own_and_leaves_nothing(
    harness: Run, tmp_path: Path, standing: Standing
) -> None:
    inventory(tmp_path, standing.plain(declared="PostgreSQL 15", settings={"server_encoding": "UTF8"}))
    folder = product(tmp_path / "p", WEB, database=["postgresql"], check=CHECK)
    plan = harness("plan", folder, "--format", "json").json["cells"][0]
    assert plan["target"] == f"this machine; database: endpoint center-1 (127.0.0.1:{standing.port})"
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 0, ran.err
    assert left_at(standing.server()) == []
    (cell,) = record_of(ran)["cells"]
    facts = {fact["name"]: fact for fact in cell["attestation"] if fact["machine"] == "database"}
    assert facts["database server"]["observed"] == f"endpoint center-1 (127.0.0.1:{standing.port})"
    assert facts["database version by inventory"]["declared"] == "PostgreSQL 15"
    assert facts["database lc_collate"]["observed"] == "C"
    assert any("is on endpoint center-1" in note for note in cell["notes"]), cell["notes"]
    assert "not-applicable" in json.dumps(cell)
    stored = b"".join(path.read_bytes() for path in (tmp_path / ".harness").rglob("*") if path.is_file())
    assert ODD_PASSWORD.encode() not in stored
    checked = harness("databases", "check")
    assert checked.code == 0, checked.out
    assert "as declared" in checked.out


def test_what_is_another_than_declared_is_blocked_before_anything_is_tested(
    harness: Run, tmp_path: Path, standing: Standing
) -> None:
    inventory(tmp_path, standing.plain(settings={"lc_collate": "zh_CN.UTF-8"}))
    folder = product(tmp_path / "p", WEB, database=["postgresql"], check=CHECK)
    ran = harness("run", folder, "--format", "json")
    (cell,) = record_of(ran)["cells"]
    assert (ran.code, cell["verdict"], cell["cause"]) == (3, "inconclusive", "config"), cell["message"]
    assert "database lc_collate by inventory: declared zh_CN.UTF-8, observed C" in cell["message"]
    assert left_at(standing.server()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"user": "not there"}, "takes no connection of 'not there'"),
        ({"port": 1}, "takes no connection"),
    ],
)
def test_a_server_that_fails_is_never_the_products_failure(
    harness: Run, tmp_path: Path, standing: Standing, change: dict[str, Any], words: str
) -> None:
    inventory(tmp_path, standing.plain(**change))
    folder = product(tmp_path / "p", WEB, database=["postgresql"], check=CHECK, retries={"infra": 0})
    ran = harness("run", folder, "--format", "json")
    (cell,) = record_of(ran)["cells"]
    assert (ran.code, cell["verdict"], cell["cause"]) == (3, "inconclusive", "infra"), cell["message"]
    assert words in cell["message"]


DIES = """
import os, signal, time

def test_first(database):
    database.query("create table began (n integer)")

def test_second(database, host):
    host.run("touch /tmp/now")
    deadline = time.time() + 60
    while time.time() < deadline:
        host.run("true")
        time.sleep(0.2)
        if not database_answers(database):
            break
    assert False, "the product gave no answer"

def database_answers(database):
    try:
        return database.ready()
    except Exception:
        return False
"""


def test_a_server_that_dies_during_a_cell_fails_no_product(tmp_path: Path) -> None:
    with postgresql() as own:
        inventory(tmp_path, own.plain())
        folder = product(tmp_path / "p", WEB, database=["postgresql"], check=DIES, retries={"infra": 0})
        process = subprocess.Popen(
            command("run", str(folder), "--format", "json"),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        _until(lambda: _began(own), process)
        own.stop(signal.SIGQUIT)
        out, _ = process.communicate(timeout=300)
    summary = json.loads(out)
    (cell,) = summary["cells"]
    assert cell["verdict"] == "inconclusive", cell
    assert cell["cases"]["fail"] == 0
    record = json.loads(Path(summary["outputs"]["json"]).read_text())["cells"][0]
    assert record["cause"] == "infra", record["message"]


def _began(own: Standing) -> bool:
    """Whether the suite's first case has been there."""
    server = own.server()
    for name in left_at(server):
        account = Account(user=own.user, password=own.password, database=name)
        with contextlib.suppress(Exception), connect(server.endpoint, account) as session:
            return session.rows("select to_regclass('public.began') is not null") == [["t"]]
    return False


def _until(look: Any, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if look():
            return
        assert process.poll() is None, "it ended before"
        time.sleep(0.3)
    raise AssertionError("it did not come so far")


@pytest.mark.full
def test_a_run_that_is_killed_leaves_a_database_that_the_next_removes(
    harness: Run, tmp_path: Path, standing: Standing
) -> None:
    inventory(tmp_path, standing.plain(at_once=2))
    slow = "import time\ndef test_it(host):\n    time.sleep(300)\n"
    folder = product(tmp_path / "p", WEB, database=["postgresql"], check=slow, axes={"n": ["1", "2"]})
    process = subprocess.Popen(
        command("run", str(folder), "--jobs", "2"),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _until(lambda: len(left_at(standing.server())) == 2, process)  # type: ignore[arg-type]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert len(left_at(standing.server())) == 2
    said = ""
    for _ in range(20):  # the server notices the end of a process a moment later
        cleaned = harness("databases", "clean")
        assert cleaned.code == 0, cleaned.err
        said += cleaned.out
        if not left_at(standing.server()):
            break
    assert left_at(standing.server()) == []
    assert said.count("dropped 已删除 xch") == 2
    harness("gc")


RESTARTS = """
def test_it_comes_back(database):
    database.query("create table kept (n integer); insert into kept values (7)")
    database.restart()
    assert database.query("select n from kept") == [["7"]]
"""


def test_a_server_is_restarted_as_the_inventory_says(harness: Run, tmp_path: Path) -> None:
    with postgresql() as own:
        inventory(tmp_path, own.plain(restart=restart_command(own)))
        folder = product(tmp_path / "p", WEB, database=["postgresql"], check=RESTARTS)
        ran = harness("run", folder, "--format", "json")
        assert ran.code == 0, ran.err
        os.kill(int((own.folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGINT)


def test_two_servers_of_two_kinds_serve_four_cells(harness: Run, tmp_path: Path, standing: Standing) -> None:
    check = "def test_it(database):\n    database.query('create table t (n integer)')\n"
    with mariadb() as maria:
        inventory(tmp_path, standing.plain("pg", at_once=1), maria.plain("maria", at_once=2))
        folder = product(tmp_path / "p", WEB, database=["postgresql", "mariadb"], axes={"n": ["1", "2"]}, check=check)
        ran = harness("run", folder, "--jobs", "4", "--format", "json")
        assert ran.code == 0, ran.err
        assert left_at(standing.server("pg")) == left_at(maria.server("maria")) == []
