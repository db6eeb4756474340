"""What a runner's own process needs to know of its cell; travels as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, SecretStr

from harness.model.definitions import (
    SELF_TEST,
    Application,
    Database,
    MalwareData,
    Middleware,
    Profile,
    VulnerabilityData,
)
from harness.model.machine import MachineReference
from harness.system.addresses import in_url

#: Masked wherever it is printed; its value goes into JSON alone, for files that only their owner reads.
Secret = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json")]
#: Characters of a full line of base64 in PEM (RFC 7468, 2).
WHOLE_LINE = 64


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
    jdbc: str = ""  #: URL, empty where no JDBC driver is known
    driver_class: str = ""
    driver_jar: str = ""  #: on the product's machine; empty where the product brings its own

    def values(self) -> dict[str, Any]:
        """What templates see: each of ``names``, the password in clear."""
        return {
            **self.model_dump(),
            "url_host": in_url(self.host),
            "password": self.password.get_secret_value(),
        }

    @classmethod
    def names(cls) -> frozenset[str]:
        """Names that templates may use of it: its fields, and ``url_host``, the host as a URL has it."""
        return frozenset((*cls.model_fields, "url_host"))


class ServerContext(BaseModel):
    """A server of the lab in one role of a cell, and how the product reaches it.

    ``machine`` may be the application's: always where the server is a part of it, as an embedded database is.
    """

    model_config = ConfigDict(frozen=True)
    definition: Database | Middleware
    access: Access
    machine: MachineReference
    restart_seconds: float = 0.0  #: of an endpoint: in which it is up again; 0 where nobody may restart it
    user: str = "root"  #: whom a vendor's image starts it as
    asks: MachineReference | None = None  #: what it is asked with from this machine, where no client is beside it

    @property
    def embedded(self) -> bool:
        """Whether it is a part of the product's machine, with nothing to start."""
        return self.definition.placement not in ("server", "external")


class MadeCertificates(BaseModel):
    """PEM texts that were made for one cell: an authority, what it says of the product, and of one client."""

    model_config = ConfigDict(frozen=True)
    authority: str
    certificate: str
    key: Secret
    client: str
    client_key: Secret


class Certificates(BaseModel):
    """PEM texts for TLS with the product: those beside application.yaml by their path, and those made for the cell."""

    model_config = ConfigDict(frozen=True)
    files: dict[str, Secret] = {}
    own: MadeCertificates | None = None

    def values(self) -> dict[str, Any]:
        """What templates see as ``tls``: texts that are made for the cell; empty where nothing is."""
        if self.own is None:
            return {}
        return {**self.own.model_dump(exclude={"client_key"}), "key": self.own.key.get_secret_value()}

    def hidden(self) -> list[str]:
        """The keys, whole and line by line: a log may show a line alone."""
        texts = [text.get_secret_value() for text in self.files.values()]
        if self.own is not None:
            texts += [self.own.key.get_secret_value(), self.own.client_key.get_secret_value()]
        keys = [text for text in texts if "PRIVATE KEY-----" in text]
        return [*keys, *(line for text in keys for line in text.splitlines() if len(line) >= WHOLE_LINE)]


class ReferenceCell(BaseModel):
    """The cell of the campaign whose numbers are compared with those of this one.

    ``index``: JSON in which its numeric/consistency names its files of numbers by SHA-256; ``files``: SHA-256 -> where
    they are kept. ``trouble``: why there are none.
    """

    model_config = ConfigDict(frozen=True)
    cell: str
    is_itself: bool = False  #: this cell is the one that others are compared with
    trouble: str = ""
    index: Path = Path()
    files: dict[str, Path] = {}


class RanBefore(BaseModel):
    """Processes of the application's machine before the product came: a digest of each command line by process id, and
    the machine's ``boot``, with the next of which ids begin anew. Empty in a container, where everything is the
    product's."""

    model_config = ConfigDict(frozen=True)
    boot: str = ""
    lines: dict[int, str] = {}


class CellContext(BaseModel):
    """Everything of one deployed cell that suites and load drivers may use."""

    model_config = ConfigDict(frozen=True)
    campaign: str
    cell: str
    attempt: int
    axes: dict[str, str]
    architecture: str
    emulated: bool
    judges_performance: bool = True  #: whether how fast the product is counts in this cell, whatever a profile says
    qemu_cpu: str | None
    factor: float  #: what limits are multiplied by
    declared_factor: float = 1.0  #: the part of it that definitions declare; what is more was measured
    application: Application
    servers: dict[str, ServerContext]  #: by role; every cell has a ``database``
    secrets: dict[str, Secret]
    certificates: Certificates = Certificates()
    beneath: dict[str, dict[str, Any]] = {}  #: what templates see of ``runtime`` and ``servlet``
    application_machine: MachineReference
    ran_before: RanBefore = RanBefore()
    ports: dict[str, tuple[str, int]]  #: name -> address on this machine
    template_folder: Path  #: folder of application.yaml
    installed: tuple[str, ...] = ()  #: packages of the product
    from_repositories: tuple[str, ...] = ()  #: those of them that the system's repositories gave
    matrix_folder: Path = Path()  #: where ``vulnerabilities`` and ``malware`` lie
    vulnerabilities: tuple[VulnerabilityData, ...] = ()  #: what the matrix gives of them
    malware: tuple[MalwareData, ...] = ()  #: signatures that the matrix gives, which lie there too
    reference_cell: ReferenceCell | None = None  #: where the matrix names one
    profile: Profile = SELF_TEST  #: of the campaign
    trusts_code: bool = False  #: whether the vendor's code runs without a sandbox

    @property
    def database(self) -> Database:
        """The definition of the cell's database."""
        definition = self.servers["database"].definition
        assert isinstance(definition, Database)
        return definition

    @property
    def memory_limit(self) -> str:
        """The memory that the product may use, for a message."""
        emulated = self.emulated and self.application_machine.kind == "container"
        return self.application.limits.memory_words(emulated=emulated)

    @property
    def shipped(self) -> tuple[str, ...]:
        """Packages that the product brought itself."""
        given = {*self.application.packages, *self.from_repositories}
        return tuple(name for name in self.installed if name not in given)

    @property
    def access(self) -> Access:
        """How the product reaches its database."""
        return self.servers["database"].access

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where the product's ports are reached from this machine."""
        return tuple(dict.fromkeys(host for host, _ in self.ports.values()))

    def values(self) -> dict[str, Any]:
        """What templates of the product see: ``db`` for the database, each further server by its role,
        ``runtime``, ``servlet``, ``tls``, ``ports``, ``secrets``, ``params``, ``cell``."""
        return {
            "middleware": {},
            **self.beneath,
            **{role: server.access.values() for role, server in self.servers.items() if role != "database"},
            "db": self.access.values(),
            "tls": self.certificates.values(),
            "ports": self.application.ports,
            "secrets": {name: secret.get_secret_value() for name, secret in self.secrets.items()},
            "params": self.application.parameters,
            "cell": {**self.axes, "architecture": self.architecture},
        }

    def hidden(self) -> list[str]:
        """Secrets that no log may show."""
        passwords = [server.access.password for server in self.servers.values()]
        given = [secret.get_secret_value() for secret in (*passwords, *self.secrets.values())]
        return [*given, *self.certificates.hidden()]
