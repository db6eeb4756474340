"""What a runner's own process needs to know of its cell; travels as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, SecretStr

from harness.model.definitions import Application, Database, LoadProfile, Middleware
from harness.model.machine import MachineReference

#: Masked wherever it is printed; its value goes into JSON alone, for files that only their owner reads.
Secret = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json")]


class Access(BaseModel):
    """How the product reaches its database; ``path`` is set for an embedded one."""

    model_config = ConfigDict(frozen=True)
    kind: str
    host: str = ""
    port: int = 0
    name: str = "app"
    user: str = "app"
    password: Secret = SecretStr("")
    path: str = ""

    def values(self) -> dict[str, Any]:
        """What templates see: ``kind``, ``host``, ``port``, ``name``, ``user``, ``password``, ``path``."""
        return {**self.model_dump(), "password": self.password.get_secret_value()}


class CellContext(BaseModel):
    """Everything of one deployed cell that suites and load drivers may use."""

    model_config = ConfigDict(frozen=True)
    campaign: str
    cell: str
    attempt: int
    axes: dict[str, str]
    architecture: str
    emulated: bool
    qemu_cpu: str | None
    factor: float  #: what limits are multiplied by
    declared_factor: float = 1.0  #: the part of it that definitions declare; what is more was measured
    application: Application
    database: Database
    access: Access
    secrets: dict[str, Secret]
    application_machine: MachineReference
    database_machine: MachineReference  #: the application's where the database is embedded
    middleware: Middleware | None = None  #: where it is a server
    middleware_access: Access | None = None
    middleware_machine: MachineReference | None = None
    ran_before: tuple[int, ...] = ()  #: processes of the application's machine before the product came
    ports: dict[str, tuple[str, int]]  #: name -> address on this machine
    template_folder: Path  #: folder of application.yaml
    installed: tuple[str, ...] = ()  #: packages of the product
    profile: LoadProfile | None = None

    def values(self) -> dict[str, Any]:
        """What templates of the product see: ``db``, ``middleware``, ``ports``, ``secrets``, ``params``, ``cell``."""
        return {
            "db": self.access.values(),
            "middleware": self.middleware_access.values() if self.middleware_access is not None else {},
            "ports": self.application.ports,
            "secrets": {name: secret.get_secret_value() for name, secret in self.secrets.items()},
            "params": self.application.parameters,
            "cell": {**self.axes, "architecture": self.architecture},
        }

    def hidden(self) -> list[str]:
        """Secrets that no log may show."""
        servers = [access for access in (self.access, self.middleware_access) if access is not None]
        every = [*(access.password for access in servers), *self.secrets.values()]
        return [secret.get_secret_value() for secret in every]
