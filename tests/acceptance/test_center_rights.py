"""A center whose workers are not trusted: roles of their own in the database, keys that remove nothing in the store."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from harness.system.wait import wait_until
from tests.acceptance.test_center import SLOW, Center, demand_whole, end, tiny
from tests.buckets import Gateway
from tests.databases import Cluster


@pytest.fixture
def center(server: Cluster, buckets: Gateway, tmp_path: Path) -> Iterator[Center]:
    made = Center(tmp_path, server.database())
    made.environment |= {**buckets.environment, "HARNESS_EVIDENCE": f"s3://{buckets.bucket()}"}
    try:
        yield made
    finally:
        end(made)


def granted(center: Center, *names: str) -> dict[str, str]:
    """URLs of workers by name."""
    urls = {}
    for name in names:
        ran = center.run("db", "grant-worker", name, "--workspace", "desk", "--format", "json")
        assert ran.code == 0, ran.err
        urls[name] = str(ran.json["url"])
    return urls


def as_worker(center: Center, url: str, keys: dict[str, str], *words: str) -> subprocess.Popen[bytes]:
    owner = dict(center.environment)
    center.environment |= {"HARNESS_DATABASE_URL": url, **keys}
    try:
        return center.begin("worker", *words)
    finally:
        center.environment = owner


def test_workers_that_are_not_trusted_bring_two_campaigns_to_their_certificates(
    center: Center, buckets: Gateway, tmp_path: Path
) -> None:
    """One of them is killed in a cell; the owner's sweeper gives the cell to the other, which closes both campaigns."""
    first = center.submit(tiny(tmp_path / "甲", "prod-a", check=SLOW), "--customer", "甲")
    second = center.submit(tiny(tmp_path / "b", "prod-b"), "--customer", "b")
    urls = granted(center, "w-north", "w-south")
    keys = dict(zip(urls, buckets.workers(center.environment["HARNESS_EVIDENCE"][5:], *urls), strict=True))
    doomed = as_worker(center, urls["w-north"], keys["w-north"], "--workspace", "ws-n", "--slots", "1")
    wait_until(lambda: center.counts(first).get("running", 0) == 1, seconds=120, what="a cell runs")
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.wait(20)
    center.begin("sweeper", "--workspace", "desk")
    other = as_worker(center, urls["w-south"], keys["w-south"], "--workspace", "ws-s", "--slots", "2")
    for campaign in (first, second):
        wait_until(center.closed(campaign), seconds=280, what="the campaign is closed")
        record = demand_whole(center, campaign)
        assert record["verdict"] == "conformant"
        assert "w-south" in record["conditions"]["workers"]
        assert (tmp_path / "out" / "certificate.pdf").read_bytes().startswith(b"%PDF")
    assert other.poll() is None
    rows = {
        row["name"]: row["state"]
        for row in center.run("workers", "--workspace", "desk", "--format", "json").json["workers"]
    }
    assert rows["w-south"] == "working", "its name is its role's"
    assert center.run("db", "check", "--workspace", "desk").code == 0
    wait_until(
        lambda: center.run("queue", "--workspace", "desk", "--format", "json").json == {"campaigns": []},
        seconds=30,
        what="nothing is left in the queue",
    )
    log = (tmp_path / "worker---workspace-ws-s---slots-2.log").read_text()
    assert "waits for the database" not in log, log


def test_a_worker_s_commands_are_a_worker_s_only_and_rights_outlive_a_restore(
    center: Center, server: Cluster, tmp_path: Path
) -> None:
    campaign = center.submit(tiny(tmp_path / "a", "prod-a"))
    urls = granted(center, "w-one")
    owner = dict(center.environment)
    center.environment["HARNESS_DATABASE_URL"] = urls["w-one"]
    for words in (
        ("queue", "cancel", campaign),
        ("queue", "pause", campaign),
        ("db", "grant-worker", "w-two"),
        ("db", "collect"),
        ("db", "check"),
        ("db", "backup", "stolen.dump"),
        ("submit", str(tmp_path / "a")),
        ("sweeper", "--once"),
    ):
        ran = center.run(*words, "--workspace", "desk")
        assert ran.code in (2, 3), (words, ran.out)
        assert "Traceback" not in ran.err
    named = center.run("worker", "--workspace", "ws", "--name", "another", "--until-empty")
    assert named.code == 2
    assert "--name another: the role w-one of the database is its only name" in named.err
    center.environment = owner
    rows = center.run("queue", "--workspace", "desk", "--format", "json").json["campaigns"]
    assert [(row["campaign"], row["state"]) for row in rows] == [(campaign, "queued")]
    assert center.run("db", "revoke-worker", "w-one", "--workspace", "desk").code == 0
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(urls["w-one"])
    saved = center.run("db", "backup", "c.dump", "--workspace", "desk")
    assert saved.code == 0, saved.err
    center.environment["HARNESS_DATABASE_URL"] = server.database()
    restored = center.run("db", "restore", "c.dump", "--workspace", "other")
    assert restored.code == 0, restored.err
    again = granted(center, "w-one")["w-one"]
    worker = as_worker(center, again, {}, "--workspace", "ws-again", "--slots", "1", "--until-empty")
    assert worker.wait(200) == 0
    rows = center.run("queue", "--workspace", "desk", "--format", "json").json["campaigns"]
    assert rows == [], "the restored center has its rights again, and works on"
