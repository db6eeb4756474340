"""How a campaign is run, watched and handed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from harness.errors import UsageError
from harness.hosts.inventory import Inventory
from harness.model.definitions import Hosts, Retries
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

    def retries(self, declared: Retries) -> Retries:
        """How often a cell is tried again: as the matrix says, but for what is named here."""
        return declared if self.retry_failed is None else declared.model_copy(update={"fail": self.retry_failed})

    def plain(self) -> dict[str, Any]:
        """Every option as JSON values, to be kept with the campaign; without the password of a mirror."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values["allow_expired"] = list(self.allow_expired)
        values["mirror"] = _without_password(self.mirror)
        values["hosts"] = str(Path(self.hosts).absolute()) if self.hosts else ""
        return values

    @classmethod
    def kept(cls, plain: Mapping[str, Any]) -> RunOptions:
        """The options that ``plain`` gave; what an older harness did not keep is as if it was not named."""
        values = {each.name: plain[each.name] for each in fields(cls) if each.name in plain}
        return cls(**{**values, "allow_expired": tuple(values.get("allow_expired", ()))})

    def with_named(self, named: RunOptions) -> RunOptions:
        """These options, and over them those that ``named`` sets to something else than the default."""
        default = RunOptions()
        values = {each.name: getattr(named, each.name) for each in fields(named)}
        return replace(self, **{name: value for name, value in values.items() if value != getattr(default, name)})


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


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
