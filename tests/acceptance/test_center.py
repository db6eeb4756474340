"""A center: campaigns in a queue of a real PostgreSQL server, and worker processes that take their cells."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from harness.campaigns import watching
from harness.containers.engine import LABEL_CAMPAIGN
from harness.evidence import Workspace, broken_at
from harness.evidence.checking import differences
from harness.evidence.database import DatabaseJournal
from harness.evidence.sqlite import url_of
from harness.system.wait import wait_until
from tests import commands
from tests.conftest import Ran, Run, command
from tests.databases import Cluster, cluster
from tests.journals import whole
from tests.products import WEB, product

#: Seconds of silence after which a worker counts as dead, in these tests.
SILENCE = "12"
SLOW = "import time\n\ndef test_it_runs(application):\n    time.sleep(8)\n    assert application.running()\n"


class Center:
    """Commands in the environment of one center: a database and a folder of evidence of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.environment = os.environ | {
            "HARNESS_DATABASE_URL": url,
            "HARNESS_EVIDENCE": str(folder / "evidence"),
            "HARNESS_PATIENCE": SILENCE,
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, *words: str | Path) -> Ran:
        done = commands.run([*map(str, words)], cwd=self.folder, env=self.environment, timeout=240)
        return Ran.of(done)

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """A process that goes on beside the test; what it prints is in a file beside the workspaces."""
        with self._log(words).open("wb") as log:
            process = subprocess.Popen(
                command(*words), cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def _log(self, words: tuple[str, ...]) -> Path:
        return self.folder / ("-".join(words).replace("/", "-") + ".log")

    def log(self, *words: str) -> str:
        """What such a process printed."""
        return self._log(words).read_text()

    def worker(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        return self.begin("worker", "--workspace", f"ws-{name}", "--name", name, *words)

    def submit(self, folder: Path, *words: str) -> str:
        ran = self.run("submit", folder, "--workspace", "desk", "--format", "json", *words)
        assert ran.code == 0, ran.err
        return str(ran.json["campaign"])

    def workspace(self) -> Workspace:
        return Workspace(self.folder / "look", self.url)

    def status(self, campaign: str) -> dict[str, Any]:
        ran = self.run("status", campaign, "--workspace", "desk", "--format", "json")
        return dict(ran.json)

    def counts(self, campaign: str) -> dict[str, int]:
        """How many cells are in which state; for waits, which would keep a processor busy with commands."""
        place = self.workspace()
        try:
            return dict(watching.status_of(campaign, place)["counts"])
        finally:
            place.journal.close()

    def closed(self, campaign: str) -> Callable[[], bool]:
        def look() -> bool:
            with psycopg.connect(self.url, autocommit=True) as connection:
                row = connection.execute("SELECT finished FROM campaigns WHERE id = %s", (campaign,)).fetchone()
            return bool(row and row[0])

        return look


@pytest.fixture
def center(server: Cluster, tmp_path: Path) -> Iterator[Center]:
    made = Center(tmp_path, server.database())
    try:
        yield made
    finally:
        end(made)


def end(center: Center) -> None:
    """End its processes."""
    for process in center.processes:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.terminate()
    for process in center.processes:
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tiny(folder: Path, name: str, *, check: str = "", **matrix: Any) -> Path:
    """A small web server in two cells: with SQLite, and without a database."""
    more = {"check": check} if check else {}
    return product(folder, {**WEB, "application": name}, database=["sqlite", "none"], **more, **matrix)


def demand_whole(center: Center, campaign: str) -> dict[str, Any]:
    """The campaign's record verifies and every cell of it has one attempt that counts; gives the record."""
    place = center.workspace()
    try:
        assert broken_at(place.journal) is None
        assert differences(place.journal, campaign, place.journal.events(campaign)) == []
        attempts = place.journal.attempts(campaign)
        assert all(attempt.verdict is not None for attempt in attempts)
        fetched = center.run("fetch", campaign, "out", "--workspace", "desk", "--format", "json")
        assert fetched.code == 0, fetched.err
        return dict(json.loads(Path(center.folder / fetched.json["outputs"]["json"]).read_text()))
    finally:
        place.journal.close()


def test_two_campaigns_are_run_by_two_workers_and_fetched(center: Center, tmp_path: Path) -> None:
    first = center.submit(tiny(tmp_path / "甲 a", "prod-a"), "--customer", "甲 & Co")
    second = center.submit(tiny(tmp_path / "b", "prod-b"), "--priority", "3")
    nobody = center.run("queue", "--workspace", "desk", "--format", "json")
    rows = {row["campaign"]: row for row in nobody.json["campaigns"]}
    assert rows[first]["customer"] == "甲 & Co"
    assert rows[first]["cells"] == rows[second]["cells"] == {"waiting": 2}
    assert all(row["unserved"] for row in rows.values()), "no worker is there, and that is said"
    for folder in ("甲 a", "b"):  # nothing of the submitter is read later
        (tmp_path / folder).rename(tmp_path / f"{folder} moved")
    assert center.status(first)["state"] == "queued"
    watching = center.begin("status", first, "--watch", "--workspace", "desk")
    logged = ("--slots", "1", "--until-empty", "--log-format", "json")
    workers = [center.worker(name, *logged) for name in ("north", "south")]
    assert [worker.wait(240) for worker in workers] == [0, 0]
    assert watching.wait(30) == 0
    seen = center.log("status", first, "--watch", "--workspace", "desk").splitlines()
    assert [line for line in (seen[2], seen[-1]) if line.startswith(first)] == [
        f"{first}: queued; 2 queued",
        f"{first}: finished; 2 conformant",
    ]
    lines = [
        json.loads(line)
        for path in (*tmp_path.glob("worker-*.log"), *tmp_path.glob("ws-*/slots/0/log"))
        for line in path.read_text().splitlines()
    ]
    assert {line["worker"] for line in lines} == {"north", "south"}
    assert {line["campaign"] for line in lines if "campaign" in line} == {first, second}
    assert {line["attempt"] for line in lines if "attempt" in line} <= {1}
    for campaign, name in ((first, "prod-a"), (second, "prod-b")):
        record = demand_whole(center, campaign)
        assert record["verdict"] == "conformant"
        assert record["application"]["application"] == name
        assert set(record["conditions"]["workers"]) <= {"north", "south"}
        assert record["conditions"]["cpus"] == os.cpu_count()
        assert (tmp_path / "out" / "certificate.pdf").read_bytes().startswith(b"%PDF")
    assert center.run("queue", "--workspace", "desk", "--format", "json").json == {"campaigns": []}
    shown = center.run("workers", "--workspace", "desk", "--format", "json").json["workers"]
    assert [(row["name"], row["state"]) for row in shown] == [("north", "gone"), ("south", "gone")]


def test_a_cell_of_a_worker_that_is_killed_is_run_by_another(center: Center, tmp_path: Path) -> None:
    """kill -9 in the middle of a cell; the sweeper gives the cell back, and the other worker closes the campaign."""
    campaign = center.submit(tiny(tmp_path / "p", "prod", check=SLOW))
    doomed = center.worker("doomed", "--slots", "2")
    wait_until(lambda: center.counts(campaign).get("running", 0) >= 1, seconds=120, what="a cell runs")
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.wait(20)
    center.begin("sweeper", "--workspace", "desk")
    center.worker("other", "--slots", "2")
    wait_until(center.closed(campaign), seconds=200, what="the campaign is closed")
    record = demand_whole(center, campaign)
    assert record["verdict"] == "conformant"
    assert "other" in record["conditions"]["workers"]
    cut_off = [a for cell in record["cells"] for a in cell["attempts"] if a["verdict"] == "inconclusive"]
    assert cut_off, "what the kill cost is in the record"
    assert {attempt["cause"] for attempt in cut_off} == {"infra"}


def test_a_worker_that_is_killed_with_all_its_processes_tidies_when_it_is_started_again(
    center: Center, tmp_path: Path
) -> None:
    campaign = center.submit(tiny(tmp_path / "p", "prod", check=SLOW), "--only", "database=none")
    first = center.worker("w", "--slots", "1")
    wait_until(lambda: center.counts(campaign).get("running", 0) == 1, seconds=120, what="the cell runs")
    left = containers_of(campaign)
    assert left
    os.kill(first.pid, signal.SIGSTOP)  # as when the machine loses its power: nobody gets a last word
    for process in (*children_of(first.pid), first.pid):
        with contextlib.suppress(ProcessLookupError):  # some end with the process that they serve
            os.kill(process, signal.SIGKILL)
    first.wait(20)
    assert containers_of(campaign) == left, "nobody was left to remove them"
    center.begin("sweeper", "--workspace", "desk")
    second = center.begin("worker", "--workspace", "ws-w", "--name", "w", "--slots", "1", "--mirror", "")
    wait_until(lambda: not left & containers_of(campaign), seconds=60, what="they are removed")
    beside = center.run("worker", "--workspace", "ws-w", "--name", "another")
    assert beside.code == 2
    assert "worker w (process" in beside.err
    assert "works in this workspace already" in beside.err
    wait_until(center.closed(campaign), seconds=200, what="the campaign is closed")
    cells = demand_whole(center, campaign)["cells"]
    assert [cell["verdict"] for cell in cells if cell["axes"]["database"] == "none"] == ["conformant"]
    assert second.poll() is None
    refused = center.run("cancel", campaign, "--workspace", "desk")
    assert refused.code == 2
    assert f"harness queue cancel {campaign}" in refused.err


def containers_of(campaign: str) -> set[str]:
    listed = subprocess.run(
        ["docker", "ps", "--quiet", "--filter", f"label={LABEL_CAMPAIGN}={campaign}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(listed.stdout.split())


def test_a_worker_that_slept_too_long_writes_nothing_and_goes_on(center: Center, tmp_path: Path) -> None:
    campaign = center.submit(tiny(tmp_path / "p", "prod", check=SLOW), "--only", "database=none")
    sleeper = center.worker("sleeper", "--slots", "1")
    wait_until(lambda: center.counts(campaign).get("running", 0) == 1, seconds=120, what="the cell runs")
    asleep = [sleeper.pid, *children_of(sleeper.pid)]
    for process in asleep:
        os.kill(process, signal.SIGSTOP)
    center.begin("sweeper", "--workspace", "desk")
    center.worker("awake", "--slots", "1")
    wait_until(center.closed(campaign), seconds=200, what="the campaign is closed")
    for process in asleep:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
    record = demand_whole(center, campaign)
    assert record["conditions"]["workers"] == ["awake"]
    later = center.submit(tiny(tmp_path / "q", "later"), "--only", "database=none")
    wait_until(center.closed(later), seconds=120, what="the next campaign is closed")
    assert demand_whole(center, campaign) == record, "what woke up has changed nothing"


def children_of(process: int) -> list[int]:
    """Processes below one, of every generation."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children_of(child)]
    return found


def test_figures_for_prometheus_and_health(server: Cluster, center: Center, tmp_path: Path) -> None:
    first, second = (center.submit(tiny(tmp_path / name, name)) for name in ("a", "b"))
    center.run("queue", "pause", second, "--workspace", "desk")
    sweeper = center.begin("sweeper", "--workspace", "desk", "--metrics", "127.0.0.1:0")
    log = center.folder / "sweeper---workspace-desk---metrics-127.0.0.1:0.log"
    wait_until(lambda: "http://" in log.read_text(), seconds=30, what="the sweeper listens")
    address = log.read_text().split("http://")[1].split("/")[0]

    def sample(name: str, **labels: str) -> float | None:
        text = httpx.get(f"http://{address}/metrics", trust_env=False).text
        families = text_string_to_metric_families(text)
        own = [s.value for f in families for s in f.samples if s.name == name and labels.items() <= s.labels.items()]
        return own[0] if own else None

    assert sample("harness_up") == 1
    assert sample("harness_cells", campaign=first, state="waiting") == 2
    assert sample("harness_cells", campaign=second, state="waiting") == 2
    assert sample("harness_campaigns", state="paused") == sample("harness_campaigns", state="queued") == 1
    assert (sample("harness_oldest_wait_seconds") or 0) > 0
    center.worker("w", "--slots", "2")
    wait_until(center.closed(first), seconds=120, what="the campaign is closed")
    assert sample("harness_worker", worker="w", state="working") == 1
    assert sample("harness_attempts_total", verdict="conformant", cause="") == 2
    assert sample("harness_cells", campaign=first, state="waiting") is None
    assert httpx.get(f"http://{address}/healthz", trust_env=False).text == "ok\n"
    assert httpx.get(f"http://{address}/other", trust_env=False).status_code == 404
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        name = center.url.split("?")[0].split("/")[-1]
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        away = httpx.get(f"http://{address}/healthz", trust_env=False, timeout=30)
        assert away.status_code == 503
        assert sample("harness_up") == 0
        assert sample("harness_campaigns", state="paused") is None, "what was not seen is not shown"
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    assert sweeper.poll() is None
    wait_until(lambda: sample("harness_up") == 1, seconds=30, what="the database is back")


@pytest.mark.parametrize("address", ["9464", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "192.0.2.1:9464"])
def test_an_address_for_figures_that_is_none_is_refused(center: Center, address: str) -> None:
    ran = center.run("sweeper", "--workspace", "desk", "--metrics", address)
    assert ran.code in (2, 3)
    assert f"--metrics {address}: " in ran.err


def test_a_workspace_of_one_machine_moves_into_a_center_and_a_center_is_restored(
    server: Cluster, center: Center, tmp_path: Path, harness: Run
) -> None:
    """Two campaigns; each record is the same in the file, in the center, and in the center that is restored."""
    before = {}
    for name in ("一 first", "second"):
        folder = tiny(tmp_path / name, f"prod-{len(name)}")
        ran = harness("run", folder, "--workspace", tmp_path / "ws", "--format", "json")
        assert ran.code == 0, ran.err
        before[ran.json["campaign"]] = {k: Path(p).read_bytes() for k, p in ran.json["outputs"].items()}
    moved = center.run("migrate", "--workspace", "ws", "--format", "json")
    assert moved.code == 0, moved.err
    assert moved.json["campaigns"].keys() == before.keys()
    assert not (tmp_path / "ws" / "journal.sqlite").exists()
    again = center.run("migrate", "--workspace", "ws")
    assert again.code == 2
    assert "journal.sqlite" in again.err
    own = center.submit(tiny(tmp_path / "third", "third"), "--only", "database=none")
    worker = center.worker("w", "--slots", "1", "--until-empty")
    assert worker.wait(120) == 0
    for campaign, outputs in before.items():
        fetched = center.run("fetch", campaign, "moved", "--workspace", "desk", "--format", "json").json["outputs"]
        assert {k: (tmp_path / p).read_bytes() for k, p in fetched.items()} == outputs
    assert center.run("db", "check", "--workspace", "desk").code == 0
    saved = center.run("db", "backup", "center 备份.dump", "--workspace", "desk", "--format", "json")
    assert saved.code == 0, saved.err
    assert center.run("db", "backup", "center 备份.dump", "--workspace", "desk").code == 2, "no backup is overwritten"
    refused = center.run("db", "restore", "center 备份.dump", "--workspace", "desk")
    assert refused.code == 2
    assert "holds a record" in refused.err
    records = {c: demand_whole(center, c) for c in (*before, own)}
    other = Center(tmp_path, server.database())
    restored = other.run("db", "restore", "center 备份.dump", "--workspace", "other")
    assert restored.code == 0, restored.err
    assert {c: demand_whole(other, c) for c in (*before, own)} == records
    later = other.submit(tiny(tmp_path / "fourth", "fourth"), "--only", "database=none")
    try:
        assert other.worker("w2", "--slots", "1", "--until-empty").wait(120) == 0
        assert other.closed(later)(), "a restored center works on"
    finally:
        end(other)


def test_what_cannot_be_moved_is_refused_and_stays(center: Center, tmp_path: Path) -> None:
    assert center.run("migrate", "--workspace", "nothing").code == 2
    assert center.run("db", "backup", "--workspace", "desk").code == 2
    assert center.run("db", "restore", "absent", "--workspace", "desk").code == 2
    (tmp_path / "bad.dump").write_bytes(b"no dump")
    bad = center.run("db", "restore", "bad.dump", "--workspace", "desk")
    assert bad.code == 3
    assert "pg_restore: " in bad.err
    source = Workspace(tmp_path / "ws", url_of(tmp_path / "ws" / "journal.sqlite"))
    assert isinstance(source.journal, DatabaseJournal)
    whole(source.journal, "c1")  # its evidence is nowhere
    source.journal.close()
    missing = center.run("migrate", "--workspace", "ws")
    assert missing.code == 3
    assert (tmp_path / "ws" / "journal.sqlite").is_file()
    assert center.run("list", "--workspace", "desk", "--format", "json").json == {"campaigns": []}


def test_pause_continue_and_cancel(center: Center, tmp_path: Path) -> None:
    paused = center.submit(tiny(tmp_path / "a", "paused"))
    dropped = center.submit(tiny(tmp_path / "b", "dropped", check=SLOW))
    desk = ("--workspace", "desk")
    assert center.run("queue", "pause", paused, *desk).code == 0
    twice = center.run("queue", "pause", paused, *desk)
    assert twice.code == 2
    assert f"campaign {paused} cannot be paused: it is paused" in twice.err
    assert center.run("queue", "pause", "20200101-abcdef", *desk).code == 2
    center.worker("w", "--slots", "2")
    wait_until(lambda: center.counts(dropped).get("running", 0) >= 1, seconds=120, what="a cell runs")
    assert center.run("queue", "cancel", dropped, "--now", *desk).code == 0
    wait_until(center.closed(dropped), seconds=90, what="the cancelled campaign is closed")
    record = demand_whole(center, dropped)
    assert record["verdict"] != "conformant"
    assert not (tmp_path / "out" / "certificate.pdf").exists()
    assert center.counts(paused) == {"queued": 2}, "a paused campaign is not touched"
    assert center.run("queue", "continue", paused, *desk).code == 0
    wait_until(center.closed(paused), seconds=120, what="the campaign that went on is closed")
    assert demand_whole(center, paused)["verdict"] == "conformant"


def test_what_no_worker_serves_is_said_and_a_cell_waits_for_who_can(center: Center, tmp_path: Path) -> None:
    folder = tiny(tmp_path / "p", "prod")
    matrix = yaml.safe_load((folder / "matrix.yaml").read_text())
    (folder / "matrix.yaml").write_text(yaml.safe_dump({**matrix, "prefer": ["host"]}))
    campaign = center.submit(folder)
    worker = center.worker("no-hosts", "--slots", "1")

    def unserved() -> dict[str, dict[str, str]]:
        rows = center.run("queue", "--workspace", "desk", "--format", "json").json["campaigns"]
        return dict(rows[0]["unserved"])

    wait_until(lambda: any(unserved().values()), seconds=60, what="the worker has looked at the queue")
    assert {reason for reasons in unserved().values() for reason in reasons.values()} == {"no inventory"}
    assert center.counts(campaign) == {"queued": 2}, "nothing was blamed on the product"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    same = center.run("worker", "--workspace", "x", "--name", "no-hosts", "--until-empty")
    assert same.code == 0, same.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_a_database_that_is_started_again_costs_no_cell(tmp_path: Path, number: signal.Signals) -> None:
    """The worker waits for it; a cell that runs goes on, or is run again where a write was on its way."""
    with cluster() as own:
        center = Center(tmp_path, own.database())
        try:
            campaign = center.submit(tiny(tmp_path / "p", "prod", check=SLOW))
            worker = center.worker("w", "--slots", "1")
            wait_until(lambda: center.counts(campaign).get("running", 0) == 1, seconds=120, what="a cell runs")
            own.stop(number)
            time.sleep(4)
            own.start()
            wait_until(center.closed(campaign), seconds=200, what="the campaign is closed")
            record = demand_whole(center, campaign)
            assert record["verdict"] == "conformant"
            assert worker.poll() is None
            causes = {a["cause"] for cell in record["cells"] for a in cell["attempts"]}
            assert causes <= {None, "infra", "canceled"}, "never the product"
        finally:
            end(center)


@pytest.mark.parametrize("words", [("submit", "x"), ("worker",), ("queue",), ("workers",), ("sweeper", "--once")])
def test_a_center_without_its_database_is_a_usage_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    product(tmp_path / "x", WEB)
    environment = {key: value for key, value in os.environ.items() if key != "HARNESS_DATABASE_URL"}
    done = subprocess.run(
        command(*words), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "a center needs a PostgreSQL database" in done.stderr


def test_a_name_that_is_taken_is_refused(center: Center) -> None:
    center.worker("same", "--slots", "1")

    def listed() -> bool:
        rows = center.run("workers", "--workspace", "desk", "--format", "json").json["workers"]
        return [row["name"] for row in rows if row["state"] == "working"] == ["same"]

    wait_until(listed, seconds=60, what="the worker is there")
    ran = center.run("worker", "--workspace", "other", "--name", "same", "--until-empty")
    assert ran.code == 2
    assert "a worker named same works already" in ran.err
