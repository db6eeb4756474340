"""Evidence that nothing names is removed, and nothing else: over a folder and over a real bucket."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.campaigns import inputs
from harness.campaigns.options import RunOptions
from harness.center.collecting import collect
from harness.center.queueing import Center
from harness.center.submitting import submit
from harness.errors import InfrastructureError
from harness.evidence import Recorder, Workspace, s3
from harness.evidence import store as store_module
from harness.evidence.lookup import row_of
from harness.evidence.store import FolderStore
from harness.model.results import Observation, Result
from harness.reading.catalogue import Catalogue
from tests.buckets import Gateway
from tests.databases import Cluster
from tests.products import WEB, product


@pytest.fixture(params=["folder", "bucket"])
def center(
    request: pytest.FixtureRequest, server: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Center]:
    place = Workspace(tmp_path / "ws", server.database())
    if request.param == "bucket":
        running: Gateway = request.getfixturevalue("buckets")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        place.store = s3.S3Store(f"s3://{running.bucket()}", tmp_path / "near", running.keys)
    yield Center(place)
    place.journal.close()


def put(center: Center, root: Path, name: str) -> str:
    folder = product(root / name, {**WEB, "application": name}, database=["none"])
    return submit(folder, center, RunOptions(), Catalogue.standard())


def grow_old(center: Center) -> None:
    """Everything that is stored now is two seconds old."""
    store = center.workspace.store
    if isinstance(store, FolderStore):
        for kept in store.kept():
            os.utime(store.path(kept.digest), (time.time() - 2, time.time() - 2))
    else:
        time.sleep(3)


def test_what_is_named_stays_and_what_nothing_names_goes(
    center: Center, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = center.workspace.store
    campaigns = [put(center, tmp_path, name) for name in ("a", "b-2")]
    journal = center.journal
    for campaign in campaigns:
        number = journal.begin(campaign, "cell")
        record = Recorder(journal, store, campaign, "cell", number)
        kept = record.keep(f"{campaign}.log", b"kept " + campaign.encode())
        record.observe(Observation(case="C", suite="s", result=Result.PASS, evidence=(kept,)))
        outputs = {"html": store.put(b"rendered " + campaign.encode())}
        journal.rendered(campaign, outputs)
    orphans = [store.put(b"nobody names this"), store.put(b"nor this")]
    again = store.put(b"an attempt that broke off stored this, and one that runs stores it again")
    monkeypatch.setattr(store_module, "RENEW_SECONDS", 0.5)
    monkeypatch.setattr(s3, "RENEW_SECONDS", 0.5)
    assert collect(center, 3600.0).removed == 0, "too new"
    grow_old(center)
    store.put(b"an attempt that broke off stored this, and one that runs stores it again")
    new = store.put(b"an attempt is about to name this")
    dry = collect(center, 1.5, dry=True)
    assert dry.removed == 2
    assert {kept.digest for kept in store.kept()} >= set(orphans)
    done = collect(center, 1.5)
    assert (done.removed, done.kept) == (2, dry.kept)
    there = {kept.digest for kept in store.kept()}
    assert not there & set(orphans)
    assert {again, new} <= there
    for campaign in campaigns:
        named = {file.sha256 for file in journal.files(campaign)} | set(journal.outputs(campaign).values())
        digest = inputs.of_campaign(row_of(journal, campaign))
        named |= {digest, *(file.sha256 for file in inputs.listed(digest, store).files.values())}
        assert named <= there
        for each in named:
            store.check(each)


def test_where_a_list_of_inputs_cannot_be_read_nothing_is_removed(center: Center, tmp_path: Path) -> None:
    store = center.workspace.store
    campaign = put(center, tmp_path, "a")
    digest = inputs.of_campaign(row_of(center.journal, campaign))
    orphan = store.put(b"nobody names this")
    grow_old(center)
    assert store.remove(digest, older=1.5)
    with pytest.raises(InfrastructureError, match=f"{digest} is missing"):
        collect(center, 1.5)
    store.check(orphan)


def test_attempts_that_store_while_it_collects_lose_nothing(
    center: Center, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writers store the same texts again and again, each time before they name them; the collector goes round."""
    monkeypatch.setattr(store_module, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(s3, "RENEW_SECONDS", 0.2)
    campaign = put(center, tmp_path, "a")
    journal, store, over = center.journal, center.workspace.store, threading.Event()
    number = journal.begin(campaign, "cell")

    def write(which: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            Recorder(journal, store, campaign, "cell", number).keep(f"{which}.log", f"{which} {turn}".encode())
            store.put(f"never named {turn}".encode())

    writers = [threading.Thread(target=write, args=(which,)) for which in range(2)]
    for writer in writers:
        writer.start()
    removed, end = 0, time.monotonic() + 6
    while time.monotonic() < end:
        removed += collect(center, 2.0).removed
    over.set()
    for writer in writers:
        writer.join()
    assert removed
    for file in journal.files(campaign):
        store.check(file.sha256)
