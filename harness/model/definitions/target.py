"""Targets: CPU classes, operating systems, databases."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import (
    BUILT,
    Architecture,
    Bilingual,
    Definition,
    Entry,
    Mode,
    Name,
    PlacedError,
    Size,
    SqlFamily,
    Strings,
    listed,
)
from harness.model.definitions.endpoint import EndpointRecipe
from harness.model.definitions.image import LOG, START, STOP, ImageRecipe
from harness.model.definitions.imported import Imported
from harness.model.definitions.recipes import DATABASE_RECIPES, BackupRecipe, CaptureRecipe, SessionRecipe
from harness.model.definitions.sqlmode import SqlMode

#: Of a public key as GnuPG exports it with --armor (RFC 9580, 6.2).
KEY_BEGINS = "-----BEGIN PGP PUBLIC KEY BLOCK-----"


class Features(Definition):
    """Instruction-set features by the names the kernel uses in HWCAP or /proc/cpuinfo."""

    present: Strings = ()
    absent: Strings = ()


class Emulation(Definition):
    """How QEMU stands in for the CPU, tier by tier, and what that cannot show."""

    user: str | None = Field(default=None, description="value of QEMU_CPU in user mode")
    system: str | None = Field(default=None, description="value of -cpu for a virtual machine, upstream QEMU")
    openeuler: str | None = Field(default=None, description="model in openEuler's QEMU; not used here")
    limits: Annotated[tuple[Bilingual, ...], BeforeValidator(listed)] = ()


class Cpu(Entry):
    """A CPU class."""

    cpu: Name
    models: Strings = Field(default=(), description="parts that are sold under this class")
    architecture: Architecture
    isa_level: str = ""
    core: str = Field(default="", description="name of the core design")
    march: str = Field(default="", description="value of GCC's -march")
    ids: dict[str, str] = Field(
        default={}, description="lines of /proc/cpuinfo on hardware; attested where nothing is emulated"
    )
    features: Features = Features()
    page_sizes: Strings = Field(default=(), description="that the hardware can use, such as 4K")
    emulation: Emulation = Emulation()
    timeout_factor: float = Field(default=1.0, ge=1.0, le=100.0, description="scales limits when emulated")

    @property
    def obstacle(self) -> str:
        """Why no target can be made of it, on whatever machine; empty where one can."""
        if self.architecture in BUILT:
            return ""
        return f"no images are built for {self.architecture}: it needs a lab host"


class Repository(Definition):
    """A repository of RPM packages that a system is installed from: dnf.conf(5), repository options."""

    repository: Name
    baseurl: str = Field(
        pattern=r"^https?://[^\s\x22\x27|<>@\\]+$",
        description="address of its folder, without a login; dnf fills in $basearch and $releasever",
    )
    gpgkey: str = Field(
        default="",
        description="key that its packages are signed with: the armored text, or a file of the system's image",
    )
    unsigned: str = Field(
        default="", description="why its packages are taken without a signature; the evidence says so"
    )

    @model_validator(mode="after")
    def _verified(self) -> Self:
        if bool(self.gpgkey) == bool(self.unsigned):
            raise ValueError(
                "a repository has either the key of its packages (gpgkey), or a reason for no key (unsigned)"
            )
        if self.gpgkey and not re.match(rf"/[\w./+-]+$|{KEY_BEGINS}\n", self.gpgkey):
            raise PlacedError(
                f"gpgkey is the text of a key ({KEY_BEGINS} …), or a file of the image (/etc/pki/rpm-gpg/…): a key "
                "that comes from the network proves nothing",
                "gpgkey",
            )
        return self


class Os(Entry):
    """An operating system release; with ``suite``, its images are built here from packages."""

    os: Name
    family: Literal["debian", "rpm"] = Field(description="of its packages")
    package_manager: Literal["apt", "dnf", "yum"] = "apt"
    suite: str = Field(default="", pattern=r"^([a-z][a-z0-9-]*)?$", description="suite on the mirror")
    architectures: Annotated[tuple[Architecture, ...], BeforeValidator(listed)] = Field(
        default=(), description="for which there is a release; none where no source tells"
    )
    identity: dict[str, str] = Field(default={}, description="keys of /etc/os-release that must hold exactly")
    identity_files: Strings = Field(default=(), description="further files that name the release")
    version_command: str = Field(default="", description="prints the release")
    glibc: str | None = Field(default=None, description="exact version where the release fixes one")
    libstdcxx: str = Field(
        default="", pattern=r"^(3\.4\.\d+)?$", description="highest GLIBCXX_ version of its libstdc++.so.6"
    )
    kernel: str = Field(default="", description="version, or its beginning")
    page_size: dict[str, int] = Field(default={}, description="architecture -> bytes, where a kernel differs from 4K")
    loader: str = Field(default="", description="ELF interpreter, where it tells worlds of one architecture apart")
    loongarch_world: Literal["old", "new"] | None = Field(
        default=None, description="ABI of its LoongArch edition: of the vendors (old), or of upstream (new)"
    )
    vm_kernel: dict[str, str] = Field(
        default={}, description="architecture -> package with the kernel of a virtual machine"
    )
    image: str = Field(default="", description="public image; never pulled unasked")
    pulled: dict[Architecture, Annotated[str, Field(pattern=r"^[^@\s]+/[^@\s]+@sha256:[0-9a-f]{64}$")]] = Field(
        default={}, description="architecture -> REGISTRY/NAME@sha256:DIGEST of an image that containers are made of"
    )
    imported: dict[Architecture, Imported] = Field(
        default={}, description="architecture -> what containers are made of; written by: harness targets import"
    )
    repositories: Annotated[tuple[Repository, ...], BeforeValidator(listed)] = Field(
        default=(), description="of the RPM family: where packages come from, in place of those that the image names"
    )
    licensed: bool = Field(default=False, description="no public image: bring an image or a host of your own")

    def image_of(self, architecture: str) -> str:
        """Reference of the image that is pulled for an architecture; empty where none is named."""
        return next((reference for name, reference in self.pulled.items() if name == architecture), "")

    def import_of(self, architecture: str) -> Imported | None:
        """What was imported for an architecture; None where nothing was."""
        return next((each for name, each in self.imported.items() if name == architecture), None)

    def brings(self, architecture: str) -> bool:
        """Whether containers of an architecture are made of something that was made elsewhere."""
        return bool(self.image_of(architecture)) or self.import_of(architecture) is not None

    @property
    def obstacle(self) -> str:
        """Why no target can be made of it here; empty where one can."""
        if self.suite or self.pulled or self.imported:
            return ""
        copy = "it needs a lab host, or a copy of yours (harness targets import)"
        if self.licensed:
            return f"it is licensed and has no public image: {copy}"
        return f"its images are not built here, only those of Debian's family are: {copy}"

    @model_validator(mode="after")
    def _buildable(self) -> Self:
        if self.imported and (self.suite or self.imported.keys() & self.pulled.keys()):
            raise ValueError("what is imported is neither built from a suite nor pulled: give one of them")
        lacking = [key for key in ("architectures", "identity") if not getattr(self, key)]
        if self.suite and (lacking or self.family != "debian"):
            raise ValueError(f"a system with a suite has the family debian and needs {', '.join(lacking) or 'nothing'}")
        if self.repositories and self.family != "rpm":
            raise ValueError(
                "repositories are those of the RPM family; one of Debian's comes from the mirror (--mirror)"
            )
        names = [repository.repository for repository in self.repositories]
        if again := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two repositories have the name {again[0]}")
        return self


class FileContent(Definition):
    """A small file written into a target."""

    path: str = Field(pattern=r"^/")
    content: str
    mode: Mode = "0644"


class Wheel(Definition):
    """A wheel of the Python package index that holds a program of the target; it is unpacked, not installed."""

    wheel: str = Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+$", description="NAME==VERSION")
    to: str = Field(pattern=r"^/", description="folder of its files")
    sha256: dict[Architecture, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(
        min_length=1, description="architecture -> digest of the file for it; no other architecture is served"
    )


#: By how much the limit of memory is stretched in a container of another architecture. The kernel counts the memory of
#: the emulator toward it, some 10 MiB for each process (measured: docs/decisions/0006-load-and-turns.md).
EMULATED_MEMORY = 4
#: Likewise of processes and threads: the emulator has a thread of its own in each process.
EMULATED_PROCESSES = 2


class Limits(Definition):
    """What one container may use."""

    memory: Size = "1g"
    cpus: float = Field(default=1.0, gt=0, le=64)
    processes: int = Field(default=512, ge=16, le=32768)

    def memory_words(self, *, emulated: bool) -> str:
        """The limit of memory as a container has it, for a message in both languages: `512m`."""
        return f"{self.memory} (模拟 emulated: × {EMULATED_MEMORY} at most)" if emulated else self.memory


class Database(Entry):
    """A database: what is known of it; with ``query`` and ``version``, how to install, start, ask and stop it; with
    ``endpoint``, how cells get theirs on a server of the laboratory, and with ``image``, how a cell's own server is run
    from an image that the laboratory has (databases.yaml).

    Commands are Jinja2 templates for ``sh -c`` with ``db`` (host, port, name, user, password, path) and run in the
    database's own container, or in the application's where the database is embedded.
    """

    database: Name
    placement: Literal["server", "embedded", "external", "none"] = Field(
        default="server",
        description="external: a server or an image of the laboratory serves it; none: it stands for a product that "
        "has no database",
    )
    port: int | None = Field(default=None, ge=1, le=65535)
    ports: dict[str, int] = Field(default={}, description="further ports by what they are for")
    lineage: str = Field(default="", description="what it derives from, or whose dialect it speaks")
    sql: SqlFamily | None = Field(default=None, description="whose SQL it takes unless a setting says otherwise")
    modes: dict[Name, SqlMode] = Field(default={}, description="its compatibility modes, by name")
    mode: Name | None = Field(
        default=None, description="mode that holds unless a matrix (`modes`) or a command names another one"
    )
    driver: str = Field(default="", description="Python driver")
    dialect: str = Field(default="", description="dialect or URL scheme of SQLAlchemy")
    jdbc: str = Field(default="", description="JDBC URL of a cell's database: a template that sees `db`")
    driver_class: str = Field(default="", description="of its JDBC driver")
    driver_jar: str = Field(
        default="",
        description="its JDBC driver where `driver_packages` put it; none: the product brings it (`driver_jars`)",
    )
    driver_packages: Strings = Field(
        default=(), description="that hold the driver; installed on cells with a Java runtime"
    )
    fixed_at_initialisation: Strings = Field(default=(), description="settings that no later command changes")
    image: ImageRecipe | None = Field(default=None, description="how it is run from a container image of its vendor")
    path: str | None = Field(default=None, description="file of an embedded database")
    packages: Strings = ()
    wheels: Annotated[tuple[Wheel, ...], BeforeValidator(listed)] = Field(
        default=(), description="unpacked after the packages"
    )
    before_install: Annotated[tuple[FileContent, ...], BeforeValidator(listed)] = ()
    setup: Strings = Field(default=(), description="once, after the packages; part of the cached environment")
    start: str | None = None
    stop: str | None = None
    ready: str | None = None
    create: str | None = Field(default=None, description="makes user and database of a cell")
    query: str = Field(default="", description="reads SQL from standard input, prints tab-separated rows")
    session: SessionRecipe | None = Field(default=None, description="for what several sessions show at once")
    backup: BackupRecipe | None = Field(default=None, description="how its tables are dumped and restored")
    capture: CaptureRecipe | None = Field(default=None, description="how statements of a product are captured")
    version: str = ""
    declared: str = Field(
        default="",
        description="version that must be printed, compared by parts: 11.4 holds for 11.4.3",
    )
    settings: dict[str, str] = Field(default={}, description="name -> declared value")
    observe_settings: str | None = Field(default=None, description="prints NAME=VALUE lines")
    log: str | None = Field(default=None, description="file that is kept as evidence")
    limits: Limits = Limits()
    start_seconds: float = Field(default=60, gt=0)
    endpoint: EndpointRecipe | None = Field(
        default=None, description="how cells get theirs on a server of the laboratory"
    )

    @property
    def obstacle(self) -> str:
        """Why no target can be made of it, here or with a server of the laboratory; empty where one can."""
        known = self.query or self.absent or self.endpoint is not None or self.runs_as_image
        return "" if known else "it is known, but how to install and start it is not"

    def serves(self, architecture: str) -> bool:
        """Whether what it is installed from exists for an architecture, as far as this entry knows."""
        return all(architecture in wheel.sha256 for wheel in self.wheels)

    @property
    def absent(self) -> bool:
        """Whether it stands for a product without a database."""
        return self.placement == "none"

    @property
    def external(self) -> bool:
        """Whether it is a server that the harness neither installs nor starts."""
        return self.placement == "external"

    @property
    def speaks(self) -> SqlMode | None:
        """The SQL that it takes in its mode; None where nothing is known of it."""
        if self.mode is not None:
            return self.modes[self.mode]
        if self.sql is None:
            return None
        return SqlMode(sql=self.sql, certainty="general", source="follows from its family")

    def in_mode(self, mode: str) -> Database:
        """The same database in a mode that it has: a server must show the setting of that mode."""
        settings = {**self.settings, **self.modes[mode].setting}
        return self.model_copy(update={"mode": mode, "settings": settings})

    def at_endpoint(self) -> Database:
        """The same database on a server of the laboratory: nothing of it is installed, started or logged here."""
        own = ("packages", "version", *DATABASE_RECIPES)
        nothing = {key: type(self).model_fields[key].get_default() for key in own}
        return self.model_copy(update={**nothing, "placement": "external"})

    @property
    def runs_as_image(self) -> bool:
        """Whether this entry says how it is run from an image, and how it is asked then."""
        image = self.image
        return image is not None and (image.by_client or (self.endpoint is not None and image.admin != ""))

    @property
    def by_driver(self) -> bool:
        """Whether it is asked with SQL from this machine: no client of it can be run beside it."""
        return self.endpoint is not None and not self.query

    @property
    def imaged(self) -> bool:
        """Whether it is run from an image of its vendor, in this cell."""
        return self.start == START and self.image is not None

    def from_image(self) -> Database:
        """The same database in a container of its vendor's image: nothing is installed."""
        image = self.image
        assert image is not None
        nothing = {
            key: type(self).model_fields[key].get_default()
            for key in ("packages", "wheels", "before_install", "setup", "path", "session", "backup", "capture")
        }
        runs: dict[str, object] = {"placement": "server", "start": START, "stop": STOP, "log": LOG}
        asks: dict[str, object] = {
            "ready": image.ready or None,
            "create": image.create or None,
            "query": image.query,
            "version": image.version,
            "observe_settings": image.observe_settings or None,
        }
        return self.model_copy(update={**nothing, **runs, **asks})

    @model_validator(mode="after")
    def _has_mode(self) -> Self:
        if self.modes and self.mode is None:
            raise PlacedError(f"give `mode`: which of {', '.join(self.modes)} holds where nobody names one?", "modes")
        if self.mode is not None and self.mode not in self.modes:
            raise PlacedError(f"no such mode: {self.mode}; known: {', '.join(self.modes) or 'none'}", "mode")
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.driver_jar) != bool(self.driver_packages):
            raise ValueError("driver_jar and driver_packages belong together")
        if self.wheels and self.placement != "server":
            raise ValueError(
                "wheels belong to a database server: an embedded database is a part of the product's machine"
            )
        recipe = ("query", "version", "packages", "setup", "start", "stop", "ready", "create")
        if self.absent:
            if given := [key for key in (*recipe, "port", "path", "settings", "declared") if getattr(self, key)]:
                raise ValueError(f"placement: none stands for no database, so it has no {', '.join(given)}")
            return self
        if self.external:
            if given := [key for key in recipe if getattr(self, key)]:
                raise ValueError(f"placement: external is not installed here, so it has no {', '.join(given)}")
            if not (self.endpoint is not None or self.runs_as_image) or self.port is None:
                raise ValueError("placement: external needs endpoint or image, and port")
        if self.imaged or not any(getattr(self, key) for key in recipe):
            return self
        if missing := [key for key in ("query", "version") if not getattr(self, key)]:
            raise ValueError(f"a database that is installed needs {', '.join(missing)}")
        if self.placement == "server":
            lacking = [key for key in ("port", "start", "stop", "ready", "create") if getattr(self, key) is None]
            if lacking:
                raise ValueError(f"a database server needs {', '.join(lacking)}")
        elif self.path is None:
            raise ValueError("an embedded database needs path")
        return self
