"""Which ports of a machine another machine reaches: each TCP port is tried (RFC 9293, 3.5), and each UDP port that is
named; a closed one says so by ICMP (RFC 1122, 4.1.3.1)."""

from __future__ import annotations

import errno
import functools
import ipaddress
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.control.deployment import Deployment

#: All but 0, which is none (RFC 6335, 6).
PORTS = range(1, 65536)
#: Connections that are tried at once.
AT_ONCE = 32
#: After so many ports that say nothing, the rest is left: a firewall drops what comes, and each costs a whole wait.
MOST_SILENT = 512
#: Datagrams that a UDP port is sent before its silence counts: a kernel sends no more than one refusal a second to the
#: same machine once it has sent a few (icmp(7), icmp_ratelimit).
DATAGRAMS = 3
#: What a firewall answers that refuses with a word of its own, ICMP destination unreachable (RFC 1122, 3.2.2.1).
_KEPT = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EACCES)


@dataclass(frozen=True)
class Sweep:
    """``taken``: the ports that take a connection; ``silent``: how many did not answer; ``tried``: of how many."""

    taken: tuple[int, ...]
    silent: int
    tried: int

    @property
    def whole(self) -> bool:
        """Whether each port has answered."""
        return self.silent == 0 and self.tried == len(PORTS)


def sweep(address: str, *, seconds: float) -> Sweep:
    """Try every port of ``address``, an IP address, from this machine; ``seconds``: for which a port may be silent.

    Raises:
        OSError: this machine cannot open as many sockets.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    ports, lock = iter(PORTS), threading.Lock()
    taken: list[int] = []
    silent = tried = 0

    def work() -> None:
        nonlocal silent, tried
        while True:
            with lock:
                port = next(ports, 0) if silent < MOST_SILENT else 0
                tried += port > 0
            if not port:
                return
            answer = _answer(family, (address, port), seconds)
            if answer is not False:
                with lock:
                    silent += answer is None
                    taken.extend([port] * (answer is True))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for ended in [pool.submit(work) for _ in range(AT_ONCE)]:
            ended.result()
    return Sweep(taken=tuple(sorted(taken)), silent=silent, tried=tried)


def unrefused(address: str, ports: Sequence[int], *, seconds: float) -> tuple[int, ...] | None:
    """Those of the UDP ``ports`` of ``address``, an IP address, that do not refuse an empty datagram from this machine.
    ``seconds``: for which a port may be silent to each of ``DATAGRAMS``.

    None where nothing can be said: a port that is closed is silent too, so what comes is dropped on the way.

    Raises:
        OSError: this machine cannot open as many sockets.
    """
    if not ports:
        return ()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Three that are closed unless they were named (RFC 6335, 6: assigned to nobody): their silence is a firewall's.
    unused = [port for port in range(65000, 65500) if port not in ports][-3:]
    ask = functools.partial(_takes_datagrams, family, address, seconds)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(ports, pool.map(ask, ports), strict=True))
        known = not all(pool.map(ask, unused))
    return tuple(sorted(port for port, takes in answers.items() if takes)) if known else None


def beside(deployment: Deployment) -> str:
    """The address at which this machine meets the product's as another machine of its network does; empty where it
    comes to declared ports alone (a virtual machine, published ports), or where other programs listen too (a host).

    Raises:
        InfrastructureError: the engine does not say.
    """
    machine, ports = deployment.machine, deployment.context.application.ports
    if machine.reference.kind != "container" or not ports:
        return ""
    address, _ = machine.address(next(iter(ports.values())))
    return "" if ipaddress.ip_address(address).is_loopback else address


def _answer(family: int, place: tuple[str, int], seconds: float) -> bool | None:
    """Whether a port takes a connection; None where it says nothing, or says that it is kept from answering."""
    for _ in range(2):  # a packet may be lost
        with socket.socket(family, socket.SOCK_STREAM) as end:
            end.settimeout(seconds)
            try:
                end.connect(place)
            except ConnectionRefusedError:
                return False
            except (TimeoutError, ConnectionResetError, PermissionError):
                continue
            except OSError as error:
                if error.errno in _KEPT:
                    return None
                raise
            return True
    return None


def _takes_datagrams(family: int, address: str, seconds: float, port: int) -> bool:
    """Whether a UDP port does not refuse what it is sent."""
    for _ in range(DATAGRAMS):
        with socket.socket(family, socket.SOCK_DGRAM) as end:
            end.settimeout(seconds)
            try:
                end.connect((address, port))
                end.send(b"")
                end.recv(1)
            except ConnectionRefusedError:
                return False
            except TimeoutError:
                continue
            except OSError as error:
                if error.errno in _KEPT:
                    continue
                raise
            return True
    return True
