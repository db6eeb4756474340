"""How a database on a machine of the cell is asked, backed up and listened to."""

from __future__ import annotations

from pydantic import Field

from harness.model.definitions.base import Definition


class SessionRecipe(Definition):
    """A client that stays: it reads SQL from its standard input, answers each statement at once, and goes on after an
    error, with nothing but errors in its standard error."""

    command: str = Field(min_length=1, description="ends with `exec CLIENT`; prints tab-separated rows")
    shell: str = Field(min_length=1, description="what a line begins with that the client has a shell run")


class BackupRecipe(Definition):
    """The database's own tools for a backup; templates that see ``backup`` too: tables, file, and name and path of the
    database that it is restored into. Run by root."""

    dump: str = Field(min_length=1, description="writes the tables to the file")
    restore: str = Field(min_length=1, description="makes a database of that name, the cell's user's, of the file")
    remove: str = Field(min_length=1, description="removes that database, whether it is there or not")


#: How a database is installed, started and asked on a machine of the cell; no facts about it.
DATABASE_RECIPES = (
    *("before_install", "setup", "start", "stop", "ready", "create", "query", "session", "backup", "capture"),
    *("observe_settings", "log"),
)


class CaptureRecipe(Definition):
    """How the server's log says what a product sends. Run by root; no restart is needed for it, and it outlasts one."""

    begin: str = Field(min_length=1, description="from now on statements are logged")
    end: str = Field(min_length=1, description="no longer, because a load would be measured with it")
    read: str = Field(
        min_length=1, description="prints the statements of the cell's user, each with ; but those of this harness"
    )
