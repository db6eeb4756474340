"""The one way out of a build, and of a cell while something is installed in it: from a port of its own loopback to the
mirror, through this process."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from harness.containers.cache import is_brought_image
from harness.containers.door import PORT, listener_in
from harness.containers.forwarding import Forwarding
from harness.containers.images import BaseImages
from harness.containers.machine import ContainerMachine
from harness.containers.sources import Source, sources_in, sources_of
from harness.errors import HarnessError, ProvisionError
from harness.model.definitions import Os
from harness.model.ledger import Ledger

ADDRESS = f"http://127.0.0.1:{PORT}"
#: Of every command of a build: apt and dnf heed them.
VARIABLES = {"http_proxy": ADDRESS, "https_proxy": ADDRESS, "no_proxy": "localhost,127.0.0.1"}
#: A base image that was made behind a proxy names that one, which comes before the variables.
SETTING = "/etc/apt/apt.conf.d/zz-harness-build"


@dataclass
class Outlet:
    """Opens the way for builds of one campaign."""

    images: BaseImages
    campaign: str
    _known: dict[str, tuple[Source, ...]] = field(default_factory=dict)

    def sources(self, system: Os, architecture: str, ledger: Ledger, *, vendor: bool = False) -> tuple[Source, ...]:
        """What a build may reach: this machine's mirror, and the repositories of the system's definition, or those that
        its base image names; neither where the build is of a vendor's own image (``vendor``).

        Raises:
            InfrastructureError: the engine does not answer.
        """
        own = Source.of(self._mirror())
        named = () if own is None else (own,)
        if vendor:
            return named
        if system.repositories:  # in place of those that the image names
            addresses = "\n".join(repository.baseurl for repository in system.repositories)
            return (*named, *sources_in(addresses, public=False))
        base = self.images.ensure(system, architecture, ledger)
        if base.id not in self._known:
            # Of an image that was made elsewhere, addresses within this network are not taken.
            others = system.brings(architecture) or is_brought_image(self.images.cache, base.name, base.id)
            name = f"harness-look-{secrets.token_hex(6)}"
            engine = self.images.engine
            labels = engine.labels(self.campaign, name, "look")
            self._known[base.id] = sources_of(engine, base.id, name, labels, public=others)
        return (*named, *self._known[base.id])

    @contextlib.contextmanager
    def way(self, machine: ContainerMachine, sources: tuple[Source, ...], ledger: Ledger) -> Iterator[Forwarding]:
        """A way from a build's container, which has no network, to ``sources``.

        Raises:
            InfrastructureError: the engine does not open it.
        """
        name = f"harness-door-{secrets.token_hex(6)}"
        engine = self.images.engine
        ledger.intent("container", name)
        upstream = self._upstream()
        try:
            listener = listener_in(engine, machine.container, name, engine.labels(self.campaign, name, "door"))
        finally:
            ledger.removed("container", name)
        with Forwarding(listener, sources, upstream) as forwarding:
            if upstream:
                machine.put(SETTING, f'Acquire::http::Proxy "{ADDRESS}";\n'.encode())
            try:
                yield forwarding
            finally:
                if forwarding.refused:
                    ledger.event("build-refused", build=machine.name, requests=forwarding.refused)
                if upstream:
                    with contextlib.suppress(HarnessError):  # of a machine that is lost, the next step says so
                        machine.run(f"rm -f {SETTING}")

    @contextlib.contextmanager
    def way_of_cell(
        self, machine: ContainerMachine, sources: tuple[Source, ...], names: Collection[str], ledger: Ledger
    ) -> Iterator[Sequence[str]]:
        """A way from a machine of a closed network, for its commands while the context lasts; gives what was refused.

        ``names``: by which the machines of the cell know each other.

        Raises:
            InfrastructureError: the engine does not open it.
        """
        with self.way(machine, sources, ledger) as way:
            machine.variables = {**VARIABLES, "no_proxy": ",".join(["localhost", "127.0.0.1", *names])}
            try:
                yield way.refused
            finally:
                machine.variables = {}

    def _mirror(self) -> str:
        with contextlib.suppress(ProvisionError):  # none is needed where images are pulled
            return self.images.mirror().uri
        return ""

    def _upstream(self) -> str:
        with contextlib.suppress(ProvisionError):
            return self.images.mirror().proxy
        return ""
