"""``matrix.lock``: the cells of a plan, written down, so that a campaign runs those and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from harness import __version__
from harness.errors import UsageError
from harness.model.definitions import SELF_TEST, Profile
from harness.model.definitions.base import Definition
from harness.model.plan import Definitions, Plan
from harness.planning import definitions_digest, expand
from harness.reading.parsing import parse
from harness.system.files import read_plain

NAME = "matrix.lock"
#: Bytes of a lock: as many cells as a plan may have, on twenty axes with long names.
MOST_BYTES = 32_000_000


class Lock(Definition):
    """What the file holds; JSON, which every reader of YAML takes."""

    lock: Literal[1] = 1
    matrix: str
    harness: str = Field(description="version that wrote it")
    definitions: str = Field(description="SHA-256 of what the plan follows from")
    plan: str = Field(description="SHA-256 of definitions and cells")
    profile: Profile = Field(default=SELF_TEST, description="that the suites have in it")
    cells: list[dict[str, str]]


def lock_path(definitions: Definitions) -> Path:
    """The path of the lock of a matrix, beside the matrix."""
    return definitions.folder / NAME


def write_lock(definitions: Definitions, plan: Plan, path: Path | None = None) -> Path:
    """Write the lock beside the matrix, or to ``path``; a later ``run`` takes its cells from there."""
    path = path or lock_path(definitions)
    lock = Lock(
        matrix=plan.matrix,
        harness=__version__,
        definitions=plan.definitions,
        plan=plan.digest,
        profile=definitions.matrix.profile,
        cells=[cell.axes for cell in plan.cells],
    )
    rows = ",\n".join("  " + json.dumps(cell, ensure_ascii=False) for cell in lock.cells)
    head = lock.model_dump(exclude={"cells"})
    lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    path.write_text("{\n" + ",\n".join(lines) + f',\n "cells": [\n{rows}\n ]\n}}\n', encoding="utf-8")
    return path


def locked_plan(definitions: Definitions) -> Plan | None:
    """The plan that the lock names, proved again; None where there is no lock.

    Raises:
        UsageError: the definitions were changed since, or the lock was.
        DefinitionError: the lock is damaged.
    """
    path = lock_path(definitions)
    if not path.exists():
        return None
    lock = _read(path)
    _same_profile(path, lock, definitions)
    if lock.definitions != definitions_digest(definitions):
        raise UsageError(
            f"{path} is stale: the definitions were changed since it was written",
            advice="look at what changes with: harness plan --check; then: harness plan --lock",
        )
    plan = expand(definitions, locked=lock.cells)
    if plan.digest != lock.plan:
        raise UsageError(
            f"{path} was changed by hand: its cells do not have the digest that it names",
            advice="make it anew: harness plan --lock",
        )
    return plan


def check_lock(definitions: Definitions, plan: Plan) -> None:
    """Compare the lock with the plan as it would be made now.

    Raises:
        UsageError: there is no lock, or it is stale; says which cells would come and go.
    """
    path = lock_path(definitions)
    if not path.exists():
        raise UsageError(f"there is no {path}", advice="write it with: harness plan --lock")
    lock = _read(path)
    _same_profile(path, lock, definitions)
    if lock.definitions == plan.definitions and lock.plan == plan.digest:
        return
    old = {frozenset(cell.items()) for cell in lock.cells}
    new = {frozenset(cell.axes.items()) for cell in plan.cells}
    changes = [f"+ {_text(cell)}" for cell in sorted(new - old, key=sorted)]
    changes += [f"- {_text(cell)}" for cell in sorted(old - new, key=sorted)]
    what = "\n  ".join(changes) if changes else "the same cells, but the definitions behind them were changed"
    raise UsageError(f"{path} is stale:\n  {what}", advice="if that is wanted: harness plan --lock")


def _same_profile(path: Path, lock: Lock, definitions: Definitions) -> None:
    """Raises:
    UsageError: the lock is of another profile.
    """
    profile = definitions.matrix.profile
    if lock.profile != profile:
        raise UsageError(
            f"{path} is a plan of profile {lock.profile}, and profile {profile} is asked for",
            advice=f"use that profile, or: harness plan --lock --profile {profile}",
        )


def _read(path: Path) -> Lock:
    """Raises:
    DefinitionError: it is damaged.
    """
    try:
        return Lock.model_validate_json(read_plain(path, MOST_BYTES))
    except (OSError, ValidationError):
        return parse(path, Lock)  # says what is wrong, and where


def _text(cell: frozenset[tuple[str, str]]) -> str:
    return ", ".join(f"{axis}={value}" for axis, value in sorted(cell))
