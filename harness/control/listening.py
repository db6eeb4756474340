"""Where a product listens, from the kernel's tables of sockets (proc(5): /proc/net/tcp, /proc/net/tcp6)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

#: A line of a table: address, port, peer, state and the rest, whose sixth field is the socket's inode.
_LINE = re.compile(r"^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) (.*)$", re.MULTILINE)
#: TCP_LISTEN and TCP_CLOSE of the kernel; a UDP socket without a peer is in the latter.
_LISTEN, _CLOSE = "0A", "07"


@dataclass(frozen=True, order=True)
class Listener:
    """A socket that takes what comes: port, address (``*`` for all)."""

    port: int
    address: str

    @property
    def loopback(self) -> bool:
        """Whether only programs of the same machine reach it."""
        return self.address != "*" and ipaddress.ip_address(self.address).is_loopback

    def __str__(self) -> str:
        return f"port {self.port}" + ("" if self.address == "*" else f" of {self.address}")


def listeners(text: str) -> list[Listener]:
    """Sockets of the TCP tables in ``text`` that belong to lines ``socket INODE``; all where there are no such lines.

    The engine's own name server in each container is left out.
    """
    return _sockets(text, _LISTEN)


def bound(text: str) -> list[Listener]:
    """As ``listeners``, of the UDP tables: sockets without a peer, which take what anybody sends."""
    return _sockets(text, _CLOSE)


def _sockets(text: str, wanted: str) -> list[Listener]:
    own = set(re.findall(r"^socket (\d+)$", text, re.MULTILINE))
    sockets = set()
    for address, port, state, rest in _LINE.findall(text):
        fields = rest.split()
        if state != wanted or (own and (len(fields) < 6 or fields[5] not in own)):
            continue
        where = _address(address)
        if where != "127.0.0.11":
            sockets.add(Listener(int(port, 16), where))
    return sorted(sockets)


def explained(sockets: list[Listener], declared: Iterable[int]) -> tuple[str, str]:
    """Why the product's sockets do not serve the declared ports, in English and Chinese; empty where they do."""
    ports = sorted(set(declared))
    if not ports:
        return "", ""
    names = ", ".join(str(socket) for socket in sockets)
    wanted = ", ".join(map(str, ports))
    if not sockets:
        return f"it listens on no TCP port; declared is {wanted}", f"没有监听任何 TCP 端口；声明的是 {wanted}"
    on_declared = [socket for socket in sockets if socket.port in ports]
    if not on_declared:
        return f"it listens on {names}; declared is port {wanted}", f"监听的是 {names}，声明的是 {wanted} 端口"
    if all(socket.loopback for socket in on_declared):
        return (
            f"it listens on {on_declared[0].address} only, which no other machine reaches",
            f"仅监听 {on_declared[0].address}，其他机器无法访问",
        )
    return "", ""


def _address(text: str) -> str:
    """Of the kernel's form: groups of four bytes in the machine's order; every target here is little-endian."""
    raw = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    address = ipaddress.ip_address(raw)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return "*" if address.is_unspecified else str(address)
