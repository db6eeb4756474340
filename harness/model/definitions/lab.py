"""What a lab has beside CPUs, systems and databases: runtimes, middleware, hosts."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Architecture, Definition, Entry, Name, PlacedError, Strings, listed
from harness.model.definitions.target import Limits


class Foundation(Entry):
    """What is installed beneath a product: its packages join the product's environment."""

    packages: Strings = Field(default=(), description="none: it is known, but how to install it is not")
    brought: bool = Field(
        default=False,
        description="no repository has it: the product brings it (artifacts with `beneath`), or a lab host has it",
    )
    version: str = Field(default="", description="command that prints the version; recorded in the attestation")
    declared: str = Field(
        default="",
        description="version that must be printed, compared by parts: 11.4 holds for 11.4.3",
    )
    architectures: Annotated[tuple[Architecture, ...], BeforeValidator(listed)] = Field(
        default=(), description="for which its vendor releases it; none where no source tells"
    )
    systems: Strings = Field(default=(), description="whose repositories have its packages; none: whichever has them")

    @property
    def obstacle(self) -> str:
        """Why no target can be made of it here; empty where one can."""
        return "" if self.packages or self.brought else "it is known, but how to install it is not"

    @model_validator(mode="after")
    def _attestable(self) -> Self:
        if self.packages and self.brought:
            raise ValueError("give packages, or say that it is brought")
        if bool(self.packages or self.brought) != bool(self.version):
            raise ValueError(
                "packages and version belong together, or brought and version: what is there must be attested"
            )
        return self


class Runtime(Foundation):
    """A language runtime that a product needs: its packages join the product's environment.

    With ``java_home`` it is a Java one: templates see ``runtime`` (home, java, options), and the database's JDBC driver
    is installed.
    """

    runtime: Name
    java_home: str = Field(
        default="",
        pattern=r"^(/.*)?$",
        description="its folder; {debian} stands for Debian's name of the architecture",
    )
    emulated_options: dict[Architecture, str] = Field(
        default={}, description="architecture -> options of the virtual machine where that is emulated"
    )
    interpreted: dict[Architecture, Annotated[float, Field(ge=1, le=20)]] = Field(
        default={},
        description="architecture -> by how much limits are stretched, beyond the CPU class's own factor, where "
        "programs are interpreted and never compiled",
    )


class Servlet(Definition):
    """How a servlet container takes WARs, and how it is started, stopped and rid of them.

    Commands run on the product's machine. They are templates that see what the product's own see, and ``servlet``:
    base, port (of the product's HTTP interface).
    """

    namespace: Literal["jakarta", "javax"] = Field(description="packages of the servlet API that it offers")
    base: str = Field(pattern=r"^/", description="folder of the instance that the harness starts")
    wars: str = Field(pattern=r"^/", description="folder that it deploys NAME.war from, at its start, as context /NAME")
    root: str = Field(default="ROOT", description="NAME of the WAR that becomes the context /; empty: it has none")
    traces: Strings = Field(
        default=(), description="what it makes of a WAR, removed with it; {name} stands for NAME of the WAR"
    )
    user: str = "root"
    start: str = Field(description="runs in the foreground under supervision")
    stop: Literal["TERM", "INT", "QUIT"] = "TERM"
    environment: dict[str, str] = Field(default={}, description="values are templates; the product's own come on top")


class Middleware(Foundation):
    """Middleware: an application server that the product runs in, whose packages join the product's environment, or
    a server on a machine of its own (a cache, a broker), which the product reaches over the network.

    Commands of a server are templates with ``middleware`` (host, port, user, password) and run on its machine.
    """

    middleware: Name
    placement: Literal["beneath", "server"] = Field(default="beneath", description="server: a machine of its own")
    port: int | None = Field(default=None, ge=1, le=65535, description="of a server")
    setup: Strings = Field(default=(), description="once, after the packages; part of the cached environment")
    servlet: Servlet | None = Field(default=None, description="of a servlet container, which runs WARs of the product")
    start: str | None = None
    stop: str | None = None
    ready: str | None = None
    log: str | None = Field(default=None, description="file that is kept as evidence")
    limits: Limits = Limits()
    start_seconds: float = Field(default=60, gt=0)
    ports: dict[str, int] = Field(default={}, description="by what they are for, as installed")
    licence_file: str = ""
    jdk: str = Field(default="", description="oldest Java that it runs on")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        lacking = [key for key in ("port", "start", "stop", "ready") if getattr(self, key) is None]
        if self.placement == "server" and self.packages and lacking:
            raise ValueError(f"middleware that is a server needs {', '.join(lacking)}")
        if self.placement == "beneath" and len(lacking) < 4:
            raise ValueError("port, start, stop, ready belong to `placement: server`")
        if self.placement == "beneath" and self.setup and not self.packages:
            raise ValueError("setup follows packages, and there are none")
        if self.placement == "server" and self.servlet is not None:
            raise PlacedError("a servlet container is `placement: beneath`: it is on the product's machine", "servlet")
        return self


class Accelerator(Entry):
    """An accelerator card: a label of physical hosts (``labels: {accelerator: …}``), never emulated."""

    accelerator: Name
    device: str = Field(default="", description="command on the host that shows it")


class Host(Definition):
    """A lab host. Secrets are named, never written: ``env:NAME`` or ``file:PATH``; with none the SSH agent is asked.

    With ``connection: local`` it is the machine that runs the harness.
    """

    host: Name
    connection: Literal["ssh", "local"] = "ssh"
    fidelity: Literal["physical", "kvm", "container", "system-emulated", "user-emulated"] = Field(
        default="physical", description="what it is; attested where it can be seen"
    )
    watch: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=("/etc", "/opt", "/usr/local", "/srv", "/var/lib"),
        description="places whose files are compared before and after a cell; folders that are new in them are removed",
    )
    address: str = Field(default="", description="needed over SSH")
    port: int = Field(default=22, ge=1, le=65535)
    user: str = "root"
    key: str | None = Field(default=None, pattern=r"^(env|file):.+$", description="private key, by reference")
    password: str | None = Field(default=None, pattern=r"^(env|file):.+$", description="password, by reference")
    passphrase: str | None = Field(default=None, pattern=r"^(env|file):.+$", description="of the private key")
    sudo: bool = Field(default=False, description="the login becomes root by sudo, without a password")
    host_key: str | None = Field(default=None, description="line of known_hosts, without the name")
    jump: Name | None = Field(default=None, description="host of this inventory to go through")
    proxy_command: str = Field(
        default="", description="program that connects to the host through a proxy; %h and %p are address and port"
    )
    labels: dict[str, str] = Field(description="axis or property -> value, such as cpu: kunpeng-920")

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if self.key is not None and self.password is not None:
            raise ValueError("give one of key and password")
        if self.proxy_command and self.jump is not None:
            raise ValueError("give one of jump and proxy_command")
        if self.connection == "ssh" and not self.address:
            raise ValueError("a host over SSH needs an address")
        if wrong := [place for place in self.watch if not place.startswith("/") or place.strip("/") == ""]:
            raise ValueError(f"watch names folders below /, not {', '.join(wrong)}")
        return self


class Hosts(Definition):
    """The inventory of a lab."""

    hosts: Annotated[tuple[Host, ...], BeforeValidator(listed)] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [host.host for host in self.hosts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"host named twice: {', '.join(twice)}")
        for host in self.hosts:
            if host.jump is not None and (host.jump not in names or host.jump == host.host):
                raise ValueError(f"{host.host}: jump {host.jump!r} is no other host of this inventory")
        return self
