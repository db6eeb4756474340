"""Containers: a network of its own for each cell, one container for the product, one for a database server."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.attest.architecture import Emulator, emulator, host_architecture
from harness.attest.attestation import attest, attest_image, demand
from harness.containers.carried import carried_programs
from harness.containers.disturbances import ContainerWatch
from harness.containers.engine import Engine
from harness.containers.environments import Environments
from harness.containers.executions import ExecutionWatch
from harness.containers.first_program import first_program
from harness.containers.machine import ContainerMachine
from harness.containers.networks import introduce, name_places
from harness.containers.objects import CellObjects
from harness.containers.reaching import reaching
from harness.containers.vendors import server_environment
from harness.errors import HarnessBug, HarnessError, InfrastructureError
from harness.model.attestation import Attestation, Executions
from harness.model.definitions import Cpu, Os, Reached
from harness.model.ledger import Ledger
from harness.model.machine import Machine
from harness.model.recipe import Environment, is_brought
from harness.model.results import Fidelity
from harness.model.verbs import journal_deeds
from harness.provision.provisioner import APPLICATION, Held, Kind, Machines, Owner, Role
from harness.system.scratch import temporary_folder
from harness.system.waiting import Waiting


@dataclass(frozen=True)
class Containers:
    """Implements ``Provisioner`` with a Docker engine, or Podman in its place."""

    engine: Engine
    environments: Environments

    @property
    def kind(self) -> Kind:
        return "container"

    def emulator(self, cpu: Cpu) -> Emulator | None:
        return emulator(cpu.architecture)

    def environment(self, role: Role, ledger: Ledger) -> Environment | None:
        if role.image is not None:
            return server_environment(self.environments.images, role.image, role.cpu.architecture, ledger)
        return self.environments.ensure(role.recipe, role.os, ledger)

    def install(self, machine: Machine, role: Role, ledger: Ledger) -> Environment:
        raise HarnessBug("containers are made of what is installed")

    def attest(self, machine: Machine, role: Role) -> Attestation:
        emulated_by, fidelity = self.emulator(role.cpu), _fidelity(role.cpu)
        if role.image is not None:
            return attest_image(machine, role.cpu, emulated_by, fidelity)
        return attest(machine, role.cpu, role.os, emulated_by, fidelity=fidelity)

    def known_good(self, os: Os, cpu: Cpu, campaign: str, ledger: Ledger) -> None:
        emulated_by = self.emulator(cpu)
        base = self.environments.images.ensure(os, cpu.architecture, ledger)
        name = f"harness-{campaign}-probe-{secrets.token_hex(4)}"
        labels = self.engine.labels(campaign, "probe", "probe")
        ledger.intent("network", name)
        ledger.intent("container", name)
        try:
            ledger.created("network", name, self.engine.create_network(name, labels))
            identity = self.engine.create_container(
                name,
                base.id,
                labels=labels,
                memory=128 * 2**20,
                cpus=min(1.0, self.engine.cpus),
                processes=64,
                network=name,
                alias="probe",
                environment=_model(cpu),
            )
            ledger.created("container", name, identity)
            machine = ContainerMachine(self.engine, identity, "probe")
            demand("the bare target", attest(machine, cpu, os, emulated_by, fidelity=_fidelity(cpu)))
        finally:
            for kind, remove in (("container", self.engine.remove_container), ("network", self.engine.remove_network)):
                with contextlib.suppress(HarnessError):
                    remove(name)
                    ledger.removed(kind, name)

    @contextlib.contextmanager
    def hold(self, roles: tuple[Role, ...], names: Owner, ledger: Ledger, waiting: Waiting) -> Iterator[Held]:
        """Nothing is leased: an engine makes as many machines as are asked of it."""
        yield Held(machines=lambda environments: self.machines(roles, environments, names, ledger))

    @contextlib.contextmanager
    def machines(
        self,
        roles: tuple[Role, ...],
        environments: Mapping[str, Environment | None],
        names: Owner,
        ledger: Ledger,
    ) -> Iterator[Machines]:
        """The machines of a cell, until the context ends.

        Raises:
            InfrastructureError: the engine does not make them.
        """
        with contextlib.ExitStack() as stack:
            objects = CellObjects(self.engine, names, ledger)
            stack.callback(objects.remove)
            noted = stack.enter_context(_notes_of_deeds(ledger))
            network = objects.make_network()
            machines: dict[str, Machine] = {}
            watches: dict[str, ExecutionWatch] = {}
            for role in roles:
                identity = objects.make_container(role, environments[role.name], _model(role.cpu), network)
                machines[role.name] = ContainerMachine(self.engine, identity, role.name, deeds=noted)
                watch = ExecutionWatch(identity, self.engine.first_process(identity), role.cpu.architecture)
                watches[role.name] = stack.enter_context(contextlib.closing(watch))
            identities = {role: watch.container for role, watch in watches.items()}
            brought = frozenset(role.name for role in roles if _is_brought(role, environments[role.name]))
            stack.enter_context(first_program(self.engine, identities, brought=brought))
            # Podman's networks resolve names only with a plugin of theirs.
            if network.closed or (self.engine.is_podman and len(machines) > 1):
                introduce(self.engine, machines, closed=network.closed)
            standing = ContainerWatch(self.engine, identities, network.identity, noted)
            watched = self._watched(machines, watches, environments, standing)
            if network.closed:
                watched = dataclasses.replace(watched, outlet=lambda: self._outlet(roles, machines, ledger))
            if roles[0].reach or roles[0].served:
                watched = stack.enter_context(self._reaching(watched, roles[0], names, ledger, closed=network.closed))
            yield dataclasses.replace(watched, keep=objects.keep, openings=objects.openings)

    def _outlet(
        self, roles: tuple[Role, ...], machines: Mapping[str, Machine], ledger: Ledger
    ) -> contextlib.AbstractContextManager[Sequence[str]]:
        """A way from the application's machine to the repositories of its system."""
        machine = machines[APPLICATION]
        assert isinstance(machine, ContainerMachine)
        role = next(role for role in roles if role.name == APPLICATION)
        known = [*machines, *(place.host for place in (*role.reach, *role.served))]
        return self.environments.way(machine, role, known, ledger)

    @contextlib.contextmanager
    def _reaching(
        self, machines: Machines, role: Role, names: Owner, ledger: Ledger, *, closed: bool
    ) -> Iterator[Machines]:
        """Machines whose product reaches what it declares and what serves it; where they reach more, names alone are
        made known."""
        machine = machines.application
        assert isinstance(machine, ContainerMachine)
        served = {(place.host, place.port) for place in role.served}
        places = (*role.served, *(place for place in role.reach if (place.host, place.port) not in served))
        if not closed:
            _demand_reached(role.served)
            named = [(str(place.address), place.host) for place in places if place.address is not None]
            name_places(machine, list(dict.fromkeys(named)))
            yield machines
            return
        labels = self.engine.labels(names.campaign, f"{names.cell}-{names.attempt}", "door")
        with reaching(machine, places, labels, ledger, role.served) as way:
            yield dataclasses.replace(
                machines, disturbances=lambda since: [*machines.disturbances(since), *way.troubles(since)]
            )

    def _watched(
        self,
        machines: Mapping[str, Machine],
        watches: Mapping[str, ExecutionWatch],
        environments: Mapping[str, Environment | None],
        standing: ContainerWatch,
    ) -> Machines:
        """Machines with what is known of them while they serve the cell."""

        def executions() -> dict[str, Executions]:
            """While the environments were installed, and since."""
            return {name: _installed(environments[name]) + watch.executions() for name, watch in watches.items()}

        def carried(role: str) -> list[str]:
            return carried_programs(self.engine, watches[role].container, watches[role].architecture)

        return Machines(
            of=machines,
            executions=executions,
            carried=carried,
            disturbances=standing.disturbances,
            written=lambda: {role: standing.written(role) for role in watches},
        )


def _demand_reached(places: tuple[Reached, ...]) -> None:
    """In a network that is not closed containers go to a place themselves: this machine's loopback is not theirs.

    Raises:
        InfrastructureError: that is where a place is.
    """
    for place in places:
        if place.address is not None and place.address.is_loopback:
            raise InfrastructureError(
                f"{place} is an address of this machine alone, and its containers are on a network that is not closed",
                advice="give an address that containers reach in databases.yaml (address)",
            )


@contextlib.contextmanager
def _notes_of_deeds(ledger: Ledger) -> Iterator[Path]:
    """A file in which verbs note what they do to machines; at its end the notes go to the ledger."""
    with temporary_folder("deeds") as folder:
        noted = Path(folder) / "deeds"
        try:
            yield noted
        finally:
            with contextlib.suppress(HarnessError):
                journal_deeds(noted, ledger)


def _is_brought(role: Role, environment: Environment | None) -> bool:
    """Whether the system of a role is one that the user brought: a vendor's image, or an imported or pulled system."""
    return role.image is not None or (environment is not None and is_brought(environment.notes))


def _installed(environment: Environment | None) -> Executions:
    """What ran while an environment was installed."""
    known = environment.executions if environment is not None else None
    return known if known is not None else Executions()


def _fidelity(cpu: Cpu) -> Fidelity:
    return Fidelity.CONTAINER if cpu.architecture == host_architecture() else Fidelity.USER_EMULATED


def _model(cpu: Cpu) -> dict[str, str]:
    """The environment by which an emulated container gets its CPU model."""
    model = cpu.emulation.user
    return {"QEMU_CPU": model} if model and cpu.architecture != host_architecture() else {}
