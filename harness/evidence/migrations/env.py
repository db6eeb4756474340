"""Alembic runs this file; the connection, and its transaction, are those of ``harness.evidence.migrating``."""

from __future__ import annotations

from alembic import context

from harness.evidence.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
