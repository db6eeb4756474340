"""From a placed cell to machines with everything installed: what serves it, its environments, its machines."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from harness.attest.architecture import Emulator
from harness.control.before import ran_before
from harness.deploy import application_recipe, server_recipe, words
from harness.endpoints.holding import account_at, placed_at
from harness.endpoints.places import Place
from harness.errors import AttestationMismatch
from harness.execution.attempt import Attempt
from harness.execution.endpoints import DATABASE, note_of, served_by, way_to
from harness.machines.placing import PlacedCell
from harness.model.context import RanBefore
from harness.model.definitions import Application, Middleware, Reached, size_in_bytes
from harness.model.recipe import Environment, Recipe, ServerImage
from harness.model.records import EmulatorFacts, EnvironmentFacts
from harness.model.results import Result, State
from harness.provision.installing import InstallFailed
from harness.provision.provisioner import APPLICATION, Held, Machines, Owner, Provisioner, Role

#: However slow a target is, no limit is stretched by more.
MAX_FACTOR = 100.0


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What serves a cell: the provisioner, the machines that the cell needs, and what emulates each, by role."""

    provisioner: Provisioner
    roles: tuple[Role, ...]
    emulators: Mapping[str, Emulator | None]


@dataclass(frozen=True, kw_only=True)
class Factors:
    """What limits are scaled by, as a multiple of this machine: declared, and measured during attestation."""

    declared: float
    measured: float

    @property
    def used(self) -> float:
        """The larger of both, within bounds."""
        return max(self.declared, min(self.measured, MAX_FACTOR))


@dataclass(frozen=True, kw_only=True)
class Target:
    """Attested machines with everything installed that the product needs.

    ``environments`` by role. ``ran_before``: processes of the application's machine before the product came.
    ``place``: at the laboratory's server that has the database, where none of the machines has it.
    """

    serving: Serving
    machines: Machines
    factors: Factors
    environments: Mapping[str, Environment]
    ran_before: RanBefore
    place: Place | None = None

    @property
    def product(self) -> Environment:
        """What the product's machine is made of."""
        return self.environments[APPLICATION]


def serve(attempt: Attempt) -> Serving:
    """Choose the provisioner by where the cell was placed.

    Raises:
        AttestationMismatch: nothing here can serve it.
        ProvisionError: an emulator is missing.
    """
    attempt.state(State.PROVISIONING, "environment / 环境")
    placed, placement = attempt.placed, attempt.placed.placement
    if placement.kind is None or placement.fidelity is None:
        models = " and ".join(cpu.cpu for _, cpu in placed.machines)
        raise AttestationMismatch(
            f"nothing here can serve {models}: {placement.by}",
            advice="name a host with an engine and compose in hosts.yaml (labels: cpu and os); then run it again"
            if placed.application.needs.engine
            else "run the cell on such a host; see: harness targets check",
        )
    attempt.learn(fidelity=placement.fidelity)
    provisioner = attempt.lab.provisioners[placement.kind]
    emulators = {APPLICATION: provisioner.emulator(placed.cpu)}
    emulators |= {role: provisioner.emulator(server.cpu) for role, server in placed.servers.items()}
    if (emulator := next(filter(None, emulators.values()), None)) is not None:
        attempt.learn(emulator=EmulatorFacts(**vars(emulator)))
    roles = tuple(
        _patient(role, _factor(attempt, role) if attempt.emulated or emulators[role.name] is not None else 1.0)
        for role in roles_of(attempt)
    )
    return Serving(provisioner=provisioner, roles=roles, emulators=emulators)


def _factor(attempt: Attempt, role: Role) -> float:
    """What definitions declare for an emulated machine: it is installed before it is measured."""
    return attempt.cell.timeout_factor if role.name == APPLICATION else role.cpu.timeout_factor


def _patient(role: Role, factor: float) -> Role:
    """A role whose steps of installation may take ``factor`` times longer."""
    return dataclasses.replace(role, recipe=dataclasses.replace(role.recipe, patience=factor))


def roles_of(attempt: Attempt) -> tuple[Role, ...]:
    """The machines that the cell needs, the application's first."""
    placed = attempt.placed
    recipe = recipe_of(attempt, placed.former or placed.application)
    # An embedded database is part of the product's machine, and so is its client.
    beneath = [
        *(placed.database.packages if placed.database.placement == "embedded" else ()),
        *(name for foundation in placed.foundations for name in foundation.packages),
        *placed.drivers,
        *(placed.former or placed.application).needed,
    ]
    extra = tuple(name for name in dict.fromkeys(beneath) if name not in recipe.packages)
    product = Role(
        name=APPLICATION,
        os=placed.os,
        cpu=placed.cpu,
        recipe=dataclasses.replace(
            recipe,
            packages=(*recipe.packages, *extra),
            beneath=extra,
            beneath_commands=tuple(
                command for base in placed.foundations if isinstance(base, Middleware) for command in base.setup
            ),
        ),
        limits=placed.application.limits,
        ports=tuple(placed.application.ports.values()),
        reach=_reach(placed),
        systemd=placed.application.service is not None,
    )
    servers = (
        Role(
            name=name,
            os=server.os,
            cpu=server.cpu,
            limits=server.definition.limits,
            recipe=server_recipe(server.definition, os=server.os.os, architecture=server.cpu.architecture),
            **(_imaged(placed) if name == DATABASE else {}),
        )
        for name, server in placed.servers.items()
    )
    return (product, *servers)


def _imaged(placed: PlacedCell) -> dict[str, Any]:
    """What a database's machine is made of where that is its vendor's image, and the port that it is asked at."""
    if placed.image is None:
        return {}
    image, recipe = placed.image.image, placed.image.database.image
    assert recipe is not None
    made_of = ServerImage(
        name=placed.image.where,
        archive=Path(image.archive) if image.archive else None,
        sha256=image.sha256,
        reference=image.reference,
        shared=size_in_bytes(recipe.shm_size),
        ulimits=recipe.ulimits,
    )
    port = placed.database.port
    return {"image": made_of, "ports": (port,) if port is not None and placed.image.driver is not None else ()}


def _reach(placed: PlacedCell) -> tuple[Reached, ...]:
    """What both versions must reach; the version under test knows where."""
    former = placed.former.reach if placed.former is not None else ()
    return tuple({(place.host, place.port): place for place in (*former, *placed.application.reach)}.values())


def recipe_of(attempt: Attempt, application: Application) -> Recipe:
    """What a version of the product is installed from."""
    placed, folder = attempt.placed, attempt.lab.definitions.application_folder
    return application_recipe(application, os=placed.os.os, cpu=placed.cpu, folder=folder)


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a cell has for itself: what its machines stand on, and a place at a database server of the laboratory."""

    held: Held
    place: Place | None


@contextlib.contextmanager
def hold(attempt: Attempt, serving: Serving) -> Iterator[Holding]:
    """Lease what the machines stand on, for as long as the context lasts. It may wait, so no turn is taken before.

    Every cell takes its place at a database server first, and then its hosts: so no two cells wait for each other.
    """
    names = Owner(campaign=attempt.lab.campaign, cell=attempt.cell.short, attempt=str(attempt.record.number))
    with contextlib.ExitStack() as stack:
        with attempt.step("wait"):
            waiting, place, roles = attempt.waiting("lease"), None, serving.roles
            if attempt.placed.endpoints:
                place = stack.enter_context(
                    placed_at(attempt.placed.endpoints, attempt.record, waiting, attempt.lab.cancel)
                )
                attempt.note(note_of(place))
                roles = (dataclasses.replace(roles[0], served=way_to(place)), *roles[1:])
            held = stack.enter_context(serving.provisioner.hold(roles, names, attempt.record, waiting))
        yield Holding(held=held, place=place)


def prepare(attempt: Attempt, serving: Serving) -> Mapping[str, Environment | None]:
    """What the machines are made of by role, from the cache where it fits; None where it is installed on the machine
    itself."""
    with attempt.step("environment"):
        return {
            role.name: _installed(attempt, role, partial(serving.provisioner.environment, role, attempt.record))
            for role in serving.roles
        }


def provision(
    attempt: Attempt,
    holding: Holding,
    environments: Mapping[str, Environment | None],
    password: SecretStr | None,
    stack: contextlib.ExitStack,
) -> Machines:
    """Make the machines, and a database with ``password`` where a server of the laboratory has it; ``stack`` takes
    them away again."""
    with attempt.step("provision"):
        place = holding.place
        if place is not None and password is not None:  # it goes last: by then no product uses it
            stack.enter_context(account_at(place, password.get_secret_value(), attempt.record))
        machines = stack.enter_context(holding.held.machines(environments))
        if place is not None and attempt.placed.placement.kind is not None:
            machines = served_by(place, machines, attempt.placed.placement.kind)
    if machines.fidelity is not None:
        attempt.learn(fidelity=machines.fidelity)
    attempt.machines = machines
    attempt.note(*machines.openings())
    return machines


def install(
    attempt: Attempt,
    serving: Serving,
    holding: Holding,
    machines: Machines,
    factors: Factors,
    environments: Mapping[str, Environment | None],
) -> Target:
    """Install on the machines what was not installed before."""
    before = ran_before(machines.application) if serving.provisioner.kind != "container" else RanBefore()
    installed: dict[str, Environment] = {}
    for role in serving.roles:
        environment = environments[role.name]
        if environment is None:
            attempt.state(State.PROVISIONING, "install / 安装")
            patient = _patient(role, factors.used)
            work = partial(serving.provisioner.install, machines.on(role.name), patient, attempt.record)
            with attempt.step("environment"):
                environment = _installed(attempt, role, work)
        assert environment is not None
        installed[role.name] = environment
    record_environments(attempt, installed)
    return Target(
        serving=serving,
        place=holding.place,
        machines=machines,
        factors=factors,
        environments=installed,
        ran_before=before,
    )


def _installed(attempt: Attempt, role: Role, work: Callable[[], Environment | None]) -> Environment | None:
    """Install what a role needs, and record it."""
    former, started = attempt.placed.former, time.monotonic()
    try:
        environment = work()
    except InstallFailed as failure:
        if role.name != APPLICATION:  # a server of the lab, not the product under test
            attempt.blocked(f"the {role.name} could not be installed: {failure.message}")
        if former is not None:
            attempt.no_former(former.version, failure.message)
        attempt.install_failed(failure, time.monotonic() - started)
    if environment is not None and role.name == APPLICATION and former is None:
        shown = words.installed(environment.packages, attempt.placed.application)
        attempt.observe_step("install", Result.PASS, seconds=environment.seconds, detail=shown)
    return environment


def record_environments(attempt: Attempt, environments: Mapping[str, Environment]) -> None:
    """Put into the record what product and servers are made of."""
    placed, every = attempt.placed, list(environments.values())
    packages = environments[APPLICATION].packages
    apart = placed.beneath - set(placed.application.packages)
    needed = {name for base in placed.foundations for name in base.packages}
    needed |= {*placed.drivers, *placed.application.needed}
    foundation = needed & apart
    signatures = {f"{package.name} {package.version}: {package.signature}" for package in packages if package.signature}
    attempt.learn(
        environment=EnvironmentFacts(
            # A vendor's image is no work of the harness, and no bundle carries it: its attestation names it.
            images=tuple(each.image for each in every if each.image and each.started is None),
            cached=all(environment.cached for environment in every),
            packages=tuple(package for package in packages if not package.came_for(apart)),
            foundation_packages=tuple(package for package in packages if package.came_for(foundation)),
            database_packages=tuple(
                package
                for environment in every
                for package in environment.packages
                if package.came_for(placed.database.packages)
            ),
            notes=tuple(sorted({note for environment in every for note in environment.notes} | signatures)),
        )
    )
