"""What is written through the product, read with the target database's own client."""

from __future__ import annotations

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


def test_written_stands_in_database(resource, database):
    with resource.made(TEXT) as key:
        rows = stored(database, resource, key)
        assert rows == [TEXT], f"the database holds {rows} in place of {[TEXT]}, which the product acknowledged"
    assert stored(database, resource, key) == [], "the row stays in the database after the delete"


def test_survives_product_restart(resource, database, application, measure):
    with resource.made(TEXT) as key:
        measure("time to ready after restart", application.restart(), "s")
        assert TEXT in resource.texts(key), "the product lost the text at its restart"
        assert stored(database, resource, key) == [TEXT]


def test_survives_database_restart(resource, database, application, settle):
    if database.embedded:
        pytest.skip("not-applicable: the database is embedded; its restart is the product's")
    with resource.made(TEXT) as key:
        database.restart()
        assert stored(database, resource, key) == [TEXT], "the database lost a committed row at its restart"
        # A product may need a moment to open a new connection; it must do so by itself.
        settle(lambda: TEXT in resource.try_texts(key), what="the product serves the text after the database's restart")


def test_acknowledged_survives_kill(resource, database, application, measure):
    with resource.made(TEXT) as first, resource.made("second text") as second:
        application.kill()
        application.start()
        measure("time to ready after kill", application.wait_ready(), "s")
        for key, text in ((first, TEXT), (second, "second text")):
            assert text in resource.try_texts(key), f"the product lost a text that it had acknowledged: {text!r}"
            rows = stored(database, resource, key)
            assert rows == [text], f"the database holds {rows} in place of {[text]}, which was acknowledged"


def test_rare_characters(resource, database):
    with resource.made(RARE) as key:
        assert RARE in resource.texts(key), f"came back changed: {resource.texts(key)}"
        assert stored(database, resource, key) == [RARE], "the database holds something else"
