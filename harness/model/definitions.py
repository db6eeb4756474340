"""What people declare: CPUs, operating systems, databases, applications, suites, load profiles, matrices.

The models are strict and frozen, refuse unknown keys, and do no input or output; ``harness.definitions`` reads
them from files. They live here, not there, because planning, deployment and judging all meet through them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Architecture = Literal["x86_64", "aarch64", "loongarch64"]
Certainty = Literal["measured", "source", "likely", "general"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]{0,63}$")]
SuiteName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._/-]{0,127}$")]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]*[mg]$", description="mebibytes or gibibytes, such as 512m")]
Mode = Annotated[str, Field(pattern=r"^0[0-7]{3}$")]


def size_in_bytes(size: str) -> int:
    """``512m`` -> 536870912."""
    return int(size[:-1]) * {"m": 2**20, "g": 2**30}[size[-1]]


class Definition(BaseModel):
    """Base of all models here: frozen, strict, closed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Text(Definition):
    """A text in both languages of the product."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


def _both(value: Any) -> Any:
    return {"zh": value, "en": value} if isinstance(value, str) else value


#: A text in both languages, or one string that serves both.
Bilingual = Annotated[Text, BeforeValidator(_both)]


def _listed(value: Any) -> Any:
    """YAML and JSON have lists only; strict mode would refuse them where a tuple is meant."""
    return tuple(value) if isinstance(value, list) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(_listed)]


# --- targets ---


class Features(Definition):
    """Instruction-set features by the names the kernel uses in HWCAP or /proc/cpuinfo."""

    present: Strings = ()
    absent: Strings = ()


class Emulation(Definition):
    """How QEMU stands in for the CPU in user mode, and what that cannot show."""

    user: str | None = Field(default=None, description="value of QEMU_CPU")
    limits: Annotated[tuple[Bilingual, ...], BeforeValidator(_listed)] = ()


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
    architectures: Annotated[tuple[Architecture, ...], BeforeValidator(_listed)]
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
    before_install: Annotated[tuple[FileContent, ...], BeforeValidator(_listed)] = ()
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


# --- application ---


class Artifact(Definition):
    """A file of the product beside application.yaml."""

    path: str
    architecture: Architecture | Literal["all"] = "all"
    install: Literal["package", "copy"] = "package"
    to: str | None = Field(default=None, description="where a copied file goes")
    mode: Mode = "0755"

    @model_validator(mode="after")
    def _target(self) -> Self:
        if (self.install == "copy") != (self.to is not None):
            raise ValueError("`to` belongs to `install: copy`, and only there")
        return self


class Template(Definition):
    """A Jinja2 template beside application.yaml, rendered into the target."""

    template: str
    path: str = Field(pattern=r"^/")
    mode: Mode = "0644"
    owner: str = "root:root"


class Request(Definition):
    """One HTTP request and what must come back; all strings are templates with ``key`` and ``text``."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    body: dict[str, Any] | None = Field(default=None, description="sent as JSON")
    status: Annotated[tuple[int, ...], BeforeValidator(_listed)] = (200,)


class Resource(Definition):
    """A resource of the product's API that is created, read, changed and removed by the suites."""

    key: str = Field(description="template that makes a fresh key from `n`, a number")
    create: Request
    read: Request
    update: Request
    delete: Request
    gone: Annotated[tuple[int, ...], BeforeValidator(_listed)] = Field(
        default=(404,), description="status of a read after the delete"
    )
    stored: str = Field(description="SQL that gives the stored text of `key`, one row")


class Http(Definition):
    """The product's HTTP interface."""

    port: str = Field(description="name of one of the application's ports")
    base: str = ""
    headers: dict[str, str] = {}
    wrong_credentials: dict[str, str] | None = None
    refused: Annotated[tuple[int, ...], BeforeValidator(_listed)] = (401, 403)
    resource: Resource | None = None


class Readiness(Definition):
    """How to see that the product serves."""

    path: str | None = Field(default=None, description="GET on the HTTP interface, any status in `status`")
    status: Annotated[tuple[int, ...], BeforeValidator(_listed)] = (200,)
    command: str | None = Field(default=None, description="exits with 0 when ready")
    seconds: float = Field(default=60, gt=0, description="limit, scaled by the target's factor")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.path is None) == (self.command is None):
            raise ValueError("give exactly one of path and command")
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
    def _one(self) -> Self:
        if sum(value is not None for value in (self.file, self.sql, self.command)) != 1:
            raise ValueError("give exactly one of file, sql and command")
        return self


class Application(Definition):
    """The product under test."""

    application: Name
    name: Bilingual
    vendor: Bilingual
    version: str = Field(min_length=1, max_length=64)
    version_command: str | None = Field(default=None, description="prints the installed version")
    description: Bilingual | None = None
    packages: Strings = Field(default=(), description="from the repositories of the operating system")
    artifacts: Annotated[tuple[Artifact, ...], BeforeValidator(_listed)] = ()
    templates: Annotated[tuple[Template, ...], BeforeValidator(_listed)] = ()
    setup: Strings = Field(default=(), description="once after installation; part of the cached environment")
    schema_steps: dict[str, Annotated[tuple[SchemaStep, ...], BeforeValidator(_listed)]] = Field(
        default={}, alias="schema", description="steps by database, each time a cell is deployed"
    )
    environment: dict[str, str] = Field(default={}, description="of the running product")
    secrets: Strings = Field(default=(), description="names; each cell gets fresh values")
    start: str = Field(description="runs in the foreground under supervision")
    user: str = "root"
    ready: Readiness
    stop: Literal["TERM", "INT", "QUIT"] = "TERM"
    stop_seconds: float = Field(default=30, gt=0)
    uninstall: Strings = ()
    ports: dict[str, int] = {}
    http: Http | None = None
    plugins: Annotated[tuple[Plugins, ...], BeforeValidator(_listed)] = ()
    limits: Limits = Limits()
    parameters: dict[str, str] = Field(default={}, description="free values for the templates")
    variants: Annotated[tuple[Variant, ...], BeforeValidator(_listed)] = ()

    @model_validator(mode="after")
    def _ports(self) -> Self:
        if self.http is not None and self.http.port not in self.ports:
            raise ValueError(f"http.port {self.http.port!r} is not one of ports: {', '.join(self.ports)}")
        if self.ready.path is not None and self.http is None:
            raise ValueError("ready.path needs an http section")
        return self

    def for_axes(self, axes: dict[str, str], architecture: str) -> Application:
        """The application as it is on one cell: every variant whose ``when`` holds is laid over it, in order."""
        facts = {**axes, "architecture": architecture}
        values = self.model_dump(by_alias=True, exclude={"variants"})
        for variant in self.variants:
            if all(facts.get(key) == value for key, value in variant.when.items()):
                values |= variant.set
        return Application.model_validate(values)


class Variant(Definition):
    """Values that replace those of the application on the cells where ``when`` holds."""

    when: dict[str, str]
    set: dict[str, Any]


# --- suites ---


class Case(Definition):
    """One check: what it is for, which clause it serves, whether it can block a certificate."""

    id: str = Field(pattern=r"^[A-Z][A-Z0-9]*-[0-9A-Z-]+$")
    test: str = Field(description="name of the test function, or of the load criterion")
    title: Bilingual
    purpose: Bilingual | None = None
    expected: Bilingual | None = None
    characteristic: str = Field(pattern=r"^[a-z_]+(/[a-z_]+)?$", description="GB/T 25000.10-2016")
    clause: str = Field(description="clause of GB/T 25000.51-2016")
    blocker: bool
    certifies_emulated: bool = Field(default=True, description="false: recorded, but certifies nothing")
    when: Literal["main", "end"] = Field(default="main", description="end: after all suites, may destroy")
    seconds: float = Field(default=60, gt=0, description="limit, scaled by the target's factor")


class Suite(Definition):
    """A set of checks in one folder."""

    suite: SuiteName
    version: str
    title: Bilingual
    runner: Literal["pytest", "locust", "deployment"]
    method: str = Field(default="", description="standard or method the suite follows")
    locustfile: str = "locustfile.py"
    profile: LoadProfile | None = None
    cases: Annotated[tuple[Case, ...], BeforeValidator(_listed)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for field in ("id", "test"):
            seen = [getattr(case, field) for case in self.cases]
            twice = sorted({value for value in seen if seen.count(value) > 1})
            if twice:
                raise ValueError(f"{field} used twice: {', '.join(twice)}")
        if (self.runner == "locust") != (self.profile is not None):
            raise ValueError("`profile` belongs to `runner: locust`, and only there")
        return self


class LoadProfile(Definition):
    """Open-model load: a rate that is ramped up and held, and the thresholds of the hold.

    Rates are requests a second, times are seconds, latencies milliseconds from the *intended* start.
    """

    rate: float = Field(gt=0, le=10_000)
    emulated_rate: float | None = Field(default=None, gt=0, description="instead of rate on emulated targets")
    ramp: float = Field(default=3, ge=0, le=3600)
    hold: float = Field(default=10, gt=0, le=86_400)
    users: int = Field(default=20, ge=1, le=2000, description="most requests in flight")
    p95_ms: float = Field(gt=0)
    error_rate: float = Field(ge=0, le=1)
    achieved: float = Field(default=0.98, gt=0, le=1, description="least share of the intended rate")


# --- matrix ---


class Exclude(BaseModel):
    """Axis values of cells that are left out, and why."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")
    because: str = Field(min_length=1)

    @property
    def axes(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Adjust(Definition):
    """Settings of the cells where ``when`` holds, and why."""

    when: dict[str, str]
    set: Adjustment
    because: str = Field(min_length=1)


class Adjustment(Definition):
    """What an adjust may change."""

    timeout_factor: float | None = Field(default=None, ge=1, le=100)
    suites: Annotated[tuple[str, ...] | None, BeforeValidator(_listed)] = None


class Strategy(Definition):
    """How the cells are chosen from the axes; this version knows ``full``."""

    kind: Literal["full"] = "full"


class Accept(Definition):
    """A risk that the author takes on purpose; it is written into the evidence when it is used."""

    expired_release: Name = Field(description="operating system whose expired release file is accepted")
    because: str = Field(min_length=1)


class Matrix(Definition):
    """What to test on what."""

    matrix: Name
    title: Bilingual | None = None
    application: str = "application.yaml"
    axes: dict[str, Strings]
    exclude: Annotated[tuple[Exclude, ...], BeforeValidator(_listed)] = ()
    include: Annotated[tuple[dict[str, str], ...], BeforeValidator(_listed)] = ()
    adjust: Annotated[tuple[Adjust, ...], BeforeValidator(_listed)] = ()
    strategy: Strategy = Strategy()
    suites: Strings = Field(min_length=1)
    accept: Annotated[tuple[Accept, ...], BeforeValidator(_listed)] = ()

    @model_validator(mode="after")
    def _axes(self) -> Self:
        for axis in ("os", "cpu", "database"):
            if axis not in self.axes:
                raise ValueError(f"axis {axis} is missing")
        for axis, values in self.axes.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", axis):
                raise ValueError(f"axis name {axis!r} is not lower-case letters, digits and _")
            if not values:
                raise ValueError(f"axis {axis} has no value")
            if len(set(values)) != len(values):
                raise ValueError(f"axis {axis} names a value twice")
        return self


Application.model_rebuild()
Suite.model_rebuild()
Adjust.model_rebuild()
