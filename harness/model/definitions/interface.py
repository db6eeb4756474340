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
#: Security policies of OPC 10000-7; the last two are deprecated there.
UaPolicy = Literal[
    "None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss", "Basic256", "Basic128Rsa15"
]
UaMode = Literal["None", "Sign", "SignAndEncrypt"]


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


class OpcUaSecurity(Definition):
    """A security policy and mode that the product offers (OPC 10000-7, profiles of security policies)."""

    policy: UaPolicy
    mode: UaMode

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.policy == "None") != (self.mode == "None"):
            raise PlacedError("policy None goes with mode None, and no other does", "mode")
        return self


class OpcUaUser(Definition):
    """A user of an OPC UA server."""

    user: str = Field(min_length=1)
    password: str = Field(description="template")


class OpcUaCertificate(Definition):
    """What the harness shows as its application instance certificate. Its subjectAltName holds the application URI."""

    certificate: str = Field(description="PEM beside application.yaml")
    key: str = Field(description="PEM beside application.yaml, without a passphrase")


class OpcUa(Definition):
    """OPC UA over opc.tcp, with the product as the server."""

    protocol: Literal["opcua"]
    port: str = Field(description="name of one of `ports`")
    path: str = Field(default="", pattern=r"^(/[!-~]*)?$", description="of the endpoint's URL, with its slash")
    security: Annotated[tuple[OpcUaSecurity, ...], BeforeValidator(listed)] = Field(
        default=(),
        max_length=16,
        description="what the product offers: all of it is tried, and the first is what cases use; an unsafe one "
        "(None, Basic128Rsa15, Basic256) that it offers and that is not here fails it; none: policy None alone",
    )
    client: OpcUaCertificate | None = Field(
        default=None, description="none: a certificate is made for each run, which the product must accept"
    )
    users: Annotated[tuple[OpcUaUser, ...], BeforeValidator(listed)] = Field(
        default=(), max_length=32, description="the first is whom all cases log in as; none: nobody logs in"
    )
    anonymous: bool | None = Field(
        default=None, description="whether a client without a user is let in; none: not looked at"
    )
    namespace: str = Field(default="", description="URI of the namespace of points whose node names none")
    namespaces: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=(), max_length=64, description="URIs of further namespaces that the server has"
    )
    points: str | None = Field(default=None, description="CSV or XLSX beside application.yaml: a row for each point")
    refresh: float | None = Field(
        default=None, gt=0, le=3600, description="seconds in which every point is read anew; none: not looked at"
    )
    in_time: float = Field(default=1.0, gt=0, le=1, description="least share of updates that are not late")
    notified: float = Field(
        default=2.0, gt=0, le=60, description="seconds in which a subscription tells of a change, at most"
    )
    clock: float = Field(
        default=2.0, gt=0, le=60, description="seconds that a time stamp may lie after the server's own clock, at most"
    )
    connections: int = Field(default=5, ge=1, le=1000, description="clients that are served at once, at least")

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len({*self.security}) < len(self.security):
            raise PlacedError("a policy stands twice with one mode", "security")
        if len({each.user for each in self.users}) < len(self.users):
            raise PlacedError("a user stands twice", "users")
        if not self.users and self.anonymous is False:
            raise PlacedError("nobody is let in: there is no user, and none without one", "anonymous")
        return self

    @property
    def securities(self) -> tuple[OpcUaSecurity, ...]:
        """What the product offers, at least one."""
        return self.security or (OpcUaSecurity(policy="None", mode="None"),)


Interface = Annotated[Modbus | Mqtt | OpcUa, Field(discriminator="protocol")]
Interfaces = dict[Name, Interface]


def check_interfaces(interfaces: Mapping[str, Modbus | Mqtt | OpcUa], ports: Mapping[str, int]) -> None:
    """Raises PlacedError: an interface has a port that the application does not name, or is another one again."""
    places: dict[tuple[str, str], str] = {}
    for name, interface in interfaces.items():
        if interface.port not in ports:
            known = ", ".join(ports) or "none"
            message = f"interfaces.{name}.port {interface.port!r} is not one of ports: {known}"
            raise PlacedError(message, "interfaces", name, "port")
        part = ""
        if isinstance(interface, Modbus):
            part = f" and unit {interface.unit}"
        elif isinstance(interface, OpcUa) and interface.path:
            part = f" and path {interface.path}"
        if (other := places.setdefault((interface.port, part), name)) != name:
            message = f"interface {name} has the port {interface.port}{part} of interface {other}"
            raise PlacedError(message, "interfaces", name, "port")
