"""What is handed to the product and to suites: how servers are reached, ports, secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from harness.attest.architecture import NAMES
from harness.execution.attempt import Attempt
from harness.execution.certificates import certificates_of
from harness.execution.endpoints import DATABASE, administrator_password, context_of_server, endpoint_password
from harness.execution.making import Target
from harness.machines.placing import PlacedCell
from harness.model.context import Access, CellContext, Certificates, ServerContext
from harness.model.definitions import Database, Middleware
from harness.model.machine import MachineReference
from harness.model.recipe import Environment
from harness.model.templating import render
from harness.provision.provisioner import APPLICATION
from harness.system.redact import token


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Drawn once for an attempt: ``passwords`` of servers by role, ``named`` by the names that the product declares,
    ``certificates`` of its HTTPS."""

    passwords: Mapping[str, SecretStr]
    named: Mapping[str, SecretStr]
    certificates: Certificates = field(default_factory=Certificates)
    administrator: SecretStr = field(default_factory=lambda: SecretStr(""))  #: of a database in its vendor's image


def draw_secrets(attempt: Attempt) -> Secrets:
    """Fresh secrets for one attempt; nothing else draws any."""
    placed = attempt.placed
    return Secrets(
        passwords={
            **{role: SecretStr(token()) for role in placed.servers},
            **({DATABASE: SecretStr(endpoint_password())} if placed.endpoints or placed.image is not None else {}),
        },
        named={name: SecretStr(token()) for name in placed.application.secrets},
        administrator=SecretStr(administrator_password()),
        certificates=certificates_of((placed.application, placed.former), attempt.lab.definitions.application_folder),
    )


def context_of(attempt: Attempt, target: Target, secrets: Secrets) -> CellContext:
    """Everything that suites and load drivers may know of the cell."""
    placed, machines = attempt.placed, target.machines
    return CellContext(
        campaign=attempt.lab.campaign,
        cell=attempt.cell.id,
        attempt=attempt.record.number,
        axes=attempt.cell.axes,
        architecture=placed.cpu.architecture,
        emulated=attempt.emulated,
        judges_performance=attempt.judges_performance,
        qemu_cpu=_model(attempt, target),
        factor=target.factors.used,
        declared_factor=target.factors.declared,
        application=placed.application,
        servers=_servers(placed, target, secrets),
        secrets=dict(secrets.named),
        certificates=secrets.certificates,
        beneath=_beneath(attempt),
        application_machine=machines.application.reference,
        ran_before=target.ran_before,
        ports={name: machines.application.address(port) for name, port in placed.application.ports.items()},
        template_folder=attempt.lab.definitions.application_folder,
        installed=own_packages(placed, target.product),
        from_repositories=repository_packages(placed, target.product),
        matrix_folder=attempt.lab.definitions.folder,
        vulnerabilities=attempt.lab.definitions.matrix.vulnerabilities,
        malware=attempt.lab.definitions.matrix.malware,
        reference_cell=attempt.lab.reference_of(attempt.cell),
        profile=attempt.lab.definitions.matrix.profile,
        trusts_code=attempt.lab.trusts_code,
    )


def _beneath(attempt: Attempt) -> dict[str, dict[str, Any]]:
    """What templates see of the runtime and the servlet container; a Java that nothing names is the machine's own."""
    placed = attempt.placed
    runtime, servlet, application = placed.runtime, placed.servlet, placed.application
    architecture = placed.cpu.architecture
    debian = NAMES[architecture].debian if architecture in NAMES else architecture
    home = runtime.java_home.replace("{debian}", debian) if runtime is not None else ""
    options = runtime.emulated_options if runtime is not None and attempt.emulated else {}
    port = application.ports[application.http.port] if application.http is not None else 0
    return {
        "runtime": {
            "home": home,
            "java": f"{home}/bin/java" if home else "java",
            "options": options.get(architecture, ""),
        },
        "servlet": {"base": servlet.base if servlet is not None else "", "port": port},
    }


def own_packages(placed: PlacedCell, product: Environment) -> tuple[str, ...]:
    """Names of the product's own packages."""
    asked = set(placed.application.packages)
    return tuple(
        sorted(
            {
                package.name
                for package in product.packages
                if package.came_for(asked) or (package.version and not package.came_for(placed.beneath))
            }
        )
    )


def repository_packages(placed: PlacedCell, product: Environment) -> tuple[str, ...]:
    """Those of them that came from repositories of the system."""
    asked = set(placed.application.packages)
    return tuple(sorted({package.name for package in product.packages if package.came_for(asked)}))


def _model(attempt: Attempt, target: Target) -> str | None:
    """QEMU's model of the product's CPU, where it is emulated."""
    emulator, emulation = target.serving.emulators[APPLICATION], attempt.placed.cpu.emulation
    if emulator is None:
        return None
    return emulation.user if emulator.kind == "qemu-user" else emulation.system


def _servers(placed: PlacedCell, target: Target, secrets: Secrets) -> dict[str, ServerContext]:
    """How each server of the cell is reached; an embedded database is a file of the product's machine."""
    machines, database = target.machines, placed.database
    servers = {
        role: ServerContext(
            definition=server.definition,
            access=_with_driver(
                server.definition,
                placed,
                Access(
                    kind=server.name,
                    host=machines.address(role),
                    port=server.definition.port or 0,
                    password=secrets.passwords[role],
                    **_names(server.definition),
                ),
            ),
            machine=machines.on(role).reference,
            **(_of_image(placed, target) if role == DATABASE else {}),
        )
        for role, server in placed.servers.items()
    }
    if target.place is not None and target.place.account is not None:
        served = context_of_server(database, target.place, target.place.account, machines)
        servers[DATABASE] = served.model_copy(update={"access": _with_driver(database, placed, served.access)})
    if DATABASE not in servers:
        access = _with_driver(database, placed, Access(kind=database.database, path=database.path or ""))
        servers[DATABASE] = ServerContext(definition=database, access=access, machine=machines.application.reference)
    return servers


def _names(definition: Database | Middleware) -> dict[str, str]:
    """User and database of a cell on a server of its own, where its kind wants capitals; both are one word."""
    if not isinstance(definition, Database) or not definition.imaged or not definition.by_driver:
        return {}
    recipe, image = definition.endpoint, definition.image
    assert recipe is not None
    assert image is not None
    name = "APP" if recipe.names == "upper" else "app"
    return {"name": name, "user": recipe.login_of(name, image.admin)}


def _of_image(placed: PlacedCell, target: Target) -> dict[str, Any]:
    """Whom a vendor's image starts its server as, and by what that is asked from this machine."""
    image = placed.image
    if image is None or (started := target.environments[DATABASE].started) is None:
        return {}
    recipe = image.database.image
    user = (recipe.user if recipe is not None else "") or started.user or "root"
    if image.driver is None:
        return {"user": user}
    machine = target.machines.on(DATABASE)
    endpoint = image.endpoint_at(*machine.address(placed.database.port or 0))
    deeds = machine.reference.deeds
    return {"user": user, "asks": MachineReference(kind="endpoint", name=DATABASE, endpoint=endpoint, deeds=deeds)}


def _with_driver(definition: Database | Middleware, placed: PlacedCell, access: Access) -> Access:
    """How a Java product reaches its database; what the entry of the catalogue does not state stays empty."""
    if not isinstance(definition, Database):
        return access
    url = render(definition.jdbc, {"db": access.values()}, where=f"targets/database/{definition.database}.yaml")
    return access.model_copy(
        update={
            "jdbc": url,
            "driver_class": definition.driver_class,
            "driver_jar": placed.application.driver_jars.get(
                definition.database, definition.driver_jar if placed.drivers else ""
            ),
        }
    )
