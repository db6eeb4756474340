"""How a campaign is run, watched and handed over."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.hosts.inventory import Inventory
from harness.model.definitions import Hosts
from harness.reading.parsing import parse
from harness.system.makers import cache_folder

__all__ = ["RunOptions", "cache_folder", "inventory_at"]


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
        return {
            "allow_expired": list(self.allow_expired),
            "no_cache": self.no_cache,
            "jobs": self.jobs,
            "only": self.only,
            "retry_failed": self.retry_failed,
            "hosts": str(Path(self.hosts).absolute()) if self.hosts else "",
        }


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
