"""What a cell makes: a network with a rule of the firewall, and containers; each is journaled before it is made, and
all are removed together."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from harness.attest.architecture import host_architecture
from harness.containers import firewall
from harness.containers.engine import Engine
from harness.containers.networks import CellNetwork, make_network
from harness.errors import HarnessBug, HarnessError
from harness.model.definitions import EMULATED_MEMORY, EMULATED_PROCESSES, Limits, size_in_bytes
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
        self._network: CellNetwork | None = None
        self._open = ""  #: why the way to this machine is open

    def make_network(self) -> CellNetwork:
        """Make the network, closed where that is possible.

        Raises:
            InfrastructureError: the engine does not make it.
        """
        self._intend("network", self._stem)
        network = make_network(self._engine, self._stem, self._engine.labels(*self._owner, ""))
        self._ledger.created("network", self._stem, network.identity)
        self._network = network
        if network.closed:
            if firewall.can_close():
                self._intend("rule", network.bridge)
            self._open = firewall.close(network.bridge)
            if not self._open:
                self._ledger.created("rule", network.bridge, network.bridge)
        return network

    def openings(self) -> list[str]:
        """What the machines reach now beside each other, in words; empty where that is nothing."""
        if self._network is None:
            return []
        if not self._network.closed:
            return [
                "its network is not closed: its machines reach what the engine's machine reaches, because the engine's "
                "containers are not reached from here by their own addresses"
            ]
        if self._open:
            return [f"its machines reach what listens on this machine's addresses: {self._open}"]
        bridges = firewall.closed()
        if bridges is not None and self._network.bridge not in bridges:
            return [
                "its machines reach what listens on this machine's addresses: something removed the rule from the "
                "firewall that kept them from it"
            ]
        return []

    def make_container(
        self, role: Role, environment: Environment | None, variables: Mapping[str, str], network: CellNetwork
    ) -> str:
        """Make and start the container of a role in the network, where the others know it by the role; gives its id.

        ``variables``: the container's environment variables.

        Raises:
            InfrastructureError: the engine does not make it.
        """
        if environment is None:
            raise HarnessBug(f"no environment for {role.name}")
        name = f"{self._stem}-{role.name}"
        self._intend("container", name)
        emulated = role.cpu.architecture != host_architecture()
        identity = self._engine.create_container(
            name,
            environment.image,
            labels=self._engine.labels(*self._owner, role.name),
            network=network.name,
            alias=role.name,
            memory=self._memory(role.limits, emulated=emulated),
            cpus=min(role.limits.cpus, self._engine.cpus),
            processes=role.limits.processes * (EMULATED_PROCESSES if emulated else 1),
            environment=dict(variables),
            ports=role.ports,
            closed=network.closed,
            shared=role.image.shared if role.image is not None else 0,
            limits=role.image.ulimits if role.image is not None else {},
        )
        self._ledger.created("container", name, identity)
        return identity

    def _memory(self, limits: Limits, *, emulated: bool) -> int:
        """Bytes of memory that a container may use; an emulated container half of the machine's at most, where that is
        more than what is stated."""
        stated = size_in_bytes(limits.memory)
        return max(stated, min(stated * EMULATED_MEMORY, self._engine.memory // 2)) if emulated else stated

    def keep(self) -> list[str]:
        """Leave it all standing at the end; gives its names. `gc` removes it."""
        self._kept = True
        return [name for kind, name in self._objects if kind != "rule"]

    def remove(self) -> None:
        """Remove everything that was made or begun; the ledger names what cannot be removed, for `gc`."""
        if self._kept:
            return
        trouble: list[HarnessError] = []
        for kind, name in reversed(self._objects):  # what a verb did goes with the container that it was done to
            try:
                self._remove(kind, name)
                self._ledger.removed(kind, name)
            except HarnessError as error:  # one that cannot be removed must not leak the others
                trouble.append(error)
        for problem in trouble:
            with contextlib.suppress(HarnessError):
                self._ledger.event("teardown-trouble", message=problem.message, next="harness gc")

    def _remove(self, kind: str, name: str) -> None:
        if kind == "rule":
            firewall.reopen(name)
        elif kind == "container":
            self._engine.remove_container(name)
        else:
            self._engine.remove_network(name)

    def _intend(self, kind: str, name: str) -> None:
        self._ledger.intent(kind, name)
        self._objects.append((kind, name))
