"""*Declare what, resolve how*: what can serve a cell here, in the order that its matrix prefers."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.attest.serving import Service, serving
from harness.endpoints.images import PlacedImage, images_for
from harness.endpoints.inventory import Server
from harness.endpoints.inventory import fitting as endpoints_for
from harness.hosts.holding import fitting
from harness.hosts.inventory import Inventory
from harness.model.definitions import (
    Application,
    Cpu,
    Database,
    Databases,
    Foundation,
    Middleware,
    Needs,
    Os,
    Runtime,
    Servlet,
)
from harness.model.plan import FRESH, ROLES, SAME, UPGRADE, Cell, Definitions
from harness.model.results import Fidelity
from harness.provision.provisioner import Kind, weakest
from harness.virtual.qemu import BOARDS

NOTHING = Needs()


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What will serve a cell: ``kind`` and ``fidelity`` are None where nothing can, and ``by`` says why."""

    kind: Kind | None
    fidelity: Fidelity | None
    by: str


@dataclass(frozen=True, kw_only=True)
class PlacedServer:
    """A server of the lab for one role of a cell, and the system and CPU that it is on."""

    definition: Database | Middleware
    os: Os
    cpu: Cpu

    @property
    def name(self) -> str:
        """Of its entry in the catalogue."""
        return self.definition.database if isinstance(self.definition, Database) else self.definition.middleware


@dataclass(frozen=True, kw_only=True)
class PlacedCell:
    """A cell, what its axes name, and what serves it here: decided once, before any attempt.

    ``former``: the version that is installed first and then upgraded; None where the product is installed anew.
    ``servers`` by role; ``foundations`` are installed beside the product: runtime, middleware that is no server.
    ``endpoints``: servers of the laboratory of which one serves the database; none where a machine of the cell does.
    ``image``: what the database's machine is made of, where that is an image of its vendor.
    """

    cell: Cell
    application: Application
    former: Application | None
    os: Os
    cpu: Cpu
    database: Database
    servers: Mapping[str, PlacedServer]
    foundations: tuple[Foundation, ...]
    placement: Placement
    endpoints: tuple[Server, ...] = ()
    image: PlacedImage | None = None

    @property
    def machines(self) -> tuple[tuple[Os, Cpu], ...]:
        """The different systems and CPUs that it needs, the application's first."""
        pairs = [(self.os, self.cpu), *((server.os, server.cpu) for server in self.servers.values())]
        return tuple({(os.os, cpu.cpu): (os, cpu) for os, cpu in pairs}.values())

    @property
    def beneath(self) -> frozenset[str]:
        """Packages that are in the product's environment for what it stands on."""
        former = self.former.needed if self.former is not None else ()
        foundations = (name for foundation in self.foundations for name in foundation.packages)
        return frozenset([*self.database.packages, *foundations, *self.drivers, *self.application.needed, *former])

    @property
    def runtime(self) -> Runtime | None:
        """The language runtime that its axis names."""
        return next((base for base in self.foundations if isinstance(base, Runtime)), None)

    @property
    def servlet(self) -> Servlet | None:
        """How WARs are deployed into the middleware of the cell, where that is a servlet container."""
        return next((base.servlet for base in self.foundations if isinstance(base, Middleware)), None)

    @property
    def drivers(self) -> tuple[str, ...]:
        """Packages of the database's JDBC driver, where something of the cell is Java."""
        java = self.servlet is not None or (self.runtime is not None and self.runtime.java_home)
        return self.database.driver_packages if java else ()


def place(
    definitions: Definitions, cell: Cell, inventory: Inventory | None = None, databases: Databases | None = None
) -> PlacedCell:
    """Decide what serves a cell here, and read off its definitions what it needs."""
    os, cpu = definitions.application_machine(cell.axes)
    application = definitions.application_of(cell.axes)
    version = cell.axes.get(UPGRADE, FRESH)
    named = {role: definitions.server(role, cell.axes) for role in ROLES}
    database = definitions.databases[cell.axes["database"]]
    decided = _decide(definitions, cell, application, inventory, databases)
    if decided.endpoints:
        del named["database"]
        database = database.at_endpoint()
    elif decided.image is not None:
        named["database"] = database = database.from_image()
    servers = {
        role: PlacedServer(definition=server, os=system, cpu=model)
        for role, server in named.items()
        if server is not None and server.placement == "server"
        for system, model in [definitions.server_machine(role, cell.axes)]
    }
    beside = [
        definitions.runtimes.get(cell.axes.get("runtime", "")),
        *(server for role, server in named.items() if role not in servers and isinstance(server, Middleware)),
    ]
    return PlacedCell(
        cell=cell,
        application=application,
        former=None if version == FRESH else definitions.former_of(cell.axes, version),
        os=os,
        cpu=cpu,
        database=database,
        servers=servers,
        foundations=tuple(foundation for foundation in beside if foundation is not None),
        placement=_without_wheel(servers) or decided.placement,
        endpoints=decided.endpoints,
        image=decided.image,
    )


@dataclass(frozen=True, kw_only=True)
class _Decided:
    """What serves a cell, and its database: an endpoint, an image, or else a machine that it is installed on."""

    placement: Placement
    endpoints: tuple[Server, ...] = ()
    image: PlacedImage | None = None


def _decide(
    definitions: Definitions,
    cell: Cell,
    application: Application,
    inventory: Inventory | None,
    databases: Databases | None,
) -> _Decided:
    """What serves the cell and its database: by the first of ``prefer_database`` that can."""
    matrix, database = definitions.matrix, definitions.databases[cell.axes["database"]]
    machines, accepted = definitions.machines(cell.axes), matrix.require.fidelity
    refused: list[str] = []
    for way in matrix.prefer_database if database.placement in ("server", "external") else ("machine",):
        if way == "machine" and not database.external:
            placement = resolve(machines, cell.prefer, accepted, inventory, application.needs)
            if placement.kind is not None or not refused:
                because = f"; not by {'; '.join(refused)}" if refused else ""
                return _Decided(placement=dataclasses.replace(placement, by=f"{placement.by}{because}"))
            refused.append(placement.by)
        if way == "endpoint" and (fit := endpoints_for(databases, database, cell.axes)):
            usable = tuple(server for server in fit if not server.obstacle)
            if not usable:
                refused.append(f"{fit[0].where}: {fit[0].obstacle}")
                continue
            kinds = _reaching(cell.prefer, usable, inventory, machines["application"])
            if not kinds:
                refused.append(f"{usable[0].where}: its address is this machine's own, and no lab host reaches it")
                continue
            without = {role: pair for role, pair in machines.items() if role != "database"}
            needs = dataclasses.replace(application.needs, reach=True)
            placement = resolve(without, kinds, accepted, inventory, needs)
            if placement.kind is not None:
                by = f"{placement.by}; database: {', '.join(server.where for server in usable)}"
                return _Decided(placement=dataclasses.replace(placement, by=by), endpoints=usable)
            refused.append(f"{usable[0].where}: {placement.by}")
        if way == "image":
            decided = _by_image(definitions, cell, application, inventory, databases, refused)
            if decided is not None:
                return decided
    if not refused:
        refused.append(
            f"no server of the laboratory is {database.database}, and no image of it is there: name one in "
            "databases.yaml (--databases)"
        )
    return _Decided(placement=Placement(kind=None, fidelity=None, by="; ".join(refused)))


def _by_image(
    definitions: Definitions,
    cell: Cell,
    application: Application,
    inventory: Inventory | None,
    databases: Databases | None,
    refused: list[str],
) -> _Decided | None:
    """The cell with its database in a container of an image, beside the product's container; else why not goes to
    ``refused``. What the cell prefers comes first, but where nothing else serves the database."""
    _, cpu = definitions.server_machine("database", cell.axes)
    fit = images_for(databases, definitions.databases[cell.axes["database"]], cpu.architecture)
    if not fit:
        return None
    image = next((image for image in fit if not image.obstacle), fit[0])
    if image.obstacle:
        refused.append(f"{image.where}: {image.obstacle}")
    elif cell.axes.get("database_os", SAME) != SAME:
        refused.append(f"{image.where}: an image brings a system of its own, and the cell names one (database_os)")
    elif "container" not in cell.prefer:
        refused.append(f"{image.where}: it is run in a container beside the product's, and the cell prefers none")
    else:
        database, machines = definitions.databases[cell.axes["database"]], definitions.machines(cell.axes)
        accepted = definitions.matrix.require.fidelity
        first = resolve(machines, cell.prefer, accepted, inventory, application.needs).kind
        placement = resolve(machines, ("container",), accepted, None, application.needs)
        if first != "container" and not database.external and placement.kind is not None:
            refused.append(f"{image.where}: the cell prefers a {first}, and an image is run beside containers alone")
        elif placement.kind is not None:
            by = f"{placement.by}; database: {image.where}"
            if first != "container":
                by += f", which takes the product's container before the {first} that the cell prefers"
            return _Decided(placement=dataclasses.replace(placement, by=by), image=image)
        else:
            refused.append(f"{image.where}: {placement.by}")
    return None


def _reaching(
    prefer: Sequence[Kind], servers: Sequence[Server], inventory: Inventory | None, product: tuple[Os, Cpu]
) -> tuple[Kind, ...]:
    """Kinds of machines from which these servers are reached: an address of this machine is its own alone."""
    away = any(host.connection != "local" for host in fitting(inventory, *product))
    here = any(server.is_here for server in servers)
    return tuple(kind for kind in prefer if not (kind == "host" and here and away))


def _without_wheel(servers: Mapping[str, PlacedServer]) -> Placement | None:
    """That nothing serves a cell whose database is made for other architectures alone."""
    for server in servers.values():
        database, architecture = server.definition, server.cpu.architecture
        if isinstance(database, Database) and not database.serves(architecture):
            return Placement(kind=None, fidelity=None, by=f"{database.database} has no wheel for {architecture}")
    return None


def by_container(os: Os, cpu: Cpu, needs: Needs = NOTHING) -> Service:
    """Whether a container serves a system on a CPU class here, as what, and why not."""
    if needs.systemd:
        return Service(fidelity=None, by="the product is started by systemd alone, and no container here runs it")
    if needs.engine:
        return Service(fidelity=None, by="a compose file needs a machine with an engine of its own: a lab host")
    if os.obstacle:
        return Service(fidelity=None, by=os.obstacle)
    service = serving(cpu)
    if service.fidelity is None or os.brings(cpu.architecture):
        return service
    if not os.suite:
        return Service(
            fidelity=None, by=f"{os.os} has no image of {cpu.architecture}, neither imported nor in a registry"
        )
    if cpu.architecture not in os.architectures:
        return Service(fidelity=None, by=f"{os.os} has no {cpu.architecture} release")
    return service


def by_vm(os: Os, cpu: Cpu, needs: Needs = NOTHING) -> Service:
    """Whether a virtual machine does."""
    if needs.reach:
        by = "nothing outside of its cell is reached from a virtual machine (reach): take a container or a lab host"
        return Service(fidelity=None, by=by)
    if needs.engine:
        return Service(fidelity=None, by="a compose file needs a machine with an engine of its own: a lab host")
    if os.obstacle:
        return Service(fidelity=None, by=os.obstacle)
    imported = os.import_of(cpu.architecture)
    if not os.suite and (imported is None or not imported.kernel):
        by = "virtual machines are made of systems that are built here, and of imported disks that have a kernel"
        return Service(fidelity=None, by=by)
    if cpu.architecture not in os.architectures:
        return Service(fidelity=None, by=f"{os.os} has no {cpu.architecture} release")
    if imported is None and cpu.architecture not in os.vm_kernel:
        return Service(fidelity=None, by=f"{os.os} names no kernel of {cpu.architecture} for a virtual machine")
    if not cpu.emulation.system:
        return Service(fidelity=None, by="QEMU has no model of it for a virtual machine")
    program = BOARDS[cpu.architecture][0] if cpu.architecture in BOARDS else ""
    if not program or shutil.which(program) is None:
        return Service(fidelity=None, by=f"{program or 'an emulator'} is not installed: make setup")
    return Service(fidelity=Fidelity.SYSTEM_EMULATED, by=f"qemu-system {cpu.emulation.system}")


def by_host(os: Os, cpu: Cpu, inventory: Inventory | None, needs: Needs = NOTHING) -> Service:
    """Whether a lab host does; which one is seen when it is leased."""
    if needs.container:
        return Service(fidelity=None, by="an image of the vendor runs on a host with a compose file only")
    hosts = fitting(inventory, os, cpu)
    if not hosts:
        by = "no host of the inventory has these labels" if inventory else "no inventory"
        what = "a compose file needs a lab host that has an engine and compose, and there is " if needs.engine else ""
        return Service(fidelity=None, by=f"{what}{by}")
    return Service(
        fidelity=weakest([Fidelity(host.fidelity) for host in hosts]),
        by=f"host {', '.join(host.host for host in hosts)}",
    )


def resolve(
    machines: Mapping[str, tuple[Os, Cpu]],
    prefer: Sequence[Kind],
    accepted: Sequence[str],
    inventory: Inventory | None,
    needs: Needs = NOTHING,
) -> Placement:
    """The first kind of ``prefer`` that serves every machine of a cell with a fidelity that is ``accepted`` (all
    where none is named); ``machines`` by role has the application's first, and ``needs`` is what that must have."""
    refused = []
    for kind in prefer:
        served = [
            by_host(os, cpu, inventory, asked)
            if kind == "host"
            else by_vm(os, cpu, asked)
            if kind == "vm"
            else by_container(os, cpu, asked)
            for (os, cpu), asked in zip(machines.values(), [needs, *[NOTHING] * len(machines)], strict=False)
        ]
        fidelity = weakest([service.fidelity for service in served])
        if fidelity is None:
            reasons = dict.fromkeys(service.by for service in served if service.fidelity is None)
            refused.append(f"{kind}: {'; '.join(reasons)}" if len(prefer) > 1 else "; ".join(reasons))
        elif accepted and fidelity.value not in accepted:
            refused.append(f"{kind}: it would be {fidelity.value}, required is {' or '.join(accepted)}")
        else:
            return Placement(
                kind=kind,
                fidelity=fidelity,
                by="; ".join(
                    service.by if number == 0 else f"{role}: {service.by}"
                    for number, (role, service) in enumerate(zip(machines, served, strict=True))
                ),
            )
    return Placement(kind=None, fidelity=None, by="; ".join(refused))
