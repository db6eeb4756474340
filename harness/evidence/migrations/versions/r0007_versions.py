"""A submission names the version of the harness whose workers run it; it was the version that submitted it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from harness.system.canonical import read_json

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("submissions", sa.Column("harness", sa.String, nullable=False, server_default=""))
    connection = op.get_bind()
    opened = "SELECT s.campaign, c.conditions FROM submissions s JOIN campaigns c ON c.id = s.campaign"
    change = sa.text("UPDATE submissions SET harness = :version WHERE campaign = :campaign")
    for campaign, conditions in connection.execute(sa.text(opened)).all():
        version = str(read_json(conditions).get("harness", ""))
        connection.execute(change, {"campaign": campaign, "version": version})
