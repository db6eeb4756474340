"""Claims carry the role of the database that made them, where workers have roles of their own; limits of customers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("claims", sa.Column("role", sa.String, nullable=False, server_default=""))
    op.create_table(
        "limits",
        sa.Column("customer", sa.String, primary_key=True),
        sa.Column("cells", sa.Integer, nullable=False),
    )
