"""How a campaign is run, watched and handed over."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.definitions import parse
from harness.errors import UsageError
from harness.machines import Inventory
from harness.model.definitions import Hosts
from harness.model.plan import Cell
from harness.model.results import Verdict
from harness.model.view import CampaignView
from harness.report import campaign_summary


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run. ``allow_expired`` names operating systems; ``only`` restricts cells by axis values."""

    mirror: str = ""
    allow_expired: tuple[str, ...] = ()
    no_cache: bool = False
    jobs: int = 0
    retry_failed: int | None = None  #: instead of what the matrix says
    only: dict[str, str] = field(default_factory=dict)
    hosts: str = ""  #: file of the inventory; none where it is empty

    def plain(self) -> dict[str, Any]:
        return {"allow_expired": list(self.allow_expired), "no_cache": self.no_cache, "jobs": self.jobs,
                "only": self.only, "retry_failed": self.retry_failed,
                "hosts": str(Path(self.hosts).absolute()) if self.hosts else ""}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a person sees while it runs: ``step`` per stage, ``done`` per cell, ``note`` for the rest.

    ``begin`` is told the cells that are left, the seconds that they may take, and how many run at once.
    """

    step: Callable[[Cell, str], None] = lambda _c, _w: None
    done: Callable[[Cell, Verdict, str], None] = lambda _c, _v, _m: None
    note: Callable[[str], None] = lambda _w: None
    begin: Callable[[list[Cell], dict[str, float], int], None] = lambda _c, _e, _j: None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A campaign that came to its end (or was interrupted)."""

    view: CampaignView
    outputs: dict[str, str]
    interrupted: bool
    uncertified: str = ""

    def summary(self) -> dict[str, Any]:
        return campaign_summary(self.view, self.outputs)


def inventory_at(path: str) -> Inventory | None:
    """The inventory of lab hosts in a file, with the keys that were confirmed beside it; None where none is named.

    Raises:
        UsageError: there is no such file.
        DefinitionError: it is wrong.
    """
    if not path:
        return None
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"no inventory at {path}", advice="name one with --hosts; its keys: docs/reference")
    return Inventory(parse(file, Hosts), file.with_name("known_hosts"))


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/xinchuang-harness`` or its place below the home folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "xinchuang-harness"
