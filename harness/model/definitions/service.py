"""The processes of a product that consists of several, and how it is seen that a product serves."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Definition, Name, PlacedError, Strings, listed

Signal = Literal["TERM", "INT", "QUIT"]


class Readiness(Definition):
    """How to see that the product serves."""

    path: str | None = Field(default=None, description="GET on the HTTP interface, any status in `status`")
    status: Annotated[tuple[int, ...], BeforeValidator(listed)] = (200,)
    command: str | None = Field(default=None, description="exits with 0 when ready")
    seconds: float = Field(default=60, gt=0, description="limit, scaled by the target's factor")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.path is None) == (self.command is None):
            raise ValueError("give exactly one of path and command")
        return self


class Service(Definition):
    """A process of a product that consists of several. They are started in the order of their list, each when the one
    before it is ready, and stopped in the reverse."""

    service: Name
    start: str = Field(description="runs in the foreground under supervision")
    user: str | None = Field(default=None, description="none: the application's")
    environment: dict[str, str] = Field(default={}, description="beside the application's")
    ports: Strings = Field(default=(), description="names of the application's ports on which it listens")
    ready: Readiness | None = Field(
        default=None, description="a command; without it, it is ready when it listens on its ports"
    )
    stop: Signal = "TERM"
    stop_seconds: float = Field(default=30, gt=0)

    @property
    def ready_seconds(self) -> float:
        """Limit of its readiness in seconds, to be scaled by the target's factor."""
        return 30.0 if self.ready is None else self.ready.seconds

    @model_validator(mode="after")
    def _ready_by_command(self) -> Self:
        if self.ready is not None and self.ready.command is None:
            raise PlacedError("the readiness of a service is a `command`: `path` is asked of the product", "ready")
        return self


def unclear(services: tuple[Service, ...], ports: dict[str, int]) -> str:
    """Why the services of a product do not fit together, or do not fit its ports; empty where they do."""
    names = [service.service for service in services]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"two services have the name {', '.join(twice)}"
    given = [port for service in services for port in service.ports]
    if unknown := sorted(set(given) - ports.keys()):
        return f"a service listens on {', '.join(unknown)}, which is not one of ports: {', '.join(ports)}"
    if twice := sorted({port for port in given if given.count(port) > 1}):
        return f"two services listen on {', '.join(twice)}"
    if missing := sorted(ports.keys() - set(given)):
        return (
            f"no service says that it listens on {', '.join(missing)}: add it to the `ports` of the service that does"
        )
    return ""
