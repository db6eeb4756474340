"""Whether a network is closed, and whether its containers are reached, is seen and never assumed."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness.containers import firewall, networks
from harness.containers.networks import demand_path, make_network
from harness.errors import InfrastructureError
from harness.system.process import Completed

IDENTITY = "0123456789abcdef" * 4


class Engine:
    """Makes networks of 10.1.0.0/30, and counts them."""

    def __init__(self, reached: bool | None = None, options: dict[str, str] | None = None) -> None:
        self.reached, self.stands = reached, dict[str, bool]()
        known = {"Id": IDENTITY, "Options": options, "IPAM": {"Config": [{"Subnet": "10.1.0.0/30"}]}}
        self.client = SimpleNamespace(api=SimpleNamespace(inspect_network=lambda _: known))
        self.made: list[bool] = []

    def create_network(self, name: str, _labels: dict[str, str], *, internal: bool = False) -> str:
        assert name not in self.stands
        self.stands[name] = internal
        self.made.append(internal)
        return IDENTITY

    def remove_network(self, name: str) -> bool:
        del self.stands[name]
        return True


def interfaces(monkeypatch: pytest.MonkeyPatch, **addresses: str) -> None:
    known = {
        name: [
            SimpleNamespace(address="02:42:00:00:00:01", family=socket.AF_PACKET),
            SimpleNamespace(address=address, family=socket.AF_INET),
        ]
        for name, address in addresses.items()
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: known)


@pytest.mark.parametrize(
    ("here", "closed"),
    [
        ({"br-0123456789ab": "10.1.0.1"}, True),
        ({"br-0123456789ab": "10.2.0.1"}, False),
        ({"br-ffffffffffff": "10.1.0.1"}, False),  # the same address, on a bridge of another engine
        ({}, False),
    ],
)
def test_a_network_is_closed_where_its_own_bridge_is_here(
    monkeypatch: pytest.MonkeyPatch, here: dict[str, str], closed: bool
) -> None:
    """An engine is asked once; two networks of it are alike."""
    interfaces(monkeypatch, **here)
    engine: Any = Engine()
    for name in ("first", "second"):
        assert make_network(engine, name, {}).closed is closed
    assert engine.stands == {"first": closed, "second": closed}
    assert engine.made == ([True, True] if closed else [True, False, False])


def test_a_bridge_may_have_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    interfaces(monkeypatch, **{"cells0": "10.1.0.1"})
    engine: Any = Engine(options={"com.docker.network.bridge.name": "cells0"})
    assert make_network(engine, "first", {}).bridge == "cells0"


def test_an_engine_elsewhere_gets_no_internal_network(monkeypatch: pytest.MonkeyPatch) -> None:
    interfaces(monkeypatch, **{"br-0123456789ab": "10.1.0.1"})
    engine: Any = Engine(reached=False)
    assert not make_network(engine, "first", {}).closed
    assert engine.made == [False]


@pytest.mark.parametrize("error", [TimeoutError("timed out"), OSError(113, "No route to host")])
def test_a_container_that_is_not_reached_is_the_laboratorys_trouble(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", fails)
    with pytest.raises(InfrastructureError, match=r"10\.1\.0\.2 is not reached from this machine"):
        demand_path("10.1.0.2")


def test_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    monkeypatch.setattr(networks, "PORT_OF_NONE", free)
    demand_path("127.0.0.1")


def test_rules_of_bridges_that_are_gone_are_removed_and_no_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    own = "-m conntrack ! --ctstate RELATED,ESTABLISHED -m comment --comment"
    listed = (
        f"-P INPUT ACCEPT\n-A INPUT -i br-here {own} harness-cell -j DROP\n"
        f'-A INPUT -i br-gone {own} "harness-cell" -j DROP\n'
        "-A INPUT -i br-other -m comment --comment somebody -j DROP\n"
    )
    done: list[tuple[str, ...]] = []

    def run(argv: list[str], **_: object) -> Completed:
        done.append((argv[0], argv[3], *argv[5:7]))
        return Completed(rc=0, out=listed if "-S" in argv else "")

    (tmp_path / "br-here").mkdir()
    monkeypatch.setattr(firewall, "run", run)
    monkeypatch.setattr(firewall, "can_close", lambda: True)
    monkeypatch.setattr(firewall, "_INTERFACES", tmp_path)
    monkeypatch.setattr(firewall, "_programs", lambda: ("iptables", "ip6tables"))
    assert firewall.closed() == {"br-here", "br-gone"}
    assert firewall.sweep() == ["br-gone"]
    assert [words for words in done if words[1] == "-D"] == [
        ("iptables", "-D", "-i", "br-gone"),
        ("ip6tables", "-D", "-i", "br-gone"),
    ]


def test_a_rule_that_is_not_taken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "can_close", lambda: True)
    monkeypatch.setattr(firewall, "run", lambda *_, **__: Completed(rc=1, err="No chain/target/match by that name."))
    assert firewall.close("br-here") == "iptables does not take the rule: No chain/target/match by that name."
    monkeypatch.setattr(firewall, "can_close", lambda: False)
    assert "root" in firewall.close("br-here")
    assert firewall.closed() is None
    assert firewall.sweep() == []
