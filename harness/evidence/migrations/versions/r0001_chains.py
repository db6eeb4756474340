"""A chain of events for each campaign, entered into the workspace's chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("created", sa.String, nullable=False),
        sa.Column("finished", sa.String),
        sa.Column("matrix", sa.String, nullable=False),
        sa.Column("folder", sa.String, nullable=False),
        sa.Column("plan_digest", sa.String, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("conditions", sa.Text, nullable=False),
        sa.Column("verdict", sa.String),
    )
    op.create_table(
        "attempts",
        sa.Column("campaign", sa.String, primary_key=True),
        sa.Column("cell", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("verdict", sa.String),
        sa.Column("cause", sa.String),
        sa.Column("message", sa.Text),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("finished", sa.String),
        sa.Column("facts", sa.Text, nullable=False),
    )
    op.create_index("attempts_by_end", "attempts", ["finished"])
    op.create_table(
        "observations",
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
        sa.Column("measurements", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
    )
    op.create_table(
        "files",
        sa.Column("campaign", sa.String, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("cell", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("media", sa.String, nullable=False),
    )
    op.create_table(
        "resources",
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("campaign", sa.String, nullable=False),
        sa.Column("engine_id", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
    )
    op.create_index("ix_resources_campaign", "resources", ["campaign"])
    op.create_table(
        "events",
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
    chains = op.create_table(
        "chains",
        sa.Column("campaign", sa.String, primary_key=True),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("head", sa.String, nullable=False),
    )
    op.bulk_insert(chains, [{"campaign": "", "length": 0, "head": "0" * 64}])
