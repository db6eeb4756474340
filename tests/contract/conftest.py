"""Real machines of every architecture, bare: only what a base image has."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

from harness.campaigns import cache_folder
from harness.definitions import Catalogue, parse
from harness.machines import ContainerMachine, Engine
from harness.model.definitions import Os
from harness.provision import BaseImages


class Notes:
    """A ledger that nobody reads."""

    def intent(self, kind: str, name: str) -> None: ...
    def created(self, kind: str, name: str, engine_id: str) -> None: ...
    def removed(self, kind: str, name: str) -> None: ...
    def event(self, kind: str, **data: object) -> None: ...
    def keep(self, name: str, data: bytes, media: str = "text/plain") -> str:
        return ""


def system(name: str) -> Os:
    path = Catalogue.standard().find("targets", "os", f"{name}.yaml")
    assert path is not None
    return parse(path, Os)


@contextlib.contextmanager
def container(os: str, architecture: str, environment: dict[str, str] | None = None) -> Iterator[ContainerMachine]:
    """A bare container, gone afterwards."""
    engine = Engine("contract")
    images = BaseImages(engine, cache_folder(), accepted={"debian-forky": "tests"})
    base = images.ensure(system(os), architecture, Notes())
    name = f"harness-contract-{secrets.token_hex(4)}"
    network = engine.create_network(name, engine.labels("contract", "1", ""))
    try:
        identity = engine.create_container(
            name, base.id, labels=engine.labels("contract", "1", "application"), memory=256 * 2**20, cpus=1,
            processes=64, network=network, alias="application", environment=environment or {}, ports=(8080,),
        )  # fmt: skip
        yield ContainerMachine(engine, identity, name)
    finally:
        engine.remove_container(name)
        engine.remove_network(name)
