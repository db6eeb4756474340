"""A store that is away, slow, full, or gives back what nobody put: a wait, or a trouble of the laboratory.

A real S3-compatible server, behind a proxy that breaks requests and answers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.errors import InfrastructureError
from harness.evidence import s3
from harness.evidence.s3 import PIECE_BYTES, S3Store
from harness.evidence.store import StoreAway
from harness.system.wait import wait_until
from tests.buckets import Gateway, Proxy

LARGE = 5


def large(folder: Path, name: str = "large") -> Path:
    """A file of so many pieces, each another one, and some bytes."""
    with (folder / name).open("wb") as file:
        for number in range(LARGE):
            file.write(bytes([number]) * PIECE_BYTES)
        file.write(b"the end")
    return folder / name


def pieces(proxy: Proxy) -> int:
    return sum(1 for method, path, _ in proxy.seen if method == "PUT" and "partNumber=" in path)


def test_a_store_that_is_away_for_a_while_is_waited_for(behind: S3Store, proxy: Proxy) -> None:
    first = behind.put(b"before")
    proxy.stop()
    done: dict[str, object] = {}
    threads = [
        threading.Thread(target=lambda: done.update(put=behind.put(b"while it is away"))),
        threading.Thread(target=lambda: done.update(got=behind.get(first))),
    ]
    for thread in threads:
        thread.start()
    time.sleep(3)
    assert not done
    proxy.start()
    for thread in threads:
        thread.join(30)
    assert done["got"] == b"before"
    assert behind.get(str(done["put"])) == b"while it is away"


def test_a_store_that_stays_away_is_said(behind: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy.stop()
    monkeypatch.setattr(s3, "FIRST_SECONDS", 0.5)
    monkeypatch.setattr(s3, "AWAY_SECONDS", 1.5)
    begun = time.monotonic()
    with pytest.raises(StoreAway, match=r"s3://evidence-.* does not answer") as caught:
        behind.put(b"x")
    assert caught.value.cause == "infra"
    assert time.monotonic() - begun < 20
    proxy.start()
    digest = behind.put(b"x")
    proxy.stop()
    with pytest.raises(StoreAway):
        behind.get(digest)


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable")])
def test_a_store_that_asks_for_patience_gets_it(behind: S3Store, proxy: Proxy, status: int, code: str) -> None:
    left = [2]

    def up(method: str, path: str, body: bytes) -> tuple[int, str] | bytes:
        if method == "PUT" and left[0]:
            left[0] -= 1
            return status, code
        return body

    proxy.up = up
    assert behind.get(behind.put(b"later")) == b"later"


def test_a_slow_store_is_slow_and_nothing_else(behind: S3Store, proxy: Proxy) -> None:
    def up(method: str, path: str, body: bytes) -> bytes:
        time.sleep(1)
        return body

    proxy.up = up
    assert behind.get(behind.put(b"slow")) == b"slow"


@pytest.mark.parametrize(("status", "code"), [(507, "InsufficientStorage"), (507, ""), (403, "QuotaExceeded")])
def test_a_full_store_is_said_at_once(behind: S3Store, proxy: Proxy, status: int, code: str) -> None:
    proxy.up = lambda method, path, body: (status, code) if method == "PUT" else body
    begun = time.monotonic()
    with pytest.raises(InfrastructureError, match="no space left in the store s3://") as caught:
        behind.put(b"too much")
    assert not isinstance(caught.value, StoreAway)
    assert caught.value.cause == "infra"
    assert time.monotonic() - begun < 10
    proxy.up = lambda method, path, body: body
    assert behind.get(behind.put(b"too much")) == b"too much"


def test_the_server_s_own_quota(server: Gateway, bucket: S3Store) -> None:
    server.quota(bucket._bucket.name, 1)
    with pytest.raises(InfrastructureError, match=r"no space left in the store .*QuotaExceeded"):
        bucket.put(bytes(2 << 20))


def test_what_is_changed_on_its_way_up_is_refused_by_the_server(
    behind: S3Store, proxy: Proxy, server: Gateway, tmp_path: Path
) -> None:
    """One byte, of a small object and of a piece; the server compares with the signature, and it is sent again."""
    broken: list[str] = []

    def up(method: str, path: str, body: bytes) -> bytes:
        if method == "PUT" and body and len(broken) < 3:
            broken.append(path)
            return bytes([body[0] ^ 1]) + body[1:]
        return body

    proxy.up = up
    assert behind.get(behind.put(b"small")) == b"small"
    assert len(broken) == 3
    assert len([path for method, path, _ in proxy.seen if method == "PUT"]) == 4
    broken.clear()
    behind.check(behind.put_file(large(tmp_path)))
    assert pieces(proxy) == LARGE + 1 + 3


def test_what_is_changed_on_its_way_down_is_read_again(behind: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    digest, changed = behind.put(b"as it was"), [1]

    def down(method: str, path: str, body: bytes) -> bytes:
        if method == "GET" and changed[0]:
            changed[0] -= 1
            return b"not" + body[3:]
        return body

    proxy.down = down
    assert behind.get(digest) == b"as it was"
    changed[0] = 1
    behind.fetch(digest, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"as it was"
    changed[0] = 100
    with pytest.raises(InfrastructureError, match="was changed"):
        behind.get(digest)
    with pytest.raises(InfrastructureError, match="was changed"):
        behind.path(digest)
    assert not [path for path in (tmp_path / "near").rglob("*") if path.is_file()]


def test_an_upload_that_broke_off_goes_on_where_it_stopped(
    behind: S3Store, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed while it sends the fourth piece; another sends that one and those after it."""
    file, reached = large(tmp_path), threading.Event()

    def up(method: str, path: str, body: bytes) -> bytes | None:
        if "partNumber=4" in path:
            reached.set()
            time.sleep(3)
            return None
        return body

    proxy.up = up
    code = (
        "import sys; from pathlib import Path; from harness.evidence.s3 import S3Store; "
        "S3Store(sys.argv[1], Path(sys.argv[2])).put_file(Path(sys.argv[3]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, behind.place, str(tmp_path / "other"), str(file)],
        env=os.environ | proxy.environment,
    )
    assert reached.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert pieces(proxy) == 4
    proxy.up = lambda method, path, body: body
    digest = behind.put_file(file)
    assert pieces(proxy) == 4 + LARGE + 1 - 3, "three were there"
    behind.check(digest)
    proxy.seen.clear()
    assert behind.put_file(file) == digest
    assert pieces(proxy) == 0, "what is there is not sent again"


def test_two_send_the_same_large_file_at_once(behind: S3Store, server: Gateway, tmp_path: Path) -> None:
    file = large(tmp_path)
    stores = [S3Store(behind.place, tmp_path / str(number), server.keys) for number in range(2)]
    given: list[str] = []
    threads = [threading.Thread(target=lambda each=each: given.append(each.put_file(file))) for each in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(given) == 2
    assert given[0] == given[1]
    behind.check(given[0])


def test_uploads_that_broke_off_are_removed_when_they_are_old(behind: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    proxy.up = lambda method, path, body: (403, "AccessDenied") if "partNumber=2" in path else body
    with pytest.raises(InfrastructureError, match="refuses: AccessDenied"):
        behind.put_file(large(tmp_path))
    proxy.up = lambda method, path, body: body
    assert behind.tidy(older=3600) == 0
    wait_until(lambda: behind.tidy(older=1) == 1, seconds=10, what="it is old")
    assert behind.tidy(older=1) == 0


def test_a_download_that_breaks_goes_on_where_it_broke(behind: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    digest = behind.put_file(large(tmp_path))
    asked: list[bytes] = []

    def down(method: str, path: str, body: bytes) -> bytes:
        asked.append(body)
        return body

    proxy.down = down
    original, cut = behind.client.get_object, [2]

    def get_object(**values: object) -> object:
        answer = original(**values)
        if cut[0]:
            cut[0] -= 1
            whole = answer["Body"].iter_chunks

            def iter_chunks(size: int) -> object:
                yield next(iter(whole(size)))
                raise _cut("cut")

            answer["Body"].iter_chunks = iter_chunks
        return answer

    behind.client.get_object = get_object
    behind.fetch(digest, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "large").read_bytes()
    assert len(asked[0]) - len(asked[1]) == len(asked[1]) - len(asked[2]) == 1 << 20


def _cut(words: str) -> Exception:
    from botocore.exceptions import ResponseStreamingError

    return ResponseStreamingError(error=words)


def test_a_worker_s_keys_read_and_add_and_remove_nothing(server: Gateway, bucket: S3Store, tmp_path: Path) -> None:
    """The policy of the guide: two workers, each reads what the other put, and the owner's."""
    name = bucket._bucket.name
    users = server.workers(name, f"w1-{name}", f"w2-{name}")
    stores = [S3Store(bucket.place, tmp_path / str(number), keys) for number, keys in enumerate(users)]
    own = bucket.put(b"the owner's")
    digests = [store.put_file(large(tmp_path)) if number else store.put(b"1") for number, store in enumerate(stores)]
    for store in stores:
        assert store.get(own) == b"the owner's"
        for digest in (own, *digests):
            store.check(digest)
            with pytest.raises(InfrastructureError, match="refuses: AccessDenied"):
                store.remove(digest, older=-10)
    for digest in digests:
        bucket.check(digest)
    stranger = S3Store(bucket.place, tmp_path / "no", {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"})
    with pytest.raises(InfrastructureError, match="refuses"):
        stranger.put(b"x")
    bucket.check(own)


def test_a_bucket_that_is_not_there(server: Gateway, bucket: S3Store, tmp_path: Path) -> None:
    store = S3Store("s3://nobody-made-this", tmp_path, server.keys)
    with pytest.raises(InfrastructureError, match="there is no bucket s3://nobody-made-this"):
        store.put(b"x")
