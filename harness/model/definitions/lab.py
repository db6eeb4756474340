"""What a lab has beside CPUs, systems and databases: runtimes, middleware, hosts."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Architecture, Definition, Entry, Name, Strings, listed


class Foundation(Entry):
    """What is installed beneath a product: its packages join the product's environment."""

    packages: Strings = Field(default=(), description="none: it is known, but how to install it is not")
    version: str = Field(default="", description="command that prints the version; recorded in the attestation")
    declared: str = Field(default="", description="words that the printed version must contain")
    architectures: Annotated[tuple[Architecture, ...], BeforeValidator(listed)] = Field(
        default=(), description="for which its vendor releases it; none where no source tells"
    )

    @property
    def obstacle(self) -> str:
        """Why no target can be made of it here; empty where one can."""
        return "" if self.packages else "it is known, but how to install it is not"

    @model_validator(mode="after")
    def _attestable(self) -> Self:
        if bool(self.packages) != bool(self.version):
            raise ValueError("packages and version belong together: what is installed must be attested")
        return self


class Runtime(Foundation):
    """A language runtime that a product needs: its packages join the product's environment."""

    runtime: Name


class Middleware(Foundation):
    """An application server or the like that the product runs in: its packages join the product's environment."""

    middleware: Name
    ports: dict[str, int] = Field(default={}, description="by what they are for, as installed")
    licence_file: str = ""
    jdk: str = Field(default="", description="oldest Java that it runs on")


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
    labels: dict[str, str] = Field(description="axis or property -> value, such as cpu: kunpeng-920")

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if self.key is not None and self.password is not None:
            raise ValueError("give one of key and password")
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
        names = [one.host for one in self.hosts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"host named twice: {', '.join(twice)}")
        for one in self.hosts:
            if one.jump is not None and (one.jump not in names or one.jump == one.host):
                raise ValueError(f"{one.host}: jump {one.jump!r} is no other host of this inventory")
        return self
