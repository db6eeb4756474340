"""The tables of a record, the same in every database. JSON is text: what is read back is what was written, to the byte.

A campaign has a chain of events of its own, counted from 1. The chain without a name is the workspace's: it knows where
every other chain begins and how far it was written. A change here needs a step in ``harness.evidence.migrations``.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from harness.system.canonical import read_json


class JsonText(sa.TypeDecorator[Any]):
    """A JSON value in a column of text; half surrogates become question marks."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str:
        """The text that goes into the column."""
        return json_text(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        """The value that a text of the column stands for."""
        return read_json(value or "null")


def json_text(value: Any) -> str:
    """As events and columns hold it. What JSON has no type for becomes text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str).encode("utf-8", "replace").decode()


metadata = sa.MetaData()

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("finished", sa.String),
    sa.Column("matrix", sa.String, nullable=False),
    sa.Column("folder", sa.String, nullable=False),
    sa.Column("plan_digest", sa.String, nullable=False),
    sa.Column("plan", JsonText, nullable=False),
    sa.Column("options", JsonText, nullable=False),
    sa.Column("conditions", JsonText, nullable=False),
    sa.Column("verdict", sa.String),
)
attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("campaign", sa.String, primary_key=True),
    sa.Column("cell", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("verdict", sa.String),
    sa.Column("cause", sa.String),
    sa.Column("message", sa.Text),
    sa.Column("started", sa.String, nullable=False),
    sa.Column("finished", sa.String),
    sa.Column("facts", JsonText, nullable=False),
    # Of the claim under which it is written; 0 where no claim was made.
    sa.Column("token", sa.Integer, nullable=False, server_default="0"),
    sa.Index("attempts_by_end", "finished"),
)
observations = sa.Table(
    "observations",
    metadata,
    sa.Column("campaign", sa.String, primary_key=True),
    sa.Column("cell", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("suite", sa.String, primary_key=True),
    sa.Column("case", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("result", sa.String, nullable=False),
    sa.Column("cause", sa.String),
    sa.Column("skip_reason", sa.String),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("measurements", JsonText, nullable=False),
    sa.Column("evidence", JsonText, nullable=False),
)
files = sa.Table(
    "files",
    metadata,
    sa.Column("campaign", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cell", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("sha256", sa.String, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("media", sa.String, nullable=False),
)
resources = sa.Table(
    "resources",
    metadata,
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("campaign", sa.String, nullable=False, index=True),
    sa.Column("engine_id", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
)
events = sa.Table(
    "events",
    metadata,
    sa.Column("campaign", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.String, nullable=False),
    sa.Column("cell", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("previous", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
)
#: How far each chain was written. Its row is locked by who appends, where the database has many writers.
chains = sa.Table(
    "chains",
    metadata,
    sa.Column("campaign", sa.String, primary_key=True),
    sa.Column("length", sa.Integer, nullable=False),
    sa.Column("head", sa.String, nullable=False),
)
#: Who works on a campaign (``cell`` is empty) or on a cell. A row stays when its claim ends: tokens only ever grow.
claims = sa.Table(
    "claims",
    metadata,
    sa.Column("campaign", sa.String, primary_key=True),
    sa.Column("cell", sa.String, primary_key=True, server_default=""),
    sa.Column("worker", sa.String, nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("heartbeat", sa.Float, nullable=False),
    sa.Column("cancel", sa.String, nullable=False),
    sa.Column("patience", sa.Float, nullable=False),
    # Of the database, where workers have roles of their own; empty where they have not.
    sa.Column("role", sa.String, nullable=False, server_default=""),
    # Of the campaign's own row: the newest token of all its claims.
    sa.Column("issued", sa.Integer, nullable=False, server_default="0"),
)
#: Campaigns that were put into the queue of a center.
submissions = sa.Table(
    "submissions",
    metadata,
    sa.Column("campaign", sa.String, primary_key=True),
    sa.Column("customer", sa.String, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("harness", sa.String, nullable=False, server_default=""),  # the version whose workers run it
)
#: Queues of a center: cells of a campaign that need the same machines; ``cell`` is one of them, ``sample`` what it is.
queues = sa.Table(
    "queues",
    metadata,
    sa.Column("queue", sa.String, primary_key=True),
    sa.Column("campaign", sa.String, nullable=False, index=True),
    sa.Column("cell", sa.String, nullable=False),
    sa.Column("sample", JsonText, nullable=False, server_default="null"),
)
#: How many cells of a customer's campaigns may run at once in a center; without a row as many as there are.
limits = sa.Table(
    "limits",
    metadata,
    sa.Column("customer", sa.String, primary_key=True),
    sa.Column("cells", sa.Integer, nullable=False),
)
#: Controllers of a center that take cells, and what each said of itself.
workers = sa.Table(
    "workers",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("started", sa.String, nullable=False),
    sa.Column("heartbeat", sa.Float, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("says", JsonText, nullable=False),
)
#: Alembic's own table; its one row names the last step of the migrations.
version = sa.Table("alembic_version", metadata, sa.Column("version_num", sa.String(32), primary_key=True))
