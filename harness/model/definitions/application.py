"""The product under test: how it is installed, configured, started, reached, removed."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, IPvAnyAddress, model_validator

from harness.model.definitions.account import Accounts, Audit
from harness.model.definitions.additions import Additions, Call
from harness.model.definitions.base import (
    Architecture,
    Bilingual,
    Definition,
    Mode,
    Name,
    PlacedError,
    Strings,
    listed,
)
from harness.model.definitions.http import Http
from harness.model.definitions.interface import Interfaces, check_interfaces
from harness.model.definitions.lab import Servlet
from harness.model.definitions.resource import VendorResource
from harness.model.definitions.service import Readiness, Service, Signal, unclear
from harness.model.definitions.target import Limits
from harness.model.definitions.task import Task


class Artifact(Definition):
    """A file of the product beside application.yaml."""

    path: str
    architecture: Architecture | Literal["all"] = "all"
    install: Literal["package", "copy", "archive", "image"] = Field(
        default="package", description="image: an archive of container images, as `docker save` writes it"
    )
    to: str | None = Field(default=None, description="where a copied file goes, or the folder of an archive's files")
    strip: int = Field(default=0, ge=0, le=16, description="leading folders of an archive that are left out")
    mode: Mode = "0755"
    beneath: bool = Field(
        default=False,
        description="what the product only needs, such as a servlet container or a JDK of its vendor: no file of the "
        "product, cause config where it cannot be installed",
    )
    built_by: str = Field(default="", description="command that makes it; only said where the file is missing")

    @model_validator(mode="after")
    def _target(self) -> Self:
        if (self.install in ("copy", "archive")) != (self.to is not None):
            raise ValueError("`to` belongs to `install: copy` and `install: archive`, and only there")
        if self.to is not None and not self.to.startswith("/"):
            raise ValueError("`to` begins with /")
        if self.beneath and self.install not in ("copy", "archive"):
            raise ValueError("`beneath` belongs to `install: copy` and `install: archive`")
        if self.strip and self.install != "archive":
            raise ValueError("`strip` belongs to `install: archive`, and only there")
        return self


class War(Definition):
    """A web application beside application.yaml, for the servlet container that the axis ``middleware`` names."""

    path: str
    context: str = Field(default="/", pattern=r"^/[A-Za-z0-9_-]*$", description="context path; / is the root")
    built_by: str = Field(default="", description="command that makes it; only said where the file is missing")

    def name(self, servlet: Servlet) -> str:
        """The name, without .war, by which the container knows it."""
        return self.context.removeprefix("/") or servlet.root


class Template(Definition):
    """A Jinja2 template beside application.yaml, rendered into the target."""

    template: str
    path: str = Field(pattern=r"^/")
    mode: Mode = "0644"
    owner: str = "root:root"


class ComposeFile(Definition):
    """A compose file of the vendor, on a machine that has an engine."""

    file: str = Field(pattern=r"^/", description="its path there; an artifact or a template of that path brings it")
    service: str = Field(pattern=r"^[a-zA-Z0-9._-]+$", description="the service that is watched as the product")


class Playbook(Definition):
    """A playbook of the vendor beside application.yaml, which configures the installed product."""

    playbook: str
    variables: dict[str, str] = Field(default={}, description="values are templates")


class Former(Definition):
    """An earlier version of the product, from which it can be upgraded."""

    set: dict[str, Any] = Field(description="keys of the application that were otherwise then; at least version")
    upgrade: Strings = Field(
        default=(), description="templates; run after the new files have come, before the new version starts"
    )
    rollback: Strings | None = Field(
        default=None, description="the same, after the former files are back; none: the product cannot go back"
    )

    @model_validator(mode="after")
    def _versioned(self) -> Self:
        if "version" not in self.set:
            raise ValueError("a former version names its version")
        if wrong := sorted({"former", "variants", "application"} & self.set.keys()):
            raise ValueError(f"a former version cannot set {', '.join(wrong)}")
        return self


class Plugins(Definition):
    """Shared objects that are loaded by a program and may use its symbols."""

    files: str = Field(description="shell pattern")
    host: str = Field(description="the program that loads them")


class SchemaStep(Definition):
    """One step of making the product's tables: a file of the installed product, SQL, or a command."""

    file: str | None = Field(default=None, description="SQL file inside the application's machine")
    sql: str | None = None
    command: str | None = Field(default=None, description="template, runs in the application's machine")
    because: str = ""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.file, self.sql, self.command)) != 1:
            raise ValueError("give exactly one of file, sql and command")
        return self


class Reached(Definition):
    """A place outside of the cell that the product must reach over TCP: a licence server, an identity provider."""

    host: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
        max_length=253,
        description="the name by which the product knows it",
    )
    port: int = Field(ge=1, le=65535)
    address: IPvAnyAddress | None = Field(
        default=None, description="where the name leads in the laboratory; none: as this machine resolves it"
    )

    @model_validator(mode="after")
    def _elsewhere(self) -> Self:
        if self.host == "localhost" or self.host.replace(".", "").isdigit():
            raise PlacedError(f"host {self.host!r} is no name of another machine", "host")
        if (address := self.address) is not None and (
            address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local
        ):
            raise PlacedError(f"address {address} is of no machine of a laboratory", "address")
        return self

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" + (f" ({self.address})" if self.address is not None else "")


class Application(Definition):
    """The product under test."""

    application: Name
    name: Bilingual
    vendor: Bilingual
    version: str = Field(min_length=1, max_length=64)
    version_command: str | None = Field(default=None, description="prints the installed version")
    description: Bilingual | None = None
    packages: Strings = Field(default=(), description="from the repositories of the operating system")
    needed: Strings = Field(
        default=(),
        alias="needs",
        description="packages from there that the product only needs: beneath it, and none of its files",
    )
    artifacts: Annotated[tuple[Artifact, ...], BeforeValidator(listed)] = ()
    wars: Annotated[tuple[War, ...], BeforeValidator(listed)] = Field(
        default=(), description="started by the servlet container that the axis middleware names, in place of `start`"
    )
    scan: Strings = Field(
        default=(), description="further files and folders beside application.yaml that the static scan reads"
    )
    dialect: Literal["mysql", "postgresql", "oracle", "sqlite", "mssql", "db2"] | None = Field(
        default=None,
        description="whose SQL its statements are written in, where neither name nor head of a file says so",
    )
    templates: Annotated[tuple[Template, ...], BeforeValidator(listed)] = ()
    setup: Strings = Field(default=(), description="once after installation; part of the cached environment")
    schema_steps: dict[str, Annotated[tuple[SchemaStep, ...], BeforeValidator(listed)]] = Field(
        default={}, alias="schema", description="steps by database, each time a cell is deployed"
    )
    driver_jars: dict[str, str] = Field(default={}, description="JDBC drivers by database, as paths of its machine")
    environment: dict[str, str] = Field(default={}, description="of the running product")
    secrets: Strings = Field(default=(), description="names; each cell gets fresh values")
    playbooks: Annotated[tuple[Playbook, ...], BeforeValidator(listed)] = Field(
        default=(), description="run with ansible-playbook once the templates are written; extra `ansible`"
    )
    start: str | None = Field(default=None, description="runs in the foreground under supervision")
    service: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9:_.@-]+\.service$",
        description="unit by which systemd starts it where one runs; without `start` it needs such a machine",
    )
    compose: ComposeFile | None = None
    user: str = "root"
    ready: Readiness | None = Field(default=None, description="of a product that serves")
    tasks: Annotated[tuple[Task, ...], BeforeValidator(listed)] = Field(
        default=(), description="of a program that is run and ends; without `start`, `service` and `compose` it is all"
    )
    services: Annotated[tuple[Service, ...], BeforeValidator(listed)] = Field(
        default=(), max_length=32, description="a product of several processes, in the order of their start"
    )
    stop: Signal = "TERM"
    stop_seconds: float = Field(default=30, gt=0)
    recovery_seconds: float = Field(
        default=30, gt=0, le=3600, description="until it serves again by itself after a fault around it"
    )
    uninstall: Strings = ()
    ports: dict[str, Annotated[int, Field(ge=1, le=65535)]] = Field(default={})
    reach: Annotated[tuple[Reached, ...], BeforeValidator(listed)] = Field(
        default=(),
        max_length=32,
        description="what the product must reach outside of its cell; nothing else is reached",
    )
    http: Http | None = None
    resource: VendorResource | None = Field(
        default=None, description="in place of http.resource, a class of the vendor"
    )
    interfaces: Interfaces = Field(
        default={}, max_length=16, description="beside HTTP, by a name: protocols of the field, for industrial suites"
    )
    accounts: Accounts | None = Field(default=None, description="its users, for security/product")
    audit: Audit | None = Field(default=None, description="its log of who did what, for security/product")
    adds: Additions | None = Field(default=None, description="what its installation adds to the system: all of it")
    calls: Annotated[tuple[Call, ...], BeforeValidator(listed)] = Field(
        default=(), max_length=64, description="calls of its programs on a command line"
    )
    plugins: Annotated[tuple[Plugins, ...], BeforeValidator(listed)] = ()
    limits: Limits = Limits()
    parameters: dict[str, str] = Field(default={}, description="free values for the templates")
    former: dict[str, Former] = Field(
        default={}, description="earlier versions, by the name that the axis upgrade_from uses"
    )
    variants: Annotated[tuple[Variant, ...], BeforeValidator(listed)] = ()

    @model_validator(mode="after")
    def _own_or_needed(self) -> Self:
        if both := sorted({*self.packages} & {*self.needed}):
            raise PlacedError(f"both in packages and in needs: {', '.join(both)}", "needs")
        return self

    @model_validator(mode="after")
    def _reached_once(self) -> Self:
        places = [(place.host, place.port) for place in self.reach]
        if twice := sorted({f"{host}:{port}" for host, port in places if places.count((host, port)) > 1}):
            raise PlacedError(f"twice in reach: {', '.join(twice)}", "reach")
        return self

    @model_validator(mode="after")
    def _started(self) -> Self:
        ways = self._ways
        if not ways and not self.tasks:
            raise ValueError("give `start`, `services`, `service`, `compose` or `wars`: how is it started? Or `tasks`")
        if len(ways) > 1 and ways != ["start", "service"]:
            raise ValueError(f"{' and '.join(f'`{way}`' for way in ways)} are given: how is it started?")
        if ways and self.ready is None:
            raise ValueError("give `ready`: how is it seen that it serves?")
        served = ("ready", "http", "resource", "interfaces")
        if not ways and (key := next((key for key in served if getattr(self, key)), None)):
            raise PlacedError(f"a product that nothing starts has no `{key}`", key)
        if len({task.task for task in self.tasks}) < len(self.tasks):
            raise PlacedError("two tasks have the same name", "tasks")
        contexts = [war.context for war in self.wars]
        if twice := sorted({context for context in contexts if contexts.count(context) > 1}):
            raise PlacedError(f"two WARs have the context {', '.join(twice)}", "wars")
        if self.wars and self.http is None:
            raise PlacedError("WARs need an http section: its port is the container's", "wars")
        if words := unclear(self.services, self.ports) if self.services else "":
            raise PlacedError(words, "services")
        for name, former in self.former.items():
            if unknown := sorted(former.set.keys() - {f.alias or n for n, f in type(self).model_fields.items()}):
                raise ValueError(f"former version {name}: the application has no key {', '.join(unknown)}")
        return self

    @property
    def _ways(self) -> list[str]:
        return [way for way in ("start", "services", "service", "compose", "wars") if getattr(self, way)]

    @property
    def serves(self) -> bool:
        """Whether something of it is started and stays; else it is a program that is run and ends."""
        return bool(self._ways)

    @property
    def readiness(self) -> Readiness:
        """How a product that serves shows it. Raises LookupError for another."""
        if self.ready is None:
            raise LookupError("the product is no server")
        return self.ready

    @property
    def needs(self) -> Needs:
        """What only some machines have."""
        image = any(artifact.install == "image" for artifact in self.artifacts)
        return Needs(
            systemd=self.start is None and self.service is not None,
            engine=self.compose is not None,
            container=image and self.compose is None,
            reach=bool(self.reach),
        )

    @model_validator(mode="after")
    def _ports(self) -> Self:
        check_interfaces(self.interfaces, self.ports)
        if self.http is not None and self.http.port not in self.ports:
            raise PlacedError(
                f"http.port {self.http.port!r} is not one of ports: {', '.join(self.ports)}", "http", "port"
            )
        if self.ready is not None and self.ready.path is not None and self.http is None:
            raise PlacedError("ready.path needs an http section", "ready", "path")
        if self.accounts is not None and self.http is None:
            raise PlacedError("accounts need an http section: a login is a request", "accounts")
        if self.audit is not None and self.accounts is None and {"login", "refused"} & self.audit.patterns.keys():
            raise PlacedError("who logs in is not declared: give `accounts`", "audit")
        if self.resource is not None and self.http is not None and self.http.resource is not None:
            raise PlacedError("the application has a resource and http.resource: which one is meant?", "resource")
        if self.audit is not None and not self.has_resource and self.audit.patterns.keys() - {"login", "refused"}:
            raise PlacedError("what is created, updated and deleted is not declared: give a resource", "audit")
        return self

    @property
    def has_resource(self) -> bool:
        """Whether suites can create, read, change and remove something of it."""
        return self.resource is not None or (self.http is not None and self.http.resource is not None)

    def for_axes(self, axes: dict[str, str], architecture: str, family: str = "") -> Application:
        """The application as it is on one cell: every variant whose ``when`` holds is laid over it, in order.

        Beside the axes ``when`` knows the machine's ``architecture`` and the ``family`` of its system's packages.
        """
        facts = {**axes, "architecture": architecture, "family": family}
        sets = [v.set for v in self.variants if all(facts.get(key) == value for key, value in v.when.items())]
        if not sets:  # a plan of 10,000 cells asks for each
            return self.model_copy(update={"variants": ()})
        values = self.model_dump(by_alias=True, exclude={"variants"})
        return Application.model_validate(values | dict(ChainMap(*reversed(sets))))

    def inside(self, servlet: Servlet) -> Application:
        """The application in a servlet container: its WARs are files there, and the container is what is started."""
        names = [war.name(servlet) for war in self.wars]
        files = [f"{servlet.wars}/{name}.war" for name in names]
        traces = [place.replace("{name}", name) for name in names for place in servlet.traces]
        values = self.model_dump(by_alias=True) | {
            "wars": (),
            "artifacts": (
                *(artifact.model_dump() for artifact in self.artifacts),
                *(
                    {"path": war.path, "install": "copy", "to": file, "mode": "0644"}
                    for war, file in zip(self.wars, files, strict=True)
                ),
            ),
            "start": servlet.start,
            "stop": servlet.stop,
            "user": servlet.user,
            "environment": {**servlet.environment, **self.environment},
            "uninstall": (f"rm -rf {' '.join((*files, *traces))}", *self.uninstall),
        }
        return Application.model_validate(values)

    def before(self, name: str) -> Application:
        """The former version ``name``, as it was on the same cell."""
        values = self.model_dump(by_alias=True, exclude={"variants", "former"})
        return Application.model_validate(values | self.former[name].set)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What of a machine a product cannot do without: systemd, a container engine, to be made of an image, or to reach
    a place outside of its cell."""

    systemd: bool = False
    engine: bool = False
    container: bool = False
    reach: bool = False


class Variant(Definition):
    """Values that replace those of the application on the cells where ``when`` holds."""

    when: dict[str, str]
    set: dict[str, Any]


Application.model_rebuild()
