"""Backup and restore of a cell's database by its own tools, into a second database beside it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from harness.control.servers import COMMANDS, CellDatabase, QueryFailed
from harness.errors import InfrastructureError
from harness.system import shell

#: In which a small dump or restore is done, in seconds, scaled by the target.
TOOL_SECONDS = 120
#: Exit status of a shell for a program that is not there (IEEE 1003.1-2017, XCU 2.8.2).
_NOT_THERE = 127


class ToolMissing(Exception):
    """A tool of the database is not on its machine."""


@contextlib.contextmanager
def restored(database: CellDatabase, tables: Sequence[str], name: str) -> Iterator[CellDatabase]:
    """The database that a dump of some tables was restored into, until the end of the block. ``name``: its own.

    Raises:
        QueryFailed: a tool of the database refused; its words.
        ToolMissing: a tool is not there.
        InfrastructureError: the machine does not answer.
    """
    recipe = database.definition.backup
    if recipe is None:
        raise ToolMissing(f"{database.name}: its tools are not known")
    file = f"{COMMANDS}/{name}.dump"
    path = str(PurePosixPath(database.access.path).parent / f"{name}.sqlite3") if database.access.path else ""
    values = {"tables": list(tables), "file": file, "name": name, "path": path}
    try:
        database.machine.run(f"mkdir -p {shell.quote(COMMANDS)}")
        for word, command in (("dump", recipe.dump), ("restore", recipe.restore)):
            answer = database.operate(command, TOOL_SECONDS, backup=values)
            if answer.rc == _NOT_THERE:
                raise ToolMissing(f"{word}: {answer.text.strip()[-200:]}")
            if not answer.ok:
                raise QueryFailed(f"{word}: {answer.text.strip()[-600:] or f'exit {answer.rc}'}")
        access = database.access.model_copy(update={"name": name, "path": path})
        yield dataclasses.replace(database, access=access)
    finally:
        with contextlib.suppress(InfrastructureError):  # it goes with the cell
            database.operate(recipe.remove, TOOL_SECONDS, backup=values)
            database.machine.run(f"rm -f {shell.quote(file)}")
