"""Makes the tables of a new database, and brings the tables of an older harness up to date."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from harness.errors import InfrastructureError
from harness.evidence import tables
from harness.evidence.chain import GENESIS, WORKSPACE
from harness.evidence.engines import DatabaseEngine

#: The last step of the migrations, and those before it.
HEAD = "0008"
EARLIER = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")


def prepare(engine: DatabaseEngine) -> None:
    """Make the tables, or bring them up to date; in one transaction, so that a killed process leaves nothing half.

    Raises:
        InfrastructureError: they were made by a later harness, or by another program.
        sqlalchemy.exc.DBAPIError: the database refuses.
    """
    with engine.reading() as connection:
        if _stands(connection) == HEAD:
            return
    with engine.writing() as connection:
        engine.alone(connection)
        revision = _stands(connection)
        if revision == HEAD:
            return
        if revision in EARLIER:
            upgrade(connection)
        elif revision is not None:
            raise InfrastructureError(
                f"{engine.place} was made by another version of the harness (tables {revision}, here {HEAD})",
                advice="use that version for it, or another workspace: --workspace FOLDER",
            )
        elif sa.inspect(connection).get_table_names():
            raise InfrastructureError(
                f"{engine.place} holds tables of another program", advice="name a database that is empty"
            )
        else:
            tables.metadata.create_all(connection)
            _make_desk(connection)
            connection.execute(tables.version.insert().values(version_num=HEAD))
            connection.execute(tables.chains.insert().values(campaign=WORKSPACE, length=0, head=GENESIS))


def is_own(connection: sa.Connection) -> bool:
    """Whether the tables are those of this version; a later harness may have brought them up to date meanwhile."""
    return connection.execute(sa.select(tables.version.c.version_num)).scalar() == HEAD


def _make_desk(connection: sa.Connection) -> None:
    """The tables of the desk: their guards are no tables, so they are written down once, in their migrations."""
    if connection.dialect.name == "postgresql":
        from harness.evidence.migrations.versions import r0006_desk, r0008_statuses

        for step in (r0006_desk, r0008_statuses):
            step.make(connection)


def _stands(connection: sa.Connection) -> str | None:
    """The step that the tables stand at; None where there are no tables of ours."""
    if not sa.inspect(connection).has_table(tables.version.name):
        return None
    return connection.execute(sa.select(tables.version.c.version_num)).scalar() or "of no version"


def upgrade(connection: sa.Connection, to: str = "head") -> None:
    """Take the steps of ``harness.evidence.migrations`` that are left, in the transaction of ``connection``."""
    # Alembic takes long to import, and is needed once in a workspace's life.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
