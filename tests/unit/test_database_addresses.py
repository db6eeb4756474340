"""Addresses of PostgreSQL: whatever is in a password, a role or a name of a database reaches libpq as it is."""

from __future__ import annotations

import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from harness.evidence.postgresql import PostgreSQL

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@example("p@ss:w/o%rd ?#&=+'\"$", "an owner", "a b")
@example(" ", "+", "口令")
@given(words, words, words)
def test_every_password_reaches_libpq(password: str, role: str, database: str) -> None:
    url = sa.URL.create("postgresql", username=role, password=password, host="db.example", port=5432, database=database)
    engine = PostgreSQL(url)
    known = conninfo_to_dict(engine.conninfo)
    assert (known["password"], known["user"]) == (password, role)
