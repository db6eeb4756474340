"""What a cell makes at the engine: a network and containers, each journaled before it is made, all removed together."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from harness.containers.engine import Engine
from harness.errors import HarnessBug, HarnessError
from harness.model.definitions import size_in_bytes
from harness.model.ledger import Ledger
from harness.model.recipe import Environment
from harness.provision.provisioner import Owner, Role


class CellObjects:
    """The network of one cell, and the containers in it."""

    def __init__(self, engine: Engine, names: Owner, ledger: Ledger) -> None:
        self._engine, self._ledger = engine, ledger
        self._stem = names.stem
        self._owner = (names.campaign, f"{names.cell}-{names.attempt}")
        self._objects: list[tuple[str, str]] = []
        self._kept = False

    def make_network(self) -> str:
        """Make the network; gives its id.

        Raises:
            InfrastructureError: the engine does not make it.
        """
        self._intend("network", self._stem)
        identity = self._engine.create_network(self._stem, self._engine.labels(*self._owner, ""))
        self._ledger.created("network", self._stem, identity)
        return identity

    def make_container(self, role: Role, environment: Environment | None, variables: Mapping[str, str]) -> str:
        """Make and start the container of a role in the network, where the others know it by the role; gives its id.

        ``variables``: the container's environment variables.

        Raises:
            InfrastructureError: the engine does not make it.
        """
        if environment is None:
            raise HarnessBug(f"no environment for {role.name}")
        name = f"{self._stem}-{role.name}"
        self._intend("container", name)
        identity = self._engine.create_container(
            name,
            environment.image,
            labels=self._engine.labels(*self._owner, role.name),
            network=self._stem,
            alias=role.name,
            memory=size_in_bytes(role.limits.memory),
            cpus=min(role.limits.cpus, self._engine.cpus),
            processes=role.limits.processes,
            environment=dict(variables),
            ports=role.ports,
        )
        self._ledger.created("container", name, identity)
        return identity

    def keep(self) -> list[str]:
        """Leave it all standing at the end; gives its names. `gc` removes it."""
        self._kept = True
        return [name for _, name in self._objects]

    def remove(self) -> None:
        """Remove everything that was made or begun; the ledger names what cannot be removed, for `gc`."""
        if self._kept:
            return
        trouble: list[HarnessError] = []
        for kind, name in reversed(self._objects):  # what a verb did goes with the container that it was done to
            try:
                remove = self._engine.remove_container if kind == "container" else self._engine.remove_network
                remove(name)
                self._ledger.removed(kind, name)
            except HarnessError as error:  # one that cannot be removed must not leak the others
                trouble.append(error)
        for problem in trouble:
            with contextlib.suppress(HarnessError):
                self._ledger.event("teardown-trouble", message=problem.message, next="harness gc")

    def _intend(self, kind: str, name: str) -> None:
        self._ledger.intent(kind, name)
        self._objects.append((kind, name))
