"""Database servers that are not the harness's own: how one of a kind is asked, and what an inventory says of one."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.model.definitions.base import Definition, Name, PlacedError, Strings

#: Packages of Python by whose names drivers go; what each needs is known to ``harness.endpoints.drivers``.
DriverName = Literal["psycopg", "psycopg2", "ksycopg2", "PyMySQL", "dmPython", "yaspy", "gbase8sdb"]
Reference = Annotated[str, Field(pattern=r"^(env|file):.+$")]


class EndpointRecipe(Definition):
    """How a cell gets a user and a database of its own on a server of this kind, and how the server is asked.

    All is SQL, a statement each. Those of the administrator are templates that see ``db`` (name, user, password); names
    and password are letters, digits and _, and both names are the same word.
    """

    def login_of(self, user: str, administrator: str) -> str:
        """By what name a user of a cell logs in, whose ``administrator`` logs in by that name."""
        _, at, tenant = administrator.partition("@")
        return f"{user}{at}{tenant}" if self.tenants else user

    driver: DriverName = Field(description="Python driver that asks it from this machine")
    names: Literal["lower", "upper"] = Field(default="lower", description="letters of the names that are made")
    tenants: bool = Field(
        default=False,
        description="users log in as USER@TENANT; which tenant, the administrator's name says",
    )
    maintenance: str = Field(default="", description="database that the administrator logs into")
    create: Strings = Field(description="makes user and database of a cell")
    drop: Strings = Field(description="removes them, with what uses them; each must succeed where nothing is there")
    leftovers: str = Field(description="prints the names of users and databases that begin with xch, a row each")
    lease: str = Field(
        default="",
        description="takes the lock {{ slot }} (0, 1, …) for the session without waiting; prints whether it has it; "
        "none: cells are counted on this machine alone",
    )
    version: str = Field(description="prints the version")
    observe: dict[str, str] = Field(
        default={}, description="setting -> SQL that prints it, asked in the cell's own database"
    )


class EndpointTls(Definition):
    """What the server must show. Without it the driver takes what the server offers, and trusts whoever answers."""

    ca: str = Field(min_length=1, description="file of certificates of who may have signed the server's")
    verify: Literal["name", "signer"] = Field(
        default="name", description="name: the certificate is also for this address; signer: it was signed, no more"
    )


class Endpoint(Definition):
    """A database server of the laboratory. Secrets are named, never written: ``env:NAME`` or ``file:PATH``."""

    endpoint: Name
    database: Name = Field(description="entry of the catalogue that it is, as the axis names it")
    address: str = Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._:-]+$", description="name or IP address")
    port: int | None = Field(default=None, ge=1, le=65535, description="the entry's where none is given")
    user: str = Field(min_length=1, description="account that may make users and databases")
    password: Reference | None = Field(default=None, description="its password, by reference")
    maintenance: str = Field(default="", description="database that it logs into; the entry's where none is given")
    driver: DriverName | None = Field(default=None, description="where it is another one than the entry's")
    tls: EndpointTls | None = None
    at_once: int = Field(default=1, ge=1, le=64, description="cells that it serves at once")
    declared: str = Field(default="", description="version that it must show, beside what the entry declares")
    settings: dict[str, str] = Field(default={}, description="name -> value that it must show, likewise")
    labels: dict[str, str] = Field(
        default={}, description="os, cpu: what it runs on; for cells that name a machine for their database"
    )
    restart: str = Field(
        default="", description="command for `sh -c` on this machine, which restarts it and may return early"
    )
    restart_seconds: float = Field(default=120, gt=0, le=3600, description="until it answers again")
    seconds: int = Field(default=10, ge=1, le=120, description="in which it must take a connection")

    @model_validator(mode="after")
    def _alone(self) -> Self:
        if self.restart and self.at_once > 1:
            raise PlacedError("a restart for one cell would disturb the others: it needs at_once: 1", "restart")
        return self
