"""What a product sends to its database, as the server's own log says it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.control.servers import COMMANDS, CellDatabase
from harness.errors import InfrastructureError
from harness.system import shell
from harness.system.bounded import CUT

#: In which a log is read or a setting made, in seconds, scaled by the target.
SECONDS = 120
#: Stands beside the server while its log has the statements since the cell began.
_MARK = f"{COMMANDS}/capture"


@dataclass(frozen=True)
class Captured:
    """Statements that others than this harness sent as the cell's user, each once, in order."""

    statements: tuple[str, ...]
    cut: bool  #: the log was too long to be read whole: what stood in its middle is not among them


def begin_capture(database: CellDatabase) -> None:
    """Have the server log statements, where its entry says how; else nothing is done.

    Raises:
        InfrastructureError: it does not.
    """
    recipe = database.definition.capture
    if recipe is not None:
        _do(database, f"set -e\n{recipe.begin.rstrip()}\nmkdir -p {COMMANDS}\n: >{_MARK}", "log statements")


def end_capture(database: CellDatabase) -> None:
    """Have it stop; what was logged stays. Raises as ``begin_capture``."""
    recipe = database.definition.capture
    if recipe is not None and _is_captured(database):
        _do(database, recipe.end, "stop logging statements")


def captured(database: CellDatabase) -> Captured | None:
    """What was sent since the capture began; None where that is not captured.

    Raises:
        InfrastructureError: the log cannot be read.
    """
    recipe = database.definition.capture
    if recipe is None or not _is_captured(database):
        return None
    text = _do(database, recipe.read, "give the statements that it logged")
    parts = [part.strip() for part in re.split(r";[ \t]*(?:\n|$)", text)]
    whole = tuple(dict.fromkeys(part for part in parts if part and not CUT.search(part)))
    return Captured(statements=whole, cut=CUT.search(text) is not None)


def _is_captured(database: CellDatabase) -> bool:
    return database.machine.run(f"[ -e {shell.quote(_MARK)} ]").ok


def _do(database: CellDatabase, command: str, what: str) -> str:
    answer = database.operate(command, SECONDS)
    if not answer.ok:
        raise InfrastructureError(
            f"{database.name} did not {what} (exit {answer.rc}): {answer.text[-400:]}",
            advice=f"see `capture` in targets/database/{database.name}.yaml",
        )
    return answer.out
