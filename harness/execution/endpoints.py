"""The database of a cell on a server of the laboratory: the way there, the machine that stands for it, its facts."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Mapping

from pydantic import SecretStr

from harness.attest.attestation import BY_INVENTORY, database_facts
from harness.control.servers import CellDatabase
from harness.endpoints.asking import Account, where
from harness.endpoints.machine import EndpointMachine
from harness.endpoints.places import Place
from harness.model.attestation import Attestation, Fact
from harness.model.context import Access, ServerContext
from harness.model.definitions import Database, Endpoint, Reached
from harness.model.machine import MachineReference
from harness.provision.provisioner import Kind, Machines
from harness.system.redact import token

DATABASE = "database"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def endpoint_password() -> str:
    """A fresh password for a server of others, which may ask for capitals, digits and a sign."""
    return f"Xc1_{token()}"


def administrator_password() -> str:
    """As ``endpoint_password``, for the administrator of a server in a vendor's image: openGauss counts no _ as a
    sign."""
    return f"Xc1-{token()}"


def note_of(place: Place) -> str:
    """What whoever reads the results must know of such a database."""
    return (
        f"the database is on {place.server.where} of the laboratory, which other work may use meanwhile: times and "
        f"rates contain the way there / 数据库位于实验室服务器 {place.server.endpoint.endpoint}，耗时包含网络路径"
    )


def way_to(place: Place) -> tuple[Reached, ...]:
    """The server as a place outside of the cell: by its own name, which its certificate may be for, else by the role's.

    An address of this machine is good here: the laboratory itself gives it, and no product.
    """
    endpoint = place.server.endpoint
    return (Reached.model_construct(host=_name_of(endpoint), port=endpoint.port or 0, address=_address_of(endpoint)),)


def served_by(place: Place, machines: Machines, kind: Kind) -> Machines:
    """The machines of a cell with the one that stands for its database. A lab host goes to the server itself."""
    endpoint, deeds = place.server.endpoint, machines.application.reference.deeds
    place.deeds = deeds
    machine = EndpointMachine(MachineReference(kind="endpoint", name=DATABASE, endpoint=endpoint, deeds=deeds))

    def check() -> None:
        machines.check()
        place.check()

    return dataclasses.replace(
        machines,
        of={**machines.of, DATABASE: machine},
        addresses={**machines.addresses, DATABASE: endpoint.address if kind == "host" else _name_of(endpoint)},
        check=check,
        disturbances=lambda since: [*machines.disturbances(since), *place.troubles(since)],
    )


def context_of_server(definition: Database, place: Place, account: Account, machines: Machines) -> ServerContext:
    """What suites and product are told of it, without the driver of a Java product."""
    endpoint = place.server.endpoint
    return ServerContext(
        definition=definition,
        access=Access(
            kind=definition.database,
            host=machines.address(DATABASE),
            port=endpoint.port or 0,
            name=account.database,
            user=account.user,
            password=SecretStr(account.password or ""),
        ),
        machine=machines.on(DATABASE).reference,
        restart_seconds=endpoint.restart_seconds if endpoint.restart else 0.0,
    )


def attest_endpoint(server: CellDatabase) -> Attestation:
    """Version and settings as the server shows them, against what catalogue and inventory declare; what nobody declares
    is recorded."""
    endpoint = server.machine.reference.endpoint
    assert endpoint is not None
    who = Fact(name="database server", declared="", observed=where(endpoint))
    return attest_by_driver(server, (who,), endpoint.declared, endpoint.settings)


def attest_by_driver(
    server: CellDatabase, first: tuple[Fact, ...], by_inventory: str, settings_by_inventory: Mapping[str, str]
) -> Attestation:
    """As ``attest_endpoint``, for whatever is asked with SQL; ``first`` facts, and what the inventory declares."""
    version, shown = server.version(), server.settings()
    facts = [
        *first,
        *database_facts(_line(version), shown, server.definition.declared, server.definition.settings),
        *database_facts(_line(version), shown, by_inventory, settings_by_inventory, BY_INVENTORY),
    ]
    known = {**server.definition.settings, **settings_by_inventory}
    facts += [
        Fact(name=f"database {name}", declared="", observed=value) for name, value in shown.items() if name not in known
    ]
    return Attestation(facts=tuple(facts))


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


def _address_of(endpoint: Endpoint) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Its IP address, where it is named by that."""
    if endpoint.address == "localhost":
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(endpoint.address)
    except ValueError:
        return None


def _name_of(endpoint: Endpoint) -> str:
    name = endpoint.address.lower()
    return name if _address_of(endpoint) is None and _NAME.fullmatch(name) else DATABASE
