"""The places outside of a cell that its product declares (``reach``), and the way there.

In a closed network each name leads to an address of the product's own loopback. A listener there is held by this
process, which hands each connection on to the real place, and to nothing else. Only TCP is carried.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import secrets
import socket
import struct
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.containers.door import listeners_in
from harness.containers.machine import ContainerMachine
from harness.containers.networks import name_places
from harness.errors import InfrastructureError, UsageError
from harness.model.definitions import Reached
from harness.model.ledger import Ledger

#: In which a place must take a connection.
SECONDS = 10.0
PIECE = 1 << 16
#: Connections of a cell at once; further ones wait. Each takes two of this process's descriptors.
MOST = 256
_INTERFACES = Path("/sys/class/net")
#: After a connection that this machine could not take, in seconds: what it lacks may be free again then.
PAUSE_SECONDS = 0.5
#: What this machine itself lacks for a connection: descriptors, memory, ports of its own.
_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)


@dataclass
class _Count:
    connections: int = 0
    failures: int = 0
    failed: float = 0.0  #: when the last did, in seconds since 1970
    error: str = ""
    lacked: float = 0.0  #: when this machine itself last could not carry one, in seconds since 1970
    lack: str = ""

    def note_lack(self, error: OSError) -> None:
        self.lacked, self.lack = time.time(), _words(error)


class Reaching:
    """Hands connections of ``listeners`` on to ``places``, in that order, from ``start`` to ``close``. Those of ``own``
    are the laboratory's: they may be this machine, and it knows of their troubles itself."""

    def __init__(
        self, places: Sequence[Reached], listeners: Sequence[socket.socket], own: Collection[Reached] = ()
    ) -> None:
        self._own = frozenset(own)
        self._places = dict(zip(places, listeners, strict=True))
        self._counts = {place: _Count() for place in places}
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End all connections."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    def facts(self) -> list[dict[str, object]]:
        """Each place with its connections, those of them that failed, and the last failure."""
        return [
            {"place": str(place), "connections": count.connections, "failures": count.failures, "error": count.error}
            for place, count in self._counts.items()
        ]

    def troubles(self, since: float) -> list[str]:
        """Places that did not take a connection since a moment (seconds since 1970), in words, and those for which this
        machine could not carry one."""
        lacks = [
            f"the machine of the harness could not carry a connection to {place}: {count.lack}"
            for place, count in self._counts.items()
            if count.lacked >= since
        ]
        return lacks + [
            f"{place}, which the product must reach, did not take a connection: {count.error}"
            for place, count in self._counts.items()
            if count.failed >= since and place not in self._own
        ]

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        loop, room = asyncio.get_running_loop(), asyncio.Semaphore(MOST)

        async def carry(place: Reached, near: socket.socket) -> None:
            try:
                await self._hand_on(place, near)
            finally:
                room.release()

        async def accept(place: Reached, listener: socket.socket) -> None:
            listener.settimeout(0)
            while True:
                await room.acquire()
                try:
                    near, _ = await loop.sock_accept(listener)
                except OSError as error:  # no connection of one place may end the way to it for the rest of the cell
                    room.release()
                    if error.errno != errno.ECONNABORTED:  # that is a client which went away
                        self._counts[place].note_lack(error)
                        await asyncio.sleep(PAUSE_SECONDS)
                    continue
                task = asyncio.create_task(carry(place, near))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        accepting = [asyncio.create_task(accept(place, listener)) for place, listener in self._places.items()]
        await self._ended.wait()
        for task in (*accepting, *tasks):
            task.cancel()
        await asyncio.gather(*accepting, *tasks, return_exceptions=True)
        for listener in self._places.values():
            listener.close()

    async def _hand_on(self, place: Reached, near: socket.socket) -> None:
        count = self._counts[place]
        count.connections += 1
        near.settimeout(0)
        try:
            address = await asyncio.to_thread(address_of_place, place, own=place in self._own)
            far_reader, far = await asyncio.wait_for(asyncio.open_connection(address, place.port), SECONDS)
        except (OSError, TimeoutError, InfrastructureError, UsageError) as error:
            count.failures, count.failed, count.error = count.failures + 1, time.time(), _words(error)
            if isinstance(error, OSError) and error.errno in _LACKS:
                count.note_lack(error)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
            near.close()
            return
        near_reader, back = await asyncio.open_connection(sock=near)
        try:
            await asyncio.gather(_copy(near_reader, far), _copy(far_reader, back))
        except OSError:  # it broke on one side, so it ends on the other
            pass
        finally:
            for end in (far, back):
                end.transport.abort()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the end of one direction, and tell the other side of that end."""
    while piece := await source.read(PIECE):
        target.write(piece)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()


def address_of_place(place: Reached, *, own: bool = False) -> str:
    """Where a declared place is, as this machine resolves it now. ``own``: the laboratory itself declared it.

    Raises:
        UsageError: it is this machine, or a machine of a cell: what a vendor declares never leads there.
        InfrastructureError: its name is not known here.
    """
    if place.address is not None:
        addresses = [str(place.address)]
    else:
        try:
            entries = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise InfrastructureError(
                f"{place} is not known here: {error}",
                advice="give its address in the laboratory (reach: address), or a name server that knows it",
            ) from error
        addresses = [str(entry[4][0]).partition("%")[0] for entry in entries]
    for address in addresses:
        if not own and _is_near(address):
            raise UsageError(
                f"{place} leads to {address}, which is this machine or one of its containers",
                advice="run what the product must reach on a machine of its own",
            )
    return addresses[0]


def _is_near(text: str) -> bool:
    """Whether an address is of this machine, or of a bridge to containers here."""
    address = ipaddress.ip_address(text)
    if address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast:
        return True
    for name, own in psutil.net_if_addrs().items():
        for each in own:
            if each.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            plain = each.address.partition("%")[0]
            if address == ipaddress.ip_address(plain):
                return True
            if (_INTERFACES / name / "bridge").exists() and each.family == socket.AF_INET and each.netmask:
                network = ipaddress.ip_network(f"{plain}/{each.netmask}", strict=False)
                if address in network:
                    return True
    return False


@contextlib.contextmanager
def reaching(
    machine: ContainerMachine,
    places: Sequence[Reached],
    labels: dict[str, str],
    ledger: Ledger,
    own: Collection[Reached] = (),
) -> Iterator[Reaching]:
    """The way from a machine of a closed network to ``places``, while the context lasts; ``own`` are those that the
    laboratory declared. What was reached goes to the ledger at its end.

    Raises:
        InfrastructureError: a place does not take a connection, or the engine does not open the way.
        UsageError: a place is this machine.
    """
    for place in places:
        demand(place, own=place in own)
    addresses = {
        host: f"127.77.0.{number}" for number, host in enumerate(dict.fromkeys(p.host for p in places), start=1)
    }
    name = f"harness-door-{secrets.token_hex(6)}"
    ledger.intent("container", name)
    try:
        ends = [(addresses[place.host], place.port) for place in places]
        listeners = listeners_in(machine.engine, machine.container, name, labels, ends)
    finally:
        ledger.removed("container", name)
    way = Reaching(places, listeners, own)
    way.start()
    try:
        name_places(machine, [(address, host) for host, address in addresses.items()])
        yield way
    finally:
        way.close()
        ledger.event("reached", places=way.facts())


def demand(place: Reached, *, own: bool = False) -> None:
    """Raises as ``reaching``: whatever the product does there would say nothing of the product."""
    address = address_of_place(place, own=own)
    where = "databases.yaml" if own else "`reach` in application.yaml"
    try:
        socket.create_connection((address, place.port), SECONDS).close()
    except OSError as error:
        raise InfrastructureError(
            f"{place}, which the product must reach, does not take a connection: {_words(error)}",
            advice=f"start it, or correct {where}, then: harness resume",
        ) from error


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {SECONDS:.0f} s"
    return str(error) or type(error).__name__
