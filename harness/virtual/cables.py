"""The network of a cell of virtual machines: a cable from the product's machine to each server."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.plan import ROLES
from harness.provision.provisioner import APPLICATION
from harness.virtual.qemu import Link

#: Servers of a cell by the number of the cable that leads from the product's machine to each: its own end of cable n
#: is 10.77.n.1, and the server's 10.77.n.2.
CABLES = tuple(ROLES)


def links_of(stem: str, role: str, roles: Sequence[str]) -> list[Link]:
    """The sockets of a machine's cables: one to each server from the product's machine, one to that from a server."""
    if role != APPLICATION:
        return [
            (f"{stem}-{role}/link-{role}", f"{stem}-{APPLICATION}/link-{role}") if cable == role else None
            for cable in CABLES
        ]
    return [
        (f"{stem}-{role}/link-{cable}", f"{stem}-{cable}/link-{cable}") if cable in roles else None for cable in CABLES
    ]


def host_lines(role: str) -> list[str]:
    """Lines of /etc/hosts: servers see the product's machine, and it sees them."""
    if role == APPLICATION:
        return [f"10.77.{n}.1 {APPLICATION}" for n, _ in enumerate(CABLES)][:1] + [
            f"10.77.{n}.2 {name}" for n, name in enumerate(CABLES)
        ]
    n = CABLES.index(role)
    return [f"10.77.{n}.1 {APPLICATION}", f"10.77.{n}.2 {role}"]


def cable_commands(role: str) -> list[str]:
    """Commands that bring up a machine's ends."""
    end = 1 if role == APPLICATION else 2
    return [
        f"ip link set eth{n + 1} up && ip addr add 10.77.{n}.{end}/24 dev eth{n + 1}"
        for n, name in enumerate(CABLES)
        if role in (APPLICATION, name)
    ]
