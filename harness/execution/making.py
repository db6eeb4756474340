"""The first stages of a cell: what its machines are made of, the machines, and whether they are what they must be."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from pydantic import SecretStr

from harness.attest.attestation import attest_version
from harness.deploy import application_recipe, server_recipe
from harness.errors import AttestationMismatch
from harness.execution.attempt import Attempt
from harness.model.context import Access, CellContext
from harness.model.definitions import Application
from harness.model.recipe import Environment, Recipe
from harness.model.results import Fidelity, Result, State
from harness.provision.installing import InstallFailed
from harness.provision.provisioner import Held, Machines, Names, Role
from harness.system.redact import token


class Making(Attempt):
    """Environments, machines, attestation, and what everything later is told of them."""

    def place(self) -> None:
        """Decide what serves the cell, and which machines it needs there."""
        self.state(State.PROVISIONING, "environment / 环境")
        placement = self.lab.placement(self.cell)
        if placement.kind is None or placement.fidelity is None:
            models = " and ".join(cpu.cpu for _, cpu in self.lab.definitions.machines(self.cell.axes).values())
            raise AttestationMismatch(
                f"nothing here can serve {models}: {placement.by}",
                advice="run the cell on such a host; see: harness targets check",
            )
        self.provisioner = self.lab.provisioners[placement.kind]
        self.emulator = self.provisioner.emulator(self.target.cpu)
        self.server_emulators = {role: self.provisioner.emulator(cpu) for role, (_, cpu) in self.target.servers.items()}
        self.found_as(placement.fidelity)
        self.roles = self.roles_of()

    @contextlib.contextmanager
    def hold(self) -> Iterator[Held]:
        """Lease what the machines stand on, for as long as the context lasts."""
        names = Names(campaign=self.lab.campaign, cell=self.cell.short, attempt=str(self.record.number))
        with contextlib.ExitStack() as stack:
            with self.step("wait"):
                held = stack.enter_context(self.provisioner.hold(self.roles, names, self.record, self.waiting("lease")))
            yield held

    def environments(self) -> dict[str, Environment | None]:
        """What product and database server are made of, from the cache where they fit; None where they are installed
        on the machine itself."""
        with self.step("environment"):
            return {
                role.name: self.made(role, partial(self.provisioner.environment, role, self.record))
                for role in self.roles
            }

    def roles_of(self) -> tuple[Role, ...]:
        """The machines that the cell needs."""
        target = self.target
        recipe = self.recipe_of(self.former or self.application)
        # An embedded database is part of the product's machine, and so is its client.
        beneath = [
            *(target.database.packages if target.database.placement == "embedded" else ()),
            *(name for one in self.foundations for name in one.packages),
        ]
        extra = tuple(name for name in dict.fromkeys(beneath) if name not in recipe.packages)
        recipe = dataclasses.replace(recipe, packages=(*recipe.packages, *extra), beneath=extra)
        roles = [
            Role(
                name="application",
                os=target.os,
                cpu=target.cpu,
                recipe=recipe,
                limits=self.application.limits,
                ports=tuple(self.application.ports.values()),
                systemd=self.application.service is not None,
            )
        ]
        for name, (system, cpu) in target.servers.items():
            server = target.middleware if name == "middleware" else target.database
            assert server is not None
            roles.append(
                Role(
                    name=name,
                    os=system,
                    cpu=cpu,
                    limits=server.limits,
                    recipe=server_recipe(server, os=system.os, architecture=cpu.architecture),
                )
            )
        return tuple(roles)

    def recipe_of(self, application: Application) -> Recipe:
        target = self.target
        return application_recipe(
            application, os=target.os.os, cpu=target.cpu, folder=self.lab.definitions.application_folder
        )

    def made(self, role: Role, work: Callable[[], Environment | None]) -> Environment | None:
        """Install what a role needs, and record it."""
        started = time.monotonic()
        try:
            environment = work()
        except InstallFailed as failure:
            if role.name == "application" and self.former is not None:
                self.no_former(failure.message)
            if role.name == "application":
                self.install_failed(failure, time.monotonic() - started)
            # A server of the lab, not the product under test.
            self.blocked(f"the {role.name} could not be installed: {failure.message}")
        if environment is not None:
            if role.name == "application" and self.former is None:
                self.observe_step("install", Result.PASS, seconds=environment.seconds)
            self.made_of[role.name] = environment
        return environment

    def install(self, machines: Machines, environments: dict[str, Environment | None]) -> Environment:
        """Install on the machines what was not installed before; gives the product's environment."""
        for role in self.roles:
            if environments[role.name] is None:
                self.state(State.PROVISIONING, "install / 安装")
                machine = machines.on(role.name)
                with self.step("environment"):
                    self.made(role, partial(self.provisioner.install, machine, role, self.record))
        self.record_environment()
        return self.made_of["application"]

    def record_environment(self) -> None:
        """Put into the record what product and servers are made of."""
        every = list(self.made_of.values())
        product = self.made_of["application"]
        apart = self.beneath - set(self.application.packages)
        foundation = {name for one in self.foundations for name in one.packages} & apart
        self.facts["environment"] = {
            "images": [one.image for one in every if one.image],
            "cached": all(one.cached for one in every),
            "packages": [vars(p) for p in product.packages if p.name not in apart],
            "foundation packages": [vars(p) for p in product.packages if p.name in foundation],
            "database packages": [
                vars(p) for one in every for p in one.packages if p.name in self.target.database.packages
            ],
            "notes": sorted({note for one in every for note in one.notes}),
        }

    def provision(
        self, held: Held, environments: dict[str, Environment | None], stack: contextlib.ExitStack
    ) -> Machines:
        with self.step("provision"):
            machines = stack.enter_context(held.machines(environments))
            if machines.fidelity is not None:
                self.found_as(machines.fidelity)
            self.check_machines = machines.check
            self.disturbances = machines.disturbances
            self.ran_before = tuple(machines.application.processes()) if self.provisioner.kind != "container" else ()
            return machines

    def found_as(self, fidelity: Fidelity) -> None:
        self.fidelity = fidelity
        self.facts["fidelity"] = fidelity.value

    def attest(self, machines: Machines) -> None:
        """Declared against observed, before anything is tested; a mismatch blocks the cell."""
        self.state(State.ATTESTING, "attest / 核验")
        with self.step("attest"):
            roles = [role for role in self.roles if role.name in machines.of]
            on = [machines.on(role.name) for role in roles]
            with ThreadPoolExecutor(len(roles)) as pool:
                found = pool.map(self.provisioner.attest, on, roles)
                for role, attestation in zip(roles, found, strict=True):
                    self.keep_attestation(role.name, attestation)
                    self.calibrate(attestation)
            for one in self.foundations:
                kind = type(one).__name__.lower()
                version = machines.application.run(one.version, timeout=60 * self.factor)
                self.keep_attestation("application", attest_version(kind, version.text, one.declared))

    @property
    def model(self) -> str | None:
        """QEMU's model of the product's CPU, where it is emulated."""
        if self.emulator is None:
            return None
        emulation = self.target.cpu.emulation
        return emulation.user if self.emulator.kind == "qemu-user" else emulation.system

    def context(self, machines: Machines, product: Environment) -> CellContext:
        database = self.target.database
        embedded = database.placement == "embedded"
        access = (
            Access(kind=database.database, path=database.path or "")
            if embedded
            else Access(
                kind=database.database,
                host=machines.address("database"),
                port=database.port or 0,
                password=SecretStr(token()),
            )
        )
        return CellContext(
            campaign=self.lab.campaign,
            cell=self.cell.id,
            attempt=self.record.number,
            axes=self.cell.axes,
            architecture=self.target.cpu.architecture,
            emulated=self.emulated,
            qemu_cpu=self.model,
            factor=self.factor,
            declared_factor=self.declared_factor,
            application=self.application,
            database=database,
            access=access,
            secrets={name: SecretStr(token()) for name in self.application.secrets},
            application_machine=machines.application.reference,
            database_machine=machines.on("database").reference,
            **self.broker(machines),
            ran_before=self.ran_before,
            ports={name: machines.application.address(port) for name, port in self.application.ports.items()},
            template_folder=self.lab.definitions.application_folder,
            installed=self.installed_of(product),
        )

    def installed_of(self, product: Environment) -> tuple[str, ...]:
        """Names of the product's own packages."""
        own = {p.name for p in product.packages} & set(self.application.packages)
        from_files = {p.name for p in product.packages if p.version} - self.beneath
        return tuple(sorted(own | from_files))

    def broker(self, machines: Machines) -> dict[str, Any]:
        """What the context says of middleware that is a server."""
        found = self.target.middleware
        if found is None:
            return {}
        access = Access(
            kind=found.middleware,
            host=machines.address("middleware"),
            port=found.port or 0,
            password=SecretStr(token()),
        )
        return {
            "middleware": found,
            "middleware_access": access,
            "middleware_machine": machines.on("middleware").reference,
        }
