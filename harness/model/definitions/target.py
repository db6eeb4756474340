"""Targets: CPU classes, operating systems, databases."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import (
    Architecture,
    Bilingual,
    Certainty,
    Definition,
    Mode,
    Name,
    Size,
    Strings,
    listed,
)


class Features(Definition):
    """Instruction-set features by the names the kernel uses in HWCAP or /proc/cpuinfo."""

    present: Strings = ()
    absent: Strings = ()


class Emulation(Definition):
    """How QEMU stands in for the CPU in user mode, and what that cannot show."""

    user: str | None = Field(default=None, description="value of QEMU_CPU")
    limits: Annotated[tuple[Bilingual, ...], BeforeValidator(listed)] = ()


class Cpu(Definition):
    """A CPU class."""

    cpu: Name
    name: Bilingual
    vendor: Bilingual
    architecture: Architecture
    isa_level: str = ""
    features: Features = Features()
    emulation: Emulation = Emulation()
    timeout_factor: float = Field(default=1.0, ge=1.0, le=100.0, description="scales limits when emulated")
    certainty: Certainty
    source: str


class Os(Definition):
    """An operating system release whose images are built from packages."""

    os: Name
    name: Bilingual
    vendor: Bilingual
    family: Literal["debian"]
    suite: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="suite on the mirror")
    architectures: Annotated[tuple[Architecture, ...], BeforeValidator(listed)]
    identity: dict[str, str] = Field(description="keys of /etc/os-release that must hold exactly")
    glibc: str | None = Field(default=None, description="exact version where the release fixes one")
    certainty: Certainty
    source: str


class FileContent(Definition):
    """A small file written into a target."""

    path: str = Field(pattern=r"^/")
    content: str
    mode: Mode = "0644"


class Limits(Definition):
    """What one container may use."""

    memory: Size = "1g"
    cpus: float = Field(default=1.0, gt=0, le=64)
    processes: int = Field(default=512, ge=16, le=32768)


class Database(Definition):
    """A database: how to install, start, ask and stop it.

    Commands are Jinja2 templates for ``sh -c`` with ``db`` (host, port, name, user, password, path) and run in the
    database's own container, or in the application's where the database is embedded.
    """

    database: Name
    name: Bilingual
    vendor: Bilingual
    placement: Literal["server", "embedded"]
    port: int | None = Field(default=None, ge=1, le=65535)
    path: str | None = Field(default=None, description="file of an embedded database")
    packages: Strings = ()
    before_install: Annotated[tuple[FileContent, ...], BeforeValidator(listed)] = ()
    setup: Strings = Field(default=(), description="once, after the packages; part of the cached environment")
    start: str | None = None
    stop: str | None = None
    ready: str | None = None
    create: str | None = Field(default=None, description="makes user and database of a cell")
    query: str = Field(description="reads SQL from standard input, prints tab-separated rows")
    version: str
    settings: dict[str, str] = Field(default={}, description="name -> declared value")
    observe_settings: str | None = Field(default=None, description="prints NAME=VALUE lines")
    log: str | None = Field(default=None, description="file that is kept as evidence")
    limits: Limits = Limits()
    start_seconds: float = Field(default=60, gt=0)
    certainty: Certainty
    source: str

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.placement == "server":
            lacking = [key for key in ("port", "start", "stop", "ready", "create") if getattr(self, key) is None]
            if lacking:
                raise ValueError(f"a database server needs {', '.join(lacking)}")
        elif self.path is None:
            raise ValueError("an embedded database needs path")
        return self
