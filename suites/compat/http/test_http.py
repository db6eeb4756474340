"""The product's interface by its declared resource: create, read, update, delete, refuse."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.control.fault import ProductFault

TEXT = "first text"
#: Clients that write at once, texts of each, and how often a refused one is tried again.
#: On an emulated target a write to a database server takes half a second; its number must not depend on how fast the
#: machine of the lab is.
WRITERS, TURNS, EMULATED_TURNS, RETRIES = 4, 5, 2, 5
CHINESE = "信创适配：中文往返测试，全角标点“”……，繁體字與假名カナ"


def test_create(resource, note):
    key = resource.fresh_key()
    resource.create(key, TEXT)
    resource.delete(key)
    note(f"resource {key} was created and deleted / 资源已新建并删除")


def test_read(resource, note):
    with resource.made(TEXT) as key:
        texts = resource.texts(key)
        assert TEXT in texts, f"the text written is not in what was read: {texts}"
        note(f"the read gave {TEXT!r} / 读到写入的文本")


def test_update(resource, note):
    with resource.made(TEXT) as key:
        resource.update(key, "second text")
        texts = resource.texts(key)
        assert "second text" in texts, f"the new text is not there: {texts}"
        assert TEXT not in texts, "the old text is still there"
        note("after the update the read gave 'second text', and not the old text / 修改后读到新文本，旧文本不再出现")


def test_delete(resource, note):
    key = resource.fresh_key()
    resource.create(key, TEXT)
    resource.delete(key)
    remains = resource.remains(key)
    assert not remains, f"a read after the delete {remains}"
    note("a read after the delete does not give the resource / 删除后读不到该资源")


def test_wrong_credentials_refused(resource, note):
    if not resource.knows_strangers:
        pytest.skip(
            "not-applicable: the application does not declare how a stranger asks (wrong_credentials, a session, "
            "a client's certificate, or a method `refused` of its class)"
        )
    with resource.made(TEXT) as key:
        for action in ("read", "create", "update", "delete"):
            target = resource.fresh_key() if action == "create" else key
            answer = resource.let_in(action, target, "intruder")
            assert not answer, f"{action} with wrong credentials {answer}"
            if action == "create":
                assert not resource.remains(target), "a refused create was carried out"
        assert TEXT in resource.texts(key), "a refused request changed the data"
        note("read, create, update and delete were refused, the data are unchanged / 四种操作均被拒绝，数据未变")


def test_chinese_round_trip(resource, note):
    with resource.made(CHINESE) as key:
        texts = resource.texts(key)
        assert CHINESE in texts, f"Chinese text came back changed: {texts}"
        note(f"read as it was written / 读到的与写入的一致: {CHINESE}")


def test_two_resources_stay_apart(resource, note):
    """Two resources at once: each keeps its own text, also when the other is changed or deleted."""
    with resource.made("text of the first") as first:
        with resource.made("text of the second") as second:
            assert "text of the first" in resource.texts(first), "the first resource lost its text to the second"
            assert "text of the second" in resource.texts(second), "the second resource has not its own text"
            resource.update(second, "the second, changed")
            assert "text of the first" in resource.texts(first), "a change of the second resource changed the first"
        assert "text of the first" in resource.texts(first), "the delete of the second resource took the first"
        remains = resource.remains(second)
        assert not remains, f"the deleted one of two resources is still there: a read {remains}"
        note("each kept its own text, while the other was changed and deleted / 修改、删除其一时另一个内容不变")


def test_concurrent_writers(resource, target, measure, note):
    """Several clients write at the same time, each its own resource: what was acknowledged is what is read."""
    started = threading.Barrier(WRITERS)

    def write(number):
        acknowledged, refused = {}, 0
        started.wait(timeout=30)
        for turn in range(EMULATED_TURNS if target.emulated else TURNS):
            key, text = resource.fresh_key(), f"writer {number}, text {turn}"
            for _ in range(RETRIES):  # a product may ask a client to come back, as SQLite's lock does
                refusal = resource.try_create(key, text)
                if not refusal:
                    acknowledged[key] = text
                    break
                refused += 1
                time.sleep(0.1 * target.factor)
            else:
                raise ProductFault(
                    f"create was refused {RETRIES} times while others wrote: {refusal}",
                    f"并发写入时新建被拒绝 {RETRIES} 次：{refusal}",
                )
        return acknowledged, refused

    with ThreadPoolExecutor(WRITERS) as pool:
        written = list(pool.map(write, range(WRITERS)))
        texts = {key: text for acknowledged, _ in written for key, text in acknowledged.items()}
        answers = dict(zip(texts, pool.map(resource.try_texts, texts), strict=True))
        list(pool.map(resource.discard, texts))
    wrong = {key: answers[key] for key, text in texts.items() if text not in answers[key]}
    measure("concurrent writes", len(texts), "1")
    measure("refused and repeated", sum(refused for _, refused in written), "1")
    assert not wrong, f"texts that concurrent writers wrote came back wrong, or not at all: {wrong}"
    note(f"{len(texts)} texts of {WRITERS} clients were read as they were written / {WRITERS} 个客户端写入的均一致")
