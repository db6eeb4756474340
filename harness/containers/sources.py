"""What a build may reach: the mirror of this machine, and the repositories that a base image names."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import docker.errors

from harness.containers.engine import Engine
from harness.containers.engine_errors import engine_errors

#: Where package managers keep the addresses of their repositories.
PLACES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/yum.repos.d", "/etc/yum/repos.d")
LIMIT = 2**20
_PORTS = {"http": 80, "https": 443}
_ADDRESS = re.compile(r"https?://[^\s\"'$\]|<>]+")


@dataclass(frozen=True)
class Source:
    """A part of a web server. ``public``: only while its name leads to addresses of the internet, because no
    operator of this machine chose it."""

    scheme: str
    host: str
    port: int
    path: str = "/"
    public: bool = False

    @classmethod
    def of(cls, address: str, *, public: bool = False) -> Source | None:
        """The source at an address; None where it is no address of a web server."""
        try:
            parts = urlsplit(address)
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            return None
        if not parts.hostname:
            return None
        return cls(parts.scheme, parts.hostname, port, "/" if public else parts.path or "/", public)

    def holds(self, scheme: str, host: str, port: int, path: str) -> bool:
        """Whether a request is for something of it. Over TLS the path is not seen."""
        if (scheme, host, port) != (self.scheme, self.host, self.port):
            return False
        plain = unquote(path.partition("?")[0])
        if ".." in plain.split("/"):
            return False
        return scheme == "https" or plain == self.path or plain.startswith(f"{self.path.rstrip('/')}/")


def sources_in(text: str, *, public: bool) -> tuple[Source, ...]:
    """The sources that files of a package manager name: sources.list, deb822, and files of dnf."""
    named = (Source.of(address, public=public) for address in _ADDRESS.findall(text))
    return tuple(dict.fromkeys(source for source in named if source is not None))


def sources_of(engine: Engine, image: str, name: str, labels: dict[str, str], *, public: bool) -> tuple[Source, ...]:
    """The sources that an image names; ``name`` and ``labels`` are those of a container that is made for it and
    never started.

    Raises:
        InfrastructureError: the engine does not answer.
    """
    try:
        with engine_errors("looking for the repositories of an image"):
            container = engine.client.containers.create(image, ["true"], name=name, labels=labels)
            texts = [text for place in PLACES for text in _texts(container, place)]
    finally:
        engine.remove_container(name)
    return sources_in("\n".join(texts), public=public)


def _texts(container: Any, place: str) -> list[str]:
    """The text of a file, or of the files of a folder; up to a limit, and no links."""
    try:
        stream, _ = container.get_archive(place)
    except docker.errors.NotFound:
        return []
    data = b""
    for piece in stream:
        data += piece
        if len(data) > LIMIT:
            return []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = [tar.extractfile(member) for member in tar if member.isreg()]
        return [file.read().decode(errors="replace") for file in files if file is not None]
