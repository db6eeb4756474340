"""Whether a database server of the laboratory is fit for cells: a user and database are made, asked, and dropped."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from harness.control.servers import CellDatabase
from harness.endpoints.holding import account_at, left_at, placed_at
from harness.endpoints.inventory import Server
from harness.endpoints.machine import EndpointMachine
from harness.errors import HarnessError
from harness.execution.endpoints import DATABASE, attest_endpoint, endpoint_password
from harness.model.attestation import Fact
from harness.model.context import Access
from harness.model.machine import MachineReference
from harness.system.waiting import QUIET


class Unrecorded:
    """A ledger for work that belongs to no campaign."""

    def __init__(self) -> None:
        self.stayed: list[str] = []

    def intent(self, kind: str, name: str) -> None: ...

    def created(self, kind: str, name: str, engine_id: str) -> None: ...

    def removed(self, kind: str, name: str) -> None: ...

    def event(self, kind: str, **data: Any) -> None:
        if kind == "endpoint-left":
            self.stayed.append(str(data["message"]))

    def keep(self, name: str, data: bytes, media: str = "text/plain") -> str:
        return ""


@dataclass(frozen=True, kw_only=True)
class EndpointReport:
    """Facts about an endpoint. ``trouble`` says why it is not fit, or could not be looked at; empty where it is."""

    endpoint: str
    where: str
    facts: tuple[Fact, ...] = ()
    left: tuple[str, ...] = ()  #: users and databases of cells, of those that run too
    trouble: str = ""
    advice: str = ""

    @property
    def good(self) -> bool:
        """Whether it could be used, and is what catalogue and inventory say."""
        return not self.trouble and all(fact.holds for fact in self.facts)


def look_at(server: Server) -> EndpointReport:
    """Use a server as a cell would; nothing of that stays."""
    name, ledger = server.endpoint.endpoint, Unrecorded()
    try:
        with (
            placed_at((server,), ledger, QUIET, threading.Event(), patience=0.0) as place,
            account_at(place, endpoint_password(), ledger) as account,
        ):
            machine = EndpointMachine(MachineReference(kind="endpoint", name=DATABASE, endpoint=server.endpoint))
            access = Access(
                kind=server.database.database,
                name=account.database,
                user=account.user,
                password=SecretStr(account.password or ""),
            )
            facts = attest_endpoint(CellDatabase(machine, server.database.at_endpoint(), access)).facts
        left = tuple(left_at(server))
    except HarnessError as error:
        return EndpointReport(endpoint=name, where=server.where, trouble=error.message, advice=error.advice)
    if ledger.stayed:
        return EndpointReport(
            endpoint=name,
            where=server.where,
            facts=facts,
            left=left,
            trouble=f"what was made could not be dropped: {ledger.stayed[0]}",
            advice=f"see what {server.endpoint.user!r} may do, then: harness databases clean",
        )
    return EndpointReport(endpoint=name, where=server.where, facts=facts, left=left)
