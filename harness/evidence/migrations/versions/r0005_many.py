"""Campaigns of many cells: the newest token of a campaign's claims, and a sample of each queue, stand in a row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("claims", sa.Column("issued", sa.Integer, nullable=False, server_default="0"))
    op.execute(
        "UPDATE claims SET issued = (SELECT max(other.token) FROM claims AS other "
        "WHERE other.campaign = claims.campaign) WHERE cell = ''"
    )
    op.add_column("queues", sa.Column("sample", sa.Text, nullable=False, server_default="null"))
