"""What every store of evidence does: a folder, and a bucket of a real S3-compatible server."""

from __future__ import annotations

import hashlib
import os
import resource
import threading
import time
from pathlib import Path

import pytest

from harness.errors import InfrastructureError, UsageError
from harness.evidence import Workspace, s3
from harness.evidence import store as store_module
from harness.evidence.database import DatabaseJournal
from harness.evidence.store import EvidenceStore, FolderStore, StoreAway
from harness.evidence.stores import store_of
from tests.buckets import Gateway
from tests.journals import whole


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def spoil(store: EvidenceStore, server: Gateway, digest: str, data: bytes) -> None:
    """Change what is kept, as somebody with the store's own keys could."""
    if isinstance(store, s3.S3Store):
        server.client().put_object(Bucket=store._bucket.name, Key=store._key(digest), Body=data)
    else:
        store.path(digest).write_bytes(data)


@pytest.mark.parametrize("data", [b"", b"log", bytes(range(256)) * 5000], ids=["empty", "small", "a megabyte"])
def test_what_is_put_is_found_by_its_digest(store: EvidenceStore, tmp_path: Path, data: bytes) -> None:
    assert store.put(data) == sha256(data)
    assert store.put(data) == sha256(data), "twice is once"
    assert store.get(sha256(data)) == data
    store.fetch(sha256(data), tmp_path / "到 here")
    assert (tmp_path / "到 here").read_bytes() == data
    store.check(sha256(data))
    assert store.path(sha256(data)).read_bytes() == data
    assert [(kept.digest, kept.size) for kept in store.kept()] == [(sha256(data), len(data))]


def test_a_file_is_stored_as_its_bytes_are(store: EvidenceStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"one")
    assert store.put_file(tmp_path / "a") == store.put_file(tmp_path / "b") == store.put(b"one") == sha256(b"one")
    assert len(list(store.kept())) == 1
    with pytest.raises(UsageError, match="cannot be read"):
        store.put_file(tmp_path / "absent")


def test_what_is_missing_or_was_changed_is_said_and_never_given(
    store: EvidenceStore, server: Gateway, tmp_path: Path
) -> None:
    good, bad = store.put(b"good"), store.put(b"was good")
    spoil(store, server, bad, b"was bad!")
    for read in (store.get, store.check, lambda digest: store.fetch(digest, tmp_path / "out")):
        with pytest.raises(InfrastructureError, match=f"{bad} was changed"):
            read(bad)
        with pytest.raises(InfrastructureError, match=f"{'0' * 64} is missing"):
            read("0" * 64)
    assert not list(tmp_path.glob("*out*")), "nothing half is left"
    assert store.get(good) == b"good"


def test_a_disk_here_that_refuses_is_not_blamed_on_the_store(store: EvidenceStore, tmp_path: Path) -> None:
    digest = store.put(b"x")
    with pytest.raises(InfrastructureError, match=r"writing .*nowhere"):
        store.fetch(digest, tmp_path / "nowhere" / "file")


def test_a_large_file_never_stands_in_memory(store: EvidenceStore, tmp_path: Path) -> None:
    """200 MB there and back; the most that this process had in memory grows by less than half of that."""
    large = tmp_path / "large"
    with large.open("wb") as file:
        for number in range(200):
            file.write(number.to_bytes(4, "big") * (1 << 18))
    store.put(b"warm")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    digest = store.put_file(large)
    store.check(digest)
    store.fetch(digest, tmp_path / "back")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    with (tmp_path / "back").open("rb") as back:
        assert hashlib.file_digest(back, "sha256").hexdigest() == digest


def test_many_threads_put_the_same_and_others(store: EvidenceStore) -> None:
    texts = [f"{number % 5}".encode() * 1000 for number in range(20)]
    threads = [threading.Thread(target=store.put, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept.digest for kept in store.kept()) == sorted({sha256(text) for text in texts})


def test_only_what_is_old_is_removed_and_what_is_put_again_is_new(
    store: EvidenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = store.put(b"first"), store.put(b"second")
    assert not store.remove(first, older=3600)
    assert not store.remove("0" * 64, older=0)
    _age(store, first, second)
    monkeypatch.setattr(store_module, "RENEW_SECONDS", 0.5)
    monkeypatch.setattr(s3, "RENEW_SECONDS", 0.5)
    store.put(b"second")  # by an attempt that is about to name it
    ages = {kept.digest: kept.age for kept in store.kept()}
    assert ages[first] > 1.5 > ages[second]
    assert store.remove(first, older=1.5)
    assert not store.remove(second, older=1.5)
    assert [kept.digest for kept in store.kept()] == [second]
    assert store.get(second) == b"second"


def _age(store: EvidenceStore, *digests: str) -> None:
    """Make what was stored more than two seconds old."""
    if isinstance(store, FolderStore):
        for digest in digests:
            os.utime(store.path(digest), (time.time() - 3, time.time() - 3))
    else:
        time.sleep(3.6)  # the server's clock counts whole seconds: an age may be a second too small


def test_a_file_that_changes_while_it_is_read_is_not_stored(
    store: EvidenceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"before")
    for module in (store_module, s3):
        monkeypatch.setattr(module, "measured", lambda _path: (sha256(b"once"), 6))
    with pytest.raises(UsageError, match="changed while it was read"):
        store.put_file(file)
    assert list(store.kept()) == []


@pytest.mark.parametrize(
    "place", ["s3://", "s3://A", "s3:///x", "s3://good-name//x", "s3://good-name/../x", "http://h/x", "S3://good-name"]
)
def test_a_place_that_is_none_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(UsageError, match="HARNESS_EVIDENCE="):
        store_of(place, tmp_path, {})


def test_a_shared_folder_that_is_not_mounted_is_away_and_nothing_is_written_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two users of it: what was there before is neither missing nor written anew where nobody finds it."""
    folder, away = tmp_path / "shared 共享", tmp_path / "unmounted"
    monkeypatch.setenv("HARNESS_EVIDENCE", str(folder))
    place = Workspace(tmp_path / "ws")
    digest = place.store.put(b"the first of all")
    assert isinstance(place.journal, DatabaseJournal)
    whole(place.journal, "c1")
    folder.rename(away)
    folder.mkdir()  # the empty folder that others are mounted on
    for store in (place.store, Workspace(tmp_path / "ws").store):
        for use in (lambda store=store: store.put(b"later"), lambda store=store: store.get(digest)):
            with pytest.raises(StoreAway, match="is empty, and the record names evidence"):
                use()
    assert list(folder.iterdir()) == []
    folder.rmdir()
    away.rename(folder)
    assert place.store.get(digest) == b"the first of all"
    assert place.store.get(place.store.put(b"later")) == b"later"
    place.journal.close()
