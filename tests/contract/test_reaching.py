"""A product reaches the places that it declares, by their names, and nothing beside them."""

from __future__ import annotations

import time
from ipaddress import ip_network
from typing import Any

import pytest

from harness.containers.engine import Engine
from harness.errors import InfrastructureError, UsageError
from harness.model.definitions import Reached
from harness.provision.provisioner import Machines
from tests.labs import Notes, cell_of_containers, elsewhere

ASK = "timeout 5 bash -c 'exec 3<>/dev/tcp/{}/{} && echo back >&3 && cat <&3'"


class Kept(Notes):
    def __init__(self) -> None:
        self.places: list[dict[str, Any]] = []

    def event(self, kind: str, **data: Any) -> None:
        if kind == "reached":
            self.places = data["places"]


def place(host: str, port: int, address: str) -> Reached:
    return Reached.model_validate({"host": host, "port": port, "address": address})


def said(machines: Machines, host: str, port: int) -> str:
    return machines.application.run(ASK.format(host, port)).out


def test_declared_places_are_reached_by_their_names_and_nothing_beside_them() -> None:
    ledger = Kept()
    with elsewhere(443, 8443, 9000) as one, elsewhere(443) as two:
        places = (place("one.example", 443, one), place("one.example", 8443, one), place("two.example", 443, two))
        with cell_of_containers(Engine("contract"), reach=places, ledger=ledger) as machines:
            for reached in places:
                answer = said(machines, reached.host, reached.port)
                assert answer == f"elsewhere {reached.port}\nback\n"
            assert said(machines, "one.example", 9000) == ""  # it serves there, and that is not declared
            assert said(machines, one, 443) == ""  # nor is its address on the cell's network
            assert "elsewhere" not in machines.on("database").run(ASK.format("one.example", 443)).out
            assert machines.disturbances(time.time()) == []
    assert [(each["place"], each["connections"], each["failures"]) for each in ledger.places] == [
        (str(each), 1, 0) for each in places
    ]


def test_a_place_that_goes_away_is_the_laboratorys_trouble() -> None:
    ledger = Kept()
    with elsewhere(443) as stays:
        with elsewhere(443) as goes:
            places = (place("stays.example", 443, stays), place("goes.example", 443, goes))
            with cell_of_containers(Engine("contract"), reach=places, ledger=ledger) as machines:
                began = time.time()
                assert machines.application.run(ASK.format("goes.example", 443)).ok
                with pytest.MonkeyPatch.context() as monkey:
                    monkey.setattr("harness.containers.reaching.address_of_place", refused)
                    assert said(machines, "goes.example", 443) == ""
                (words,) = machines.disturbances(began)
                assert words.startswith("goes.example:443 (")
                assert machines.disturbances(time.time() + 1) == []
                assert said(machines, "stays.example", 443).startswith("elsewhere")
        nothing = (place("nothing.example", 444, stays),)
        with pytest.raises(InfrastructureError, match=r"nothing\.example:444 .* does not take a connection"):
            cell_of_containers(Engine("contract"), reach=nothing).__enter__()
    assert [each["failures"] for each in ledger.places] == [0, 1]


def refused(at: Reached, *, own: bool = False) -> str:
    if at.host == "goes.example":
        raise InfrastructureError("it is gone")
    return str(at.address)


@pytest.mark.parametrize("address", ["own", "bridge"])
def test_what_is_declared_never_leads_to_this_machine(address: str) -> None:
    """A vendor's definition is not this machine's operator."""
    from tests.hostile.test_packages import own_address

    engine = Engine("contract")
    known = engine.client.api.inspect_network("bridge")["IPAM"]["Config"][0]
    beside = str(ip_network(known["Subnet"], strict=False)[9])  # an engine that found its bridge names no gateway
    places = (place("one.example", 22, own_address() if address == "own" else beside),)
    with pytest.raises(UsageError, match="which is this machine or one of its containers"):
        cell_of_containers(engine, reach=places).__enter__()
