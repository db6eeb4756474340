"""A center whose evidence lies in a bucket: two campaigns, two workers, and a store that breaks in between.

PostgreSQL and Ceph's object gateway are real; what is broken is broken in a proxy before the gateway.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.evidence.s3 import S3Store
from harness.system.wait import wait_until
from tests.acceptance.test_center import SLOW, Center, demand_whole, end, tiny
from tests.buckets import Gateway, Proxy, proxied
from tests.conftest import Run
from tests.databases import Cluster


@pytest.fixture
def proxy(buckets: Gateway) -> Iterator[Proxy]:
    with proxied(buckets) as running:
        yield running


@pytest.fixture
def center(server: Cluster, buckets: Gateway, proxy: Proxy, tmp_path: Path) -> Iterator[Center]:
    made = Center(tmp_path, server.database())
    made.environment |= {**proxy.environment, "HARNESS_EVIDENCE": f"s3://{buckets.bucket()}/center 一"}
    try:
        yield made
    finally:
        end(made)


def checked(center: Center) -> None:
    ran = center.run("db", "check", "--workspace", "desk", "--format", "json")
    assert ran.code == 0, ran.out


def test_two_campaigns_of_two_workers_lie_wholly_in_a_bucket(
    center: Center, proxy: Proxy, buckets: Gateway, tmp_path: Path, harness: Run
) -> None:
    """A workspace moves in first; workers have keys that remove nothing; nothing lies in a folder that is shared."""
    moved = harness("run", tiny(tmp_path / "m", "moved"), "--workspace", tmp_path / "ws", "--format", "json")
    assert moved.code == 0, moved.err
    assert center.run("migrate", "--workspace", "ws").code == 0
    first = center.submit(tiny(tmp_path / "甲 a", "prod-a"), "--customer", "甲 & Co")
    second = center.submit(tiny(tmp_path / "b", "prod-b"))
    place = center.environment["HARNESS_EVIDENCE"]
    owner = dict(center.environment)
    users = buckets.workers(place.split("/")[2], "north", "south")
    workers = []
    for name, keys in zip(("north", "south"), users, strict=True):
        center.environment |= keys
        workers.append(center.worker(name, "--slots", "1", "--until-empty"))
    center.environment = owner
    assert [worker.wait(280) for worker in workers] == [0, 0]
    for campaign in (first, second, moved.json["campaign"]):
        assert demand_whole(center, campaign)["verdict"] == "conformant"
        assert (tmp_path / "out" / "certificate.pdf").read_bytes().startswith(b"%PDF")
    checked(center)
    assert not [path for path in tmp_path.glob("*/**/evidence/sha256") if "ws" not in path.relative_to(tmp_path).parts]
    collected = center.run("db", "collect", "--workspace", "desk", "--format", "json")
    assert collected.json["removed"] == 0
    keys = [keys["AWS_SECRET_ACCESS_KEY"] for keys in (owner, *users)]
    for log in (*tmp_path.rglob("log"), *tmp_path.glob("*.log")):
        assert not any(key in log.read_text(errors="replace") for key in keys)


def test_a_store_that_breaks_costs_no_evidence_and_is_never_the_product(
    center: Center, proxy: Proxy, buckets: Gateway, tmp_path: Path
) -> None:
    """Away while a cell runs, slow, then full: what it cost has cause infra, and every campaign is closed whole."""
    first = center.submit(tiny(tmp_path / "a", "prod-a", check=SLOW))
    second = center.submit(tiny(tmp_path / "b", "prod-b", check=SLOW))
    worker = center.worker("w", "--slots", "2")
    wait_until(lambda: center.counts(first).get("running", 0) >= 1, seconds=120, what="a cell runs")
    proxy.stop()
    time.sleep(6)
    proxy.start()

    def slow(method: str, path: str, body: bytes) -> bytes:
        time.sleep(0.3)
        return body

    proxy.up = slow
    wait_until(center.closed(first), seconds=250, what="the first campaign is closed")
    proxy.up = lambda method, path, body: (507, "InsufficientStorage") if method == "PUT" else body
    time.sleep(4)
    proxy.up = lambda method, path, body: body
    wait_until(center.closed(second), seconds=250, what="the second campaign is closed")
    assert worker.poll() is None
    for campaign in (first, second):
        record = demand_whole(center, campaign)
        causes = {a["cause"] for cell in record["cells"] for a in cell["attempts"]}
        assert causes <= {None, "infra", "canceled"}, "never the product"
        assert record["verdict"] in ("conformant", "inconclusive")
    checked(center)


def test_evidence_that_was_changed_is_said_by_name(
    center: Center, buckets: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = center.submit(tiny(tmp_path / "a", "prod-a"), "--only", "database=none")
    assert center.worker("w", "--slots", "1", "--until-empty").wait(200) == 0
    assert demand_whole(center, campaign)["verdict"] == "inconclusive", "one of two cells was chosen"
    place = center.environment["HARNESS_EVIDENCE"]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", buckets.endpoint)
    store = S3Store(place, tmp_path / "near", buckets.keys)
    digest = sorted(kept.digest for kept in store.kept())[0]
    buckets.client().put_object(Bucket=place.split("/")[2], Key=store._key(digest), Body=b"somebody else's")
    ran = center.run("db", "check", "--workspace", "desk")
    assert ran.code == 1
    assert f"evidence {digest} was changed" in ran.out
    refused = center.run("db", "collect", "--workspace", "desk", "--grace", "1")
    assert refused.code == 2, "less than a day"
