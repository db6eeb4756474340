"""The product's HTTP interface by its declared resource: create, read, update, delete, refuse."""

from __future__ import annotations

import pytest

TEXT = "first text"
CHINESE = "信创适配：中文往返测试，全角标点“”……，繁體字與假名カナ"


def test_create(resource):
    key = resource.fresh_key()
    resource.create(key, TEXT)
    resource.delete(key)


def test_read(resource):
    with resource.made(TEXT) as key:
        assert TEXT in resource.texts(key), f"the text written is not in what was read: {resource.read(key).text[:500]}"


def test_update(resource):
    with resource.made(TEXT) as key:
        resource.update(key, "second text")
        texts = resource.texts(key)
        assert "second text" in texts, f"the new text is not there: {texts}"
        assert TEXT not in texts, "the old text is still there"


def test_delete(resource):
    key = resource.fresh_key()
    resource.create(key, TEXT)
    resource.delete(key)
    status = resource.try_read(key).status_code
    assert status in resource.gone, f"a read after the delete gave {status}, expected {resource.gone}"


def test_wrong_credentials_refused(resource, http):
    if http.wrong_headers is None:
        pytest.skip("not-applicable: the application declares no wrong_credentials")
    with resource.made(TEXT) as key:
        for action in ("read", "create", "update", "delete"):
            target = resource.fresh_key() if action == "create" else key
            answer = resource.attempt(action, target, "intruder", headers=http.wrong_headers)
            assert answer.status_code in http.refused, (
                f"{action} with wrong credentials gave {answer.status_code}, expected one of {http.refused}"
            )
            if action == "create":
                assert resource.try_read(target).status_code in resource.gone, "a refused create was carried out"
        assert TEXT in resource.texts(key), "a refused request changed the data"


def test_chinese_round_trip(resource):
    with resource.made(CHINESE) as key:
        texts = resource.texts(key)
        assert CHINESE in texts, f"Chinese text came back changed: {texts}"
