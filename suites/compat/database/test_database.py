"""What is written through the product, read with the target database's own client."""

from __future__ import annotations

import time

import pytest

TEXT = "适配测试 adaptation"
#: Characters of GB18030-2022 beyond the BMP: extensions B, C, D, E, F and G (implementation levels 2 and 3),
#: among them the name and element characters 𬱖 and 𬭊.
RARE = "𠀀𠮷𪚥𪜶𫓧𫝀𬭊𬱖𬺰𰻝"


@pytest.fixture
def resource(resource):
    if not resource.stored("key"):
        pytest.skip("not-applicable: the application declares no SQL that reads what its resource stored")
    return resource


def stored(database, resource, key):
    return [row[0] for row in database.query(resource.stored(key)) if row]


def test_written_stands_in_database(resource, database, note):
    with resource.made(TEXT) as key:
        rows = stored(database, resource, key)
        assert rows == [TEXT], f"the database holds {rows} in place of {[TEXT]}, which the product acknowledged"
    assert stored(database, resource, key) == [], "the row stays in the database after the delete"
    note(f"the query gave {TEXT!r}; after the delete it gave no row / 查询得到写入的文本，删除后无此行")


def test_survives_product_restart(resource, database, application, measure, note):
    with resource.made(TEXT) as key:
        measure("time to ready after restart", application.restart(), "s")
        assert TEXT in resource.texts(key), "the product lost the text at its restart"
        assert stored(database, resource, key) == [TEXT]
        note("product and database gave the text after the restart / 重启后产品与数据库均给出该文本")


def test_survives_database_restart(resource, database, application, settle, measure, note):
    if database.embedded:
        pytest.skip("not-applicable: the database is embedded; its restart is the product's")
    with resource.made(TEXT) as key:
        database.restart()
        began = time.monotonic()
        assert stored(database, resource, key) == [TEXT], "the database lost a committed row at its restart"
        # A product may need a moment to open a new connection; it must do so by itself.
        limit = application.context.application.recovery_seconds
        again = "the product serves the text after the database's restart"
        settle(lambda: TEXT in resource.try_texts(key), what=again, seconds=limit)
        measure("time until the product serves again", time.monotonic() - began, "s")
        note("the committed row was there, and the product served it by itself / 已提交的行仍在，产品自行恢复服务")


def test_acknowledged_survives_kill(resource, database, application, measure, note):
    with resource.made(TEXT) as first, resource.made("second text") as second:
        application.kill()
        application.start()
        measure("time to ready after kill", application.wait_ready(), "s")
        for key, text in ((first, TEXT), (second, "second text")):
            assert text in resource.try_texts(key), f"the product lost a text that it had acknowledged: {text!r}"
            rows = stored(database, resource, key)
            assert rows == [text], f"the database holds {rows} in place of {[text]}, which was acknowledged"
        note("product and database gave both texts after kill -9 / 强制终止后产品与数据库均给出两条文本")


def test_rare_characters(resource, database, note):
    with resource.made(RARE) as key:
        assert RARE in resource.texts(key), f"came back changed: {resource.texts(key)}"
        assert stored(database, resource, key) == [RARE], "the database holds something else"
        note(f"product and database gave / 产品与数据库均给出: {RARE}")
