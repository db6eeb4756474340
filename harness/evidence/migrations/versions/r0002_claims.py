"""Who works on a campaign is a claim in the database; attempts carry its token."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "claims",
        sa.Column("campaign", sa.String, primary_key=True),
        sa.Column("worker", sa.String, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("heartbeat", sa.Float, nullable=False),
        sa.Column("cancel", sa.String, nullable=False),
    )
    op.add_column("attempts", sa.Column("token", sa.Integer, nullable=False, server_default="0"))
