"""Database servers that come as a vendor's container image: how one of a kind is run."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.model.definitions.base import Architecture, Definition, Mode, PlacedError, Size, Strings

#: Where the database's machine keeps how the vendor's server is run, and what it prints.
FOLDER = "/var/lib/harness-image"
#: Of that server: as the vendor's image starts it, and ends it.
START, STOP, STATE = (f"sh {FOLDER}/run.sh {verb}" for verb in ("start", "stop", "state"))
LOG = f"{FOLDER}/output.log"

PulledImage = Annotated[str, Field(pattern=r"^[^@\s]+/[^@\s]+@sha256:[0-9a-f]{64}$")]


class ImageLicence(Definition):
    """The licence file that the server reads. Whose it is stands in databases.yaml; it is put into the container when
    the server is started, and only its SHA-256 is kept."""

    path: str = Field(pattern=r"^/", description="where the server reads it")
    mode: Mode = "0644"
    required: bool = Field(default=True, description="false: the server starts without, with less")


class ImageRecipe(Definition):
    """How a database server is run from an image of its vendor.

    Values of ``environment``, ``entrypoint`` and ``command``, and the commands, are templates that see ``admin`` (user,
    password: drawn for the cell) and ``db`` (host, port, name, user, password of the cell). Where no ``query`` is given
    the server is asked with SQL from this machine, as the entry's ``endpoint`` says.
    """

    published: str = Field(default="", description="where its vendor publishes it; never pulled by that name")
    pulled: dict[Architecture, PulledImage] = Field(
        default={}, description="architecture -> REGISTRY/NAME@sha256:DIGEST, where databases.yaml names no image"
    )
    privileged: Literal[False] = Field(default=False, description="an image that needs it is not run here")
    entrypoint: Strings = Field(default=(), description="in place of the image's own")
    command: Strings = Field(default=(), description="in place of the image's own; its arguments where it has both")
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = Field(
        default={}, description="beside the image's own"
    )
    user: str = Field(default="", description="account that the first program runs as; the image's own where empty")
    data: Strings = Field(default=(), description="folders of its data: made before the first start, for that account")
    admin: str = Field(default="", description="account that may make users and databases once it is up")
    admin_password: str = Field(
        default="", description="where the image has a fixed one; else one is drawn for the cell: give it to the image"
    )
    maintenance: str = Field(default="", description="database that the administrator logs into; the endpoint's")
    stop_signal: str = Field(default="", pattern=r"^([A-Z][A-Z0-9+-]*)?$", description="the image's own where empty")
    stop_seconds: float = Field(default=60, gt=0, le=3600, description="until it is killed")
    shm_size: Size = Field(default="64m", description="of /dev/shm")
    ulimits: dict[str, Annotated[int, Field(ge=-1)]] = Field(default={}, description="such as nofile: 65536")
    licence: ImageLicence | None = None
    ready: str = Field(default="", description="command there; without it the administrator logs in, from here")
    create: str = Field(default="", description="makes user and database of a cell with the client in the image")
    query: str = Field(default="", description="reads SQL from standard input, prints tab-separated rows")
    version: str = Field(default="", description="prints the version")
    observe_settings: str = Field(default="", description="prints NAME=VALUE lines")

    @property
    def by_client(self) -> bool:
        """Whether the server is asked with the client in its image."""
        return self.query != ""

    @model_validator(mode="before")
    @classmethod
    def _unprivileged(cls, value: object) -> object:
        if isinstance(value, dict) and value.get("privileged"):
            raise PlacedError(
                "a privileged container is root on this machine, so none is run: serve such a database from a machine "
                "of its own (databases.yaml, databases)",
                "privileged",
            )
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        client = ("ready", "create", "query", "version")
        lacking = [key for key in client if not getattr(self, key)]
        if (self.query or self.create or self.version) and lacking:
            raise ValueError(f"a server that is asked with the client in its image needs {', '.join(lacking)}")
        return self
