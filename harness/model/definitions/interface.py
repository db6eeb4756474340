"""Interfaces of a product beside HTTP: protocols of the field, and what it declares of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Definition, Name, PlacedError, listed
from harness.model.points import Order

#: Function codes that suites know (MODBUS Application Protocol Specification V1.1b3, 6): those of bits and registers.
FunctionCode = Literal[1, 2, 3, 4, 5, 6, 15, 16, 22, 23]
MqttVersion = Literal["3.1.1", "5"]


class Modbus(Definition):
    """Modbus TCP, with the product as the server."""

    protocol: Literal["modbus"]
    port: str = Field(description="name of one of `ports`")
    unit: int = Field(default=1, ge=0, le=255, description="unit identifier")
    functions: Annotated[tuple[FunctionCode, ...], BeforeValidator(listed)] = Field(
        default=(), description="function codes that the product knows; none: those that its points need"
    )
    order: Order = Field(
        default="ABCD",
        description="of the bytes of a value, where its point says nothing: ABCD is big-endian, CDAB has the low word "
        "first, BADC the low byte of each word, DCBA both",
    )
    points: str | None = Field(default=None, description="CSV or XLSX beside application.yaml: a row for each point")
    refresh: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="seconds in which every point is read anew; none: only lost answers count",
    )
    in_time: float = Field(default=1.0, gt=0, le=1, description="least share of updates that are not late")
    connections: int = Field(default=1, ge=1, le=1000, description="clients that are served at once, at least")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.points is None and not self.functions:
            raise ValueError("give `points` or `functions`: what of the interface can be tested?")
        if len({*self.functions}) < len(self.functions):
            raise PlacedError("a function code stands twice", "functions")
        return self


class MqttUser(Definition):
    """A user of a broker, and a topic of each kind, so that it is seen what it may do."""

    user: str = Field(min_length=1)
    password: str = Field(description="template")
    allowed: str = Field(description="a topic that it may publish to and subscribe to")
    forbidden: str = Field(default="", description="a topic with which it may do neither; none: not looked at")


class Mqtt(Definition):
    """MQTT, with the product as the broker."""

    protocol: Literal["mqtt"]
    port: str = Field(description="name of one of `ports`")
    versions: Annotated[tuple[MqttVersion, ...], BeforeValidator(listed)] = Field(
        default=("3.1.1", "5"), min_length=1, description="versions of the protocol that the product knows"
    )
    prefix: str = Field(
        default="harness", pattern=r"^[^#+\x00]+$", description="topics of the suite begin with it and a slash"
    )
    users: Annotated[tuple[MqttUser, ...], BeforeValidator(listed)] = Field(
        default=(), max_length=32, description="the first is whom all cases log in as; none: nobody logs in"
    )
    anonymous: bool | None = Field(
        default=None, description="whether a client without a user is let in; none: not looked at"
    )
    persistent: bool = Field(default=False, description="sessions and retained messages outlive a restart")
    packet: int | None = Field(
        default=None, ge=1024, le=8 * 2**20, description="bytes of a payload that is taken, at least; none: 64 KiB"
    )
    connections: int = Field(default=20, ge=1, le=1000, description="clients that are served at once, at least")


Interface = Annotated[Modbus | Mqtt, Field(discriminator="protocol")]
Interfaces = dict[Name, Interface]


def check_interfaces(interfaces: Mapping[str, Modbus | Mqtt], ports: Mapping[str, int]) -> None:
    """Raises PlacedError: an interface has a port that the application does not name, or is another one again."""
    places: dict[tuple[str, int], str] = {}
    for name, interface in interfaces.items():
        if interface.port not in ports:
            known = ", ".join(ports) or "none"
            message = f"interfaces.{name}.port {interface.port!r} is not one of ports: {known}"
            raise PlacedError(message, "interfaces", name, "port")
        place = (interface.port, interface.unit if isinstance(interface, Modbus) else -1)
        if (other := places.setdefault(place, name)) != name:
            of_unit = f" and unit {interface.unit}" if isinstance(interface, Modbus) else ""
            message = f"interface {name} has the port {interface.port}{of_unit} of interface {other}"
            raise PlacedError(message, "interfaces", name, "port")
