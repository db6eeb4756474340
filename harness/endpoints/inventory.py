"""Which database server of the laboratory can serve what, and who its administrator is."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.endpoints.asking import Account, Session, connect, driver_of, where
from harness.hosts.inventory import resolve_secret
from harness.model.definitions import Database, Databases, Endpoint, EndpointRecipe
from harness.model.plan import SAME
from harness.model.templating import render

#: What the names of all users and databases begin with that the harness makes on servers of others.
PREFIX = "xch"
_MACHINE = Path("/etc/machine-id")


@dataclass(frozen=True)
class Server:
    """An endpoint with what its entry of the catalogue adds: port, driver, the database of its administrator."""

    endpoint: Endpoint
    database: Database

    @property
    def recipe(self) -> EndpointRecipe:
        """How it is asked."""
        assert self.database.endpoint is not None
        return self.database.endpoint

    @property
    def where(self) -> str:
        """By what messages name it."""
        return where(self.endpoint)

    @property
    def obstacle(self) -> str:
        """Why it cannot be asked from this machine; empty where it can."""
        return driver_of(self.endpoint).missing

    @property
    def is_here(self) -> bool:
        """Whether its address leads to this machine, whoever goes there."""
        if self.endpoint.address == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.endpoint.address).is_loopback
        except ValueError:
            return False

    @property
    def scope(self) -> str:
        """Six hex digits, the same for all who count the cells of this server by the same locks."""
        words = self.endpoint.maintenance
        if not self.recipe.lease:
            words += f" {_MACHINE.read_text().strip() if _MACHINE.is_file() else ''}"
        return hashlib.sha256(words.encode()).hexdigest()[:6]

    def name_of(self, slot: int, mark: str) -> str:
        """Name of the user and database of a cell; ``mark`` is eight hex digits."""
        name = f"{PREFIX}{self.scope}_{slot}_{mark}"
        return name.upper() if self.recipe.names == "upper" else name

    def slot_of(self, name: str) -> int | None:
        """The place of the cell that a user or database was made for; None where nobody here made it."""
        known = re.fullmatch(rf"{PREFIX}{self.scope}_(\d{{1,2}})_[0-9a-f]{{8}}", name.lower())
        return int(known[1]) if known is not None else None

    def administer(self) -> Session:
        """Log its administrator in. Raises as ``connect``, and UsageError where the secret is missing."""
        reference = self.endpoint.password
        secret = resolve_secret(reference, self.where).rstrip("\n") if reference is not None else None
        account = Account(user=self.endpoint.user, password=secret, database=self.endpoint.maintenance)
        return connect(self.endpoint, account)

    def sql(self, template: str, **values: Any) -> str:
        """A statement of the recipe."""
        return render(template, values, where=f"targets/database/{self.database.database}.yaml")


def resolved(endpoint: Endpoint, database: Database) -> Server:
    """An endpoint of the inventory as a server of its kind."""
    recipe = database.endpoint
    assert recipe is not None
    known = {
        "port": endpoint.port or database.port,
        "driver": endpoint.driver or recipe.driver,
        "maintenance": endpoint.maintenance or recipe.maintenance,
    }
    return Server(endpoint.model_copy(update=known), database)


def fitting(databases: Databases | None, database: Database, axes: Mapping[str, str]) -> list[Server]:
    """Endpoints that are the database of a cell. Where the cell names a machine for it, their labels must too."""
    if databases is None or database.endpoint is None:
        return []
    named = {kind: axes.get(f"database_{kind}", SAME) for kind in ("os", "cpu")}
    wanted = {kind: value for kind, value in named.items() if value != SAME}
    return [
        resolved(endpoint, database)
        for endpoint in databases.databases
        if endpoint.database == database.database and wanted.items() <= endpoint.labels.items()
    ]


def variables(databases: Databases) -> tuple[str, ...]:
    """Environment variables that hold secrets of administrators."""
    references = [endpoint.password or "" for endpoint in databases.databases]
    return tuple(reference.removeprefix("env:") for reference in references if reference.startswith("env:"))
