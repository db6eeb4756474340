"""A cell may be claimed apart from its campaign; tables of a center: submissions, queues and workers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # A primary key cannot be changed in SQLite, so the table is made anew. No claim outlives an upgrade: the tokens do.
    op.create_table(
        "new_claims",
        sa.Column("campaign", sa.String, primary_key=True),
        sa.Column("cell", sa.String, primary_key=True, server_default=""),
        sa.Column("worker", sa.String, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("heartbeat", sa.Float, nullable=False),
        sa.Column("cancel", sa.String, nullable=False),
        sa.Column("patience", sa.Float, nullable=False),
    )
    op.execute(
        "INSERT INTO new_claims (campaign, cell, worker, token, heartbeat, cancel, patience) "
        "SELECT campaign, '', worker, token, heartbeat, cancel, 30.0 FROM claims"
    )
    op.drop_table("claims")
    op.rename_table("new_claims", "claims")
    op.create_table(
        "submissions",
        sa.Column("campaign", sa.String, primary_key=True),
        sa.Column("customer", sa.String, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
    )
    op.create_table(
        "queues",
        sa.Column("queue", sa.String, primary_key=True),
        sa.Column("campaign", sa.String, nullable=False, index=True),
        sa.Column("cell", sa.String, nullable=False),
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("heartbeat", sa.Float, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("says", sa.Text, nullable=False),
    )
