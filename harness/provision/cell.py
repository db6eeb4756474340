"""The machines of one cell: a network of its own, one container for the product, one for a database server."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from harness.errors import AttestationMismatch, HarnessError
from harness.machines import ContainerMachine, Engine
from harness.model.definitions import Application, Cpu, Database, Os, size_in_bytes
from harness.model.ledger import Ledger
from harness.provision.architecture import emulator, host_architecture
from harness.provision.attestation import attest
from harness.provision.images import BaseImages


@dataclass(frozen=True, kw_only=True)
class Machines:
    """``database`` is the application's machine where the database is embedded."""

    application: ContainerMachine
    database: ContainerMachine
    network: str


def known_good(engine: Engine, images: BaseImages, system: Os, cpu: Cpu, campaign: str, ledger: Ledger) -> None:
    """Run what is known to be good on a target: its bare base image, attested, in a container on a network.

    Raises:
        HarnessError: the lab does not carry even that; its message says why.
    """
    emulated_by = emulator(cpu.architecture)
    base = images.ensure(system, cpu.architecture, ledger)
    name = f"harness-{campaign}-probe-{secrets.token_hex(4)}"
    labels = engine.labels(campaign, "probe", "probe")
    ledger.intent("network", name)
    ledger.intent("container", name)
    try:
        ledger.created("network", name, engine.create_network(name, labels))
        identity = engine.create_container(
            name, base.id, labels=labels, memory=128 * 2**20, cpus=min(1.0, engine.cpus), processes=64, network=name,
            alias="probe", environment=_model(cpu),
        )  # fmt: skip
        ledger.created("container", name, identity)
        found = attest(ContainerMachine(engine, identity, "probe"), cpu, system, emulated_by)
        if found.mismatches:
            told = "; ".join(f"{f.name}: declared {f.declared}, observed {f.observed}" for f in found.mismatches)
            raise AttestationMismatch(f"the bare target is not what was declared: {told}")
    finally:
        for kind, remove in (("container", engine.remove_container), ("network", engine.remove_network)):
            with contextlib.suppress(HarnessError):
                remove(name)
                ledger.removed(kind, name)


def _model(cpu: Cpu) -> dict[str, str]:
    """The environment by which an emulated container gets its CPU model."""
    model = cpu.emulation.user
    return {"QEMU_CPU": model} if model and cpu.architecture != host_architecture() else {}


@contextlib.contextmanager
def provision(
    engine: Engine, *, campaign: str, attempt: str, short: str, cpu: Cpu, database_cpu: Cpu, application: Application,
    database: Database, application_image: str, database_image: str | None, ledger: Ledger,
) -> Iterator[Machines]:  # fmt: skip
    """Make the machines, and remove them whatever happens; every intent is journaled before the deed.

    Raises:
        InfrastructureError: the engine refuses.
    """
    stem = f"harness-{campaign}-{short}-{attempt}"
    made: list[tuple[str, str]] = []

    def container(role: str, image: str, on: Cpu, limits: Application | Database,
                  ports: tuple[int, ...]) -> ContainerMachine:  # fmt: skip
        name = f"{stem}-{role}"
        ledger.intent("container", name)
        made.append(("container", name))
        identity = engine.create_container(
            name, image, labels=engine.labels(campaign, f"{short}-{attempt}", role), network=stem, alias=role,
            memory=size_in_bytes(limits.limits.memory), cpus=min(limits.limits.cpus, engine.cpus),
            processes=limits.limits.processes, environment=_model(on), ports=ports,
        )  # fmt: skip
        ledger.created("container", name, identity)
        return ContainerMachine(engine, identity, role)

    try:
        ledger.intent("network", stem)
        made.append(("network", stem))
        ledger.created("network", stem, engine.create_network(stem, engine.labels(campaign, f"{short}-{attempt}", "")))
        product = container("application", application_image, cpu, application, tuple(application.ports.values()))
        server = (
            container("database", database_image, database_cpu, database, ()) if database_image is not None else product
        )
        yield Machines(application=product, database=server, network=stem)
    finally:
        trouble: list[HarnessError] = []
        for kind, name in reversed(made):
            try:
                remove = engine.remove_container if kind == "container" else engine.remove_network
                remove(name)
                ledger.removed(kind, name)
            except HarnessError as error:  # one that cannot be removed must not leak the others
                trouble.append(error)
        for problem in trouble:
            with contextlib.suppress(HarnessError):
                ledger.event("teardown-trouble", message=problem.message, next="harness gc")
